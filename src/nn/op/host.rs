//! Tensors as plain numbers.

use dfdx::prelude::{Cpu, HasShape, Shape, Tensor};

/// The numbers of a contiguous tensor, row-major. dfdx's `as_vec` walks an index for each.
pub fn numbers<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Vec<f32> {
    let mut numbers = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut numbers);
    numbers
}
