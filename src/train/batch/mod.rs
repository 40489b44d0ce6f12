//! Training batches: sampled on the host, on any core, before their step; or on a GPU.

mod gpu_sampler;

pub use gpu_sampler::GpuSampler;

use std::sync::Arc;

use dfdx::tensor::Tape;

use crate::nn::{Device, DeviceResult, Input, Matrix, Net};
use crate::preset::Preset;
use crate::simd::PackedBatch;
use crate::task::{Layout, StreamKey, Task};

/// Samples the training batches of a run: each is a function of its key alone.
#[derive(Clone, Debug)]
pub struct BatchSampler {
    task: Task,
    layout: Layout,
    /// B: tasks in a batch.
    size: usize,
}

/// The tasks of one step, packed as a network reads them, on the host.
pub struct TrainBatch {
    pub key: StreamKey,
    tokens: PackedBatch,
    /// (B, d_out).
    target: Vec<f32>,
}

impl BatchSampler {
    pub fn new(preset: &Preset) -> Self {
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch }
    }

    /// Samples the first `most` tasks of each batch.
    pub fn first(&self, most: usize) -> Self {
        Self { size: self.size.min(most), ..self.clone() }
    }

    /// The batch of a key.
    pub fn sample(&self, key: StreamKey) -> TrainBatch {
        let (tokens, target) = self.task.sample_tokens(self.layout, self.size, key);
        TrainBatch { key, tokens, target }
    }
}

impl TrainBatch {
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
