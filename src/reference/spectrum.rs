//! One decomposition of a context, from which every batch reference takes its weights.
//!
//! Owns G = X Xᵀ/N = V diag(μ) Vᵀ and B V with B = Y Xᵀ/N. Does not know which filter it is asked for, nor why.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::{Filter, Problem};

/// Eigenvalues below this share of the largest are rounding, and count as 0.
pub(super) const RANK: f64 = 1e-12;

/// A context, decomposed.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// μ ≥ 0, in no order: (d).
    values: DVector<f64>,
    /// Vᵀ, an eigenvector per row: (d, d).
    directions: DMatrix<f64>,
    /// B V: (d_out, d).
    moment: DMatrix<f64>,
    /// N.
    pairs: f64,
}

impl Spectrum {
    /// Decomposes the whole context. Costs one symmetric eigenproblem of size d.
    pub fn of(problem: &Problem) -> Self {
        let pairs = problem.x.ncols().max(1) as f64;
        let transposed = problem.x.transpose();
        Self::from_moments(&problem.x * &transposed / pairs, &problem.y * &transposed / pairs, pairs)
    }

    /// Decomposes the first 0, 1, …, N pairs: N + 1 spectra. The divisor stays N, the length of the whole context, so that
    /// step sizes keep their meaning and GD-1 is a running sum.
    pub fn after_each_pair(problem: &Problem) -> impl Iterator<Item = Self> + '_ {
        let (d, outputs, context) = (problem.x.nrows(), problem.y.nrows(), problem.x.ncols());
        let pairs = context.max(1) as f64;
        let (mut gram, mut moment) = (DMatrix::zeros(d, d), DMatrix::zeros(outputs, d));
        (0..=context).map(move |t| {
            if t > 0 {
                let (x, y) = (problem.x.column(t - 1), problem.y.column(t - 1));
                gram.ger(1.0 / pairs, &x, &x, 1.0);
                moment.ger(1.0 / pairs, &y, &x, 1.0);
            }
            Self::from_moments(gram.clone(), moment.clone(), pairs)
        })
    }

    /// From G (d, d), B (d_out, d) and N. Where G is not finite the eigenvalues are NaN, and so are all weights but zero's.
    fn from_moments(gram: DMatrix<f64>, moment: DMatrix<f64>, pairs: f64) -> Self {
        let d = gram.nrows();
        let finite = gram.iter().all(|g| g.is_finite());
        // The eigensolver has no end of its own on what it cannot diagonalise.
        let patience = 1000 + 100 * d;
        match finite.then(|| SymmetricEigen::try_new(gram, f64::EPSILON, patience)).flatten() {
            Some(eigen) => {
                let values = eigen.eigenvalues.map(|value| value.max(0.0));
                let moment = moment * &eigen.eigenvectors;
                Self { values, directions: eigen.eigenvectors.transpose(), moment, pairs }
            }
            None => {
                let values = DVector::from_element(d, f64::NAN);
                Self { values, directions: DMatrix::identity(d, d), moment, pairs }
            }
        }
    }

    /// μ, the eigenvalues of G, none below 0: (d).
    pub fn values(&self) -> &[f64] {
        self.values.as_slice()
    }

    /// N, the divisor in G.
    pub fn pairs(&self) -> f64 {
        self.pairs
    }

    /// The eigenvalue up to which there are no data.
    pub fn cutoff(&self) -> f64 {
        RANK * self.values.iter().fold(0.0f64, |most, &value| most.max(value))
    }

    /// W = B V diag(φ) Vᵀ: (d_out, d).
    pub fn weights(&self, filter: Filter) -> DMatrix<f64> {
        if filter == Filter::Zero {
            return DMatrix::zeros(self.moment.nrows(), self.moment.ncols());
        }
        let mut scaled = self.moment.clone();
        let cutoff = self.cutoff();
        for (mut column, &value) in scaled.column_iter_mut().zip(self.values.iter()) {
            column *= filter.gain(value, self.pairs, cutoff);
        }
        scaled * &self.directions
    }

    /// What each direction adds to the answer to a query when φ = 1: (d_out, d), and the answer is its product with φ.
    pub fn parts(&self, query: &DVector<f64>) -> DMatrix<f64> {
        let along = &self.directions * query;
        let mut parts = self.moment.clone();
        for (mut column, &along) in parts.column_iter_mut().zip(along.iter()) {
            column *= along;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};
    use crate::reference::{descent, ridge};

    fn cases() -> Vec<Problem> {
        let base = Draw { noise: 0.1, ..Draw::default() };
        let shapes = [(10, 10, 10), (4, 1, 9), (8, 3, 5), (1, 1, 3), (6, 6, 1), (5, 5, 40)];
        let mut all = Vec::new();
        for (seed, (dim, outputs, context)) in shapes.into_iter().enumerate() {
            all.extend(Draw { dim, outputs, context, ..base }.problems(10 + seed as u64, 3));
        }
        all
    }

    #[test]
    fn descent_is_the_literal_iteration() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            for steps in [0, 1, 2, 3, 5, 10, 50] {
                let fast = spectrum.weights(Filter::Descent { eta: 3.0, steps });
                assert!(close(&fast, &descent::steps(&problem, 3.0, steps), 1e-10), "{steps}");
            }
            let fast = spectrum.weights(Filter::Preconditioned { eta: 6.0, gamma: 1.5 });
            assert!(close(&fast, &descent::preconditioned(&problem, 6.0, 1.5), 1e-10));
        }
    }

    #[test]
    fn least_squares_is_the_pseudo_inverse() {
        for problem in cases() {
            let fast = Spectrum::of(&problem).weights(Filter::LeastSquares);
            assert!(close(&fast, &ridge::least_squares(&problem), 1e-7));
        }
        // The same input twice: the rank falls below N.
        let mut problem = Draw { noise: 0.1, ..Draw::default() }.problems(20, 1).remove(0);
        let first = problem.x.column(0).into_owned();
        problem.x.set_column(1, &first);
        problem.x.set_column(2, &(-2.0 * first));
        let fast = Spectrum::of(&problem).weights(Filter::LeastSquares);
        assert!(close(&fast, &ridge::least_squares(&problem), 1e-7));
    }

    #[test]
    fn ridge_is_the_normal_equations() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            for lambda in [1e-3, 0.1, 10.0] {
                let fast = spectrum.weights(Filter::Ridge { lambda });
                assert!(close(&fast, &ridge::ridge(&problem, lambda), 1e-9), "{lambda}");
            }
        }
    }

    #[test]
    fn many_steps_end_at_least_squares() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            let eta = 1.0 / spectrum.values().iter().fold(0.0f64, |most, &value| most.max(value));
            let far = spectrum.weights(Filter::Descent { eta, steps: 1_000_000_000 });
            assert!(close(&far, &ridge::least_squares(&problem), 1e-6));
        }
    }

    #[test]
    fn parts_add_up_to_the_answer() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            let answer = spectrum.weights(Filter::Descent { eta: 2.0, steps: 1 }) * &problem.query;
            let sum = 2.0 * spectrum.parts(&problem.query).column_sum();
            assert!((answer - sum).norm() < 1e-12);
        }
    }

    #[test]
    fn what_is_not_finite_ends_as_nan_and_no_data_as_zero() {
        let mut problem = Draw::default().problems(21, 1).remove(0);
        problem.x.fill(0.0);
        for filter in [Filter::LeastSquares, Filter::Ridge { lambda: 0.0 }, Filter::Descent { eta: 1.0, steps: 3 }] {
            assert_eq!(Spectrum::of(&problem).weights(filter).norm(), 0.0);
        }
        problem.x[(1, 1)] = f64::INFINITY;
        assert!(Spectrum::of(&problem).weights(Filter::LeastSquares).iter().any(|w| w.is_nan()));
    }
}
