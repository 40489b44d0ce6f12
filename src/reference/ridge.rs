//! Least squares and ridge by a factorisation.
//!
//! Owns the definitions that the fast forms are tested against; does not choose λ.

use nalgebra::{DMatrix, SVD};

use super::Problem;

/// Singular values of X below this share of the largest count as 0. Eigenvalues of X Xᵀ are their squares, and lose
/// half of the digits: this is the square root of [`super::filter::RANK`], so that both forms see the same rank.
const RANK: f64 = 1e-6;

/// Iterations that a factorisation may take before it is given up.
const MAX_ITERATIONS: usize = 100_000;

/// W = Y X⁺, the weights of the least norm among those of the least squared error: (d_out, d).
///
/// NaN where X is not finite.
pub fn least_squares(problem: &Problem) -> DMatrix<f64> {
    let failed = || DMatrix::from_element(problem.y.nrows(), problem.x.nrows(), f64::NAN);
    // With numbers that are not finite the iteration would run to its limit.
    let finite = problem.x.iter().all(|x| x.is_finite());
    let svd = finite.then(|| SVD::try_new(problem.x.clone(), true, true, f64::EPSILON, MAX_ITERATIONS)).flatten();
    let Some(svd) = svd else { return failed() };
    let cutoff = RANK * svd.singular_values.max();
    svd.pseudo_inverse(cutoff).map_or_else(|_| failed(), |inverse| &problem.y * inverse)
}

/// W = Y Xᵀ (X Xᵀ + λ I)⁻¹, by Cholesky's factorisation: (d_out, d).
///
/// Where X Xᵀ + λ I has none, as at λ = 0 with N < d, this is [`least_squares`].
pub fn ridge(problem: &Problem, lambda: f64) -> DMatrix<f64> {
    let d = problem.x.nrows();
    let normal = &problem.x * problem.x.transpose() + DMatrix::identity(d, d) * lambda;
    match normal.cholesky() {
        // The matrix is symmetric, so the right-hand side is solved for as columns.
        Some(factor) if lambda > 0.0 => factor.solve(&(&problem.x * problem.y.transpose())).transpose(),
        // Rounding lets a singular matrix pass for a positive one: without λ the singular values decide
        // the rank.
        _ => least_squares(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};

    #[test]
    fn least_squares_satisfies_the_normal_equations_with_least_norm() {
        for context in [3, 10, 25] {
            let problem = &Draw { context, noise: 0.3, ..Draw::default() }.problems(3, 1)[0];
            let weights = least_squares(problem);
            let gradient = (&weights * &problem.x - &problem.y) * problem.x.transpose();
            assert!(gradient.norm() < 1e-9 * problem.y.norm());
            // Rows of minimum-norm weights lie in the span of the inputs.
            let inverse = problem.x.clone().pseudo_inverse(1e-9).unwrap();
            assert!(close(&(&weights * &problem.x * inverse), &weights, 1e-9));
        }
    }

    #[test]
    fn ridge_is_the_stationary_point_of_the_penalised_loss() {
        let problem = &Draw { noise: 0.3, context: 7, ..Draw::default() }.problems(4, 1)[0];
        let weights = ridge(problem, 0.4);
        let gradient = (&weights * &problem.x - &problem.y) * problem.x.transpose() + 0.4 * &weights;
        assert!(gradient.norm() < 1e-12);
        assert!(close(&ridge(problem, 1e-9), &least_squares(problem), 1e-5));
    }

    #[test]
    fn what_is_not_finite_ends_as_nan() {
        let mut problem = Draw::default().problems(5, 1).remove(0);
        problem.x[(0, 0)] = f64::NAN;
        assert!(least_squares(&problem).iter().any(|w| w.is_nan()));
        assert!(ridge(&problem, 0.1).iter().any(|w| w.is_nan()));
    }
}
