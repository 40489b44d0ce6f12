//! Operations made for these models, where dfdx's own are missing or slow.
//!
//! Each file holds one operation: its definition in plain loops, a composition of dfdx's operations that runs on any
//! device, and a fast form for the CPU; tests hold the three to each other in value and in gradient.

mod adam;
mod blocks;
mod causal_conv;
#[cfg(test)]
pub(crate) mod check;
mod clip;
mod complex;
mod diagonal_scan;
pub mod elementary;
mod entrywise;
mod head_scan;
mod host;
mod in_every_row;
mod join;
mod linear_attend;
mod masked_attend;
mod normalise;
mod operation;
mod outer;
mod program;
mod project;
mod recurrence;
mod selective_scan;
mod slice;
mod softmax_attend;
mod solve;
mod spectrum;
mod squared_error;
mod window_layer;
mod window_scan;

pub use adam::{AdamStep, Moments};
pub use buffer::Buffer;
pub use causal_conv::CausalConv;
pub use diagonal_scan::DiagonalScan;
pub use entrywise::Function;
pub use head_scan::{HeadScan, head_expansion};
pub use host::{in_rows, numbers};
pub use join::join;
pub use linear_attend::{Attended, LinearAttend, QueryLen};
pub use normalise::normalise_row;
pub use program::{Graph, GraphBuilder, Selection, Sequence};
pub use project::project;
pub use recurrence::{Cell, CellState, MOST_GATES, Recurrence, RecurrentWeights, StepBuffers};
pub use selective_scan::{SelectiveScan, selective_states};
pub use slice::slice;
pub use softmax_attend::attention_matrix;
pub use solve::{inverse, solve};
pub use spectrum::Discretization;
pub use squared_error::{Scalar, squares};
pub use window_layer::window_answers;
pub use window_scan::{WindowScan, window_states};

use dfdx::tensor::{Cpu, Tape};

use super::{DeviceResult, GradTarget, Input, Matrix, Tensor3};
use crate::lanes::{self, Blocks, buffer};

/// A dfdx device with the operations of this crate. The defaults are compositions of dfdx's own operations.
pub trait Device: dfdx::tensor_ops::Device<f32> {
    /// Training steps that may be ordered before anybody asks what came of the first. A card works on while the host
    /// orders the next step, and waits where it is asked too often; the processor has done a step when it is ordered.
    fn steps_ahead(&self) -> u64 {
        32
    }

    /// Whether operations on batches in lanes read them as they are.
    fn reads_lanes(&self) -> bool {
        false
    }

    /// Gives back the memory that the device keeps for later.
    fn release(&self) {}

    /// Keeps no memory for later any more: what is given back from here on is free at once.
    fn close(&self) {}

    /// Whether the backward pass of dfdx's own slice adds to what is there. See [`slice()`].
    fn adds_in_slices(&self) -> bool {
        true
    }

    /// Runs a GD-SSM's window recurrence and reads it out at the query: (batch, d). See [`WindowScan`].
    fn window_scan<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        window_scan::compose(input, weights)
    }

    /// The same from a batch in lanes, for training.
    fn window_scan_lanes<T: Tape<f32, Self>>(
        &self,
        tokens: &Blocks,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        let tokens = in_rows(self, tokens)?.retaped::<T>();
        self.window_scan(Input { tokens, grad_target: GradTarget::Weights }, weights)
    }

    /// A GD-SSM's window recurrence whose last state answers at every window: (B, 2N+2, d). See [`window_answers`].
    fn window_layer<T: Tape<f32, Self>>(
        &self,
        tokens: Tensor3<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        window_layer::compose(tokens, weights)
    }

    /// Attention without softmax, over all tokens, added to those that ask. See [`LinearAttend`].
    fn linear_attend<T: Tape<f32, Self>>(
        &self,
        tokens: Tensor3<Self, T>,
        weights: LinearAttend<Self, T>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        linear_attend::compose(tokens, weights)
    }

    /// A recurrent layer: the last h, as many as are asked for, (B, asked, n). See [`Recurrence`].
    fn recur<T: Tape<f32, Self>, C: Cell>(
        &self,
        layer: Recurrence<Self, T, C>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        recurrence::compose(layer)
    }

    /// λ and g of a diagonal recurrence, (4, n), from the weights that say them, (1, n) each. See [`Discretization`].
    fn spectrum<T: Tape<f32, Self>>(
        &self,
        discretization: Discretization,
        weights: [Matrix<Self, T>; 3],
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        spectrum::compose(discretization, weights)
    }

    /// Runs a program over token sequences. See [`GraphBuilder`].
    fn run<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        graph: Graph<Self, T>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        program::compose(input, graph)
    }

    /// ½ · mean over the batch of ‖ŷ − y‖² / d_out.
    fn squared_error<T: Tape<f32, Self>>(
        &self,
        answer: Matrix<Self, T>,
        target: Matrix<Self>,
    ) -> DeviceResult<Scalar<Self, T>, Self> {
        squared_error::compose(answer, target)
    }

    /// Scales a gradient, in all its parts, down to the norm `most` where it is longer.
    fn clip(&self, gradient: &mut [Matrix<Self>], most: f32) -> DeviceResult<(), Self> {
        clip::compose(gradient, most)
    }

    /// Moves a parameter and its moments. See [`AdamStep`].
    fn adam(
        &self,
        param: &mut Matrix<Self>,
        moments: &mut Moments<Self>,
        gradient: Matrix<Self>,
        step: AdamStep,
    ) -> DeviceResult<(), Self> {
        adam::compose(param, moments, gradient, step)
    }

    /// A row, (1, n), in each of so many rows. It may be laid out so that it can be added and multiplied, but not
    /// reshaped.
    fn in_every_row<T: Tape<f32, Self>>(
        &self,
        row: Matrix<Self, T>,
        rows: usize,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        in_every_row::compose(row, rows)
    }

    /// The inverses of positive definite matrices, (B, d, d), off the tape.
    fn invert(&self, matrices: Tensor3<Self>) -> DeviceResult<Tensor3<Self>, Self> {
        solve::newton_schulz(matrices)
    }
}

impl Device for Cpu {
    fn release(&self) {
        buffer::release();
    }

    fn adds_in_slices(&self) -> bool {
        false
    }

    fn steps_ahead(&self) -> u64 {
        if portable_path() { 32 } else { 1 }
    }

    fn window_scan<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        if portable_path() {
            return window_scan::compose(input, weights);
        }
        window_scan::fused(self, input, weights)
    }

    fn reads_lanes(&self) -> bool {
        !portable_path()
    }

    fn window_scan_lanes<T: Tape<f32, Self>>(
        &self,
        tokens: &Blocks,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        if portable_path() {
            let tokens = in_rows(self, tokens)?.retaped::<T>();
            return window_scan::compose(Input { tokens, grad_target: GradTarget::Weights }, weights);
        }
        window_scan::fused_in_lanes(self, tokens, weights)
    }

    fn window_layer<T: Tape<f32, Self>>(
        &self,
        tokens: Tensor3<Self, T>,
        weights: WindowScan<'_, Self>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        if portable_path() {
            return window_layer::compose(tokens, weights);
        }
        window_layer::fused(self, tokens, weights)
    }

    fn linear_attend<T: Tape<f32, Self>>(
        &self,
        tokens: Tensor3<Self, T>,
        weights: LinearAttend<Self, T>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        if portable_path() {
            return linear_attend::compose(tokens, weights);
        }
        linear_attend::fused(self, tokens, weights)
    }

    fn recur<T: Tape<f32, Self>, C: Cell>(
        &self,
        layer: Recurrence<Self, T, C>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        if portable_path() {
            return recurrence::compose(layer);
        }
        recurrence::fused(self, layer)
    }

    fn spectrum<T: Tape<f32, Self>>(
        &self,
        discretization: Discretization,
        weights: [Matrix<Self, T>; 3],
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        if portable_path() {
            return spectrum::compose(discretization, weights);
        }
        spectrum::fused(self, discretization, weights)
    }

    fn run<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        graph: Graph<Self, T>,
    ) -> DeviceResult<Tensor3<Self, T>, Self> {
        if portable_path() {
            return program::compose(input, graph);
        }
        program::fused(self, input, graph)
    }

    fn squared_error<T: Tape<f32, Self>>(
        &self,
        answer: Matrix<Self, T>,
        target: Matrix<Self>,
    ) -> DeviceResult<Scalar<Self, T>, Self> {
        if portable_path() {
            return squared_error::compose(answer, target);
        }
        squared_error::fused(self, answer, &target)
    }

    fn clip(&self, gradient: &mut [Matrix<Self>], most: f32) -> DeviceResult<(), Self> {
        if portable_path() {
            return clip::compose(gradient, most);
        }
        clip::fused(gradient, most)
    }

    fn adam(
        &self,
        param: &mut Matrix<Self>,
        moments: &mut Moments<Self>,
        gradient: Matrix<Self>,
        step: AdamStep,
    ) -> DeviceResult<(), Self> {
        if portable_path() {
            return adam::compose(param, moments, gradient, step);
        }
        adam::fused(param, moments, &gradient, step)
    }

    fn in_every_row<T: Tape<f32, Self>>(
        &self,
        row: Matrix<Self, T>,
        rows: usize,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        if portable_path() {
            return in_every_row::compose(row, rows);
        }
        in_every_row::fused(self, row, rows)
    }

    fn invert(&self, matrices: Tensor3<Self>) -> DeviceResult<Tensor3<Self>, Self> {
        if portable_path() {
            return solve::newton_schulz(matrices);
        }
        solve::gauss_jordan(self, &matrices)
    }
}

#[cfg(feature = "cuda")]
impl Device for dfdx::tensor::Cuda {
    fn release(&self) {
        // What it keeps is lost to it if this fails, and to nobody else.
        let _ = dfdx::tensor::Cache::try_empty_cache(self);
    }

    fn close(&self) {
        // As above.
        let _ = dfdx::tensor::Cache::try_disable_cache(self);
    }
}

/// Whether the CPU shall compute by compositions, as a card does: a test may wish so.
#[cfg(test)]
fn portable_path() -> bool {
    check::portable_path()
}

#[cfg(not(test))]
fn portable_path() -> bool {
    false
}
