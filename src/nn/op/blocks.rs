//! The one driver of operations that treat every sequence alike, on the CPU: in blocks of sixteen sequences, over all cores.
//!
//! Owns the way from tensors to lanes and back, the memory, and where gradients are added. A [`Kernel`] says what
//! happens to one block, and knows nothing of tensors and threads. To make an operation fast: write its kernel, most
//! simply as two `#[multiversion]` functions over lanes, and call [`run`] with its operands. Sums over blocks are taken
//! in their order, so the result does not depend on the number of threads.

use dfdx::prelude::*;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::host::numbers;
use super::lanes::{LANES, Lane, scatter, scatter_add};
use crate::nn::{DeviceResult, GradTarget, Matrix, Tensor3};

/// An operation on one block, with the weights that all sequences share inside it.
pub trait Kernel: Send + Sync + 'static {
    /// Lanes that the forward pass of a block leaves for the backward pass, besides the inputs.
    fn saved(&self) -> usize;

    /// Computes the result of one block. Each input is (tokens · its width) lanes; `out` holds zeros,
    /// `saved` what somebody left there.
    fn forward(&self, inputs: &[Buffer], saved: &mut [Lane], out: &mut [Lane]);

    /// Adds the gradients that follow from ∂out to `slopes`. Nobody reads `saved` afterwards.
    fn backward(&self, inputs: &[Buffer], saved: &mut [Lane], grad_out: &[Lane], grads: Grads<'_>);
}

/// Where a block's gradients are added, in the order of the operation's inputs and weights.
pub struct Grads<'a> {
    /// Of this block.
    pub inputs: &'a mut [Buffer],
    /// Of this block and of those before it.
    pub weights: &'a mut [Vec<f32>],
}

/// What an operation reads.
pub struct Operands<T> {
    /// One row per token each: (B, its own tokens, its own width).
    pub inputs: Vec<Tensor3<Cpu, T>>,
    /// Shared by all sequences.
    pub weights: Vec<Matrix<Cpu, T>>,
    /// Gradients by inputs are left out for [`GradTarget::Weights`], those by weights for [`GradTarget::Query`]; an operation in
    /// the middle of a network needs both.
    pub grad_target: GradTarget,
}

/// Sums of weights' gradients that are taken side by side, at most.
const GROUPS: usize = 16;

/// What is left of the forward pass of a block.
struct Block {
    inputs: Vec<Buffer>,
    saved: Buffer,
}

/// Runs an operation that gives (B, M, w), from (M, w); `kernel` makes it from the weights' numbers.
pub fn run<T: Tape<f32, Cpu>, K: Kernel>(
    device: &Cpu,
    operands: Operands<T>,
    (rows, width): (usize, usize),
    kernel: impl FnOnce(Vec<Vec<f32>>) -> K,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let mut tape = T::default();
    // A tensor that was permuted is copied here: gradients, too, are added in the order of the rows.
    let inputs = operands.inputs.into_iter().map(|input| Ok(untape(input.try_contiguous()?, &mut tape)));
    let inputs = inputs.collect::<DeviceResult<Vec<Tensor3<Cpu>>, Cpu>>()?;
    let weights = operands.weights.into_iter().map(|weight| Ok(untape(weight.try_contiguous()?, &mut tape)));
    let weights = weights.collect::<DeviceResult<Vec<Matrix<Cpu>>, Cpu>>()?;
    let batch = inputs.first().map_or(0, |input| input.shape().0);
    let kernel = kernel(weights.iter().map(numbers).collect::<DeviceResult<_, Cpu>>()?);
    let (results, mut blocks) = forward(&kernel, &inputs, (batch, rows * width), T::OWNS_TAPE)?;
    let out = device.try_tensor_from_vec(results, (batch, rows, width))?;

    let (result, grad_target) = (out.clone(), operands.grad_target);
    tape.add_backward_op(move |gradients| {
        let grad_out = gradients.get_or_alloc_mut(&result)?;
        let sizes: Vec<usize> = weights.iter().map(|weight| weight.shape().num_elements()).collect();
        let (grad_inputs, grad_weights) = backward(&kernel, &mut blocks, (grad_out, rows * width), &sizes);
        for (i, input) in inputs.iter().enumerate().filter(|_| grad_target != GradTarget::Weights) {
            let size = input.shape().1 * input.shape().2;
            let rows = gradients.get_or_alloc_mut(input)?;
            let grads = rows.par_chunks_mut((LANES * size).max(1)).zip(&grad_inputs);
            grads.for_each(|(rows, lanes)| scatter_add(&lanes[i], rows));
        }
        for (i, weight) in weights.iter().enumerate().filter(|_| grad_target != GradTarget::Query) {
            let sum = gradients.get_or_alloc_mut(weight)?;
            for group in &grad_weights {
                sum.iter_mut().zip(&group[i]).for_each(|(sum, part)| *sum += part);
            }
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// The result, row-major with `size` numbers a sequence, and what each block leaves where somebody `keeps` it.
fn forward(
    kernel: &impl Kernel,
    inputs: &[Tensor3<Cpu>],
    (batch, size): (usize, usize),
    keeps: bool,
) -> DeviceResult<(Vec<f32>, Vec<Block>), Cpu> {
    let rows = inputs.iter().map(|input| Ok((numbers(input)?, input.shape().1 * input.shape().2)));
    let rows = rows.collect::<DeviceResult<Vec<(Vec<f32>, usize)>, Cpu>>()?;
    let mut results = vec![0.0; batch * size];
    let blocks: Vec<Option<Block>> = results
        .par_chunks_mut((LANES * size).max(1))
        .enumerate()
        .map(|(b, results)| {
            let part = |(rows, size): &(Vec<f32>, usize)| {
                Buffer::gathered(&rows[b * LANES * size..rows.len().min((b + 1) * LANES * size)], *size)
            };
            let inputs: Vec<Buffer> = rows.iter().map(part).collect();
            let (mut saved, mut out) = (Buffer::uninit(kernel.saved()), Buffer::zeros(size));
            kernel.forward(&inputs, &mut saved, &mut out);
            scatter(&out, results);
            keeps.then_some(Block { inputs, saved })
        })
        .collect();
    Ok((results, blocks.into_iter().flatten().collect()))
}

/// Gradients by each input of each block, and by each weight of each group of blocks.
fn backward(
    kernel: &impl Kernel,
    blocks: &mut [Block],
    (grad_out, size): (&[f32], usize),
    weights: &[usize],
) -> (Vec<Vec<Buffer>>, Vec<Vec<Vec<f32>>>) {
    let many = blocks.len().div_ceil(GROUPS).max(1);
    let groups: Vec<_> = blocks
        .par_chunks_mut(many)
        .zip(grad_out.par_chunks((many * LANES * size).max(1)))
        .map(|(blocks, rows)| {
            let mut grad_weights: Vec<Vec<f32>> = weights.iter().map(|size| vec![0.0; *size]).collect();
            let each = blocks.iter_mut().zip(rows.chunks((LANES * size).max(1))).map(|(block, rows)| {
                let mut grad_inputs: Vec<Buffer> =
                    block.inputs.iter().map(|input| Buffer::zeros(input.len())).collect();
                let grad_out = Buffer::gathered(rows, size);
                let grads = Grads { inputs: &mut grad_inputs, weights: &mut grad_weights };
                kernel.backward(&block.inputs, &mut block.saved, &grad_out, grads);
                grad_inputs
            });
            let grad_inputs: Vec<Vec<Buffer>> = each.collect();
            (grad_inputs, grad_weights)
        })
        .collect();
    let (grad_inputs, grad_weights): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    (grad_inputs.into_iter().flatten().collect(), grad_weights)
}

/// The tensor without its tape, which joins the others.
pub fn untape<S: Shape, D: super::Device, T: Tape<f32, D>>(
    tensor: Tensor<S, f32, D, T>,
    tape: &mut T,
) -> Tensor<S, f32, D> {
    let (tensor, its) = tensor.split_tape();
    *tape = std::mem::take(tape).merge(its);
    tensor
}
