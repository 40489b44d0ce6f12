//! The loss after each pair of a context: it shows whether a learner improves with every pair, and how fast.
//!
//! After t pairs a learner has read the first t and the query. The loss is averaged over the first few held-out tasks
//! only, the same ones for references and models, since every pair costs a decomposition or a forward pass.

use anyhow::Result;
use rayon::prelude::*;

use super::super::opening::Cancelled;
use super::super::trainer::Run;
use super::distance::mean;
use crate::nn::model::Architecture;
use crate::preset::Preset;
use crate::reference::{Problem, Spectrum, Tuned};
use crate::task::{Batch, Objective, Shape};

/// Numbers that the loss after a pair is averaged over, at most: tasks times outputs, with 64 to 128 tasks.
const ANSWERS: usize = 1280;
/// Contexts of all lengths that a model reads, at most.
const CONTEXTS: usize = 4096;
/// Floating-point operations that all references together may need.
const FLOPS: u64 = 2_000_000_000;

/// The number of tasks that this costs acceptable time for: each length of the context costs an eigenproblem, and each
/// reference some tens of operations for each of its directions and each output.
pub fn tasks(shape: Shape) -> usize {
    let (lengths, directions) = (shape.context + 1, shape.dim.min(shape.context) as u64);
    let each = 10 * directions.pow(3) + 4 * directions * shape.dim as u64 + 300 * directions * shape.outputs as u64;
    let affordable = FLOPS / each.saturating_mul(lengths as u64).max(1);
    (ANSWERS / shape.outputs)
        .clamp(64, 128)
        .min(CONTEXTS / lengths)
        .min(usize::try_from(affordable).unwrap_or(usize::MAX))
}

/// The mean loss of each reference after 0, 1, …, N pairs; empty without problems.
///
/// # Errors
/// `count`, which is called before each problem, cancels.
pub fn of_references(
    references: &[Tuned],
    problems: &[&Problem],
    objective: Objective,
    count: impl Fn() -> Result<(), Cancelled> + Sync,
) -> Result<Vec<Vec<f64>>, Cancelled> {
    let losses = |problem: &&Problem| {
        count()?;
        let spectra: Vec<Spectrum> = Spectrum::after_each_pair(problem).collect();
        let target: Vec<f32> = problem.target.iter().map(|value| *value as f32).collect();
        let of = |tuned: &Tuned| -> Vec<f64> {
            let answers = tuned.answers_by_pairs(problem, &spectra).into_iter();
            let single = |answer: nalgebra::DVector<f64>| answer.iter().map(|value| *value as f32).collect::<Vec<_>>();
            answers.map(|answer| objective.loss(&single(answer), &target)).collect()
        };
        Ok(references.iter().map(of).collect::<Vec<_>>())
    };
    let each: Vec<Vec<Vec<f64>>> = problems.par_iter().map(losses).collect::<Result<_, Cancelled>>()?;
    let after =
        |reference: usize, pairs: usize| mean(&each.iter().map(|task| task[reference][pairs]).collect::<Vec<_>>());
    let lengths = problems.first().map_or(0, |problem| problem.x.ncols() + 1);
    Ok((0..references.len()).map(|reference| (0..lengths).map(|pairs| after(reference, pairs)).collect()).collect())
}

/// The mean loss of a model after 0, 1, …, N pairs of these tasks. NaN after as many pairs as the model cannot read;
/// empty if it can read only N.
pub fn of_model(run: &dyn Run, preset: &Preset, tasks: &Batch) -> Result<Vec<f64>> {
    let Shape { outputs, context, .. } = tasks.shape;
    // In some layouts no pair is no token.
    let tokens = |pairs| preset.layout.tokens(Shape { context: pairs, ..tasks.shape });
    let reads = |pairs| tokens(pairs) > 0 && preset.model.reads(pairs, context);
    if tasks.size == 0 || !(0..context).any(reads) {
        return Ok(Vec::new());
    }
    let after = |pairs: usize| {
        if !reads(pairs) {
            return Ok(f64::NAN);
        }
        let answers = run.predict(&tasks.shortened(pairs))?;
        Ok(mean(&preset.task.objective().losses(&answers, &tasks.target, outputs)))
    };
    (0..=context).map(after).collect()
}
