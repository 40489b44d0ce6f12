//! Learners that read a context once, pair by pair, with a gain that is a constant or a function of x alone.
//!
//! | learner | one pair (x, y), from S = 0 |
//! |---|---|
//! | forgetting | S ← λ S + (η/N) y xᵀ, so that S_N = (η/N) Σ λ^(N−i) y_i x_iᵀ |
//! | LMS (Widrow–Hoff, the delta rule) | S ← S + η (y − S x) xᵀ |
//! | leaky LMS | S ← α S + η (y − α S x) xᵀ = α S (I − η x xᵀ) + η y xᵀ |
//! | normalised LMS | S ← S + η (y − S x) xᵀ / ‖x‖² |
//!
//! Owns the recursions; does not choose their parameters.

use nalgebra::{DMatrix, DVector};

use super::Problem;

/// An online learner with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Online {
    /// One gradient step in which a pair loses the factor λ = `forgetting` for each later one.
    Forgetting { eta: f64, forgetting: f64 },
    /// LMS; leaky for α = `forgetting` below 1.
    Lms { eta: f64, forgetting: f64 },
    /// Normalised LMS. A pair with x = 0 is passed over.
    Nlms { eta: f64 },
}

impl Online {
    /// The weights after 0, 1, …, N pairs: N + 1 matrices (d_out, d).
    pub fn after_each_pair(self, problem: &Problem) -> Vec<DMatrix<f64>> {
        let mut weights = DMatrix::zeros(problem.y.nrows(), problem.x.nrows());
        let mut all = vec![weights.clone()];
        for pair in 0..problem.x.ncols() {
            self.read(&mut weights, problem, pair);
            all.push(weights.clone());
        }
        all
    }

    /// The weights after the whole context: (d_out, d).
    pub fn weights(self, problem: &Problem) -> DMatrix<f64> {
        let mut weights = DMatrix::zeros(problem.y.nrows(), problem.x.nrows());
        (0..problem.x.ncols()).for_each(|pair| self.read(&mut weights, problem, pair));
        weights
    }

    /// S_N x_q, (d_out), from the last pair to the first. Reading a pair is S ← S A + c y xᵀ, so S_N x_q takes c y (x ·
    /// q) of it, and q ← A q is what the pairs before are asked for: N · d operations in place of N · d · d_out.
    pub fn answer(self, problem: &Problem) -> DVector<f64> {
        let mut query = problem.query.clone();
        let mut answer = DVector::zeros(problem.y.nrows());
        let pairs = problem.x.ncols().max(1) as f64;
        for (x, y) in problem.x.column_iter().zip(problem.y.column_iter()).rev() {
            let along = x.dot(&query);
            match self {
                Self::Forgetting { eta, forgetting } => {
                    answer.axpy(eta / pairs * along, &y, 1.0);
                    query *= forgetting;
                }
                Self::Lms { eta, forgetting } => {
                    answer.axpy(eta * along, &y, 1.0);
                    query.axpy(-forgetting * eta * along, &x, forgetting);
                }
                Self::Nlms { eta } => {
                    let gain = normalised(eta, x.norm_squared());
                    answer.axpy(gain * along, &y, 1.0);
                    query.axpy(-gain * along, &x, 1.0);
                }
            }
        }
        answer
    }

    /// Reads one pair: the definition.
    fn read(self, weights: &mut DMatrix<f64>, problem: &Problem, pair: usize) {
        let (x, y) = (problem.x.column(pair), problem.y.column(pair));
        match self {
            Self::Forgetting { eta, forgetting } => {
                weights.ger(eta / problem.x.ncols() as f64, &y, &x, forgetting);
            }
            Self::Lms { eta, forgetting } => {
                let error = y - forgetting * &*weights * x;
                weights.ger(eta, &error, &x, forgetting);
            }
            Self::Nlms { eta } => {
                let error = y - &*weights * x;
                weights.ger(normalised(eta, x.norm_squared()), &error, &x, 1.0);
            }
        }
    }
}

/// η/‖x‖², and 0 for x = 0.
fn normalised(eta: f64, square: f64) -> f64 {
    if square == 0.0 { 0.0 } else { eta / square }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::descent;
    use crate::reference::draw::{Draw, close};

    #[test]
    fn forgetting_is_the_weighted_sum_and_without_it_one_gradient_step() {
        let problem = &Draw { context: 7, ..Draw::default() }.problems(80, 1)[0];
        let mut sum = DMatrix::zeros(10, 10);
        for i in 0..7 {
            sum += 0.8f64.powi(6 - i as i32) * 3.0 / 7.0 * problem.y.column(i) * problem.x.column(i).transpose();
        }
        assert!(close(&Online::Forgetting { eta: 3.0, forgetting: 0.8 }.weights(problem), &sum, 1e-14));
        let plain = Online::Forgetting { eta: 3.0, forgetting: 1.0 }.weights(problem);
        assert!(close(&plain, &descent::steps(problem, 3.0, 1), 1e-14));
    }

    #[test]
    fn normalised_lms_with_the_whole_step_answers_the_last_pair_exactly() {
        let problem = &Draw { dim: 4, ..Draw::default() }.problems(81, 1)[0];
        let learner = Online::Nlms { eta: 1.0 };
        for (t, weights) in learner.after_each_pair(problem).iter().enumerate().skip(1) {
            let (x, y) = (problem.x.column(t - 1), problem.y.column(t - 1));
            assert!((weights * x - y).norm() < 1e-13, "{t}");
        }
    }

    #[test]
    fn one_pair_of_lms_is_one_gradient_step() {
        let problem = &Draw { context: 1, ..Draw::default() }.problems(82, 1)[0];
        let lms = Online::Lms { eta: 1.7, forgetting: 0.9 }.weights(problem);
        assert!(close(&lms, &descent::steps(problem, 1.7, 1), 1e-14));
    }

    #[test]
    fn from_the_last_pair_to_the_first_the_answer_is_the_same() {
        let mut problem = Draw { outputs: 3, ..Draw::default() }.problems(83, 1).remove(0);
        problem.x.column_mut(4).fill(0.0);
        let learners = [
            Online::Forgetting { eta: 5.0, forgetting: 0.7 },
            Online::Lms { eta: 1.1, forgetting: 1.0 },
            Online::Lms { eta: 1.1, forgetting: 0.9 },
            Online::Nlms { eta: 0.8 },
        ];
        for learner in learners {
            let weights = learner.weights(&problem);
            assert_eq!(learner.after_each_pair(&problem)[10], weights);
            assert!((learner.answer(&problem) - weights * &problem.query).norm() < 1e-13, "{learner:?}");
        }
    }
}
