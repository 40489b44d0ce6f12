//! Tapes that must not be lost.
//!
//! A tensor that is used twice is copied without its tape, and the tape stays with the original. Where the original
//! is not used itself in the end, its tape has to go with something that is.

use dfdx::prelude::{PutTape, Shape, SplitTape, Tape, Tensor};

use super::Device;

/// `tensor` with the other's tape besides its own.
pub fn join<A: Shape, B: Shape, D: Device, T: Tape<f32, D>>(
    tensor: Tensor<A, f32, D, T>,
    other: Tensor<B, f32, D, T>,
) -> Tensor<A, f32, D, T> {
    let (tensor, tape) = tensor.split_tape();
    tensor.put_tape(tape.merge(other.split_tape().1))
}
