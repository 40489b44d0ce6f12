//! Tensors whose sizes are known only at run time, and what a network is made of and reads: [`Param`], [`Input`].

use std::ops::Range;
use std::sync::Arc;

use dfdx::prelude::{HasShape, PutTape, ReshapeTo, SplitTape, TryMul};
use dfdx::shapes::{Rank0, Shape};
use dfdx::tensor::{HasErr, NoneTape, Tape, Tensor};

use crate::simd::PackedBatch;

/// A tensor of (rows, columns).
pub type Matrix<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;
/// A tensor of (batch, rows, columns).
pub type Tensor3<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;
/// One number on a device.
pub type Scalar<D, T = NoneTape> = Tensor<Rank0, f32, D, T>;
/// What an operation on a device gives.
pub type DeviceResult<X, D> = Result<X, <D as HasErr>::Err>;

/// A device of dfdx on which tensors are computed. What a network needs besides is in [`super::Device`].
pub trait Backend: dfdx::tensor_ops::Device<f32> {
    /// Whether the backward pass of dfdx's own slice adds to the gradient that is there. See [`slice()`].
    fn adds_in_slices(&self) -> bool {
        true
    }
}

impl Backend for dfdx::tensor::Cpu {
    fn adds_in_slices(&self) -> bool {
        false
    }
}

#[cfg(feature = "cuda")]
impl Backend for dfdx::tensor::Cuda {}

/// A learnable matrix. A vector is a matrix of one row or one column.
#[derive(Clone, Debug)]
pub struct Param<D: Backend> {
    /// The symbol in the model's recurrence, with the layer where there are several: "Λ", "1.Wq".
    pub name: String,
    pub value: Matrix<D>,
}

impl<D: Backend> Param<D> {
    /// A parameter with these values, row-major.
    pub fn new(device: &D, name: impl Into<String>, shape: (usize, usize), values: Vec<f32>) -> DeviceResult<Self, D> {
        Ok(Self { name: name.into(), value: device.try_tensor_from_vec(values, shape)? })
    }

    /// The value, for one use on a tape.
    pub fn taped<T: Tape<f32, D>>(&self) -> Matrix<D, T> {
        self.value.retaped::<T>()
    }
}

/// A batch of token sequences as a network reads it: (batch, tokens, width).
pub struct Input<D: Backend, T> {
    pub tokens: Tokens<D, T>,
    pub grad_target: GradTarget,
    device: D,
}

/// Tokens in one of two orders.
pub enum Tokens<D: Backend, T> {
    /// (batch, tokens, width), on the device.
    Rows(Tensor3<D, T>),
    /// Packed for SIMD, as training batches are sampled, on the host.
    Packed(Arc<PackedBatch>),
}

/// The gradients that will be read. Others may be left out or left incomplete, which saves their cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradTarget {
    /// By the weights: for training.
    Weights,
    /// By the query's token: for sensitivities.
    Query,
    /// By the weights and by every token.
    All,
}

impl<D: Backend, T: Tape<f32, D>> Input<D, T> {
    /// Tokens in rows: (batch, tokens, width).
    pub fn rows(tokens: Tensor3<D, T>, grad_target: GradTarget) -> Self {
        Self { device: tokens.device().clone(), tokens: Tokens::Rows(tokens), grad_target }
    }

    /// A packed batch to train on.
    pub fn packed(device: &D, batch: Arc<PackedBatch>) -> Self {
        Self { device: device.clone(), tokens: Tokens::Packed(batch), grad_target: GradTarget::Weights }
    }

    pub fn device(&self) -> &D {
        &self.device
    }

    /// (batch, tokens, width).
    pub fn shape(&self) -> (usize, usize, usize) {
        match &self.tokens {
            Tokens::Rows(tokens) => *tokens.shape(),
            Tokens::Packed(batch) => (batch.sequences, batch.grid.0, batch.grid.1),
        }
    }

    /// The tokens as a tensor on the device.
    pub fn into_rows(self) -> DeviceResult<Tensor3<D, T>, D> {
        let shape = self.shape();
        match self.tokens {
            Tokens::Rows(tokens) => Ok(tokens),
            Tokens::Packed(batch) => Ok(self.device.try_tensor_from_vec(batch.rows(), shape)?.retaped::<T>()),
        }
    }
}

/// All numbers of a tensor, row-major, whatever their order in memory. dfdx's `as_vec` walks them index by index.
pub fn numbers<S: Shape, D: Backend, T>(tensor: &Tensor<S, f32, D, T>) -> DeviceResult<Vec<f32>, D> {
    let tensor = tensor.retaped::<NoneTape>().try_contiguous()?;
    let mut values = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    Ok(values)
}

/// Σ v², in eight sums, so that they can be taken side by side; always in the same order.
pub fn squares(values: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for eight in values.chunks(8) {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value * value);
    }
    sums.iter().sum()
}

/// The tensor without its tape, which is merged into `tape`.
pub fn untape<S: Shape, D: Backend, T: Tape<f32, D>>(tensor: Tensor<S, f32, D, T>, tape: &mut T) -> Tensor<S, f32, D> {
    let (tensor, its) = tensor.split_tape();
    *tape = std::mem::take(tape).merge(its);
    tensor
}

/// `tensor` with the other's tape besides its own. A tensor that is used twice is copied without its tape, which stays
/// with the original; where the original is not used itself in the end, its tape has to go with something that is.
pub fn join<A: Shape, B: Shape, D: Backend, T: Tape<f32, D>>(
    tensor: Tensor<A, f32, D, T>,
    other: Tensor<B, f32, D, T>,
) -> Tensor<A, f32, D, T> {
    let (tensor, tape) = tensor.split_tape();
    tensor.put_tape(tape.merge(other.split_tape().1))
}

/// The part of a (batch, rows, columns) tensor that lies in these ranges. The tensor may be used elsewhere too.
///
/// In dfdx 0.13 the CPU's backward pass of a slice overwrites the gradient of what was sliced instead of adding to it
/// (`tensor_ops/slice/cpu_kernel.rs`), so a tensor that is also used in another place loses that other gradient. Here
/// the slice is taken of a product with one: its gradient is fresh, and the product's backward pass adds. On CUDA the
/// backward pass adds by itself (`tensor_ops/slice/slice.cu`).
pub fn slice<D: Backend, T: Tape<f32, D>>(
    tensor: Tensor3<D, T>,
    ranges: (Range<usize>, Range<usize>, Range<usize>),
) -> DeviceResult<Tensor3<D, T>, D> {
    if tensor.device().adds_in_slices() {
        return tensor.try_slice(ranges);
    }
    tensor.try_mul(1.0f32)?.try_slice(ranges)
}

/// Every row times the same matrix: (B, T, a) times (a, b).
pub fn rows_times<D: Backend, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    weight: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, width) = *tokens.shape();
    let columns = weight.shape().1;
    // Flat, because dfdx differentiates a product of many matrices with one by one sequence after the other.
    let flat = tokens.try_reshape_like(&(batch * length, width))?;
    dfdx::prelude::TryMatMul::try_matmul(flat, weight)?.try_reshape_like(&(batch, length, columns))
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, Cpu, SumTo, TensorFromVec, Trace};

    use super::*;

    #[test]
    fn overlapping_slices_add_up_in_the_gradient() {
        let device = Cpu::default();
        let x: Tensor3<Cpu> = device.tensor_from_vec(vec![1.0, 2.0, 3.0], (1, 3, 1));
        let front = slice(x.leaky_trace(), (0..1, 0..2, 0..1)).unwrap();
        let back = slice(x.leaky_trace(), (0..1, 1..3, 0..1)).unwrap();
        let gradients = (front.sum::<Rank0, _>() + back.sum::<Rank0, _>()).backward();
        assert_eq!(gradients.get(&x).as_vec(), [1.0, 2.0, 1.0]);
    }
}
