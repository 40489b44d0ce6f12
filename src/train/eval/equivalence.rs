//! The equivalence of a model and gradient descent: predictions, sensitivities, losses, states and weights compared
//! over the held-out tasks.

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::trainer::Run;
use super::cell_weights::CellWeights;
use super::distance::{
    PairedDifference, comparable_state, cosine, distances, embedded, mean, median, paired_difference, paired_ratio,
    standard_error,
};
use super::held_out::HeldOut;
use super::loss_by_pairs;
use super::nearest::{self, Distances, NEAR};
use crate::nn::model::ModelSpec;
use crate::nn::parameter_difference;
use crate::preset::Preset;
use crate::reference::Reference;
use crate::task::{Objective, Shape};

/// Tasks whose states are held in memory at once.
const STATES_AT_ONCE: usize = 8;

/// Sensitivities, one of each output of each task, that [`Scope::Subset`] compares, about.
const SUBSET: usize = 640;
/// The same for [`Scope::All`]: each output costs a backward pass over all tasks.
const ALL: usize = 40_960;

/// The model compared with the references over the held-out tasks, after a number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    pub step: u64,
    /// Mean loss of the model.
    pub eval_loss: f64,
    /// The standard error of that mean; NaN in sessions that were saved before this was measured.
    #[serde(default = "nan")]
    pub eval_loss_standard_error: f64,
    /// Median loss of the model; NaN in sessions that were saved before this was measured.
    #[serde(default = "nan")]
    pub eval_median: f64,
    /// Mean loss after 0, 1, …, N pairs, over the same tasks as [`super::ReferenceResult::loss_by_pairs`]. NaN after as
    /// many pairs as the model cannot read; empty if it can read only N, or contexts are too long.
    #[serde(default, alias = "running")]
    pub loss_by_pairs: Vec<f64>,
    pub equivalence: Equivalence,
    /// The model's loss compared with that of every reference, on the same tasks.
    #[serde(default)]
    pub loss_differences: Vec<LossDifference>,
    /// How much each cell of a grid counts; `None` of other tasks.
    #[serde(default)]
    pub cell_weights: Option<CellWeights>,
}

/// The loss of a model minus that of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossDifference {
    pub reference: Reference,
    /// Mean over the held-out tasks.
    pub mean: f64,
    /// Its standard error. Task by task both have much in common, so it is smaller than that of either loss.
    pub standard_error: f64,
}

fn nan() -> f64 {
    f64::NAN
}

/// The distance between a model f and a reference g, averaged over the held-out tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivalence {
    /// g.
    pub reference: Reference,
    /// mean ‖f(x_q) − g(x_q)‖₂.
    pub prediction_difference: f64,
    /// The same, divided by the mean norm of the true answers: one scale for all references. Of classes, by the mean
    /// norm of the logits of the reference that models are compared with.
    pub prediction_difference_relative: f64,
    /// mean cosine between ∂f/∂x_q and ∂g/∂x_q, output by output.
    pub sensitivity_cosine: f64,
    /// mean ‖∂f/∂x_q − ∂g/∂x_q‖₂ (Frobenius, over all outputs).
    pub sensitivity_difference: f64,
    /// loss(f) / loss(g) − 1.
    pub loss_gap: f64,
    /// Its standard error, over the same tasks for f and g; NaN in sessions that were saved before this was measured.
    #[serde(default = "nan")]
    pub loss_gap_standard_error: f64,
    /// mean |cosine| between the hidden state and Σ y xᵀ over tasks and tokens; `None` if a model has no such state, or
    /// none that can be compared as it is.
    pub state_cosine: Option<f64>,
    /// The same for a state that is read through weights that the model learns: what its read-out makes of it.
    #[serde(default)]
    pub read_state_cosine: Option<f64>,
    /// The tasks that sensitivities and states were compared on; 0 in sessions that were saved before this was kept.
    #[serde(default)]
    pub compared_tasks: usize,
    /// Relative distance of the weights from the construction's, their symmetries divided out: see
    /// [`crate::nn::parameter_difference`]. `None` if there is no construction.
    #[serde(default)]
    pub parameter_difference: Option<f64>,
    /// The reference with the least relative prediction difference, however large; see [`Self::nearest_within`].
    pub nearest: Reference,
    /// References whose relative prediction difference is not larger by more than twice the standard error.
    #[serde(default)]
    pub ties: Vec<Reference>,
    /// Relative prediction difference to every reference that applies and equals no simpler one.
    pub distances: Vec<(Reference, f64)>,
}

impl Equivalence {
    /// Relative prediction difference to a reference; `None` if it was not measured.
    pub fn distance_to(&self, reference: Reference) -> Option<f64> {
        self.distances.iter().find(|(other, _)| *other == reference).map(|(_, distance)| *distance)
    }

    /// Relative prediction difference to the nearest reference; NaN if there is none.
    pub fn nearest_distance(&self) -> f64 {
        self.distance_to(self.nearest).unwrap_or(f64::NAN)
    }

    /// The nearest reference; `None` if the model is farther than [`NEAR`] from every one.
    pub fn nearest_within(&self) -> Option<Reference> {
        (self.nearest_distance() <= NEAR).then_some(self.nearest)
    }

    /// Whether this reference is the nearest one, or as near as that within the sampling error.
    pub fn is_nearest(&self, reference: Reference) -> bool {
        self.nearest_within().is_some_and(|nearest| nearest == reference || self.ties.contains(&reference))
    }
}

/// How many of the held-out tasks sensitivities and states are compared on; losses and predictions always on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The first 16 to 256, fewer the more outputs there are: cheap enough to repeat during training.
    Subset,
    /// All, or the first 256 or more where there are many outputs.
    All,
}

impl Scope {
    fn tasks(self, all: usize, outputs: usize) -> usize {
        match self {
            Self::Subset => (SUBSET / outputs).clamp(16, 256).min(all),
            Self::All => (ALL / outputs).clamp(256, 4096).min(all),
        }
    }
}

/// Measures the present weights of a run, after `step` steps.
pub fn measure(run: &dyn Run, preset: &Preset, held_out: &HeldOut, step: u64, scope: Scope) -> Result<Measurement> {
    let (batch, outputs) = (held_out.batch(), preset.task.shape().outputs);
    let tasks = scope.tasks(batch.size, outputs);
    let objective = preset.task.objective();
    let answers = objective.comparable(run.predict(batch)?, outputs);
    let losses = objective.losses(&answers, &batch.target, outputs);
    let eval_loss = mean(&losses);

    let Distances { all, least, ties } = nearest::measure(&answers, held_out);
    let (main, solved) = held_out.main();
    let (sensitivity_cosine, sensitivity_difference) = sensitivities(run, preset, held_out, tasks)?;
    let prediction_difference = mean(&distances(&answers, solved, outputs));
    let gap = paired_ratio(&losses, held_out.main_losses());
    let against = |(reference, theirs): (Reference, &[f64])| {
        let PairedDifference { mean, standard_error } = paired_difference(&losses, theirs);
        LossDifference { reference, mean, standard_error }
    };
    let cosine = state_cosine(run, preset, held_out, tasks)?;
    let (state_cosine, read_state_cosine) =
        if reads_state_through_weights(&preset.model) { (None, cosine) } else { (cosine, None) };
    let equivalence = Equivalence {
        reference: main.tuned.reference,
        prediction_difference,
        prediction_difference_relative: prediction_difference / held_out.scale(),
        sensitivity_cosine,
        sensitivity_difference,
        loss_gap: gap.mean,
        loss_gap_standard_error: gap.standard_error,
        state_cosine,
        read_state_cosine,
        compared_tasks: tasks,
        parameter_difference: parameter_difference(&run.canonical()),
        nearest: least,
        ties,
        distances: all,
    };
    let loss_by_pairs = loss_by_pairs::of_model(run, preset, &held_out.loss_by_pairs_tasks())?;
    let cells = |(field, references)| CellWeights::measure(run, batch, field, references);
    let cell_weights = held_out.field().map(cells).transpose()?;
    Ok(Measurement {
        step,
        eval_loss,
        eval_loss_standard_error: standard_error(&losses),
        eval_median: median(&losses),
        loss_by_pairs,
        equivalence,
        loss_differences: held_out.losses().collect::<Vec<_>>().into_par_iter().map(against).collect(),
        cell_weights,
    })
}

/// Mean cosine, output by output, and mean Frobenius distance between ∂f/∂x_q and the main reference's weights, over
/// the first `size` tasks.
fn sensitivities(run: &dyn Run, preset: &Preset, held_out: &HeldOut, size: usize) -> Result<(f64, f64)> {
    let Shape { dim, outputs, .. } = preset.task.shape();
    let (tasks, weights) = (held_out.batch().part(0, size), held_out.weights());
    // Of logits, the comparable ones: less their mean over the classes.
    let others = match preset.task.objective() {
        Objective::SquaredError => 0.0,
        Objective::CrossEntropy => -1.0 / outputs as f32,
    };
    let mut cosines = 0.0;
    let mut squares = vec![0.0; size];
    for output in 0..outputs {
        let mut output_weights = vec![others; size * outputs];
        output_weights.iter_mut().skip(output).step_by(outputs).for_each(|weight| *weight += 1.0);
        let grads = run.query_gradient(&tasks, output_weights)?;
        for (task, grad) in grads.chunks(dim).enumerate() {
            let row = &weights[(task * outputs + output) * dim..][..dim];
            cosines += cosine(grad, row);
            squares[task] += grad.iter().zip(row).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
    }
    let difference = squares.iter().map(|s| s.sqrt()).sum::<f64>() / size as f64;
    Ok((cosines / (size * outputs) as f64, difference))
}

/// Whether a model's state is compared with Σ y xᵀ as its learnt read-out sees it, and not as it is.
fn reads_state_through_weights(model: &ModelSpec) -> bool {
    matches!(
        model,
        ModelSpec::LinearAttention(_)
            | ModelSpec::ProductSsm(_)
            | ModelSpec::GridSsm(_)
            | ModelSpec::DeltaNet(_)
            | ModelSpec::GatedDeltaNet(_)
            | ModelSpec::DeltaProduct(_)
            | ModelSpec::Longhorn(_)
            | ModelSpec::Mesa(_)
            | ModelSpec::MLstm(_)
            | ModelSpec::RetNet(_)
            | ModelSpec::Rwkv7(_)
            | ModelSpec::Titans(_)
            | ModelSpec::Ttt(_)
    )
}

/// Mean |cosine| between the first layer's aligned states and Σ y xᵀ, over the first `size` tasks and all time steps at
/// which a pair has been read. `None` if the model has no aligned states.
fn state_cosine(run: &dyn Run, preset: &Preset, held_out: &HeldOut, size: usize) -> Result<Option<f64>> {
    let (shape, batch) = (preset.task.shape(), held_out.batch());
    let (mut sum, mut count) = (0.0, 0);
    for first in (0..size).step_by(STATES_AT_ONCE) {
        let tasks = batch.part(first, STATES_AT_ONCE.min(size - first));
        let Some(layer) = run.states(&tasks)?.into_iter().next() else { return Ok(None) };
        if layer.time_steps.iter().all(|time_step| time_step.aligned.is_empty()) {
            return Ok(None);
        }
        let (rows, columns) = layer.aligned_shape;
        let comparable = |matrix| comparable_state(preset.task.objective(), matrix, columns, shape.outputs);
        let time_steps = || layer.time_steps.iter().filter(|time_step| !time_step.aligned.is_empty());
        let cosines = |task: usize| {
            let pairs = time_steps().map(|time_step| preset.layout.pairs_in(shape, time_step.read.clone()));
            let truths = batch.accumulators(first + task, pairs).map(|truth| embedded(&truth, (rows, columns)));
            let states =
                time_steps().map(|time_step| time_step.aligned[task * rows * columns..][..rows * columns].to_vec());
            states.zip(truths).map(|(state, truth)| cosine(&comparable(state), &comparable(truth)).abs()).sum::<f64>()
        };
        // Summed in order, so that the result does not depend on the number of threads.
        sum += (0..tasks.size).into_par_iter().map(cosines).collect::<Vec<_>>().iter().sum::<f64>();
        count += tasks.size * time_steps().count();
    }
    Ok((count > 0).then(|| sum / count as f64))
}
