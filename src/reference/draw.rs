//! Tasks for the tests of this module, drawn from a prior that they can be checked against.
//!
//! Owns a second, plain way to draw tasks, so that references and `task` are tested apart.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Loss, Prior, Problem, ProblemShape};

/// A distribution of linear tasks. The default is d = d_out = N = 10, r = 1, without noise.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    pub dim: usize,
    pub outputs: usize,
    pub context: usize,
    pub range: f64,
    pub weight_scale: f64,
    pub noise: f64,
    pub drift: f64,
    pub normal: bool,
}

impl Default for Draw {
    fn default() -> Self {
        Self { dim: 10, outputs: 10, context: 10, range: 1.0, weight_scale: 1.0, noise: 0.0, drift: 0.0, normal: false }
    }
}

impl Draw {
    pub fn prior(&self) -> Prior {
        let s2 = self.range.powi(2) / 12.0;
        let m4 = if self.normal { 3.0 * s2 * s2 } else { self.range.powi(4) / 80.0 };
        Prior {
            shape: ProblemShape { dim: self.dim, outputs: self.outputs, context: self.context },
            loss: Loss::Squared,
            weight_scale: Some(self.weight_scale),
            noise: self.noise,
            drift: self.drift,
            moments: Some((s2, m4)),
            distractors: 0,
            field: None,
        }
    }

    pub fn problems(&self, seed: u64, count: usize) -> Vec<Problem> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| self.problem(&mut rng)).collect()
    }

    /// Problems of classification: each target, the query's too, is the one-hot vector of its greatest entry.
    pub fn classes(&self, seed: u64, count: usize) -> (Prior, Vec<Problem>) {
        let one_hot = |y: DVector<f64>| DVector::from_fn(y.len(), |i, _| f64::from(u8::from(i == y.imax())));
        let classify = |problem: Problem| {
            let columns: Vec<_> = problem.y.column_iter().map(|y| one_hot(y.into_owned())).collect();
            Problem { y: DMatrix::from_columns(&columns), target: one_hot(problem.target), ..problem }
        };
        let prior = Prior { loss: Loss::CrossEntropy, weight_scale: None, moments: None, ..self.prior() };
        (prior, self.problems(seed, count).into_iter().map(classify).collect())
    }

    fn problem(&self, rng: &mut ChaCha8Rng) -> Problem {
        let (d, outputs) = (self.dim, self.outputs);
        let x = DMatrix::from_fn(d, self.context, |_, _| self.input(rng));
        let query = DVector::from_fn(d, |_, _| self.input(rng));
        let mut weights = self.weight_scale * gaussian(outputs, d, rng);
        let mut y = DMatrix::zeros(outputs, self.context);
        for i in 0..self.context {
            if i > 0 && self.drift > 0.0 {
                weights += self.drift * gaussian(outputs, d, rng);
            }
            y.set_column(i, &(&weights * x.column(i)));
        }
        if self.noise > 0.0 {
            y += self.noise * gaussian(outputs, self.context, rng);
        }
        let target = &weights * &query;
        Problem { x, y, query, target }
    }

    fn input(&self, rng: &mut ChaCha8Rng) -> f64 {
        if self.normal { normal(rng) * self.range / 12f64.sqrt() } else { rng.gen_range(-0.5..0.5) * self.range }
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

pub fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| normal(rng))
}

/// Whether two matrices agree to a relative precision.
pub fn close(a: &DMatrix<f64>, b: &DMatrix<f64>, precision: f64) -> bool {
    (a - b).norm() <= precision * b.norm().max(1e-12)
}
