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
    tokens: Arc<PackedBatch>,
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
        self.sample_some(key, self.size)
    }

    /// The batch of a key, of so many tasks.
    pub fn sample_some(&self, key: StreamKey, tasks: usize) -> TrainBatch {
        let (tokens, target) = self.task.sample_tokens(self.layout, tasks, key);
        TrainBatch { key, tokens: Arc::new(tokens), target }
    }

    /// B.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl TrainBatch {
    /// The answers of a network, on its device: (B, w), with as many numbers as the network's read-out has.
    pub fn forward<D: Device, T: Tape<f32, D>>(&self, device: &D, net: &impl Net<D>) -> DeviceResult<Matrix<D, T>, D> {
        net.forward(Input::packed(device, Arc::clone(&self.tokens)))
    }

    /// A network's answers and the targets, (B, d_out) both, on its device.
    pub fn answers<D: Device, T: Tape<f32, D>>(
        self,
        device: &D,
        net: &impl Net<D>,
    ) -> DeviceResult<(Matrix<D, T>, Matrix<D>), D> {
        let sequences = self.tokens.sequences;
        let outputs = self.target.len() / sequences;
        let answers = self.forward(device, net)?;
        Ok((answers, device.try_tensor_from_vec(self.target, (sequences, outputs))?))
    }

    /// The targets, (B, d_out) row-major.
    pub fn target(&self) -> &[f32] {
        &self.target
    }

    /// Its tasks, each as a batch.
    pub fn singles(&self) -> impl Iterator<Item = Self> {
        let PackedBatch { sequences, grid, .. } = *self.tokens;
        let outputs = self.target.len() / sequences;
        let rows = self.tokens.rows();
        (0..sequences).map(move |task| {
            let numbers = grid.0 * grid.1;
            let tokens = PackedBatch::of_rows(&rows[task * numbers..][..numbers], grid);
            let target = self.target[task * outputs..][..outputs].to_vec();
            Self { key: self.key, tokens: Arc::new(tokens), target }
        })
    }
}
