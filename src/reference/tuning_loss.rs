//! The mean loss over tuning problems as a function of the filter, cheap enough for a line search.
//!
//! The loss is a parabola in the size of φ, so that the best factor on a filter needs no search. Owns the sums; does not
//! know which parameter is searched.

use nalgebra::{DMatrix, DVector};

use super::{Filter, Prior, Problem, Spectrum};

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
    /// μ: (d).
    values: Vec<f64>,
    pairs: f64,
    cutoff: f64,
    /// [`Spectrum::parts`] and the query's target, where the loss is not known from μ alone.
    answer: Option<(DMatrix<f64>, DVector<f64>)>,
}

/// The tuning problems, decomposed once.
pub struct TuningLoss {
    samples: Vec<Sample>,
    /// (s², s_w², σ²), where the loss averaged over weights, noise and query follows from μ.
    expected: Option<(f64, f64, f64)>,
}

impl TuningLoss {
    /// Where the prior allows it, weights, noise and query are averaged out by formula, which leaves only the inputs to
    /// chance; else the loss is that of the problems' own queries.
    pub fn new(prior: &Prior, problems: &[Problem]) -> Self {
        let expected = prior.isotropic().map(|(s2, _, weights, noise)| (s2, weights, noise));
        let sample = |problem: &Problem| {
            let spectrum = Spectrum::of(problem);
            let answer = expected.is_none().then(|| (spectrum.parts(&problem.query), problem.target.clone()));
            Sample { values: spectrum.values().to_vec(), pairs: spectrum.pairs(), cutoff: spectrum.cutoff(), answer }
        };
        Self { samples: problems.iter().map(sample).collect(), expected }
    }

    /// The mean of all eigenvalues, that is E x²: what step sizes are measured against. 1 where there is none.
    pub fn scale(&self) -> f64 {
        let values = self.samples.iter().flat_map(|sample| &sample.values);
        let mean = values.clone().sum::<f64>() / values.count() as f64;
        if mean.is_finite() && mean > 0.0 { mean } else { 1.0 }
    }

    /// The mean number of pairs in a context.
    pub fn pairs(&self) -> f64 {
        let sum: f64 = self.samples.iter().map(|sample| sample.pairs).sum();
        if self.samples.is_empty() { 1.0 } else { sum / self.samples.len() as f64 }
    }

    /// The mean loss ½ ‖ŷ − y‖² / d_out of a filter, as a parabola in its size.
    pub fn parabola(&self, filter: Filter) -> Parabola {
        let mut sum = Parabola::default();
        for sample in &self.samples {
            let one = match (&sample.answer, self.expected) {
                (Some((parts, target)), _) => sample.measured(filter, parts, target),
                (None, Some(prior)) => sample.expected(filter, prior),
                (None, None) => Parabola::default(),
            };
            sum.constant += one.constant;
            sum.linear += one.linear;
            sum.square += one.square;
        }
        let n = self.samples.len().max(1) as f64;
        Parabola { constant: sum.constant / n, linear: sum.linear / n, square: sum.square / n }
    }
}

impl Sample {
    /// Per output: ½ s² Σ [ s_w² (1 − μ φ)² + σ² μ φ² / N ], the average over W, noise and query.
    fn expected(&self, filter: Filter, (s2, weights, noise): (f64, f64, f64)) -> Parabola {
        let (mut linear, mut square) = (0.0, 0.0);
        for &value in &self.values {
            let gain = filter.gain(value, self.pairs, self.cutoff);
            linear += value * gain;
            square += value * gain * gain * (weights * value + noise / self.pairs);
        }
        let constant = self.values.len() as f64 * weights;
        Parabola { constant: 0.5 * s2 * constant, linear: 0.5 * s2 * weights * linear, square: 0.5 * s2 * square }
    }

    fn measured(&self, filter: Filter, parts: &DMatrix<f64>, target: &DVector<f64>) -> Parabola {
        let gains = self.values.iter().map(|&value| filter.gain(value, self.pairs, self.cutoff));
        let answer = parts * DVector::from_iterator(self.values.len(), gains);
        let half = 0.5 / target.len().max(1) as f64;
        Parabola {
            constant: half * target.norm_squared(),
            linear: half * answer.dot(target),
            square: half * answer.norm_squared(),
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
