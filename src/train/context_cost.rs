//! What the length of the context costs a model: time measured on this machine, memory and operations by formula.
//!
//! Two times. That of a training step, sampling, forward and backward pass and update, with all tokens at once, on all
//! cores; and that of one more token for a model that reads one after the other as a recurrence, with its state or its
//! keys and values kept, on one core.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dfdx::prelude::Cpu;
use serde::Serialize;

use super::device::device_error;
use super::trainer::{Run, StepProgress, Trainer, build};
use crate::nn::graph::{Recurrence, Size};
use crate::nn::model::{Architecture, GdConstants};
use crate::nn::{Cost, Costs, Net};
use crate::preset::Preset;
use crate::simd::LANES;
use crate::task::{Classification, Differentiation, Linear, Sine, Stream, StreamKey, Task};

/// N, the lengths that are measured.
pub const LENGTHS: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];

/// Presets whose architectures differ in how they cost: sums, linear attention, fast weights, a gated scan, a recurrent
/// cell, attention.
pub const PRESETS: [&str; 6] = ["gd-ssm", "linear-attention", "deltanet", "mamba2", "gru", "transformer"];

/// Sequences in a step: one block of sixteen for each of two cores.
const BATCH: usize = 32;
/// The last tokens of a context, whose time is measured where a model reads one after the other.
const LAST: usize = 8;
/// Each length is measured for this long at least, and this often.
const TIME: Duration = Duration::from_millis(60);
const TIMES: usize = 3;
/// Of a construction; they change no cost.
const GD_CONSTANTS: GdConstants = GdConstants { step_size: 1.0, lambda: 1.0 };

/// One model at one length of the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContextCost {
    /// N.
    pub context: usize,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// Seconds of a training step for each token of its batch: the median of several steps.
    pub training_seconds_per_token: f64,
    /// Seconds to read one more token at the end of the context, of one sequence out of sixteen that are read together:
    /// the median of several readings. `None` where the model cannot read one token after the other.
    pub reading_seconds_per_token: Option<f64>,
    /// All tokens at once; `None` where the model reads them only one by one.
    pub whole: Option<FormCost>,
    /// Token by token; `None` where a new token changes what was made of the earlier ones.
    pub step: Option<FormCost>,
}

/// The same of a model that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCost {
    /// Of its preset.
    pub name: String,
    pub cost: ContextCost,
}

impl ModelCost {
    /// Adds it to what was measured; where the same was measured already, that is of an earlier time, and is dropped.
    pub fn record(self, costs: &mut Vec<Self>) {
        if costs.iter().any(|known| known.name == self.name && known.cost.context == self.cost.context) {
            costs.clear();
        }
        costs.push(self);
    }
}

/// Whether every one of [`PRESETS`] has been measured at all [`LENGTHS`].
pub fn has_all(costs: &[ModelCost]) -> bool {
    let is_measured = |name, context| costs.iter().any(|model| model.name == name && model.cost.context == context);
    PRESETS.iter().all(|name| LENGTHS.iter().all(|context| is_measured(*name, *context)))
}

/// What one form of a model costs, by formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FormCost {
    /// Floating-point operations of the last token of the context.
    pub flops_per_token: u64,
    /// Numbers in single precision that are kept: between two tokens where they come one by one, else while a sequence
    /// is read.
    pub bytes: u64,
}

impl From<Cost> for FormCost {
    fn from(Cost { kept, flops }: Cost) -> Self {
        Self { flops_per_token: flops, bytes: kept.saturating_mul(4) }
    }
}

/// The preset with a context of N pairs, and with the batch that is measured. How much memory a preset may take is not
/// checked: the states of all tokens, which the lab shows and which take the most, are not made here.
///
/// # Errors
/// Its task has no length, or its model cannot read so many pairs.
pub fn with_context(preset: &Preset, context: usize) -> Result<Preset> {
    let task = match preset.task.clone() {
        Task::Linear(task) => Task::Linear(Linear { context, ..task }),
        Task::Sine(task) => Task::Sine(Sine { context, ..task }),
        Task::Classification(task) => Task::Classification(Classification { context, ..task }),
        Task::Differentiation(task) => Task::Differentiation(Differentiation { context, ..task }),
        Task::LinearGrid(_) => {
            bail!("task: the context of a grid is all of its cells, so its length cannot be changed")
        }
    };
    task.check(preset.layout)?;
    preset.model.check(task.shape(), preset.layout)?;
    let mut preset = Preset { task, ..preset.clone() };
    preset.train.batch = BATCH;
    Ok(preset)
}

impl ContextCost {
    /// Measures the training of a preset from [`with_context`].
    pub fn measure(preset: Preset) -> Result<Self> {
        let (shape, layout) = (preset.task.shape(), preset.layout);
        let tokens = layout.tokens(shape);
        let Costs { step, whole } = preset.model.costs(shape, layout, tokens);
        let reading_seconds_per_token = seconds_per_read(&preset)?;
        let seconds = seconds_per_step(preset)?;
        Ok(Self {
            context: shape.context,
            tokens,
            training_seconds_per_token: seconds / (BATCH * tokens) as f64,
            reading_seconds_per_token,
            whole: whole.map(FormCost::from),
            step: step.map(FormCost::from),
        })
    }
}

/// What the last tokens of a sequence take, each. The weights are those before training, which cost the same.
fn seconds_per_read(preset: &Preset) -> Result<Option<f64>> {
    let (shape, layout, seed) = (preset.task.shape(), preset.layout, preset.train.seed);
    let size = Size { length: layout.tokens(shape), width: layout.width(shape) };
    let model = build(&Cpu::default(), preset, shape, GD_CONSTANTS, seed)?;
    let recurrence = Recurrence::new(size, |tokens| model.record(tokens)).map_err(device_error)?;
    let Some(mut recurrence) = recurrence else { return Ok(None) };
    let key = StreamKey { seed, stream: Stream::Train, step: 0 };
    let (batch, _) = preset.task.sample_tokens(layout, LANES, key);
    let Some(block) = batch.blocks.first() else { return Ok(None) };
    let last = LAST.min(size.length);
    let (first, rest) = block.split_at((size.length - last) * size.width);
    let mut read = || {
        recurrence.restart();
        first.chunks_exact(size.width).for_each(|token| {
            black_box(recurrence.read(token));
        });
        let began = Instant::now();
        rest.chunks_exact(size.width).for_each(|token| {
            black_box(recurrence.read(token));
        });
        Ok(began.elapsed().as_secs_f64())
    };
    Ok(Some(median(&mut read)? / (LANES * last) as f64))
}

/// The median of what is measured for some time, after a first measurement, which fills the caches and the pool of
/// memory.
fn median(measure: &mut dyn FnMut() -> Result<f64>) -> Result<f64> {
    measure()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < TIMES || began.elapsed() < TIME {
        times.push(measure()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What a training step takes.
fn seconds_per_step(preset: Preset) -> Result<f64> {
    let seed = preset.train.seed;
    let mut trainer = Trainer::new(Cpu::default(), Arc::new(preset), GD_CONSTANTS)?;
    let mut steps = 0..;
    let mut step = || {
        let began = Instant::now();
        let key = StreamKey { seed, stream: Stream::Train, step: steps.next().unwrap_or(0) };
        // So small a rate leaves the weights, and what they cost, about as they are.
        while trainer.step(key, 1e-9)? == StepProgress::Partial {}
        trainer.reports()?;
        Ok(began.elapsed().as_secs_f64())
    };
    median(&mut step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn a_recurrence_keeps_its_state_and_attention_a_cache() {
        let cost = |name: &str, context| {
            let (_, preset) = preset::find(name).unwrap();
            ContextCost::measure(with_context(&preset, context).unwrap()).unwrap()
        };
        let bytes = |cost: &ContextCost| cost.step.unwrap().bytes;
        for (name, grows) in [("gd-ssm", false), ("transformer", true)] {
            let (short, long) = (cost(name, 8), cost(name, 32));
            assert_eq!((short.context, long.context), (8, 32));
            assert!(short.training_seconds_per_token > 0.0 && long.training_seconds_per_token.is_finite());
            assert!(long.reading_seconds_per_token.is_some_and(|seconds| seconds > 0.0 && seconds.is_finite()));
            assert_eq!(bytes(&long) > bytes(&short), grows, "{name}");
        }
    }

    #[test]
    fn measuring_again_starts_anew() {
        let cost = |context| ModelCost {
            name: "gd-ssm".to_owned(),
            cost: ContextCost {
                context,
                tokens: 1,
                training_seconds_per_token: 1.0,
                reading_seconds_per_token: None,
                whole: None,
                step: None,
            },
        };
        let mut costs = Vec::new();
        [8, 16, 8].into_iter().for_each(|context| cost(context).record(&mut costs));
        assert_eq!(costs, [cost(8)]);
    }

    #[test]
    fn a_task_without_a_context_is_refused() {
        let (_, preset) = preset::find("grid-axes").unwrap();
        assert!(with_context(&preset, 8).unwrap_err().to_string().contains("grid"));
    }
}
