//! Tasks to learn in context: how they are sampled, and how their pairs become tokens.
//!
//! One file per task, one for the token layouts, and the random generators. Independent of models and training.

mod classification;
mod differentiation;
mod inputs;
mod linear;
mod linear_grid;
mod objective;
mod random;
mod rng_x16;
mod sine;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod variates;

pub use classification::Classification;
pub use differentiation::Differentiation;
pub use inputs::InputDistribution;
pub use linear::{Linear, Outputs};
pub use linear_grid::LinearGrid;
pub use objective::Objective;
pub use random::{Stream, StreamKey, rng};
pub use sine::Sine;
pub use tokens::{Layout, Strides, Token};

use std::ops::Range;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::simd::{Buffer, LANES, PackedBatch};

/// Any task. A new one is a file in this folder and a variant here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// y = W x + σ ε, optionally with drifting W or with distractors.
    Linear(Linear),
    /// y = a sin(x + φ).
    Sine(Sine),
    /// y = one-hot argmax W x.
    Classification(Classification),
    /// y = dx/dt of a sampled signal x(t).
    Differentiation(Differentiation),
    /// y = W x + σ ε in every cell of a grid, where W is a smooth random field.
    LinearGrid(LinearGrid),
}

/// The sizes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// d: the width of an input x.
    pub dim: usize,
    /// d_out: the width of a target y.
    pub outputs: usize,
    /// N: the pairs in a context.
    pub context: usize,
}

/// A batch of tasks in CPU memory, each with a context of N pairs and one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// B: the number of tasks.
    pub size: usize,
    pub shape: Shape,
    /// Context inputs: (B, N, d).
    pub x: Vec<f32>,
    /// Context targets: (B, N, d_out).
    pub y: Vec<f32>,
    /// Queries: (B, d).
    pub query: Vec<f32>,
    /// Noiseless targets of the queries: (B, d_out).
    pub target: Vec<f32>,
}

/// Consecutive tasks of a batch, to be written: the fields of [`Batch`].
pub struct BatchSlices<'a> {
    pub x: &'a mut [f32],
    pub y: &'a mut [f32],
    pub query: &'a mut [f32],
    pub target: &'a mut [f32],
}

impl<'a> BatchSlices<'a> {
    /// One task after the other.
    fn split(self, Shape { dim, outputs, context }: Shape) -> impl Iterator<Item = BatchSlices<'a>> {
        let inputs = self.x.chunks_mut(context * dim).zip(self.query.chunks_mut(dim));
        let targets = self.y.chunks_mut(context * outputs).zip(self.target.chunks_mut(outputs));
        inputs.zip(targets).map(|((x, query), (y, target))| BatchSlices { x, y, query, target })
    }
}

impl Task {
    pub fn shape(&self) -> Shape {
        match self {
            Self::Linear(task) => task.shape(),
            Self::Sine(task) => task.shape(),
            Self::Classification(task) => task.shape(),
            Self::Differentiation(task) => task.shape(),
            Self::LinearGrid(task) => task.shape(),
        }
    }

    /// Whether `other` is this task with its pairs in a random order: then the same key samples the same pairs of both.
    pub fn differs_in_order(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Linear(own), Self::Linear(other)) => {
                !own.shuffled && other.shuffled && Linear { shuffled: false, ..other.clone() } == *own
            }
            (
                Self::Linear(_)
                | Self::Sine(_)
                | Self::Classification(_)
                | Self::Differentiation(_)
                | Self::LinearGrid(_),
                _,
            ) => false,
        }
    }

    /// The loss of the task.
    pub fn objective(&self) -> Objective {
        match self {
            Self::Linear(_) | Self::Sine(_) | Self::Differentiation(_) | Self::LinearGrid(_) => Objective::SquaredError,
            Self::Classification(_) => Objective::CrossEntropy,
        }
    }

    /// Returns an error if the fields contradict each other, or if the layout's tokens are too narrow for the targets.
    pub fn check(&self, layout: Layout) -> Result<()> {
        match self {
            Self::Linear(task) => task.check()?,
            Self::Sine(task) => task.check()?,
            Self::LinearGrid(task) => task.check()?,
            Self::Classification(_) | Self::Differentiation(_) => {}
        }
        let (width, outputs) = (layout.width(self.shape()), self.shape().outputs);
        ensure!(outputs <= width, "layout: {layout:?} writes tokens of width {width}, but targets have {outputs}");
        Ok(())
    }

    /// A short description for a status line.
    pub fn describe(&self) -> String {
        match self {
            Self::Linear(task) => task.describe(),
            Self::Sine(task) => task.describe(),
            Self::Classification(task) => task.describe(),
            Self::Differentiation(task) => task.describe(),
            Self::LinearGrid(task) => task.describe(),
        }
    }

    /// Samples the same tasks as [`sample`](Self::sample), as tokens packed for SIMD, and their targets: (B, d_out),
    /// row-major.
    pub fn sample_tokens(&self, layout: Layout, size: usize, key: StreamKey) -> (PackedBatch, Vec<f32>) {
        let shape = self.shape();
        let grid = (layout.tokens(shape), layout.width(shape));
        let length = grid.0 * grid.1;
        if let Self::Linear(task) = self
            && task.is_plain()
        {
            let mut target = vec![0.0; size * shape.outputs];
            let block = |(block, target): (usize, &mut [f32])| {
                let mut tokens = if layout.fills_all(shape) { Buffer::uninit(length) } else { Buffer::zeros(length) };
                task.sample_tokens_x16(layout, key, (block * LANES) as u64, &mut tokens, target);
                tokens
            };
            let blocks = target.par_chunks_mut(LANES * shape.outputs).enumerate().map(block).collect();
            return (PackedBatch { sequences: size, grid, blocks }, target);
        }
        let batch = self.sample(size, key.seed, key.stream, key.step);
        let rows = layout.encode(&batch);
        (PackedBatch::of_rows(&rows, grid), batch.target)
    }

    /// Samples `size` tasks. The same (seed, stream, step) gives the same batch on any number of threads.
    pub fn sample(&self, size: usize, seed: u64, stream: Stream, step: u64) -> Batch {
        let shape = self.shape();
        let mut batch = Batch::zeros(size, shape);
        let Shape { dim, outputs, context } = shape;
        let key = StreamKey { seed, stream, step };
        let inputs = batch.x.par_chunks_mut(LANES * context * dim).zip(batch.query.par_chunks_mut(LANES * dim));
        let targets =
            batch.y.par_chunks_mut(LANES * context * outputs).zip(batch.target.par_chunks_mut(LANES * outputs));
        inputs.zip(targets).enumerate().for_each(|(block, ((x, query), (y, target)))| {
            let (first, slices) = ((block * LANES) as u64, BatchSlices { x, y, query, target });
            if let Self::Linear(task) = self
                && task.is_plain()
            {
                return task.sample_x16(key, first, slices);
            }
            for (index, BatchSlices { x, y, query, target }) in (first..).zip(slices.split(shape)) {
                let mut rng = rng(seed, stream, step, index);
                match self {
                    Self::Linear(task) => task.sample(&mut rng, x, y, query, target),
                    Self::Sine(task) => task.sample(&mut rng, x, y, query, target),
                    Self::Classification(task) => task.sample(&mut rng, x, y, query, target),
                    Self::Differentiation(task) => task.sample(&mut rng, x, y, query, target),
                    Self::LinearGrid(task) => task.sample(&mut rng, x, y, query, target),
                }
            }
        });
        batch
    }
}

impl Batch {
    pub fn zeros(size: usize, shape: Shape) -> Self {
        let Shape { dim, outputs, context } = shape;
        Self {
            size,
            shape,
            x: vec![0.0; size * context * dim],
            y: vec![0.0; size * context * outputs],
            query: vec![0.0; size * dim],
            target: vec![0.0; size * outputs],
        }
    }

    /// `count` tasks from index `first` on, or as many as there are.
    pub fn part(&self, first: usize, count: usize) -> Self {
        let tasks = first.min(self.size)..(first + count).min(self.size);
        let cut = |values: &[f32]| {
            let each = values.len() / self.size;
            values[tasks.start * each..tasks.end * each].to_vec()
        };
        Self {
            size: tasks.len(),
            shape: self.shape,
            x: cut(&self.x),
            y: cut(&self.y),
            query: cut(&self.query),
            target: cut(&self.target),
        }
    }

    /// The same tasks with only the first `pairs` pairs of their contexts.
    pub fn shortened(&self, pairs: usize) -> Self {
        let Shape { dim, outputs, context } = self.shape;
        let pairs = pairs.min(context);
        let cut = |values: &[f32], width: usize| {
            let task = |task: usize| &values[task * context * width..][..pairs * width];
            (0..self.size).flat_map(task).copied().collect()
        };
        let shape = Shape { context: pairs, ..self.shape };
        Self { shape, x: cut(&self.x, dim), y: cut(&self.y, outputs), ..self.clone() }
    }

    /// Σ y_i x_iᵀ of one task over a range of pairs (from 0): (d_out, d), row-major. One step of GD gives η/N times it.
    pub fn accumulator(&self, task: usize, pairs: Range<usize>) -> Vec<f32> {
        self.accumulators(task, std::iter::once(pairs)).next().unwrap_or_default()
    }

    /// The same for several ranges. A range that extends the one before it costs only its new pairs.
    pub fn accumulators(
        &self,
        task: usize,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> impl Iterator<Item = Vec<f32>> {
        let Shape { dim, outputs, context } = self.shape;
        let (mut sum, mut done) = (vec![0.0; outputs * dim], 0..0);
        ranges.map(move |pairs| {
            if pairs.start != done.start || pairs.end < done.end {
                sum.fill(0.0);
                done = pairs.start..pairs.start;
            }
            for i in done.end..pairs.end.min(context) {
                let x = &self.x[(task * context + i) * dim..][..dim];
                let y = &self.y[(task * context + i) * outputs..][..outputs];
                for (row, y) in sum.chunks_mut(dim).zip(y) {
                    row.iter_mut().zip(x).for_each(|(s, x)| *s += y * x);
                }
            }
            done.end = pairs.end.min(context).max(done.end);
            sum.clone()
        })
    }
}
