//! Tensors as plain numbers.

use dfdx::prelude::{HasShape, NoneTape, ReshapeTo, Shape, Tensor};

use super::Device;
use crate::lanes::Blocks;
use crate::nn::{DeviceResult, Tensor3};

/// All numbers of a tensor, row-major, whatever their order in memory. dfdx's `as_vec` walks them index by index.
pub fn numbers<S: Shape, D: Device, T>(tensor: &Tensor<S, f32, D, T>) -> DeviceResult<Vec<f32>, D> {
    let tensor = tensor.retaped::<NoneTape>().try_contiguous()?;
    let mut values = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    Ok(values)
}

/// A batch in lanes as a tensor: (B, tokens, width).
pub fn in_rows<D: Device>(device: &D, tokens: &Blocks) -> DeviceResult<Tensor3<D>, D> {
    device.try_tensor_from_vec(tokens.rows(), (tokens.sequences, tokens.grid.0, tokens.grid.1))
}
