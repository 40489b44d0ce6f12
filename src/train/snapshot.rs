//! Hidden states of a model on a few probe sequences, as plain numbers to look at.

use anyhow::Result;

use super::distance::{comparable_state, cosine, embedded};
use super::held_out::HeldOut;
use super::host::device_error;
use crate::nn::{Device, GradTarget, Input, LayerStates, Net, StateAt};
use crate::preset::Preset;
use crate::task::Batch;

/// A matrix to draw, with what its axes mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub rows: usize,
    pub columns: usize,
    /// Row-major.
    pub values: Vec<f32>,
    /// What a row and a column stand for: "value", "key".
    pub axes: (&'static str, &'static str),
}

/// One point in a sequence at which the model has a state.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeStep {
    /// The number of the last token read, from 1.
    pub token: usize,
    /// The last token read, in the task's words: "y₆", "query".
    pub label: String,
    /// Σ y xᵀ over the pairs read so far, in the orientation of the states; of classes, less what all of them share.
    pub accumulator: Grid,
    /// One per layer.
    pub layers: Vec<LayerState>,
}

/// The state of one layer at one stop.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState {
    /// The state in its natural shape.
    pub state: Grid,
    /// The state in the coordinates of the accumulator, scaled to fit it best; none where there is no such reading.
    pub aligned: Option<Grid>,
    /// |cosine| between the state and the accumulator.
    pub cosine: Option<f64>,
}

/// One probe sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSequence {
    pub time_steps: Vec<TimeStep>,
}

/// The model's states after a number of steps, and its answers beside the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub step: u64,
    /// Tokens in a probe sequence.
    pub tokens: usize,
    pub layer_names: Vec<String>,
    pub probes: Vec<ProbeSequence>,
    /// (reference, model) answers to held-out queries, one pair per output.
    pub parity: Vec<(f32, f32)>,
}

/// Probe sequences in a snapshot.
pub const PROBES: usize = 8;

/// Looks into a network after `step` steps.
pub fn take<D: Device>(net: &impl Net<D>, preset: &Preset, held_out: &HeldOut<D>, step: u64) -> Result<Snapshot> {
    let tokens = held_out.some_tokens(0, PROBES)?;
    let layers = net.states(&tokens);
    let probes =
        (0..PROBES).map(|probe| ProbeSequence { time_steps: time_steps(&layers, preset, held_out.batch(), probe) });
    let answers = net
        .forward(Input { tokens: held_out.some_tokens(0, PARITY)?, grad_target: GradTarget::Weights })
        .map_err(device_error)?;
    let (_, theirs) = held_out.main();
    let answers = preset.task.objective().comparable(answers.as_vec(), preset.task.shape().outputs);
    let parity = theirs.iter().copied().zip(answers);
    Ok(Snapshot {
        step,
        tokens: preset.layout.tokens(preset.task.shape()),
        layer_names: layers.iter().map(|layer| layer.name.clone()).collect(),
        probes: probes.collect(),
        parity: parity.collect(),
    })
}

/// Held-out tasks whose answers are shown.
const PARITY: usize = 64;

/// All stops of one probe sequence.
fn time_steps(layers: &[LayerStates], preset: &Preset, batch: &Batch, probe: usize) -> Vec<TimeStep> {
    let shape = preset.task.shape();
    let Some(first) = layers.first() else { return Vec::new() };
    let comparable = |matrix, columns| comparable_state(preset.task.objective(), matrix, columns, shape.outputs);
    let time_step = |(index, time_step): (usize, &StateAt)| {
        let pairs = preset.layout.pairs_in(shape, time_step.read.clone());
        let values = embedded(&batch.accumulator(probe, pairs), first.aligned_shape);
        let accumulator = grid(first.aligned_shape, ("y", "x"), comparable(values, first.aligned_shape.1));
        let layers = layers.iter().map(|layer| layer_state(layer, (index, probe), &accumulator, &comparable)).collect();
        let label = preset.layout.token(shape, time_step.place).to_string();
        TimeStep { token: time_step.place + 1, label, accumulator, layers }
    };
    first.time_steps.iter().enumerate().map(time_step).collect()
}

fn grid((rows, columns): (usize, usize), axes: (&'static str, &'static str), values: Vec<f32>) -> Grid {
    Grid { rows, columns, values, axes }
}

fn layer_state(
    layer: &LayerStates,
    (index, probe): (usize, usize),
    accumulator: &Grid,
    comparable: &impl Fn(Vec<f32>, usize) -> Vec<f32>,
) -> LayerState {
    let part = |values: &[f32], (rows, columns): (usize, usize)| {
        values.chunks(rows * columns).nth(probe).map(<[f32]>::to_vec).unwrap_or_default()
    };
    let time_step = &layer.time_steps[index];
    let state = grid(layer.shape, layer.axes, part(&time_step.values, layer.shape));
    if time_step.aligned.is_empty() {
        return LayerState { state, aligned: None, cosine: None };
    }
    let aligned = comparable(part(&time_step.aligned, layer.aligned_shape), layer.aligned_shape.1);
    let cosine = cosine(&aligned, &accumulator.values).abs();
    let fitted = fit(&aligned, &accumulator.values);
    LayerState { state, aligned: Some(grid(layer.aligned_shape, accumulator.axes, fitted)), cosine: Some(cosine) }
}

/// A state times the number that brings it nearest to the accumulator: sign and scale are a symmetry of Q against C.
fn fit(state: &[f32], accumulator: &[f32]) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let scale = dot(state, accumulator) / dot(state, state).max(f32::MIN_POSITIVE);
    state.iter().map(|value| scale * value).collect()
}
