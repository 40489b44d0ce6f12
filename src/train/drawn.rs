//! Training batches, drawn where no device is needed: on any core, before their step.

use dfdx::tensor::Tape;

use crate::lanes::Blocks;
use crate::nn::{Device, DeviceResult, GradTarget, Input, Matrix, Net};
use crate::preset::Preset;
use crate::task::{Layout, StreamKey, Task};

/// What batches are drawn from.
#[derive(Debug)]
pub struct Source {
    pub task: Task,
    pub layout: Layout,
    /// Tasks in a batch.
    pub size: usize,
    /// Whether the network reads batches in the lanes in which they are drawn.
    in_lanes: bool,
}

impl Source {
    pub fn of<D: Device>(preset: &Preset, net: &impl Net<D>) -> Self {
        let in_lanes = net.reads_lanes();
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch, in_lanes }
    }
}

/// The tasks of one step as a network reads them, still on the host.
pub struct TrainBatch {
    pub place: StreamKey,
    tokens: Tokens,
    target: Vec<f32>,
}

enum Tokens {
    Lanes(Blocks),
    Rows((usize, usize, usize), Vec<f32>),
}

impl TrainBatch {
    pub fn new(source: &Source, place: StreamKey) -> Self {
        let (blocks, target) = source.task.sample_tokens(source.layout, source.size, place);
        let tokens = match source.in_lanes {
            true => Tokens::Lanes(blocks),
            false => Tokens::Rows((blocks.sequences, blocks.grid.0, blocks.grid.1), blocks.rows()),
        };
        Self { place, tokens, target }
    }

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
