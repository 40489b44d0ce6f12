//! The tasks that a run is measured on, and what the references say of them.
//!
//! They come from a stream of their own and do not depend on the run's seed, so runs of one task can be compared.

use anyhow::Result;
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::ReferenceResult;
use super::distance::{mean, median};
use super::host::tokens_on;
use super::loss_by_pairs;
use crate::bounds;
use crate::nn::model::{Architecture, GdConstants};
use crate::nn::{Device, Tensor3};
use crate::preset::Preset;
use crate::reference::{self, Loss, Prior, Problem, Reference, Spectrum, Tuned, Tuner};
use crate::task::{Batch, Objective, Shape, Stream, Task};

/// The seed of held-out and tuning tasks, whatever a run's seed is.
const SEED: u64 = 0;

/// Tasks on which references choose their step sizes where no closed form gives them.
const TUNING: usize = 2048;

/// The reference that models are held against.
const MAIN: Reference = Reference::Gd(1);

/// Held-out tasks on a device, with every reference's answers.
pub struct HeldOut<D: Device> {
    device: D,
    preset: Preset,
    batch: Batch,
    tokens: Tensor3<D>,
    references: Vec<ReferenceResult>,
    /// Each reference's answers, comparable: (B, d_out), in the same order.
    answers: Vec<Vec<f32>>,
    /// Where the reference that models are held against stands in both lists.
    main: usize,
    prior: Prior,
    /// Its weights: (B, d_out, d).
    weights: Vec<f32>,
    gd_constants: GdConstants,
}

impl<D: Device> HeldOut<D> {
    /// Draws the tasks and lets every reference that applies answer them. What a reference chooses it chooses on tasks like
    /// `trained_on`, which those of the preset may be unlike.
    pub fn new(device: &D, preset: &Preset, trained_on: &Task) -> Result<Self> {
        let prior = prior(trained_on);
        let tuner = Tuner::new(&prior, &problems(&trained_on.sample(TUNING, SEED, Stream::Tune, 0)));
        let batch = preset.task.sample(bounds::HELD_OUT, SEED, Stream::HeldOut, 0);
        let known: Vec<(Problem, Spectrum)> = problems(&batch)
            .into_par_iter()
            .map(|problem| {
                let spectrum = Spectrum::of(&problem);
                (problem, spectrum)
            })
            .collect();

        let applying = Reference::ALL.into_iter().filter(|reference| reference.applies(&prior));
        let tuned: Vec<Tuned> = applying.map(|reference| tuner.tune(reference)).collect();
        let first: Vec<&Problem> =
            known.iter().take(loss_by_pairs::tasks(batch.shape, &tuned)).map(|(problem, _)| problem).collect();
        let loss_by_pairs = loss_by_pairs::of_references(&tuned, &first, preset.task.objective());
        let mut references = Vec::new();
        let mut answers = Vec::new();
        for (tuned, loss_by_pairs) in tuned.into_iter().zip(loss_by_pairs) {
            let theirs = gather(&known, |problem, spectrum| tuned.weights_from(spectrum, problem) * &problem.query);
            let theirs = preset.task.objective().comparable(theirs, batch.shape.outputs);
            let losses = preset.task.objective().losses(&theirs, &batch.target, batch.shape.outputs);
            let flops = tuned.flops(shape_of(batch.shape));
            references.push(ReferenceResult {
                tuned,
                loss: mean(&losses),
                median: median(&losses),
                loss_by_pairs,
                flops,
            });
            answers.push(theirs);
        }
        let main = references.iter().position(|result: &ReferenceResult| result.tuned.reference == MAIN).unwrap_or(0);
        let tuned = references[main].tuned;
        // Transposed, because nalgebra stores columns and rows are wanted.
        let weights = gather(&known, |problem, spectrum| tuned.weights_from(spectrum, problem).transpose());
        let descent = tuner.tune(Reference::Gd(preset.model.descent_steps())).eta.unwrap_or(0.0);
        let gd_constants = GdConstants {
            step_size: descent / prior.shape.context as f64,
            lambda: tuner.tune(Reference::Ridge).lambda.unwrap_or(0.0),
        };
        let tokens = tokens_on(device, preset, &batch)?;
        Ok(Self {
            device: device.clone(),
            preset: preset.clone(),
            batch,
            tokens,
            references,
            answers,
            main,
            prior,
            weights,
            gd_constants,
        })
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// All held-out tasks as tokens.
    pub fn tokens(&self) -> &Tensor3<D> {
        &self.tokens
    }

    /// The tokens of `count` tasks from the task `first` on.
    pub fn some_tokens(&self, first: usize, count: usize) -> Result<Tensor3<D>> {
        tokens_on(&self.device, &self.preset, &self.batch.part(first, count))
    }

    pub fn references(&self) -> &[ReferenceResult] {
        &self.references
    }

    /// The answers of those references that no simpler one equals on this task.
    pub fn distinct(&self) -> impl Iterator<Item = (Reference, &[f32])> {
        let named = self.references.iter().map(|result| result.tuned.reference).zip(&self.answers);
        named.filter(|(reference, _)| reference.simplest(&self.prior) == *reference).map(|(r, a)| (r, a.as_slice()))
    }

    /// The reference that models are held against, one step of gradient descent, and its answers.
    pub fn main(&self) -> (&ReferenceResult, &[f32]) {
        (&self.references[self.main], &self.answers[self.main])
    }

    /// How many of the first tasks the losses after each pair are averaged over; none where that would take too long.
    pub fn loss_by_pairs_tasks(&self) -> usize {
        let tuned: Vec<Tuned> = self.references.iter().map(|result| result.tuned).collect();
        loss_by_pairs::tasks(self.batch.shape, &tuned)
    }

    /// The device, for tokens of other lengths than those that are kept.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The weights of the main reference, which are its sensitivities: (B, d_out, d).
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// What constructions need to know of the task.
    pub fn gd_constants(&self) -> GdConstants {
        self.gd_constants
    }
}

/// The sizes of a task in the references' terms.
fn shape_of(Shape { dim, outputs, context }: Shape) -> reference::Shape {
    reference::Shape { dim, outputs, context }
}

/// What the references may know of a task.
fn prior(task: &Task) -> Prior {
    let loss = match task.objective() {
        Objective::SquaredError => Loss::Squared,
        Objective::CrossEntropy => Loss::CrossEntropy,
    };
    let shape = shape_of(task.shape());
    let unknown = Prior { shape, loss, weight_scale: None, noise: 0.0, drift: 0.0, moments: None, distractors: 0 };
    match task {
        Task::Linear(linear) => Prior {
            weight_scale: Some(linear.weight_scale),
            noise: linear.noise,
            drift: linear.drift,
            moments: Some(linear.inputs.moments(linear.range)),
            distractors: linear.distractors,
            ..unknown
        },
        // Targets that are not linear in x, and inputs of which one tells of the next.
        Task::Sine(_) | Task::Classification(_) | Task::Differentiation(_) => unknown,
    }
}

/// A matrix of each problem, one after the other, in single precision.
fn gather<R, C, S>(
    known: &[(Problem, Spectrum)],
    matrix: impl Fn(&Problem, &Spectrum) -> nalgebra::Matrix<f64, R, C, S> + Sync,
) -> Vec<f32>
where
    R: nalgebra::Dim,
    C: nalgebra::Dim,
    S: nalgebra::RawStorage<f64, R, C>,
{
    let numbers = |(problem, spectrum): &(Problem, Spectrum)| {
        matrix(problem, spectrum).iter().map(|value| *value as f32).collect::<Vec<_>>()
    };
    known.par_iter().flat_map_iter(numbers).collect()
}

/// A batch in the references' terms.
fn problems(batch: &Batch) -> Vec<Problem> {
    let Shape { dim, outputs, context } = batch.shape;
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    (0..batch.size)
        .map(|task| Problem {
            x: DMatrix::from_vec(dim, context, wide(&batch.x[task * context * dim..][..context * dim])),
            y: DMatrix::from_vec(outputs, context, wide(&batch.y[task * context * outputs..][..context * outputs])),
            query: DVector::from_vec(wide(&batch.query[task * dim..][..dim])),
            target: DVector::from_vec(wide(&batch.target[task * outputs..][..outputs])),
        })
        .collect()
}
