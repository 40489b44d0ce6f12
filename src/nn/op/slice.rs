//! A slice of a tensor that may be used elsewhere too.
//!
//! In dfdx 0.13 the CPU's backward pass of a slice overwrites the gradient of what was sliced instead of adding to it
//! (`tensor_ops/slice/cpu_kernel.rs`), so a tensor that is also used in another place loses that other gradient. Here
//! the slice is taken of a product with one: its gradient is fresh, and the product's backward pass adds. On a card the
//! backward pass adds by itself (`tensor_ops/slice/slice.cu`).

use std::ops::Range;

use dfdx::prelude::{Tape, TryMul};

use super::Device;
use crate::nn::{DeviceResult, Tensor3};

/// The part of a (batch, rows, columns) tensor that lies in these ranges.
pub fn slice<D: Device, T: Tape<f32, D>>(
    tensor: Tensor3<D, T>,
    ranges: (Range<usize>, Range<usize>, Range<usize>),
) -> DeviceResult<Tensor3<D, T>, D> {
    if tensor.device().adds_in_slices() {
        return tensor.try_slice(ranges);
    }
    tensor.try_mul(1.0f32)?.try_slice(ranges)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, Cpu, Rank0, SumTo, TensorFromVec, Trace};

    use super::slice;
    use crate::nn::Tensor3;

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
