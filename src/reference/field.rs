//! Weights that are a smooth random field over a grid: its posterior mean, and one gradient step weighted by distance.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | K, k | covariance of W between cells, and with the query's: s_w² exp(−r²/2ℓ²) | (N, N), (N) |
//! | g | the weight of each cell in a gradient step | (N) |
//!
//! **Kriging** is Gaussian-process regression of W at the query's cell (Matheron 1963; Rasmussen & Williams 2006, eq.
//! 2.25). A target is y_c = W_c x_c + ε, so for each output W_q = Σ_c k_c α_c x_cᵀ with α = (K ∘ XᵀX + σ² I)⁻¹ y. No
//! learner has a lower mean loss.
//!
//! **One step weighted by distance** is Σ_c g_c y_c x_cᵀ, where g depends on the distance r to the query alone. Its
//! expected loss is ½ d s² (s_w² − 2 gᵀb + gᵀA g), with b = s² k, A = s⁴ K off the diagonal and s_w² q + σ² s² on it
//! (q = m₄ + (d − 1) s⁴), so that the best g solves A g = b on the weights that are alike for equal distances.

use nalgebra::{DMatrix, DVector};

use super::{Problem, ProblemShape};

/// What a reference knows of such tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Of the grid. The query is the cell in the middle; the pairs are all other cells, row by row.
    pub rows: usize,
    pub columns: usize,
    /// ℓ, in cells.
    pub length: f64,
    /// s_w.
    pub weight_scale: f64,
    /// σ.
    pub noise: f64,
    /// (E x², E x⁴) of a coordinate of an input.
    pub moments: (f64, f64),
}

impl Field {
    /// N.
    pub fn pairs(&self) -> usize {
        (self.rows * self.columns).saturating_sub(1)
    }

    /// Row and column of a pair's cell, from the query's.
    pub fn offset(&self, pair: usize) -> (isize, isize) {
        let middle = self.pairs() / 2;
        let cell = pair + usize::from(pair >= middle);
        let place = |cell: usize| ((cell / self.columns) as isize, (cell % self.columns) as isize);
        let ((row, column), (query_row, query_column)) = (place(cell), place(middle));
        (row - query_row, column - query_column)
    }

    fn square(&self, (rows, columns): (isize, isize)) -> usize {
        rows.unsigned_abs().pow(2) + columns.unsigned_abs().pow(2)
    }

    fn covariance(&self, square: usize) -> f64 {
        self.weight_scale.powi(2) * (-0.5 * square as f64 / self.length.powi(2)).exp()
    }

    /// K between two pairs.
    fn between(&self, one: usize, other: usize) -> f64 {
        let ((row, column), (other_row, other_column)) = (self.offset(one), self.offset(other));
        self.covariance(self.square((row - other_row, column - other_column)))
    }

    /// k of a pair.
    fn with_query(&self, pair: usize) -> f64 {
        self.covariance(self.square(self.offset(pair)))
    }

    /// Posterior mean of W at the query's cell from the first `read` pairs, at most N: (d_out, d).
    pub fn kriging(&self, problem: &Problem, read: usize) -> DMatrix<f64> {
        let read = read.min(self.pairs()).min(problem.x.ncols());
        let (x, y) = (problem.x.columns(0, read), problem.y.columns(0, read));
        let mut evidence = x.tr_mul(&x).map_with_location(|i, j, product| product * self.between(i, j));
        for i in 0..read {
            evidence[(i, i)] += self.noise.powi(2);
        }
        // Without noise and with fewer unknowns than cells the matrix is singular up to rounding.
        let alpha = match evidence.clone().cholesky() {
            Some(cholesky) => cholesky.solve(&y.transpose()),
            None => match evidence.svd(true, true).solve(&y.transpose(), 1e-12) {
                Ok(alpha) => alpha,
                Err(_) => DMatrix::zeros(read, y.nrows()),
            },
        };
        let weighted = DMatrix::from_fn(y.nrows(), read, |output, i| alpha[(i, output)] * self.with_query(i));
        weighted * x.transpose()
    }

    /// What kriging takes of each target, answers being linear in them: ŷ = Σ_c h_c y_c, (N).
    pub fn kriging_gains(&self, problem: &Problem) -> DVector<f64> {
        let pairs = problem.x.ncols();
        let unit = Problem { y: DMatrix::identity(pairs, pairs), ..problem.clone() };
        self.kriging(&unit, pairs) * &problem.query
    }

    /// g of each pair, (N), for inputs of width d.
    pub fn distance_weights(&self, dim: usize) -> DVector<f64> {
        let pairs = self.pairs();
        let (s2, m4) = self.moments;
        let diagonal = self.weight_scale.powi(2) * (m4 + (dim as f64 - 1.0) * s2 * s2) + self.noise.powi(2) * s2;
        let squares: Vec<usize> = (0..pairs).map(|pair| self.square(self.offset(pair))).collect();
        let mut distances = squares.clone();
        distances.sort_unstable();
        distances.dedup();
        let class = |pair: usize| distances.partition_point(|square| *square < squares[pair]);
        let mut matrix = DMatrix::zeros(distances.len(), distances.len());
        let mut right = DVector::zeros(distances.len());
        for i in 0..pairs {
            right[class(i)] += s2 * self.with_query(i);
            for j in 0..pairs {
                matrix[(class(i), class(j))] += if i == j { diagonal } else { s2 * s2 * self.between(i, j) };
            }
        }
        let by_class = matrix.cholesky().map(|cholesky| cholesky.solve(&right));
        DVector::from_fn(pairs, |pair, _| by_class.as_ref().map_or(0.0, |weights| weights[class(pair)]))
    }

    /// Σ g_c y_c x_cᵀ over the first `read` pairs, at most N: (d_out, d).
    pub fn by_distance(&self, problem: &Problem, read: usize) -> DMatrix<f64> {
        let weights = self.distance_weights(problem.x.nrows());
        let mut sum = DMatrix::zeros(problem.y.nrows(), problem.x.nrows());
        for pair in 0..read.min(weights.len()).min(problem.x.ncols()) {
            sum.ger(weights[pair], &problem.y.column(pair), &problem.x.column(pair), 1.0);
        }
        sum
    }

    /// Operations of kriging without its answer: G, K ∘ G + σ², Cholesky, two triangular solves, k ∘ α and its sum.
    pub fn kriging_flops(ProblemShape { dim, outputs, context }: ProblemShape) -> u64 {
        let (d, o, n) = (dim as u64, outputs as u64, context as u64);
        n * (n + 1) * d + n * (n + 1) / 2 + n + n * n * n / 3 + 2 * o * n * n + o * n + 2 * n * o * d
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{close, gaussian};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const FIELD: Field =
        Field { rows: 3, columns: 5, length: 1.2, weight_scale: 1.5, noise: 0.3, moments: (1.0 / 3.0, 1.0 / 5.0) };

    /// Problems of the prior, sampled from the joint covariance of all cells.
    fn problems(field: Field, (dim, outputs): (usize, usize), count: usize) -> Vec<Problem> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let pairs = field.pairs();
        // The query is the last of the cells here.
        let covariance = |i: usize, j: usize| match (i == pairs, j == pairs) {
            (true, true) => field.covariance(0),
            (true, false) => field.with_query(j),
            (false, true) => field.with_query(i),
            (false, false) => field.between(i, j),
        };
        let all = DMatrix::from_fn(pairs + 1, pairs + 1, covariance);
        let root = all.cholesky().unwrap().l();
        let mut problem = || {
            let entries: Vec<DMatrix<f64>> =
                (0..dim * outputs).map(|_| &root * gaussian(pairs + 1, 1, &mut rng)).collect();
            let weights = |cell: usize| DMatrix::from_fn(outputs, dim, |o, j| entries[o * dim + j][cell]);
            let x = DMatrix::from_fn(dim, pairs, |_, _| rng.gen_range(-1.0..1.0));
            let query = DVector::from_fn(dim, |_, _| rng.gen_range(-1.0..1.0));
            let noise = field.noise * gaussian(outputs, pairs, &mut rng);
            let columns: Vec<_> = (0..pairs).map(|c| weights(c) * x.column(c) + noise.column(c)).collect();
            Problem { y: DMatrix::from_columns(&columns), target: weights(pairs) * &query, x, query }
        };
        (0..count).map(|_| problem()).collect()
    }

    fn mean_loss(problems: &[Problem], weights: impl Fn(&Problem) -> DMatrix<f64>) -> f64 {
        problems.iter().map(|problem| problem.loss(&weights(problem))).sum::<f64>() / problems.len() as f64
    }

    #[test]
    fn offsets_leave_out_the_cell_in_the_middle() {
        let offsets: Vec<_> = (0..FIELD.pairs()).map(|pair| FIELD.offset(pair)).collect();
        let mut expected: Vec<_> = (-1..=1).flat_map(|row| (-2..=2).map(move |column| (row, column))).collect();
        expected.retain(|offset| *offset != (0, 0));
        assert_eq!(offsets, expected);
    }

    #[test]
    fn kriging_is_the_mean_of_the_joint_normal() {
        // All entries of W in all cells as one normal vector, row by row of X̃, conditioned on the targets outright.
        let problem = &problems(FIELD, (2, 1), 1)[0];
        let (pairs, dim) = (FIELD.pairs(), 2);
        let design =
            DMatrix::from_fn(
                pairs,
                pairs * dim,
                |i, column| {
                    if column / dim == i { problem.x[(column % dim, i)] } else { 0.0 }
                },
            );
        let prior = DMatrix::from_fn(pairs * dim, pairs * dim, |i, j| {
            if i % dim == j % dim { FIELD.between(i / dim, j / dim) } else { 0.0 }
        });
        let cross =
            DMatrix::from_fn(dim, pairs * dim, |i, j| if i == j % dim { FIELD.with_query(j / dim) } else { 0.0 });
        let evidence = &design * prior * design.transpose() + DMatrix::identity(pairs, pairs) * 0.09;
        let mean = cross * design.transpose() * evidence.try_inverse().unwrap() * problem.y.transpose();
        assert!(close(&FIELD.kriging(problem, pairs), &mean.transpose(), 1e-10));
        let gains = FIELD.kriging_gains(problem);
        let answer = FIELD.kriging(problem, pairs) * &problem.query;
        assert!(((&problem.y * gains) - answer).norm() < 1e-12);
    }

    #[test]
    fn a_field_without_end_is_ridge() {
        let flat = Field { length: 1e6, ..FIELD };
        let problem = &problems(FIELD, (3, 2), 1)[0];
        let ridge = crate::reference::ridge::ridge(problem, (0.3f64 / 1.5).powi(2));
        assert!(close(&flat.kriging(problem, 14), &ridge, 1e-8));
    }

    #[test]
    fn weights_by_distance_are_the_best_and_their_loss_is_expected() {
        let problems = problems(FIELD, (2, 2), 20_000);
        let weights = FIELD.distance_weights(2);
        let (s2, _) = FIELD.moments;
        let loss = mean_loss(&problems, |problem| FIELD.by_distance(problem, 14));
        // At the best g the expected loss is ½ d s² (s_w² − gᵀb).
        let gain: f64 = (0..14).map(|pair| weights[pair] * s2 * FIELD.with_query(pair)).sum();
        let expected = 0.5 * 2.0 * s2 * (1.5f64.powi(2) - gain);
        assert!((loss / expected - 1.0).abs() < 0.02, "{loss} not {expected}");
        // Below and above the query's cell alike, and less far away.
        assert_eq!(weights[2], weights[11]);
        assert!((weights[6] - weights[2]).abs() < 1e-12 && weights[2] > weights[1] && weights[1] > weights[0]);
        assert!(mean_loss(&problems, |problem| FIELD.kriging(problem, 14)) < loss);
    }

    #[test]
    fn without_noise_kriging_is_finite() {
        let exact = Field { noise: 0.0, length: 50.0, ..FIELD };
        let problem = &problems(FIELD, (1, 1), 1)[0];
        assert!(exact.kriging(problem, 14).iter().all(|weight| weight.is_finite()));
    }
}
