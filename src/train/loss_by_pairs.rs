//! The loss after each pair of a context: does a learner get better one pair at a time, and how fast?
//!
//! After t pairs a learner knows the first t and the query. It is asked on the first few held-out tasks only, the same
//! ones for references and models, since every pair costs a decomposition or a forward pass.

use anyhow::Result;
use rayon::prelude::*;

use super::distance::mean;
use super::held_out::HeldOut;
use super::host::{device_error, tokens_on};
use crate::nn::model::Architecture;
use crate::nn::{Device, GradTarget, Input, Net};
use crate::preset::Preset;
use crate::reference::{Problem, Spectrum, Tuned};
use crate::task::{Objective, Shape, Stream, rng};

/// Answers that the loss after a pair is the mean of, at most: tasks times outputs, within 64 to 128 tasks.
const ANSWERS: usize = 1280;
/// Contexts of all lengths that a model reads.
const CONTEXTS: usize = 4096;
/// Operations that all references together may need.
const FLOPS: u64 = 2_000_000_000;

/// The tasks that there is time for.
pub fn tasks(shape: Shape, references: &[Tuned]) -> usize {
    let lengths = shape.context + 1;
    let sizes = crate::reference::Shape { dim: shape.dim, outputs: shape.outputs, context: shape.context };
    let each = references.iter().map(|tuned| tuned.flops(sizes)).fold(0, u64::saturating_add);
    let affordable = FLOPS / each.saturating_mul(lengths as u64).max(1);
    (ANSWERS / shape.outputs)
        .clamp(64, 128)
        .min(CONTEXTS / lengths)
        .min(usize::try_from(affordable).unwrap_or(usize::MAX))
}

/// The mean loss of each reference after 0, 1, …, N pairs; nothing where there are no problems.
pub fn of_references(references: &[Tuned], problems: &[&Problem], objective: Objective) -> Vec<Vec<f64>> {
    let losses = |problem: &&Problem| {
        let spectra: Vec<Spectrum> = Spectrum::after_each_pair(problem).collect();
        let target: Vec<f32> = problem.target.iter().map(|value| *value as f32).collect();
        let of = |tuned: &Tuned| -> Vec<f64> {
            let answers =
                tuned.running_weights_from(&spectra, problem).into_iter().map(|weights| weights * &problem.query);
            let single = |answer: nalgebra::DVector<f64>| answer.iter().map(|value| *value as f32).collect::<Vec<_>>();
            answers.map(|answer| objective.loss(&single(answer), &target)).collect()
        };
        references.iter().map(of).collect::<Vec<_>>()
    };
    let each: Vec<Vec<Vec<f64>>> = problems.par_iter().map(losses).collect();
    let after =
        |reference: usize, pairs: usize| mean(&each.iter().map(|task| task[reference][pairs]).collect::<Vec<_>>());
    let lengths = problems.first().map_or(0, |problem| problem.x.ncols() + 1);
    (0..references.len()).map(|reference| (0..lengths).map(|pairs| after(reference, pairs)).collect()).collect()
}

/// The mean loss of a model after 0, 1, …, N pairs. NaN after as many pairs as the model cannot read; nothing where it can
/// read only N.
pub fn of_model<D: Device>(net: &impl Net<D>, preset: &Preset, held_out: &HeldOut<D>) -> Result<Vec<f64>> {
    let batch = held_out.batch().part(0, held_out.loss_by_pairs_tasks());
    let Shape { outputs, context, .. } = batch.shape;
    // In some layouts no pair is no token.
    let tokens = |pairs| preset.layout.tokens(Shape { context: pairs, ..batch.shape });
    let reads = |pairs| tokens(pairs) > 0 && preset.model.reads(pairs, context);
    if batch.size == 0 || !(0..context).any(reads) {
        return Ok(Vec::new());
    }
    let after = |pairs: usize| {
        if !reads(pairs) {
            return Ok(f64::NAN);
        }
        let short = batch.shortened(pairs);
        // The same weights in a network that knows where the query stands.
        let sizes = (short.shape, preset.layout);
        let mut reader = preset
            .model
            .build(held_out.device(), sizes, held_out.gd_constants(), &mut rng(0, Stream::Init, 0, 0))
            .map_err(device_error)?;
        for (copy, param) in reader.params_mut().into_iter().zip(net.params()) {
            copy.value = param.value.clone();
        }
        let tokens = tokens_on(held_out.device(), preset, &short)?;
        let answers =
            reader.forward(Input { tokens, grad_target: GradTarget::Weights }).map_err(device_error)?.as_vec();
        Ok(mean(&preset.task.objective().losses(&answers, &batch.target, outputs)))
    };
    (0..=context).map(after).collect()
}
