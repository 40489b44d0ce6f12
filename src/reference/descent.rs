//! Gradient descent as the textbook writes it.
//!
//! L(W) = 1/(2N) Σ ‖W x_i − y_i‖², so ∇L = (W X − Y) Xᵀ / N. Owns the definitions that the fast forms are tested
//! against; does not choose step sizes.

use nalgebra::{DMatrix, DVector};

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

/// GD++ of one step: each input of the context and the query become (I − γ G) x with G = X Xᵀ/N, then one step of size
/// η.
///
/// The paper (2212.07677, app. A.10) writes γ X Xᵀ; here it is divided by N, as η is, so that γ means the same for
/// every context length. The weights that come back, (d_out, d), act on the query as it was: they contain its
/// preconditioning.
pub fn preconditioned(problem: &Problem, eta: f64, gamma: f64) -> DMatrix<f64> {
    let (d, pairs) = (problem.x.nrows(), problem.x.ncols().max(1) as f64);
    let preconditioner = DMatrix::identity(d, d) - gamma / pairs * &problem.x * problem.x.transpose();
    let inner = Problem { x: &preconditioner * &problem.x, ..problem.clone() };
    steps(&inner, eta, 1) * preconditioner
}

/// [`preconditioned`] with the query among the columns of X: each x becomes (I − γ G′) x with G′ = (X Xᵀ + x_q x_qᵀ)/N,
/// as in linear attention whose sums contain the query's own token. W x_q is the answer; it is no linear function of
/// x_q.
pub fn preconditioned_with_query(problem: &Problem, eta: f64, gamma: f64) -> DMatrix<f64> {
    let (d, pairs) = (problem.x.nrows(), problem.x.ncols().max(1) as f64);
    let gram = &problem.x * problem.x.transpose() + &problem.query * problem.query.transpose();
    let preconditioner = DMatrix::identity(d, d) - gamma / pairs * gram;
    let inner = Problem { x: &preconditioner * &problem.x, ..problem.clone() };
    steps(&inner, eta, 1) * preconditioner
}

/// B x_q, B G′ x_q and B G′² x_q on the first `read` pairs, with the divisor N of the whole context: the answer of
/// [`preconditioned_with_query`] is η times (1, −2γ, γ²) of them.
pub fn query_powers(problem: &Problem, read: usize) -> [DVector<f64>; 3] {
    let pairs = problem.x.ncols().max(1) as f64;
    let (x, y) = (problem.x.columns(0, read), problem.y.columns(0, read));
    let query = &problem.query;
    let multiply = |v: &DVector<f64>| (x * x.tr_mul(v) + query.dot(v) * query) / pairs;
    let first = multiply(query);
    let second = multiply(&first);
    [query, &first, &second].map(|v| y * x.tr_mul(v) / pairs)
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
    fn with_the_query_the_answer_is_a_polynomial_in_gamma() {
        let problem = &Draw { outputs: 2, context: 6, ..Draw::default() }.problems(3, 1)[0];
        let answer = preconditioned_with_query(problem, 3.0, 0.7) * &problem.query;
        let [zeroth, first, second] = query_powers(problem, 6);
        assert!((answer - 3.0 * (zeroth - 1.4 * first + 0.49 * second)).norm() < 1e-13);
        let plain = preconditioned_with_query(problem, 3.0, 0.0);
        assert!(close(&plain, &steps(problem, 3.0, 1), 1e-14));
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
