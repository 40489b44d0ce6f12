//! How equal a network is to the references, over the held-out tasks.

use anyhow::Result;
use dfdx::prelude::{Backward, HasShape, Rank0, SumTo, Trace, TryMul};
use rayon::prelude::*;

use super::distance::{comparable_state, cosine, embedded, mean, mean_distance, median, relative_difference};
use super::held_out::HeldOut;
use super::host::device_error;
use super::{Equivalence, Measurement, loss_by_pairs};
use crate::nn::op::numbers;
use crate::nn::{Device, GradTarget, Input, Matrix, Net, Tensor3, parameter_difference};
use crate::preset::Preset;
use crate::reference::Reference;
use crate::task::{Objective, Shape};

/// Tasks whose states are held in memory at once.
const STATES_AT_ONCE: usize = 8;

/// Sensitivities, one of each output of each task, that are compared while a run goes on.
const GLANCE: usize = 640;

/// How many of the held-out tasks sensitivities and states are compared on; losses and predictions always on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the first 16 to 256, fewer the more outputs there are: cheap enough to do again and again.
    Glance,
    /// On all.
    Whole,
}

impl Scope {
    fn tasks(self, all: usize, outputs: usize) -> usize {
        match self {
            Self::Glance => (GLANCE / outputs).clamp(16, 256).min(all),
            Self::Whole => all,
        }
    }
}

/// Measures a network after `step` steps.
pub fn measure<D: Device>(
    net: &impl Net<D>,
    (preset, held_out): (&Preset, &HeldOut<D>),
    step: u64,
    scope: Scope,
) -> Result<Measurement> {
    let outputs = preset.task.shape().outputs;
    let tasks = scope.tasks(held_out.batch().size, outputs);
    let tokens = held_out.tokens();
    let answers =
        net.forward(Input { tokens: tokens.clone(), grad_target: GradTarget::Weights }).map_err(device_error)?;
    let objective = preset.task.objective();
    let answers = objective.comparable(numbers(&answers).map_err(device_error)?, outputs);
    let losses = objective.losses(&answers, &held_out.batch().target, outputs);
    let eval_loss = mean(&losses);

    let batch = held_out.batch();
    let distances: Vec<(Reference, f64)> = held_out
        .distinct()
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|(reference, theirs)| (reference, relative_difference(&answers, theirs, batch)))
        .collect();
    let (main, theirs) = held_out.main();
    let (sensitivity_cosine, sensitivity_difference) = sensitivities(net, preset, held_out, tasks)?;
    let nearest = distances.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(main.tuned.reference, |(r, _)| *r);
    let equivalence = Equivalence {
        reference: main.tuned.reference,
        prediction_difference: mean_distance(&answers, theirs, outputs),
        prediction_difference_relative: relative_difference(&answers, theirs, held_out.batch()),
        sensitivity_cosine,
        sensitivity_difference,
        loss_gap: eval_loss / main.loss - 1.0,
        state_cosine: state_cosine(net, preset, held_out, tasks)?,
        parameter_difference: parameter_difference(&net.canonical(held_out.gd_constants())),
        nearest,
        distances,
    };
    let loss_by_pairs = loss_by_pairs::of_model(net, preset, held_out)?;
    Ok(Measurement { step, eval_loss, eval_median: median(&losses), loss_by_pairs, equivalence })
}

/// Mean cosine, output by output, and mean Frobenius distance between ∂f/∂x_q and the main reference's weights.
fn sensitivities<D: Device>(
    net: &impl Net<D>,
    preset: &Preset,
    held_out: &HeldOut<D>,
    size: usize,
) -> Result<(f64, f64)> {
    let Shape { dim, outputs, .. } = preset.task.shape();
    let (tokens, weights) = (held_out.some_tokens(0, size)?, held_out.weights());
    let mut cosines = 0.0;
    let mut squares = vec![0.0; size];
    for output in 0..outputs {
        let grads = query_gradient(net, &tokens, output, preset)?;
        for (task, slope) in grads.chunks(dim).enumerate() {
            let row = &weights[(task * outputs + output) * dim..][..dim];
            cosines += cosine(slope, row);
            squares[task] += slope.iter().zip(row).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
    }
    let difference = squares.iter().map(|s| s.sqrt()).sum::<f64>() / size as f64;
    Ok((cosines / (size * outputs) as f64, difference))
}

/// ∂f_output/∂x_q for each task: (B, d). Of logits, that of the comparable ones: less their mean over the classes.
fn query_gradient<D: Device>(
    net: &impl Net<D>,
    tokens: &Tensor3<D>,
    output: usize,
    preset: &Preset,
) -> Result<Vec<f32>> {
    let shape = preset.task.shape();
    let answer =
        net.forward(Input { tokens: tokens.leaky_trace(), grad_target: GradTarget::Query }).map_err(device_error)?;
    let (batch, outputs) = *answer.shape();
    let others = match preset.task.objective() {
        Objective::SquaredError => 0.0,
        Objective::CrossEntropy => -1.0 / outputs as f32,
    };
    let mut share = vec![others; batch * outputs];
    share.iter_mut().skip(output).step_by(outputs).for_each(|share| *share += 1.0);
    let share: Matrix<D> = tokens.device().try_tensor_from_vec(share, (batch, outputs)).map_err(device_error)?;
    let sum = answer.try_mul(share).and_then(|shares| shares.try_sum::<Rank0, _>());
    let mut gradients = sum.and_then(|sum| sum.try_backward()).map_err(device_error)?;
    gradients.try_alloc_for(tokens).map_err(device_error)?;
    Ok(preset.layout.query_part(shape, &numbers(&gradients.get(tokens)).map_err(device_error)?))
}

/// Mean |cosine| between the first layer's aligned states and Σ y xᵀ, over tasks and stops that have read a pair.
fn state_cosine<D: Device>(
    net: &impl Net<D>,
    preset: &Preset,
    held_out: &HeldOut<D>,
    size: usize,
) -> Result<Option<f64>> {
    let (shape, batch) = (preset.task.shape(), held_out.batch());
    let (mut sum, mut count) = (0.0, 0);
    for first in (0..size).step_by(STATES_AT_ONCE) {
        let tokens = held_out.some_tokens(first, STATES_AT_ONCE)?;
        let Some(layer) = net.states(&tokens).into_iter().next() else { return Ok(None) };
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
        let tasks = size.min(first + STATES_AT_ONCE) - first;
        // Summed in their order, so that the number of threads changes nothing.
        sum += (0..tasks).into_par_iter().map(cosines).collect::<Vec<_>>().iter().sum::<f64>();
        count += tasks * time_steps().count();
    }
    Ok((count > 0).then(|| sum / count as f64))
}
