//! Training batches: sampled on the host, on any core, before their step; or on a GPU.

mod gpu_sampler;

pub use gpu_sampler::GpuSampler;

use dfdx::tensor::Tape;

use crate::lanes::Blocks;
use crate::nn::{Device, DeviceResult, GradTarget, Input, Matrix, Net};
use crate::preset::Preset;
use crate::task::{Layout, StreamKey, Task};

/// Samples the training batches of a run: each is a function of its key alone.
#[derive(Clone, Debug)]
pub struct BatchSampler {
    task: Task,
    layout: Layout,
    /// B: tasks in a batch.
    size: usize,
    /// Whether the network reads batches in the lanes in which they are sampled.
    in_lanes: bool,
}

/// The tasks of one step as a network reads them, on the host.
pub struct TrainBatch {
    pub key: StreamKey,
    tokens: Tokens,
    /// (B, d_out).
    target: Vec<f32>,
}

enum Tokens {
    Lanes(Blocks),
    /// (B, tokens, width), and the numbers, row-major.
    Rows((usize, usize, usize), Vec<f32>),
}

impl BatchSampler {
    pub fn new<D: Device>(preset: &Preset, net: &impl Net<D>) -> Self {
        let in_lanes = net.reads_lanes();
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch, in_lanes }
    }

    /// The batch of a key.
    pub fn sample(&self, key: StreamKey) -> TrainBatch {
        let (blocks, target) = self.task.sample_tokens(self.layout, self.size, key);
        let tokens = match self.in_lanes {
            true => Tokens::Lanes(blocks),
            false => Tokens::Rows((blocks.sequences, blocks.grid.0, blocks.grid.1), blocks.rows()),
        };
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
        let (sequences, answers) = match self.tokens {
            Tokens::Lanes(blocks) => (blocks.sequences, net.forward_lanes(device, &blocks)?),
            Tokens::Rows(shape, rows) => {
                let tokens = device.try_tensor_from_vec(rows, shape)?.retaped::<T>();
                (shape.0, net.forward(Input { tokens, grad_target: GradTarget::Weights })?)
            }
        };
        let outputs = self.target.len() / sequences;
        Ok((answers, device.try_tensor_from_vec(self.target, (sequences, outputs))?))
    }
}
