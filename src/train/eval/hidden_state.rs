//! Hidden states of a model on a few probe sequences, as plain numbers for the screen.

use anyhow::Result;

use super::super::trainer::Run;
use super::answers_by_pairs::AnswersByPairs;
use super::distance::{comparable_state, cosine, embedded};
use super::held_out::HeldOut;
use super::impulse_response::{self, ImpulseResponse};
use super::linear_probes::LinearProbes;
use crate::nn::{AttentionForm, Canonical, LayerStates, StateAt, parameter_difference};
use crate::preset::Preset;
use crate::task::Batch;

/// A matrix for a heatmap.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub rows: usize,
    pub columns: usize,
    /// Row-major.
    pub values: Vec<f32>,
    /// The meaning of a row and of a column: "value", "key".
    pub axes: (&'static str, &'static str),
}

/// One point in a sequence, after a token, at which the model has a state.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeStep {
    /// The number of the last token read, from 1.
    pub token: usize,
    /// The last token read, as in the task: "y₆", "query".
    pub label: String,
    /// The number of pairs read so far.
    pub pairs: usize,
    /// The pair that was read last; `None` before the first.
    pub last_pair: Option<ContextPair>,
    /// Σ y xᵀ over the pairs read so far, in the orientation of the states; of classes, less their mean.
    pub accumulator: Grid,
    /// One per layer.
    pub layers: Vec<LayerState>,
}

/// One pair of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextPair {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
}

/// The state of one layer at one time step.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState {
    /// The state in its natural shape.
    pub state: Grid,
    /// The state in the coordinates of the accumulator, scaled to fit it best; `None` if there is no
    /// such reading.
    pub aligned: Option<Grid>,
    /// What has come to the state since the time step before, in the scale of `aligned`; at the first, all of it.
    pub added: Option<Grid>,
    /// |cosine| between the state and the accumulator.
    pub cosine: Option<f64>,
}

/// One probe sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSequence {
    pub time_steps: Vec<TimeStep>,
}

/// One weight, its symmetries divided out.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightGrids {
    /// "Λ", "2.C".
    pub name: String,
    pub learnt: Grid,
    /// `None` if the model has no construction.
    pub constructed: Option<Grid>,
    /// Relative to the norm of the constructed one; see [`parameter_difference`].
    pub distance: Option<f64>,
}

/// The model's states after a number of steps, and its answers beside the main reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub step: u64,
    /// Tokens in a probe sequence.
    pub tokens: usize,
    pub layer_names: Vec<String>,
    pub probes: Vec<ProbeSequence>,
    /// The weights of a model that can be compared with a construction's.
    pub weights: Vec<WeightGrids>,
    /// Of a network that reads a sampled signal.
    pub impulse_response: Option<ImpulseResponse>,
    /// Which of the following three were asked for.
    pub parts: SnapshotParts,
    /// Of a network with layers.
    pub linear_probes: Option<LinearProbes>,
    /// Of a network that reads shorter contexts, too.
    pub answers_by_pairs: Option<AnswersByPairs>,
    /// Of a network that has it.
    pub attention_form: Option<AttentionForm>,
    /// (reference, model) answers to held-out queries, one pair per output.
    pub parity: Vec<(f32, f32)>,
}

/// What a snapshot holds only while it is shown, since it takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotParts {
    pub linear_probes: bool,
    pub answers_by_pairs: bool,
    pub attention_form: bool,
}

/// Probe sequences in a snapshot.
pub const PROBES: usize = 8;

/// The states and answers of the present weights of a run, after `step` steps.
pub fn snapshot(run: &dyn Run, preset: &Preset, held_out: &HeldOut, step: u64) -> Result<Snapshot> {
    let layers = run.states(&held_out.batch().part(0, PROBES))?;
    let probes =
        (0..PROBES).map(|probe| ProbeSequence { time_steps: time_steps(&layers, preset, held_out.batch(), probe) });
    let answers = run.predict(&held_out.batch().part(0, PARITY))?;
    let answers = preset.task.objective().comparable(answers, preset.task.shape().outputs);
    let (_, solved) = held_out.main();
    Ok(Snapshot {
        step,
        tokens: preset.layout.tokens(preset.task.shape()),
        layer_names: layers.iter().map(|layer| layer.name.clone()).collect(),
        probes: probes.collect(),
        impulse_response: impulse_response::measure(run, preset, held_out)?,
        parts: SnapshotParts::default(),
        linear_probes: None,
        answers_by_pairs: None,
        attention_form: None,
        weights: run.canonical().into_iter().map(weight_grids).collect(),
        parity: solved.iter().copied().zip(answers).collect(),
    })
}

/// Held-out tasks whose answers are shown.
const PARITY: usize = 64;

/// All time steps of one probe sequence.
fn time_steps(layers: &[LayerStates], preset: &Preset, batch: &Batch, probe: usize) -> Vec<TimeStep> {
    let shape = preset.task.shape();
    let Some(first) = layers.first() else { return Vec::new() };
    let comparable = |matrix, columns| comparable_state(preset.task.objective(), matrix, columns, shape.outputs);
    let time_step = |(index, time_step): (usize, &StateAt)| {
        let pairs = preset.layout.pairs_in(shape, time_step.read.clone());
        let values = embedded(&batch.accumulator(probe, pairs.clone()), first.aligned_shape);
        let (read, last) = (pairs.len(), pairs.end.checked_sub(1).filter(|_| !pairs.is_empty()));
        let accumulator = grid(first.aligned_shape, ("y", "x"), comparable(values, first.aligned_shape.1));
        let layers = layers.iter().map(|layer| layer_state(layer, (index, probe), &accumulator, &comparable)).collect();
        let label = preset.layout.token(shape, time_step.place).to_string();
        let last_pair = last.map(|pair| ContextPair {
            x: batch.x[(probe * shape.context + pair) * shape.dim..][..shape.dim].to_vec(),
            y: batch.y[(probe * shape.context + pair) * shape.outputs..][..shape.outputs].to_vec(),
        });
        TimeStep { token: time_step.place + 1, label, pairs: read, last_pair, accumulator, layers }
    };
    first.time_steps.iter().enumerate().map(time_step).collect()
}

fn grid((rows, columns): (usize, usize), axes: (&'static str, &'static str), values: Vec<f32>) -> Grid {
    Grid { rows, columns, values, axes }
}

fn weight_grids(weight: Canonical) -> WeightGrids {
    let distance = parameter_difference(std::slice::from_ref(&weight));
    let grid = |values| grid(weight.shape, ("row", "column"), values);
    let (learnt, constructed) = (grid(weight.learnt), weight.constructed.map(grid));
    WeightGrids { name: weight.name, learnt, constructed, distance }
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
        return LayerState { state, aligned: None, added: None, cosine: None };
    }
    let aligned = comparable(part(&time_step.aligned, layer.aligned_shape), layer.aligned_shape.1);
    let cosine = cosine(&aligned, &accumulator.values).abs();
    let scale = scale_to(&aligned, &accumulator.values);
    let before =
        index.checked_sub(1).map(|before| &layer.time_steps[before].aligned).filter(|before| !before.is_empty());
    let before = before.map(|before| comparable(part(before, layer.aligned_shape), layer.aligned_shape.1));
    let added =
        aligned.iter().enumerate().map(|(i, now)| scale * (now - before.as_ref().map_or(0.0, |before| before[i])));
    let matrix = |values: Vec<f32>| Some(grid(layer.aligned_shape, accumulator.axes, values));
    let added = matrix(added.collect());
    let fitted = matrix(aligned.iter().map(|value| scale * value).collect());
    LayerState { state, aligned: fitted, added, cosine: Some(cosine) }
}

/// The factor that brings a state closest to the accumulator, in the least-squares sense: its sign and scale are free,
/// because the readout can divide them out.
fn scale_to(state: &[f32], accumulator: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(state, accumulator) / dot(state, state).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use crate::preset;
    use crate::train::{DeviceChoice, Experiment, SnapshotParts};

    #[test]
    fn constructed_weights_add_y_times_x_at_every_pair() {
        let (name, mut preset) = preset::find("gd-ssm-constructed").unwrap();
        preset.references.truncate(1);
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        let snapshot = experiment.snapshot(SnapshotParts::default()).unwrap();
        for probe in &snapshot.probes {
            for steps in probe.time_steps.windows(2) {
                let (before, now) = (&steps[0], &steps[1]);
                let Some(pair) = now.last_pair.as_ref().filter(|_| now.pairs > before.pairs) else { continue };
                let added = now.layers[0].added.as_ref().unwrap();
                let product = |i: usize| pair.y[i / added.columns] * pair.x[i % added.columns];
                let sum = |i: usize| now.accumulator.values[i] - before.accumulator.values[i];
                for (i, value) in added.values.iter().enumerate() {
                    assert!((sum(i) - product(i)).abs() < 1e-5, "{} {i}", now.label);
                    assert!((value - product(i)).abs() < 1e-4, "{} {i}: {value} {}", now.label, product(i));
                }
            }
            assert_eq!(probe.time_steps.last().unwrap().pairs, 10);
        }
    }
}
