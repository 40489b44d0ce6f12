//! The loss after each pair of a context: it shows whether a learner improves with every pair, and how fast.
//!
//! After t pairs a learner has read the first t and the query. The loss is averaged over the first few held-out tasks
//! only, the same ones for references and models, since every pair costs a decomposition or a forward pass.

use anyhow::Result;
use rayon::prelude::*;

use super::super::opening::Cancelled;
use super::super::trainer::Run;
use super::distance::mean;
use super::hidden_state::PROBES;
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

/// What a reference comes to after 0, 1, …, N pairs.
pub struct ReferenceByPairs {
    /// The mean loss over the tasks; empty without tasks.
    pub losses: Vec<f64>,
    /// The first output of its answers to the first tasks, the probe sequences.
    pub answers: Vec<Vec<f32>>,
}

/// Losses and answers of each reference after 0, 1, …, N pairs.
///
/// # Errors
/// `count`, which is called before each problem, cancels.
pub fn of_references(
    references: &[Tuned],
    problems: &[&Problem],
    objective: Objective,
    count: impl Fn() -> Result<(), Cancelled> + Sync,
) -> Result<Vec<ReferenceByPairs>, Cancelled> {
    let losses = |problem: &&Problem| {
        count()?;
        let spectra: Vec<Spectrum> = Spectrum::after_each_pair(problem).collect();
        let target: Vec<f32> = problem.target.iter().map(|value| *value as f32).collect();
        let of = |tuned: &Tuned| -> (Vec<f64>, Vec<f32>) {
            let answers = tuned.answers_by_pairs(problem, &spectra).into_iter();
            let single = |answer: nalgebra::DVector<f64>| answer.iter().map(|value| *value as f32).collect::<Vec<_>>();
            answers.map(single).map(|answer| (objective.loss(&answer, &target), answer[0])).unzip()
        };
        Ok(references.iter().map(of).collect::<Vec<_>>())
    };
    let each: Vec<Vec<(Vec<f64>, Vec<f32>)>> = problems.par_iter().map(losses).collect::<Result<_, Cancelled>>()?;
    let after =
        |reference: usize, pairs: usize| mean(&each.iter().map(|task| task[reference].0[pairs]).collect::<Vec<_>>());
    let lengths = problems.first().map_or(0, |problem| problem.x.ncols() + 1);
    let by_pairs = |reference: usize| ReferenceByPairs {
        losses: (0..lengths).map(|pairs| after(reference, pairs)).collect(),
        answers: each.iter().take(PROBES).map(|task| task[reference].1.clone()).collect(),
    };
    Ok((0..references.len()).map(by_pairs).collect())
}

/// The same tasks with contexts of 0, 1, …, N pairs, `None` for as many as the model cannot read; empty if it can read
/// only N.
pub fn shortened_contexts(preset: &Preset, tasks: &Batch) -> Vec<Option<Batch>> {
    let context = tasks.shape.context;
    // In some layouts no pair is no token.
    let tokens = |pairs| preset.layout.tokens(Shape { context: pairs, ..tasks.shape });
    let reads = |pairs| tokens(pairs) > 0 && preset.model.reads(pairs, context);
    if tasks.size == 0 || !(0..context).any(reads) {
        return Vec::new();
    }
    (0..=context).map(|pairs| reads(pairs).then(|| tasks.shortened(pairs))).collect()
}

/// The mean loss of a model after 0, 1, …, N pairs of these tasks. NaN after as many pairs as the model cannot read;
/// empty if it can read only N.
pub fn of_model(run: &dyn Run, preset: &Preset, tasks: &Batch) -> Result<Vec<f64>> {
    let loss = |context: Option<Batch>| {
        let Some(context) = context else { return Ok(f64::NAN) };
        let answers = run.predict(&context)?;
        Ok(mean(&preset.task.objective().losses(&answers, &tasks.target, tasks.shape.outputs)))
    };
    shortened_contexts(preset, tasks).into_iter().map(loss).collect()
}
