//! The batches that a run trains on, as numbers on the host.
//!
//! A batch is a function of seed and step, so it may be drawn before its step begins: at most one step ahead, and what was
//! drawn for another step than the one that comes is drawn again.

use crate::preset::Preset;
use crate::task::{Batch, Layout, Objective, Stream, Task};

/// A batch, and its tokens, row-major.
pub struct Drawn {
    of: (u64, u64),
    pub batch: Batch,
    pub tokens: Vec<f32>,
    /// (B, tokens, width).
    pub shape: (usize, usize, usize),
    /// What answers are measured by.
    pub objective: Objective,
}

/// Draws the batches of a run.
pub struct Sampler {
    task: Task,
    layout: Layout,
    size: usize,
    ahead: Option<Drawn>,
}

impl Sampler {
    pub fn new(preset: &Preset) -> Self {
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch, ahead: None }
    }

    /// The batch of this seed and step.
    pub fn draw(&self, of: (u64, u64)) -> Drawn {
        draw((&self.task, self.layout, self.size), of)
    }

    /// Works with the batch of this seed and step; where `ahead`, while other threads draw the next.
    pub fn work<R>(&mut self, (seed, step): (u64, u64), ahead: bool, work: impl FnOnce(Drawn) -> R) -> R {
        let drawn = self.ahead.take().filter(|drawn| drawn.of == (seed, step));
        let drawn = drawn.unwrap_or_else(|| self.draw((seed, step)));
        if !ahead {
            return work(drawn);
        }
        let Self { task, layout, size, ahead } = self;
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| *ahead = Some(draw((task, *layout, *size), (seed, step + 1))));
            work(drawn)
        })
    }
}

fn draw((task, layout, size): (&Task, Layout, usize), of: (u64, u64)) -> Drawn {
    let batch = task.sample(size, of.0, Stream::Train, of.1);
    let (tokens, shape) = (layout.encode(&batch), (size, layout.tokens(batch.shape), layout.width(batch.shape)));
    Drawn { of, batch, tokens, shape, objective: task.objective() }
}
