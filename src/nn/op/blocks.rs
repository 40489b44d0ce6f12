//! An operation that treats every sequence alike, on the CPU: in blocks of sixteen sequences, over all cores.
//!
//! Owns the way from tensors to lanes and back, and where gradients are added. A [`Kernel`] says what happens to one
//! block; sums over blocks are taken in their order, so the result does not depend on the number of threads.

use dfdx::prelude::*;
use rayon::prelude::*;

use super::lanes::{LANES, Lane, ZERO, gather, scatter_add};
use crate::nn::{Cube, Matrix, Outcome};

/// An operation on one block, with the weights that all sequences share inside it.
pub trait Kernel: Send + Sync + 'static {
    /// What the forward pass leaves for the backward pass, besides the inputs.
    type Saved: Send + Sync + 'static;

    /// Adds the result to `out`, which is zero. Each input is (tokens · its width) lanes.
    fn forward(&self, inputs: &[Vec<Lane>], out: &mut [Lane]) -> Self::Saved;

    /// Adds the gradients that follow from ∂out to `slopes`, which are zero.
    fn backward(&self, inputs: &[Vec<Lane>], saved: &Self::Saved, by_out: &[Lane], slopes: &mut Slopes);
}

/// Gradients of one block, in the order of the operation's inputs and weights.
pub struct Slopes {
    pub inputs: Vec<Vec<Lane>>,
    pub weights: Vec<Vec<f32>>,
}

/// What an operation reads: tensors of one row per token, each (B, T, its own width), and matrices shared by all.
pub struct Operands<T> {
    pub inputs: Vec<Cube<Cpu, T>>,
    pub weights: Vec<Matrix<Cpu, T>>,
}

/// Runs an operation that gives (B, T, width); `kernel` makes it from the weights' numbers.
pub fn run<T: Tape<f32, Cpu>, K: Kernel>(
    device: &Cpu,
    operands: Operands<T>,
    width: usize,
    kernel: impl FnOnce(Vec<Vec<f32>>) -> K,
) -> Outcome<Cube<Cpu, T>, Cpu> {
    let mut tape = T::default();
    let inputs: Vec<Cube<Cpu>> = operands.inputs.into_iter().map(|input| untape(input, &mut tape)).collect();
    let weights: Vec<Matrix<Cpu>> = operands.weights.into_iter().map(|weight| untape(weight, &mut tape)).collect();
    let Some((batch, length, _)) = inputs.first().map(|input| *input.shape()) else {
        return Ok(device.try_zeros_like(&(0, 0, width))?.put_tape(tape));
    };
    let kernel = kernel(weights.iter().map(|weight| weight.as_vec()).collect());
    let rows: Vec<Vec<f32>> = inputs.iter().map(|input| input.as_vec()).collect();
    // Numbers that each input has of a sequence.
    let sizes: Vec<usize> = inputs.iter().map(|input| length * input.shape().2).collect();
    let part = |b: usize, rows: &[f32], size: usize| {
        let end = rows.len().min((b + 1) * LANES * size);
        gather(&rows[b * LANES * size..end], size)
    };

    let mut results = vec![0.0; batch * length * width];
    let saved: Vec<Option<_>> = results
        .par_chunks_mut(LANES * length * width)
        .enumerate()
        .map(|(b, results)| {
            let inputs: Vec<_> = rows.iter().zip(&sizes).map(|(rows, size)| part(b, rows, *size)).collect();
            let mut out = vec![ZERO; length * width];
            let saved = kernel.forward(&inputs, &mut out);
            scatter_add(&out, results);
            T::OWNS_TAPE.then_some((inputs, saved))
        })
        .collect();
    let out = device.try_tensor_from_vec(results, (batch, length, width))?;

    let saved: Vec<_> = saved.into_iter().flatten().collect();
    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let by_out = gradients.get_or_alloc_mut(&result)?;
        let blocks: Vec<Slopes> = saved
            .par_iter()
            .zip(by_out.par_chunks(LANES * length * width))
            .map(|((inputs, saved), rows)| {
                let mut slopes = Slopes {
                    inputs: sizes.iter().map(|size| vec![ZERO; *size]).collect(),
                    weights: weights.iter().map(|w| vec![0.0; w.shape().0 * w.shape().1]).collect(),
                };
                kernel.backward(inputs, saved, &gather(rows, length * width), &mut slopes);
                slopes
            })
            .collect();
        for (i, (input, size)) in inputs.iter().zip(&sizes).enumerate() {
            let rows = gradients.get_or_alloc_mut(input)?;
            rows.par_chunks_mut(LANES * size)
                .zip(&blocks)
                .for_each(|(rows, block)| scatter_add(&block.inputs[i], rows));
        }
        for (i, weight) in weights.iter().enumerate() {
            let sum = gradients.get_or_alloc_mut(weight)?;
            for block in &blocks {
                sum.iter_mut().zip(&block.weights[i]).for_each(|(sum, part)| *sum += part);
            }
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// The tensor without its tape, which joins the others.
fn untape<S: Shape, T: Tape<f32, Cpu>>(tensor: Tensor<S, f32, Cpu, T>, tape: &mut T) -> Tensor<S, f32, Cpu> {
    let (tensor, its) = tensor.split_tape();
    *tape = std::mem::take(tape).merge(its);
    tensor
}
