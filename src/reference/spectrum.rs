//! One decomposition of a context, from which every batch reference takes its weights.
//!
//! Owns G = X Xᵀ/N = V diag(μ) Vᵀ and B V with B = Y Xᵀ/N. Does not know which filter it is asked for, nor why.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::filter::{Context, RANK};
use super::{Filter, Problem};

/// Conjugate gradients have arrived once the squared residual is this share of the first one: what is left is rounding.
const DONE: f64 = 1e-28;

/// A context, decomposed. With m = min(d, N) directions, since B has no part in any other.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// μ ≥ 0, in no order: (m).
    values: DVector<f64>,
    /// Vᵀ, an eigenvector of G per row: (m, d).
    directions: DMatrix<f64>,
    /// B V: (d_out, m).
    moment: DMatrix<f64>,
    context: Context,
}

impl Spectrum {
    /// Decomposes the whole context. Costs one symmetric eigenproblem of size min(d, N).
    pub fn of(problem: &Problem) -> Self {
        Self::of_pairs(problem, problem.x.ncols())
    }

    /// Decomposes the first 0, 1, …, N pairs: N + 1 spectra. The divisor stays N, the length of the whole context, so
    /// that step sizes keep their meaning and GD-1 is a running sum.
    pub fn after_each_pair(problem: &Problem) -> impl Iterator<Item = Self> + '_ {
        (0..=problem.x.ncols()).map(|pairs| Self::of_pairs(problem, pairs))
    }

    /// Decomposes the first pairs. Where X is not finite the eigenvalues are NaN, and so are all weights but zero's.
    fn of_pairs(problem: &Problem, read: usize) -> Self {
        let (d, outputs) = (problem.x.nrows(), problem.y.nrows());
        let (x, y) = (problem.x.columns(0, read), problem.y.columns(0, read));
        let pairs = problem.x.ncols().max(1) as f64;
        let size = d.min(read);
        let Some(eigen) = eigen(&gram(problem, read)) else {
            let values = DVector::from_element(size, if size == 0 { 0.0 } else { f64::NAN });
            let moment = DMatrix::from_element(outputs, size, f64::NAN);
            return Self::new(values, DMatrix::identity(size, d), moment, pairs);
        };
        let values = eigen.eigenvalues.map(|value| value.max(0.0));
        if read >= d {
            let moment = y * x.transpose() / pairs * &eigen.eigenvectors;
            return Self::new(values, eigen.eigenvectors.transpose(), moment, pairs);
        }
        // With Xᵀ X/N = U diag(μ) Uᵀ: V = X U (N μ)^(−½), and B V = Y U (μ/N)^½.
        let cutoff = RANK * values.max();
        let share = |value: f64| if value > cutoff { 1.0 / (pairs * value).sqrt() } else { 0.0 };
        let (mut directions, mut moment) = ((x * &eigen.eigenvectors).transpose(), y * eigen.eigenvectors);
        for (i, &value) in values.iter().enumerate() {
            directions.row_mut(i).scale_mut(share(value));
            moment.column_mut(i).scale_mut(value * share(value));
        }
        Self::new(values, directions, moment, pairs)
    }

    fn new(values: DVector<f64>, directions: DMatrix<f64>, moment: DMatrix<f64>, pairs: f64) -> Self {
        let context = Context::of(values.as_slice(), pairs);
        Self { values, directions, moment, context }
    }

    /// The eigenvalues of G alone, which cost a fraction of the whole: (min(d, N)), none below 0.
    pub fn values_of(problem: &Problem) -> Vec<f64> {
        let gram = gram(problem, problem.x.ncols());
        if gram.is_empty() || !gram.iter().all(|value| value.is_finite()) {
            return vec![f64::NAN; gram.nrows()];
        }
        gram.symmetric_eigenvalues().iter().map(|value| value.max(0.0)).collect()
    }

    /// μ, the eigenvalues of G that B may have a part in, none below 0: (m).
    pub fn values(&self) -> &[f64] {
        self.values.as_slice()
    }

    /// What filters need besides μ.
    pub fn context(&self) -> Context {
        self.context
    }

    /// W = B V diag(φ) Vᵀ: (d_out, d).
    pub fn weights(&self, filter: Filter) -> DMatrix<f64> {
        if filter == Filter::Zero {
            return DMatrix::zeros(self.moment.nrows(), self.directions.ncols());
        }
        let mut scaled = self.moment.clone();
        for (mut column, &value) in scaled.column_iter_mut().zip(self.values.iter()) {
            column *= filter.gain(value, self.context);
        }
        scaled * &self.directions
    }

    /// Vᵀ x_q: (m).
    pub fn along(&self, query: &DVector<f64>) -> DVector<f64> {
        &self.directions * query
    }

    /// W x_q, (d_out), of the weights that a filter ends with; `along` is [`Self::along`] of the query.
    pub fn answer(&self, filter: Filter, along: &DVector<f64>) -> DVector<f64> {
        if filter == Filter::Zero {
            return DVector::zeros(self.moment.nrows());
        }
        let gain = |(&value, &along): (&f64, &f64)| filter.gain(value, self.context) * along;
        let gains = DVector::from_iterator(self.values.len(), self.values.iter().zip(along.iter()).map(gain));
        &self.moment * gains
    }

    /// What each direction adds to the answer to a query when φ = 1: (d_out, m), and the answer is its product with φ.
    pub fn parts(&self, query: &DVector<f64>) -> DMatrix<f64> {
        let along = self.along(query);
        let mut parts = self.moment.clone();
        for (mut column, &along) in parts.column_iter_mut().zip(along.iter()) {
            column *= along;
        }
        parts
    }

    /// The weights after k iterations of conjugate gradients on W G = B, row by row from 0, along the directions:
    /// (d_out, m).
    fn conjugate_gradients(&self, iterations: u32) -> DMatrix<f64> {
        let mut all = DMatrix::zeros(self.moment.nrows(), self.moment.ncols());
        for (mut solution, row) in all.row_iter_mut().zip(self.moment.row_iter()) {
            let mut residual = row.transpose();
            let (mut direction, mut norm) = (residual.clone(), residual.norm_squared());
            let done = norm * DONE;
            for _ in 0..iterations {
                if norm <= done {
                    break;
                }
                let image = direction.component_mul(&self.values);
                let step = norm / direction.dot(&image);
                solution += step * direction.transpose();
                residual.axpy(-step, &image, 1.0);
                let before = norm;
                norm = residual.norm_squared();
                direction = &residual + norm / before * direction;
            }
        }
        all
    }

    /// [`Self::weights`] after k iterations of conjugate gradients: (d_out, d).
    pub fn cg_weights(&self, iterations: u32) -> DMatrix<f64> {
        self.conjugate_gradients(iterations) * &self.directions
    }

    /// [`Self::answer`] after k iterations of conjugate gradients: (d_out).
    pub fn cg_answer(&self, iterations: u32, along: &DVector<f64>) -> DVector<f64> {
        self.conjugate_gradients(iterations) * along
    }
}

/// G of the first pairs, or Xᵀ X/N where it is smaller; both have the same eigenvalues but for zeros.
fn gram(problem: &Problem, read: usize) -> DMatrix<f64> {
    let (x, pairs) = (problem.x.columns(0, read), problem.x.ncols().max(1) as f64);
    if read >= problem.x.nrows() { x * x.transpose() / pairs } else { x.transpose() * x / pairs }
}

/// `None` where the matrix is empty or not finite.
fn eigen(gram: &DMatrix<f64>) -> Option<SymmetricEigen<f64, nalgebra::Dyn>> {
    let finite = !gram.is_empty() && gram.iter().all(|g| g.is_finite());
    // The eigensolver has no end of its own on what it cannot diagonalise.
    let patience = 1000 + 100 * gram.nrows();
    finite.then(|| SymmetricEigen::try_new(gram.clone(), f64::EPSILON, patience)).flatten()
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

    /// Conjugate gradients as a textbook writes them, on one row of W G = B.
    fn literal(gram: &DMatrix<f64>, target: &DVector<f64>, iterations: usize) -> DVector<f64> {
        let mut weights = DVector::zeros(target.len());
        let mut residual = target - gram * &weights;
        let mut direction = residual.clone();
        for _ in 0..iterations {
            let step = residual.dot(&residual) / direction.dot(&(gram * &direction));
            weights += step * &direction;
            let next = &residual - step * (gram * &direction);
            direction = &next + next.dot(&next) / residual.dot(&residual) * direction;
            residual = next;
        }
        weights
    }

    #[test]
    fn conjugate_gradients_are_the_literal_iteration_and_end_at_least_squares() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            let pairs = problem.x.ncols() as f64;
            let gram = &problem.x * problem.x.transpose() / pairs;
            let moment = &problem.y * problem.x.transpose() / pairs;
            let rank = problem.x.nrows().min(problem.x.ncols());
            for iterations in 1..=3.min(rank) {
                let weights = spectrum.cg_weights(iterations as u32);
                for (row, target) in weights.row_iter().zip(moment.row_iter()) {
                    let expected = literal(&gram, &target.transpose(), iterations);
                    assert!((row.transpose() - &expected).norm() < 1e-8 * expected.norm().max(1.0), "{iterations}");
                }
            }
            let along = spectrum.along(&problem.query);
            let answer = spectrum.cg_answer(2, &along);
            assert!((answer - spectrum.cg_weights(2) * &problem.query).norm() < 1e-10);
            assert!(close(&spectrum.cg_weights(40), &ridge::least_squares(&problem), 1e-5));
        }
    }

    #[test]
    fn newton_is_the_iteration_on_matrices() {
        for problem in cases() {
            let pairs = problem.x.ncols() as f64;
            let gram = &problem.x * problem.x.transpose() / pairs;
            let spectrum = Spectrum::of(&problem);
            let mut inverse = 0.9 / spectrum.context().largest.powi(2) * &gram;
            for iterations in 0..4 {
                let expected = &problem.y * problem.x.transpose() / pairs * &inverse;
                let filter = Filter::Newton { alpha: 0.9, iterations };
                assert!(close(&spectrum.weights(filter), &expected, 1e-9), "{iterations}");
                inverse = 2.0 * &inverse - &inverse * &gram * &inverse;
            }
        }
    }

    #[test]
    fn eigenvalues_alone_are_those_of_the_whole() {
        for problem in cases() {
            let sorted = |mut values: Vec<f64>| {
                values.sort_by(f64::total_cmp);
                values
            };
            let whole = sorted(Spectrum::of(&problem).values().to_vec());
            for (a, b) in sorted(Spectrum::values_of(&problem)).iter().zip(whole) {
                assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn parts_add_up_to_the_answer() {
        for problem in cases() {
            let spectrum = Spectrum::of(&problem);
            let answer = spectrum.weights(Filter::Descent { eta: 2.0, steps: 1 }) * &problem.query;
            let sum = 2.0 * spectrum.parts(&problem.query).column_sum();
            assert!((&answer - sum).norm() < 1e-12);
            let along = spectrum.along(&problem.query);
            let direct = spectrum.answer(Filter::Descent { eta: 2.0, steps: 1 }, &along);
            assert!((answer - direct).norm() < 1e-12);
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
