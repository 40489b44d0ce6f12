//! Operations made for these models, where dfdx's own are missing or slow.
//!
//! Each file holds one operation: its definition in plain loops, a composition of dfdx's operations that runs on any
//! device, and a fast form for the CPU; tests hold the three to each other in value and in gradient.

#[cfg(test)]
pub(crate) mod check;
mod lanes;
mod linear_attend;
mod slice;
mod window_scan;

pub use linear_attend::Attended;
pub use slice::slice;
pub use window_scan::{WindowScan, window_states};

use dfdx::tensor::{Cpu, Tape};

use super::{Cube, Input, Matrix, Outcome};

/// A dfdx device with the operations of this crate. The defaults are compositions of dfdx's own operations.
pub trait Device: dfdx::tensor_ops::Device<f32> {
    /// Runs a GD-SSM's window recurrence and reads it out at the query: (batch, d). See [`WindowScan`].
    fn window_scan<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> Outcome<Matrix<Self, T>, Self> {
        window_scan::compose(input, weights)
    }

    /// Attention without softmax, over all tokens: (B, M, w). See [`Attended`].
    fn linear_attend<T: Tape<f32, Self>>(&self, parts: Attended<Self, T>) -> Outcome<Cube<Self, T>, Self> {
        linear_attend::compose(parts)
    }
}

impl Device for Cpu {
    fn window_scan<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> Outcome<Matrix<Self, T>, Self> {
        window_scan::fused(self, input, weights)
    }

    fn linear_attend<T: Tape<f32, Self>>(&self, parts: Attended<Self, T>) -> Outcome<Cube<Self, T>, Self> {
        linear_attend::fused(self, parts)
    }
}

#[cfg(feature = "cuda")]
impl Device for dfdx::tensor::Cuda {}
