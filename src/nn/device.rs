//! What a network needs of a device: to run a graph, the loss, and memory.

mod squared_error;

use dfdx::prelude::{HasShape, NoneTape, ReshapeTo};
use dfdx::tensor::{Cpu, Tape};

use super::graph::{self, Graph, GraphBuilder, Sequence};
use super::tensor::{Backend, DeviceResult, GradTarget, Input, Matrix, Scalar, Tensor3};
use crate::simd;

/// A device that trains networks. The defaults are compositions of dfdx's operations, which run on any device.
pub trait Device: Backend {
    /// Training steps that may be queued before the loss of the first is read. A GPU works on while the host queues the
    /// next step, and waits where it is read too often; the CPU has finished a step when the call returns.
    fn steps_ahead(&self) -> u64 {
        32
    }

    /// Frees the memory that the device keeps for later.
    fn release(&self) {}

    /// Keeps no memory for later from here on.
    fn close(&self) {}

    /// Runs a graph over token sequences: its last sequence, (B, length · width).
    fn run<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        graph: Graph<Self, T>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        graph::portable::run(input, graph)
    }

    /// ½ · mean over the batch of ‖ŷ − y‖² / d_out.
    fn squared_error<T: Tape<f32, Self>>(
        &self,
        answer: Matrix<Self, T>,
        target: Matrix<Self>,
    ) -> DeviceResult<Scalar<Self, T>, Self> {
        squared_error::portable(answer, target)
    }
}

impl Device for Cpu {
    fn release(&self) {
        simd::release();
    }

    fn steps_ahead(&self) -> u64 {
        if portable_path() { 32 } else { 1 }
    }

    fn run<T: Tape<f32, Self>>(
        &self,
        input: Input<Self, T>,
        graph: Graph<Self, T>,
    ) -> DeviceResult<Matrix<Self, T>, Self> {
        if portable_path() {
            return graph::portable::run(input, graph);
        }
        graph::cpu::run(self, input, graph)
    }

    fn squared_error<T: Tape<f32, Self>>(
        &self,
        answer: Matrix<Self, T>,
        target: Matrix<Self>,
    ) -> DeviceResult<Scalar<Self, T>, Self> {
        if portable_path() {
            return squared_error::portable(answer, target);
        }
        squared_error::fused(self, answer, &target)
    }
}

#[cfg(feature = "cuda")]
impl Device for dfdx::tensor::Cuda {
    fn release(&self) {
        // Where this fails the cache stays as it is, which is no error of the run.
        let _ = dfdx::tensor::Cache::try_empty_cache(self);
    }

    fn close(&self) {
        // As above.
        let _ = dfdx::tensor::Cache::try_disable_cache(self);
    }
}

impl<D: Device, T: Tape<f32, D>> Sequence<'_, D, T> {
    /// What the graph computes for this sequence, in one row: (B, length · width).
    pub fn answer(self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        input.device().clone().run(input, self.graph())
    }

    /// The same as (B, length, width).
    pub fn run(self, input: Input<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
        let (length, width) = (self.length(), self.width());
        let rows = self.answer(input)?;
        let batch = rows.shape().0;
        rows.try_reshape_like(&(batch, length, width))
    }
}

/// What a graph of these tokens, (B, T, w), computes without gradients: the sequence that `record` returns.
///
/// # Errors
/// The device failed.
pub fn evaluate<D: Device>(
    tokens: &Tensor3<D>,
    record: impl FnOnce(Sequence<'_, D, NoneTape>) -> Sequence<'_, D, NoneTape>,
) -> DeviceResult<Tensor3<D>, D> {
    let input = Input::rows(tokens.clone(), GradTarget::Weights);
    let builder = GraphBuilder::new(&input);
    record(builder.tokens()).run(input)
}

/// Whether the CPU computes by compositions of dfdx's operations, as other devices do: tests hold both to each other.
#[cfg(test)]
pub fn portable_path() -> bool {
    super::check::portable_path()
}

#[cfg(not(test))]
pub fn portable_path() -> bool {
    false
}
