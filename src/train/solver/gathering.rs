//! The equations of one step while they gather.

use crate::optim::NormalEquations;
use crate::task::StreamKey;
use crate::train::batch::{BatchSampler, TrainBatch};

/// Numbers of the equations of a batch, at most: larger batches are cut.
const MOST_NUMBERS: usize = 1 << 22;
/// Batches of a step have the steps from `step · BATCHES` on in the stream of training batches.
const BATCHES: u64 = 1 << 24;

/// A batch that is to be sampled.
#[derive(Clone, Copy)]
struct Part {
    key: StreamKey,
    tasks: usize,
}

/// The sums over the tasks so far.
pub struct Gathering {
    /// The key of the step.
    pub key: StreamKey,
    pub equations: NormalEquations,
    /// The sum of the tasks' losses with the weights before the step.
    pub loss: f64,
    /// Whether the answers may differ from zero where the weights that are solved for are zero.
    pub has_offset: bool,
    parts: Vec<Part>,
    /// Parts that were sampled.
    sampled: usize,
}

impl Gathering {
    /// Nothing yet of so many tasks. `outputs`: d_out.
    pub fn new(
        key: StreamKey,
        equations: NormalEquations,
        tasks: usize,
        sampler: &BatchSampler,
        outputs: usize,
    ) -> Self {
        let at_once = (MOST_NUMBERS / (equations.unknowns() * outputs).max(1)).clamp(1, sampler.size());
        let part = |(number, first): (usize, usize)| Part {
            key: StreamKey { step: key.step.wrapping_mul(BATCHES).wrapping_add(number as u64), ..key },
            tasks: at_once.min(tasks - first),
        };
        let parts = (0..tasks).step_by(at_once).enumerate().map(part).collect();
        Self { key, equations, loss: 0.0, has_offset: true, parts, sampled: 0 }
    }

    /// Samples the next batch; `None` after the last.
    pub fn next_batch(&mut self, sampler: &BatchSampler) -> Option<TrainBatch> {
        let Part { key, tasks } = *self.parts.get(self.sampled)?;
        self.sampled += 1;
        Some(sampler.sample_some(key, tasks))
    }

    /// The same batches again.
    pub fn batches(&self, sampler: &BatchSampler) -> impl Iterator<Item = TrainBatch> {
        self.parts.iter().map(|part| sampler.sample_some(part.key, part.tasks))
    }

    pub fn tasks(&self) -> usize {
        self.parts.iter().map(|part| part.tasks).sum()
    }

    pub fn mean_loss(&self) -> f64 {
        self.loss / self.tasks().max(1) as f64
    }
}
