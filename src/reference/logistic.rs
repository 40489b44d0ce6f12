//! Gradient descent on the logistic loss of several classes.
//!
//! | here | meaning |
//! |---|---|
//! | W | one row a class, (C, d): the logits of x are W x |
//! | `residual` R | softmax(W X) − Y, column by column: (C, N) |
//!
//! L(W) = −1/N Σ y_i · log softmax(W x_i), so ∇L = R Xᵀ / N. From W = 0 every class has the probability 1/C, and one
//! step ends with W₁ = (η/N) Σ (y_i − 1/C) x_iᵀ: that of least squares, but for the same vector in every row, which
//! changes no probability. Further steps have no closed form. Does not choose η.

use nalgebra::{DMatrix, DVector};

use super::Problem;

/// W after k steps of size η from W = 0 on the first `pairs` pairs: (C, d). The divisor is the N of the whole context,
/// so that step sizes keep their meaning on a part of it.
pub fn steps(problem: &Problem, pairs: usize, eta: f64, k: u32) -> DMatrix<f64> {
    let (x, y) = (problem.x.columns(0, pairs), problem.y.columns(0, pairs));
    let (transposed, rate) = (x.transpose(), eta / problem.x.ncols().max(1) as f64);
    let mut weights = DMatrix::zeros(y.nrows(), x.nrows());
    let mut residual = DMatrix::zeros(y.nrows(), pairs);
    for _ in 0..k {
        residual.gemm(1.0, &weights, &x, 0.0);
        for (mut residual, y) in residual.column_iter_mut().zip(y.column_iter()) {
            softmax(residual.as_mut_slice());
            residual -= y;
        }
        weights.gemm(-rate, &residual, &transposed, 1.0);
    }
    weights
}

/// The cross-entropy of the query.
pub fn loss(problem: &Problem, weights: &DMatrix<f64>) -> f64 {
    cross_entropy(&(weights * &problem.query), &problem.target)
}

/// log Σ exp(logits) less the logit of the class, which is one-hot.
pub fn cross_entropy(logits: &DVector<f64>, class: &DVector<f64>) -> f64 {
    let most = logits.max();
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln() - logits.dot(class)
}

fn softmax(logits: &mut [f64]) {
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - most).exp());
    let whole: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|share| *share /= whole);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};

    fn problem() -> Problem {
        Draw { dim: 3, outputs: 4, context: 6, range: 3.0, ..Draw::default() }.classes(70, 1).1.remove(0)
    }

    /// L(W) as it is written.
    fn context_loss(problem: &Problem, weights: &DMatrix<f64>) -> f64 {
        let pair = |i: usize| {
            let exponentials = (weights * problem.x.column(i)).map(f64::exp);
            -(problem.y.column(i).dot(&exponentials) / exponentials.sum()).ln()
        };
        (0..problem.x.ncols()).map(pair).sum::<f64>() / problem.x.ncols() as f64
    }

    #[test]
    fn one_step_is_the_sum_of_outer_products() {
        let problem = problem();
        let mut sum = DMatrix::zeros(4, 3);
        for i in 0..6 {
            sum += 5.0 / 6.0 * problem.y.column(i).add_scalar(-0.25) * problem.x.column(i).transpose();
        }
        assert!(close(&steps(&problem, 6, 5.0, 1), &sum, 1e-14));
        assert_eq!(steps(&problem, 6, 5.0, 0).norm(), 0.0);
        assert_eq!(steps(&problem, 0, 5.0, 3).norm(), 0.0);
    }

    #[test]
    fn each_step_goes_down_the_gradient_of_the_loss() {
        let problem = problem();
        for k in 0..4 {
            let (before, after) = (steps(&problem, 6, 2.0, k), steps(&problem, 6, 2.0, k + 1));
            let slope = DMatrix::from_fn(4, 3, |row, column| {
                let moved = |by: f64| {
                    let mut weights = before.clone();
                    weights[(row, column)] += by;
                    context_loss(&problem, &weights)
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            });
            assert!(close(&((before - after) / 2.0), &slope, 1e-8), "step {k}");
        }
    }

    #[test]
    fn the_loss_of_nothing_is_that_of_a_guess_and_large_logits_do_no_harm() {
        let problem = problem();
        assert!((loss(&problem, &DMatrix::zeros(4, 3)) - 4f64.ln()).abs() < 1e-12);
        assert!(loss(&problem, &DMatrix::from_element(4, 3, 1e6)).is_finite());
        assert!(steps(&problem, 6, 1e9, 3).iter().all(|weight| weight.is_finite()));
    }
}
