//! The held-out tasks that a run is measured on, and every reference's answers to them.
//!
//! They come from a random stream of their own and do not depend on the run's seed, so runs on one task can be
//! compared.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::super::opening::{Cancelled, Progress, Watch};
use super::cell_weights::{ReferenceCellWeights, TASKS};
use super::distance::{distances, mean, median, norms, standard_error};
use super::{best_learner, loss_by_pairs};
use crate::bounds;
use crate::nn::model::{Architecture, GdConstants};
use crate::preset::Preset;
use crate::reference::fir::Fir;
use crate::reference::{self, Field, Loss, Prior, Problem, Reference, Spectrum, Tuned, Tuner};
use crate::task::{Batch, InputDistribution, LinearGrid, Objective, Shape, Stream, Task};

/// The seed of held-out and tuning tasks, for every seed of a run.
const SEED: u64 = 0;

/// Tasks on which references choose their step sizes if no closed form gives them.
const TUNING: usize = 2048;

/// The reference that models are compared with.
const MAIN: Reference = Reference::Gd(1);

/// A reference on the held-out tasks of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceResult {
    /// The algorithm and its parameters.
    pub tuned: Tuned,
    /// Mean loss over the held-out tasks.
    pub loss: f64,
    /// The standard error of that mean.
    pub loss_standard_error: f64,
    /// Median loss. Least squares on as many noisy pairs as there are unknowns has no finite mean loss.
    pub median: f64,
    /// Mean loss after 0, 1, …, N pairs, over the first 64 to 128 held-out tasks; empty if contexts are so long that
    /// this would take too much time.
    pub loss_by_pairs: Vec<f64>,
    /// The first output of its answers to the probe sequences after 0, 1, …, N pairs; as empty.
    pub answers_by_pairs: Vec<Vec<f32>>,
    /// The expected loss after 0, 1, …, N pairs by formula; `None` where there is no closed form for the task.
    pub expected_by_pairs: Option<Vec<f64>>,
    /// Relative distance of its answers from those of GD-1.
    pub gd_1_distance: f64,
    /// The same from those of the best learner, where there is one: see [`super::best_learner`].
    pub best_distance: Option<f64>,
    /// Floating-point operations for one query.
    pub flops: u64,
}

impl ReferenceResult {
    /// The expected loss after the whole context, by formula.
    pub fn expected_loss(&self) -> Option<f64> {
        self.expected_by_pairs.as_ref()?.last().copied()
    }
}

/// Held-out tasks, with every reference's answers.
pub struct HeldOut {
    batch: Batch,
    references: Vec<ReferenceResult>,
    /// Each reference's answers, comparable: (B, d_out), in the same order.
    answers: Vec<Vec<f32>>,
    /// Each reference's losses: (B), in the same order.
    losses: Vec<Vec<f64>>,
    /// The index of the main reference in these lists.
    main: usize,
    prior: Prior,
    trained_on: Task,
    /// The weights of the main reference: (B, d_out, d).
    weights: Vec<f32>,
    /// What distances between answers are divided by.
    scale: f64,
    gd_constants: GdConstants,
    /// What is known of a grid, and how much each of its cells counts.
    field: Option<(Field, ReferenceCellWeights)>,
}

/// A problem, decomposed once for all references.
struct Solvable {
    problem: Problem,
    spectrum: Spectrum,
    /// [`Spectrum::along`] of the query.
    along: DVector<f64>,
}

impl Solvable {
    fn new(problem: Problem) -> Self {
        let spectrum = Spectrum::of(&problem);
        let along = spectrum.along(&problem.query);
        Self { problem, spectrum, along }
    }

    fn answer(&self, tuned: &Tuned) -> DVector<f64> {
        tuned.answer(&self.problem, &self.spectrum, &self.along)
    }
}

impl HeldOut {
    /// Samples the tasks of a preset and solves them by every reference that applies. References choose step sizes and
    /// penalties on tasks like `trained_on`, which may differ from the preset's. Where its contexts have another
    /// length, learners whose gain is divided by N are here twice: with the gain of the new length, and frozen, with
    /// that of the old one.
    ///
    /// # Errors
    /// It was cancelled by `watch`.
    pub fn watched(preset: &Preset, trained_on: &Task, watch: Watch) -> Result<Self, Cancelled> {
        let prior = prior(trained_on);
        let applying: Vec<Reference> =
            Reference::ALL.into_iter().filter(|reference| reference.applies(&prior)).collect();
        // A reference costs about a tenth of the decompositions to tune, and as much to answer.
        let progress = Progress::new(watch, bounds::HELD_OUT * (10 + 3 * applying.len()) / 10);
        let unit = bounds::HELD_OUT / 10;
        progress.add(0)?;
        let tuner = Tuner::new(&prior, &problems(&trained_on.sample(TUNING, SEED, Stream::Tune, 0)));
        let batch = preset.task.sample(bounds::HELD_OUT, SEED, Stream::HeldOut, 0);
        let decompose = |problem| progress.add(1).map(|()| Solvable::new(problem));
        let solvable: Vec<Solvable> = problems(&batch).into_par_iter().map(decompose).collect::<Result<_, _>>()?;

        let tune = |reference| progress.add(unit).map(|()| tuner.tune(reference));
        let mut tuned: Vec<Tuned> = applying.into_iter().map(tune).collect::<Result<_, _>>()?;
        // Where the cells are is known of any grid, as N is of any context.
        if let Task::LinearGrid(grid) = &preset.task {
            tuned.iter_mut().filter_map(|tuned| tuned.field.as_mut()).for_each(|field| {
                (field.rows, field.columns) = (grid.rows, grid.columns);
            });
        }
        if prior.shape.context != batch.shape.context {
            let frozen = |tuned: &Tuned| tuned.frozen(prior.shape.context, batch.shape.context);
            tuned.extend(tuned.iter().filter_map(frozen).collect::<Vec<_>>());
        }
        let first: Vec<&Problem> =
            solvable.iter().take(loss_by_pairs::tasks(batch.shape)).map(|task| &task.problem).collect();
        let each = unit * tuned.len() / first.len().max(1);
        let count = || progress.add(each);
        let by_pairs = loss_by_pairs::of_references(&tuned, &first, preset.task.objective(), count)?;
        // Of the tasks that are answered, which need not be those that parameters are chosen for.
        let answered = self::prior(&preset.task);
        let (mut references, mut answers, mut all_losses) = (Vec::new(), Vec::new(), Vec::new());
        for (tuned, by_pairs) in tuned.into_iter().zip(by_pairs) {
            progress.add(unit)?;
            let solved = gather(&solvable, |task| task.answer(&tuned));
            let solved = preset.task.objective().comparable(solved, batch.shape.outputs);
            let losses = preset.task.objective().losses(&solved, &batch.target, batch.shape.outputs);
            references.push(ReferenceResult {
                tuned,
                loss: mean(&losses),
                loss_standard_error: standard_error(&losses),
                median: median(&losses),
                loss_by_pairs: by_pairs.losses,
                answers_by_pairs: by_pairs.answers,
                expected_by_pairs: tuned.expected_by_pairs(&answered),
                gd_1_distance: f64::NAN,
                best_distance: None,
                flops: tuned.flops(shape_of(batch.shape)),
            });
            answers.push(solved);
            all_losses.push(losses);
        }
        let main = references.iter().position(|result: &ReferenceResult| result.tuned.reference == MAIN).unwrap_or(0);
        let tuned = references[main].tuned;
        // Transposed: nalgebra stores columns, but rows are needed.
        let weights = gather(&solvable, |task| tuned.weights(&task.problem).transpose());
        let descent = tuner.tune(Reference::Gd(preset.model.descent_steps())).eta.unwrap_or(0.0);
        let gd_constants = GdConstants {
            step_size: descent / prior.shape.context as f64,
            lambda: tuner.tune(Reference::Ridge).lambda.unwrap_or(0.0),
        };
        // Logits have no true answer: theirs are measured by the size of the main reference's.
        let yardstick = match preset.task.objective() {
            Objective::SquaredError => &batch.target,
            Objective::CrossEntropy => &answers[main],
        };
        let scale = Some(mean(&norms(yardstick, batch.shape.outputs))).filter(|scale| *scale > 0.0).unwrap_or(1.0);
        let distinct = references.iter().map(|result: &ReferenceResult| result.tuned);
        let distinct = distinct.filter(|tuned| tuned.simplest(&prior) == tuned.reference).map(|tuned| tuned.reference);
        let best = best_learner(distinct.collect::<Vec<_>>().into_iter());
        let best = best.and_then(|best| references.iter().position(|result| result.tuned.reference == best));
        let distance =
            |from: usize, to: usize| mean(&distances(&answers[from], &answers[to], batch.shape.outputs)) / scale;
        for (i, result) in references.iter_mut().enumerate() {
            result.gd_1_distance = distance(i, main);
            result.best_distance = best.map(|best| distance(i, best));
        }
        let field = match &preset.task {
            Task::LinearGrid(grid) => Some(field(grid)),
            Task::Linear(_) | Task::Sine(_) | Task::Classification(_) | Task::Differentiation(_) => None,
        };
        let field = field.map(|field| (field, ReferenceCellWeights::measure(&problems(&batch.part(0, TASKS)), field)));
        let (losses, trained_on) = (all_losses, trained_on.clone());
        Ok(Self { batch, references, answers, losses, main, prior, trained_on, weights, scale, gd_constants, field })
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    pub fn references(&self) -> &[ReferenceResult] {
        &self.references
    }

    /// The answers, (B, d_out), of every reference that equals no simpler one on this task.
    pub fn distinct(&self) -> impl Iterator<Item = (Reference, &[f32])> {
        let distinct = |tuned: &Tuned| tuned.simplest(&self.prior) == tuned.reference;
        let named = self.references.iter().zip(&self.answers).filter(move |(result, _)| distinct(&result.tuned));
        named.map(|(result, answers)| (result.tuned.reference, answers.as_slice()))
    }

    /// The losses, (B), of every reference.
    pub fn losses(&self) -> impl Iterator<Item = (Reference, &[f64])> {
        self.references.iter().map(|result| result.tuned.reference).zip(self.losses.iter().map(Vec::as_slice))
    }

    /// The losses, (B), of the main reference.
    pub fn main_losses(&self) -> &[f64] {
        &self.losses[self.main]
    }

    /// What distances between answers are divided by: the mean norm of the true answers, one number for all references;
    /// for classes, whose logits have no true answer, the mean norm of the main reference's logits.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// What the references know of the tasks.
    pub fn prior(&self) -> Prior {
        self.prior
    }

    /// The held-out tasks in the references' terms.
    pub fn problems(&self) -> Vec<Problem> {
        problems(&self.batch)
    }

    /// The best linear filter of the last `length` tokens on tasks like those of training.
    pub fn fir(&self, length: usize) -> Fir {
        Fir::best(length, &problems(&self.trained_on.sample(TUNING, SEED, Stream::Tune, 0)))
    }

    /// The mean loss of [`Self::fir`].
    pub fn fir_loss(&self, length: usize) -> f64 {
        let filter = self.fir(length);
        let outputs = self.batch.shape.outputs;
        let answers: Vec<f32> = self
            .problems()
            .iter()
            .flat_map(|problem| filter.answer(problem).data.as_vec().clone())
            .map(|y| y as f32)
            .collect();
        mean(&self.trained_on.objective().losses(&answers, &self.batch.target, outputs))
    }

    /// The main reference, one step of gradient descent, and its answers: (B, d_out).
    pub fn main(&self) -> (&ReferenceResult, &[f32]) {
        (&self.references[self.main], &self.answers[self.main])
    }

    /// The first tasks, over which losses after each pair are averaged; none if that would take too long.
    pub fn loss_by_pairs_tasks(&self) -> Batch {
        self.batch.part(0, loss_by_pairs::tasks(self.batch.shape))
    }

    /// The weights of the main reference, which are its sensitivities: (B, d_out, d).
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// What is known of a grid, and how much each of its cells counts; `None` of other tasks.
    pub fn field(&self) -> Option<(Field, &ReferenceCellWeights)> {
        self.field.as_ref().map(|(field, weights)| (*field, weights))
    }

    pub fn gd_constants(&self) -> GdConstants {
        self.gd_constants
    }
}

/// The sizes of a task in the references' terms.
fn shape_of(Shape { dim, outputs, context }: Shape) -> reference::ProblemShape {
    reference::ProblemShape { dim, outputs, context }
}

/// What the references may know of a task.
fn prior(task: &Task) -> Prior {
    let loss = match task.objective() {
        Objective::SquaredError => Loss::Squared,
        Objective::CrossEntropy => Loss::CrossEntropy,
    };
    let shape = shape_of(task.shape());
    let unknown =
        Prior { shape, loss, weight_scale: None, noise: 0.0, drift: 0.0, moments: None, distractors: 0, field: None };
    match task {
        // With noise that has a memory, or weights that drifted in an order that is lost, ridge and the Kalman filter
        // are learners like others, and no posterior means.
        Task::Linear(linear) => Prior {
            weight_scale: Some(linear.weight_scale)
                .filter(|_| linear.noise_correlation == 0.0 && !(linear.shuffled && linear.drift > 0.0)),
            noise: linear.noise,
            drift: linear.drift,
            // Closed forms are for coordinates that are alike.
            moments: Some(linear.inputs.moments(linear.range)).filter(|_| linear.condition == 1.0),
            distractors: linear.distractors,
            ..unknown
        },
        Task::LinearGrid(grid) => Prior { field: Some(field(grid)), ..unknown },
        // Targets that are not linear in x, and inputs that depend on each other.
        Task::Sine(_) | Task::Classification(_) | Task::Differentiation(_) => unknown,
    }
}

/// What the references on a grid may know.
fn field(grid: &LinearGrid) -> Field {
    Field {
        rows: grid.rows,
        columns: grid.columns,
        length: grid.length,
        weight_scale: grid.weight_scale,
        noise: grid.noise,
        moments: InputDistribution::Uniform.moments(grid.range),
    }
}

/// A matrix of each problem, one after the other, in single precision.
fn gather<R, C, S>(
    solvable: &[Solvable],
    matrix: impl Fn(&Solvable) -> nalgebra::Matrix<f64, R, C, S> + Sync,
) -> Vec<f32>
where
    R: nalgebra::Dim,
    C: nalgebra::Dim,
    S: nalgebra::RawStorage<f64, R, C>,
{
    let numbers = |task: &Solvable| matrix(task).iter().map(|value| *value as f32).collect::<Vec<_>>();
    solvable.par_iter().flat_map_iter(numbers).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn losses_are_the_expected_ones_within_their_standard_error() {
        let (_, base) = preset::find("gd-ssm").unwrap();
        let base = preset::set(&base, [("task.dim", "3"), ("task.context", "5")]).unwrap();
        for settings in [vec![], vec![("task.noise", "0.2"), ("task.drift", "0.1"), ("task.inputs", "Normal")]] {
            let preset = preset::set(&base, settings.clone()).unwrap();
            let held_out = HeldOut::watched(&preset, &preset.task, &|_| true).unwrap();
            let known: Vec<_> =
                held_out.references().iter().filter_map(|result| Some((result, result.expected_loss()?))).collect();
            for (result, expected) in &known {
                let error = 4.0 * result.loss_standard_error + 1e-12;
                assert!((result.loss - expected).abs() < error, "{} {settings:?}", result.tuned.reference);
                // Before the first pair each predicts zero.
                let first = result.expected_by_pairs.as_ref().unwrap()[0];
                assert!((first / known[0].1 - 1.0).abs() < 1e-9, "{}", result.tuned.reference);
            }
            let ends = |name| {
                let result = held_out.references().iter().find(|result| result.tuned.reference == name).unwrap();
                (result.gd_1_distance, result.best_distance.unwrap())
            };
            let best = if settings.is_empty() { Reference::LeastSquares } else { Reference::Kalman };
            assert!(ends(Reference::Gd(1)).0 == 0.0 && ends(best).1 == 0.0, "{settings:?}");
            // The distance is the same in both directions.
            assert_eq!(ends(Reference::Gd(1)).1, ends(best).0);
            let names: Vec<_> = known.iter().map(|(result, _)| result.tuned.reference.to_string()).collect();
            let exact = ["cg-10", "least-squares", "ridge", "recursive-least-squares", "kalman", "bayes"];
            let expected: Vec<&str> = match settings.is_empty() {
                true => {
                    ["zero", "gd-1", "gd-1-forgetting", "lms", "nlms", "leaky-lms"].into_iter().chain(exact).collect()
                }
                false => vec!["zero", "gd-1", "gd-1-forgetting", "lms", "leaky-lms"],
            };
            let missing: Vec<_> = expected.iter().filter(|name| !names.iter().any(|known| known == *name)).collect();
            assert!(missing.is_empty(), "{missing:?} {names:?}");
        }
    }
}
