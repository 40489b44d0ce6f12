//! Gradient descent as the textbook writes it.
//!
//! L(W) = 1/(2N) Σ ‖W x_i − y_i‖², so ∇L = (W X − Y) Xᵀ / N. Owns the definitions that the fast forms are tested against;
//! does not choose step sizes.

use nalgebra::DMatrix;

use super::Problem;

/// W after k steps of size η from W = 0: (d_out, d).
pub fn steps(problem: &Problem, eta: f64, k: u32) -> DMatrix<f64> {
    let pairs = problem.x.ncols().max(1) as f64;
    let mut weights = DMatrix::zeros(problem.y.nrows(), problem.x.nrows());
    for _ in 0..k {
        let gradient = (&weights * &problem.x - &problem.y) * problem.x.transpose() / pairs;
        weights -= eta * gradient;
    }
    weights
}

/// GD++ of one step: each input of the context and the query become (I − γ G) x with G = X Xᵀ/N, then one step of size η.
///
/// The paper (2212.07677, app. A.10) writes γ X Xᵀ; here it is divided by N, as η is, so that γ means the same for every
/// context length. The weights that come back, (d_out, d), act on the query as it was: they contain its preconditioning.
pub fn preconditioned(problem: &Problem, eta: f64, gamma: f64) -> DMatrix<f64> {
    let (d, pairs) = (problem.x.nrows(), problem.x.ncols().max(1) as f64);
    let preconditioner = DMatrix::identity(d, d) - gamma / pairs * &problem.x * problem.x.transpose();
    let inner = Problem { x: &preconditioner * &problem.x, ..problem.clone() };
    steps(&inner, eta, 1) * preconditioner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};

    #[test]
    fn one_step_is_the_sum_of_outer_products() {
        let problem = &Draw::default().problems(1, 1)[0];
        let mut sum = DMatrix::zeros(10, 10);
        for i in 0..10 {
            sum += 6.0 / 10.0 * problem.y.column(i) * problem.x.column(i).transpose();
        }
        assert!(close(&steps(problem, 6.0, 1), &sum, 1e-14));
        assert!(close(&preconditioned(problem, 6.0, 0.0), &sum, 1e-14));
    }

    #[test]
    fn preconditioned_weights_act_on_the_query_as_it_was() {
        let problem = &Draw { outputs: 1, ..Draw::default() }.problems(2, 1)[0];
        let gram = &problem.x * problem.x.transpose() / 10.0;
        let inner = |x: &DMatrix<f64>| x - 2.0 * &gram * x;
        let (x, query) = (inner(&problem.x), inner(&DMatrix::from_column_slice(10, 1, problem.query.as_slice())));
        let answer = 3.0 / 10.0 * &problem.y * x.transpose() * query;
        assert!((answer[0] - (preconditioned(problem, 3.0, 2.0) * &problem.query)[0]).abs() < 1e-14);
    }
}
