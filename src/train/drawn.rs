//! Training batches, sampled where no device is needed: on any core, before their step.

use std::sync::Arc;

use dfdx::tensor::Tape;

use crate::nn::{Device, DeviceResult, Input, Matrix, Net};
use crate::preset::Preset;
use crate::simd::PackedBatch;
use crate::task::{Layout, StreamKey, Task};

/// What batches are sampled from.
#[derive(Debug)]
pub struct Source {
    pub task: Task,
    pub layout: Layout,
    /// Tasks in a batch.
    pub size: usize,
}

impl Source {
    pub fn of(preset: &Preset) -> Self {
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch }
    }
}

/// The tasks of one step, packed as a network reads them, on the host.
pub struct TrainBatch {
    pub place: StreamKey,
    tokens: PackedBatch,
    /// (B, d_out), row-major.
    target: Vec<f32>,
}

impl TrainBatch {
    pub fn new(source: &Source, place: StreamKey) -> Self {
        let (tokens, target) = source.task.sample_tokens(source.layout, source.size, place);
        Self { place, tokens, target }
    }

    /// A network's answers and the targets, (B, d_out) both, on its device.
    pub fn answers<D: Device, T: Tape<f32, D>>(
        self,
        device: &D,
        net: &impl Net<D>,
    ) -> DeviceResult<(Matrix<D, T>, Matrix<D>), D> {
        let sequences = self.tokens.sequences;
        let outputs = self.target.len() / sequences;
        let answers = net.forward(Input::packed(device, Arc::new(self.tokens)))?;
        Ok((answers, device.try_tensor_from_vec(self.target, (sequences, outputs))?))
    }
}
