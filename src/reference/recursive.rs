//! The optimum one pair at a time: recursive least squares and the Kalman filter, which are one recursion.
//!
//! | here | textbook |
//! |---|---|
//! | `covariance` P | of one row of W, the same for every row, since all outputs share inputs and noise |
//! | gain k | P x / (σ² + xᵀ P x) |
//!
//! W ← W + (y − W x) kᵀ, P ← P − k (P x)ᵀ, and between two pairs P ← P + τ² I. The first pair is taught by weights from
//! N(0, s_w²), each later one by those plus a step of N(0, τ²) per entry. A step after the last pair would not move the
//! mean, so it is the answer whether or not weights drift once more before the query.
//!
//! With a forgetting factor λ below 1, P ← P/λ between two pairs: exponentially weighted recursive least squares, which
//! ends with the weights of least Σ λ^(N−i) ‖y_i − W x_i‖² + λ^(N−1) (σ²/s_w²) ‖W‖².
//!
//! Recursive least squares starts from P₀ = I/λ with noise 1. Scaling both by λ changes no gain, so here it is the
//! filter with P₀ = I and σ² = λ, which exists at λ = 0 too. Owns the recursion; does not choose λ.

use nalgebra::{DMatrix, DVector};

use super::Problem;

/// Below this share of what a direction was uncertain by at first, it counts as known: rounding is all that is left.
const KNOWN: f64 = 1e-11;

/// A linear-Gaussian model of a task: what a filter believes before it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauss {
    /// s_w, the standard deviation of an entry of W.
    pub weight_scale: f64,
    /// σ, the standard deviation of the noise on a target.
    pub noise: f64,
    /// τ, the standard deviation of an entry's step from one pair to the next.
    pub drift: f64,
    /// λ, by which the weight of old pairs is multiplied from one pair to the next: 1 forgets nothing.
    pub forgetting: f64,
}

impl Gauss {
    /// The filter that is recursive least squares with P₀ = I/λ, that is ridge with λ.
    pub fn recursive_least_squares(lambda: f64) -> Self {
        Self { weight_scale: 1.0, noise: lambda.max(0.0).sqrt(), drift: 0.0, forgetting: 1.0 }
    }
}

/// A filter in the middle of a context.
#[derive(Clone, Debug)]
pub struct State {
    gauss: Gauss,
    /// The posterior mean of W: (d_out, d).
    pub weights: DMatrix<f64>,
    /// The posterior covariance of a row of W: (d, d).
    pub covariance: DMatrix<f64>,
    pairs: usize,
}

impl State {
    /// Before the first pair: W = 0, P = s_w² I.
    pub fn new(gauss: Gauss, dim: usize, outputs: usize) -> Self {
        let covariance = DMatrix::identity(dim, dim) * gauss.weight_scale.powi(2);
        Self { gauss, weights: DMatrix::zeros(outputs, dim), covariance, pairs: 0 }
    }

    /// Reads one pair.
    ///
    /// Where the pair can say nothing new, because there is no noise and the answer is already known, it is passed
    /// over.
    pub fn read(&mut self, x: &DVector<f64>, y: &DVector<f64>) {
        let drift = self.gauss.drift.powi(2);
        if self.pairs > 0 && drift > 0.0 {
            for i in 0..self.covariance.nrows() {
                self.covariance[(i, i)] += drift;
            }
        }
        if self.pairs > 0 && self.gauss.forgetting != 1.0 {
            self.covariance /= self.gauss.forgetting;
        }
        self.pairs += 1;
        let spread = &self.covariance * x;
        let uncertainty = self.gauss.noise.powi(2) + x.dot(&spread);
        if uncertainty <= KNOWN * self.gauss.weight_scale.powi(2) * x.norm_squared() {
            return;
        }
        let surprise = y - &self.weights * x;
        self.weights.ger(1.0 / uncertainty, &surprise, &spread, 1.0);
        self.covariance.ger(-1.0 / uncertainty, &spread, &spread, 1.0);
    }
}

/// The posterior mean after 0, 1, …, N pairs: N + 1 matrices (d_out, d).
pub fn after_each_pair(problem: &Problem, gauss: Gauss) -> Vec<DMatrix<f64>> {
    let mut state = State::new(gauss, problem.x.nrows(), problem.y.nrows());
    let mut all = vec![state.weights.clone()];
    for i in 0..problem.x.ncols() {
        state.read(&problem.x.column(i).into_owned(), &problem.y.column(i).into_owned());
        all.push(state.weights.clone());
    }
    all
}

/// The posterior mean after the whole context: (d_out, d).
pub fn last(problem: &Problem, gauss: Gauss) -> DMatrix<f64> {
    let mut state = State::new(gauss, problem.x.nrows(), problem.y.nrows());
    for i in 0..problem.x.ncols() {
        state.read(&problem.x.column(i).into_owned(), &problem.y.column(i).into_owned());
    }
    state.weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};
    use crate::reference::ridge;

    /// The first t pairs.
    fn prefix(problem: &Problem, t: usize) -> Problem {
        Problem { x: problem.x.columns(0, t).into_owned(), y: problem.y.columns(0, t).into_owned(), ..problem.clone() }
    }

    #[test]
    fn recursive_least_squares_is_ridge_after_every_pair() {
        for (context, lambda) in [(4, 0.3), (10, 0.01), (25, 2.0)] {
            let problem = &Draw { context, noise: 0.2, ..Draw::default() }.problems(6, 1)[0];
            let after_each_pair = after_each_pair(problem, Gauss::recursive_least_squares(lambda));
            assert_eq!(after_each_pair.len(), context + 1);
            assert_eq!(after_each_pair[0].norm(), 0.0);
            for (t, weights) in after_each_pair.iter().enumerate().skip(1) {
                assert!(close(weights, &ridge::ridge(&prefix(problem, t), lambda), 1e-10), "{context} {t}");
            }
            assert_eq!(after_each_pair[context], last(problem, Gauss::recursive_least_squares(lambda)));
        }
    }

    #[test]
    fn without_noise_it_is_least_squares_after_every_pair() {
        let problem = &Draw { context: 15, dim: 6, ..Draw::default() }.problems(7, 1)[0];
        let after_each_pair = after_each_pair(problem, Gauss::recursive_least_squares(0.0));
        for (t, weights) in after_each_pair.iter().enumerate().skip(1) {
            assert!(close(weights, &ridge::least_squares(&prefix(problem, t)), 1e-7), "{t}");
        }
    }

    #[test]
    fn a_still_kalman_filter_is_ridge_with_the_bayes_penalty() {
        let problem = &Draw { noise: 0.5, weight_scale: 2.0, ..Draw::default() }.problems(8, 1)[0];
        let weights = last(problem, Gauss { weight_scale: 2.0, noise: 0.5, drift: 0.0, forgetting: 1.0 });
        assert!(close(&weights, &ridge::ridge(problem, 0.0625), 1e-10));
    }

    #[test]
    fn forgetting_is_weighted_ridge() {
        let problem = &Draw { dim: 4, context: 9, noise: 0.2, ..Draw::default() }.problems(84, 1)[0];
        let weight = |i: usize| 0.8f64.powi(8 - i as i32);
        let scaled = DMatrix::from_fn(4, 9, |row, i| weight(i) * problem.x[(row, i)]);
        let normal = &scaled * problem.x.transpose() + DMatrix::identity(4, 4) * 0.3 * weight(0);
        let expected = &problem.y * scaled.transpose() * normal.try_inverse().unwrap();
        let gauss = Gauss { forgetting: 0.8, ..Gauss::recursive_least_squares(0.3) };
        assert!(close(&last(problem, gauss), &expected, 1e-10));
    }

    #[test]
    fn drifting_weights_are_the_posterior_mean_of_the_joint_normal() {
        // All targets and the last weights are jointly normal: condition them outright.
        let draw =
            Draw { dim: 3, outputs: 2, context: 6, noise: 0.3, drift: 0.4, weight_scale: 1.5, ..Draw::default() };
        let problem = &draw.problems(9, 1)[0];
        let prior = |i: usize, j: usize| 1.5f64.powi(2) + 0.4f64.powi(2) * i.min(j) as f64;
        let mut evidence = DMatrix::from_fn(6, 6, |i, j| prior(i, j) * problem.x.column(i).dot(&problem.x.column(j)));
        for i in 0..6 {
            evidence[(i, i)] += 0.09;
        }
        let cross = DMatrix::from_fn(6, 3, |i, c| prior(i, 5) * problem.x[(c, i)]);
        let mean = &problem.y * evidence.try_inverse().unwrap() * cross;
        assert!(close(&last(problem, draw.prior().gauss().unwrap()), &mean, 1e-10));
    }
}
