//! The mean loss over tuning problems as a function of the filter, cheap enough for a line search.
//!
//! The loss is a parabola in the size of φ, so that the best factor on a filter needs no search. Owns the sums; does
//! not know which parameter is searched.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::filter::{Context, FREE_STEPS};
use super::free_steps::QuadraticForm;
use super::prior::Moments;
use super::{Filter, Prior, Problem, Spectrum};

/// Cubes of the sizes of all eigenproblems together at most, and problems that are decomposed at least.
const EIGENPROBLEMS: usize = 1 << 27;
const LEAST: usize = 256;
/// Samples that are summed on one thread at once.
const AT_ONCE: usize = 256;

/// loss(a φ) = constant − 2 a linear + a² square.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parabola {
    pub constant: f64,
    pub linear: f64,
    pub square: f64,
}

impl Parabola {
    /// The loss of the filter as it is.
    pub fn loss(self) -> f64 {
        self.constant - 2.0 * self.linear + self.square
    }

    /// The factor on the filter that makes the loss least; 0 where the filter passes nothing on.
    pub fn best_factor(self) -> f64 {
        let factor = self.linear / self.square;
        if factor.is_finite() { factor } else { 0.0 }
    }
}

/// What a search needs of one problem.
struct Sample {
    /// μ: (min(d, N)); the others are 0.
    values: Vec<f64>,
    /// d.
    dim: f64,
    context: Context,
    /// [`Spectrum::parts`] and the query's target, where the loss is not known from μ alone.
    answer: Option<(DMatrix<f64>, DVector<f64>)>,
}

/// The tuning problems, decomposed once.
pub struct TuningLoss {
    samples: Vec<Sample>,
    /// The prior's moments, where the loss averaged over weights, noise and query follows from μ.
    expected: Option<Moments>,
}

impl TuningLoss {
    /// Where the prior allows it, weights, noise and query are averaged out by formula, which leaves only the inputs to
    /// chance; else the loss is that of the problems' own queries. Of wide problems the first few are enough, since
    /// each has as many eigenvalues as it is wide.
    pub fn new(prior: &Prior, problems: &[Problem]) -> Self {
        let expected = prior.isotropic();
        let size = prior.shape.dim.min(prior.shape.context).max(1);
        let enough = (EIGENPROBLEMS / size.pow(3)).max(LEAST);
        let sample = |problem: &Problem| {
            let dim = problem.x.nrows() as f64;
            if expected.is_some() {
                let values = Spectrum::values_of(problem);
                let context = Context::of(&values, problem.x.ncols().max(1) as f64);
                return Sample { values, dim, context, answer: None };
            }
            let spectrum = Spectrum::of(problem);
            let answer = Some((spectrum.parts(&problem.query), problem.target.clone()));
            Sample { values: spectrum.values().to_vec(), dim, context: spectrum.context(), answer }
        };
        Self { samples: problems[..enough.min(problems.len())].par_iter().map(sample).collect(), expected }
    }

    /// The mean of all eigenvalues, that is E x²: what step sizes are measured against. 1 where there is none.
    pub fn scale(&self) -> f64 {
        let sum: f64 = self.samples.iter().flat_map(|sample| &sample.values).sum();
        let mean = sum / self.samples.iter().map(|sample| sample.dim).sum::<f64>();
        if mean.is_finite() && mean > 0.0 { mean } else { 1.0 }
    }

    /// The mean number of pairs in a context.
    pub fn pairs(&self) -> f64 {
        let sum: f64 = self.samples.iter().map(|sample| sample.context.pairs).sum();
        if self.samples.is_empty() { 1.0 } else { sum / self.samples.len() as f64 }
    }

    /// The mean loss ½ ‖ŷ − y‖² / d_out of a filter, as a parabola in its size.
    pub fn parabola(&self, filter: Filter) -> Parabola {
        let one = |sample: &Sample| match (&sample.answer, &self.expected) {
            (Some((parts, target)), _) => sample.measured(filter, parts, target),
            (None, Some(moments)) => sample.expected(filter, moments),
            (None, None) => Parabola::default(),
        };
        let add = |a: Parabola, b: Parabola| Parabola {
            constant: a.constant + b.constant,
            linear: a.linear + b.linear,
            square: a.square + b.square,
        };
        let sum = self.sum(one, add);
        let n = self.samples.len().max(1) as f64;
        Parabola { constant: sum.constant / n, linear: sum.linear / n, square: sum.square / n }
    }

    /// The mean loss of a polynomial filter as a quadratic form in its coefficients.
    pub fn quadratic_form(&self) -> QuadraticForm {
        let one = |sample: &Sample| match (&sample.answer, &self.expected) {
            (Some((parts, target)), _) => sample.measured_form(parts, target),
            (None, Some(moments)) => sample.expected_form(moments),
            (None, None) => QuadraticForm::default(),
        };
        self.sum(one, QuadraticForm::plus)
    }

    /// A sum over the samples in a fixed order, so that the number of threads changes nothing.
    fn sum<T: Default + Send>(&self, one: impl Fn(&Sample) -> T + Sync, add: impl Fn(T, T) -> T + Sync) -> T {
        let part = |samples: &[Sample]| samples.iter().map(&one).fold(T::default(), &add);
        let parts: Vec<T> = self.samples.par_chunks(AT_ONCE).map(part).collect();
        parts.into_iter().fold(T::default(), add)
    }
}

impl Sample {
    /// Per output: ½ s² Σ [ s_w² (1 − μ φ)² + σ² μ φ² / N ], the average over W, noise and query.
    fn expected(&self, filter: Filter, of: &Moments) -> Parabola {
        let (mut linear, mut square) = (0.0, 0.0);
        for &value in &self.values {
            let gain = filter.gain(value, self.context);
            linear += value * gain;
            square += value * gain * gain * (of.weights * value + of.noise / self.context.pairs);
        }
        let half = 0.5 * of.s2;
        Parabola { constant: half * self.dim * of.weights, linear: half * of.weights * linear, square: half * square }
    }

    /// The same with φ = Σ φⱼ μʲ.
    fn expected_form(&self, of: &Moments) -> QuadraticForm {
        let mut form = QuadraticForm::default();
        for &value in &self.values {
            let power = |exponent: usize| value.powi(exponent as i32);
            let weight = value * (of.weights * value + of.noise / self.context.pairs);
            for i in 0..FREE_STEPS {
                form.linear[i] += 0.5 * of.s2 * of.weights * power(i + 1);
                for j in 0..FREE_STEPS {
                    form.square[i][j] += 0.5 * of.s2 * weight * power(i + j);
                }
            }
        }
        form
    }

    fn measured(&self, filter: Filter, parts: &DMatrix<f64>, target: &DVector<f64>) -> Parabola {
        let gains = self.values.iter().map(|&value| filter.gain(value, self.context));
        let answer = parts * DVector::from_iterator(self.values.len(), gains);
        let half = 0.5 / target.len().max(1) as f64;
        Parabola {
            constant: half * target.norm_squared(),
            linear: half * answer.dot(target),
            square: half * answer.norm_squared(),
        }
    }

    fn measured_form(&self, parts: &DMatrix<f64>, target: &DVector<f64>) -> QuadraticForm {
        let powers = |exponent: usize| self.values.iter().map(move |value| value.powi(exponent as i32));
        let answers: [DVector<f64>; FREE_STEPS] =
            std::array::from_fn(|j| parts * DVector::from_iterator(self.values.len(), powers(j)));
        let half = 0.5 / target.len().max(1) as f64;
        QuadraticForm {
            linear: std::array::from_fn(|i| half * answers[i].dot(target)),
            square: std::array::from_fn(|i| std::array::from_fn(|j| half * answers[i].dot(&answers[j]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::Draw;

    #[test]
    fn measured_loss_is_the_loss_of_the_weights() {
        let draw = Draw { outputs: 3, noise: 0.2, drift: 0.1, ..Draw::default() };
        let problems = draw.problems(30, 20);
        let filter = Filter::Descent { eta: 3.0, steps: 4 };
        let direct: f64 =
            problems.iter().map(|problem| problem.loss(&Spectrum::of(problem).weights(filter))).sum::<f64>() / 20.0;
        assert!((TuningLoss::new(&draw.prior(), &problems).parabola(filter).loss() - direct).abs() < 1e-12);
    }

    #[test]
    fn expected_loss_is_the_mean_of_the_measured() {
        let draw = Draw { dim: 4, outputs: 2, context: 6, noise: 0.5, weight_scale: 1.5, ..Draw::default() };
        let (problems, known) = (draw.problems(31, 30_000), draw.prior());
        let unknown = Prior { moments: None, ..known };
        for filter in [Filter::Descent { eta: 4.0, steps: 3 }, Filter::Ridge { lambda: 0.4 }] {
            let expected = TuningLoss::new(&known, &problems).parabola(filter).loss();
            let measured = TuningLoss::new(&unknown, &problems).parabola(filter).loss();
            assert!((expected / measured - 1.0).abs() < 0.03, "{filter:?}: {expected} not {measured}");
        }
    }
}
