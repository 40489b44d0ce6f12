//! Normal equations of linear least squares, summed in f64 over any number of batches.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | J | derivative of each equation's answer by each unknown | (equations, p) |
//! | r | what each equation's answer lacks, for each of `sides` independent right-hand sides | (equations, sides) |
//! | `gram` A | Σ Jᵀ J, in the cross-entropy Σ Jᵀ H J with the curvature H of each task's loss | (p, p) |
//! | `moment` b | Σ Jᵀ r | (p, sides) |

use nalgebra::{DMatrix, DVector};

/// The equations so far.
#[derive(Clone, Debug)]
pub struct NormalEquations {
    gram: DMatrix<f64>,
    moment: DMatrix<f64>,
}

impl NormalEquations {
    /// No equations yet, for so many unknowns and right-hand sides.
    pub fn new(unknowns: usize, sides: usize) -> Self {
        Self { gram: DMatrix::zeros(unknowns, unknowns), moment: DMatrix::zeros(unknowns, sides) }
    }

    pub fn unknowns(&self) -> usize {
        self.gram.nrows()
    }

    pub fn sides(&self) -> usize {
        self.moment.ncols()
    }

    /// Adds equations of the squared error: Jᵀ (p, n), a column for each equation, and r (n, sides).
    pub fn add(&mut self, rows: &DMatrix<f64>, residuals: &DMatrix<f64>) {
        self.gram.gemm(1.0, rows, &rows.transpose(), 1.0);
        self.moment.gemm(1.0, rows, residuals, 1.0);
    }

    /// Adds equations of the cross-entropy: Jᵀ (p, n) of logits, the n / `classes` tasks one after the other, their
    /// probabilities (n), and r = y − probabilities (n). The curvature diag(p) − p pᵀ of a task is L Lᵀ with
    /// L = diag(√p) − p √pᵀ.
    pub fn add_logistic(
        &mut self,
        rows: &DMatrix<f64>,
        probabilities: &[f64],
        residuals: &DMatrix<f64>,
        classes: usize,
    ) {
        let mut weighted = rows.clone();
        for (task, probabilities) in probabilities.chunks(classes).enumerate() {
            let mut columns = weighted.columns_mut(task * classes, classes);
            let mean: DVector<f64> = &columns * DVector::from_column_slice(probabilities);
            for (mut column, probability) in columns.column_iter_mut().zip(probabilities) {
                column -= &mean;
                column *= probability.sqrt();
            }
        }
        self.gram.gemm(1.0, &weighted, &weighted.transpose(), 1.0);
        self.moment.gemm(1.0, rows, residuals, 1.0);
    }

    /// The change Δ of the weights w that minimises ‖J Δ − r‖² + λ ‖w + Δ‖², (p, sides), with λ relative to the mean of
    /// the diagonal of A. `None` if no answer depends on the weights, or a number is not finite.
    pub fn ridge_change(&self, relative: f64, weights: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let lambda = relative * self.gram.trace() / self.unknowns() as f64;
        self.solve(lambda, &(&self.moment - weights * lambda))
    }

    /// The change Δ that minimises ‖J Δ − r‖² + μ ‖Δ‖² (Levenberg 1944), with μ relative to the mean of the diagonal of
    /// A. Marquardt's scaling by the diagonal itself leaves weights almost undamped that hardly matter yet, as those of
    /// a GD-SSM at its small random start. `None` as above.
    pub fn damped_change(&self, relative: f64) -> Option<DMatrix<f64>> {
        self.solve(relative * self.gram.trace() / self.unknowns() as f64, &self.moment)
    }

    /// (A + λ)⁻¹ right.
    fn solve(&self, lambda: f64, right: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let mut gram = self.gram.clone();
        (0..self.unknowns()).for_each(|i| gram[(i, i)] += lambda);
        let solution = gram.cholesky()?.solve(right);
        solution.iter().all(|entry| entry.is_finite()).then_some(solution)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Matrix;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> DMatrix<f64> {
        Matrix::from_fn_generic(nalgebra::Dyn(rows), nalgebra::Dyn(columns), |_, _| rng.gen_range(-1.0..1.0))
    }

    /// Independent: the singular value decomposition of the equations themselves, the penalty as further equations.
    #[test]
    fn the_solution_is_that_of_least_squares() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let (equations, unknowns, sides) = (60, 7, 2);
        let (design, weights) = (random(rng, equations, unknowns), random(rng, unknowns, sides));
        let residuals = random(rng, equations, sides);
        let mut sums = NormalEquations::new(unknowns, sides);
        // In two batches of unequal size.
        for rows in [0..25, 25..equations] {
            let part = |matrix: &DMatrix<f64>| matrix.rows(rows.start, rows.len()).into_owned();
            sums.add(&part(&design).transpose(), &part(&residuals));
        }
        for relative in [1e-9, 0.3] {
            let lambda = relative * design.iter().map(|entry| entry * entry).sum::<f64>() / unknowns as f64;
            let whole = DMatrix::from_fn(equations + unknowns, unknowns, |i, j| match i.checked_sub(equations) {
                None => design[(i, j)],
                Some(i) => {
                    if i == j {
                        lambda.sqrt()
                    } else {
                        0.0
                    }
                }
            });
            let right = DMatrix::from_fn(equations + unknowns, sides, |i, j| match i.checked_sub(equations) {
                None => residuals[(i, j)],
                Some(i) => -lambda.sqrt() * weights[(i, j)],
            });
            let expected = whole.svd(true, true).solve(&right, 1e-12).unwrap();
            let found = sums.ridge_change(relative, &weights).unwrap();
            assert!((found - expected).abs().max() < 1e-9);
        }
    }

    /// Independent: Newton's step of the loss Σ −log softmax(J w)_y, by finite differences of its definition.
    #[test]
    fn the_logistic_solution_is_newtons_step() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let (tasks, classes, unknowns) = (30, 3, 4);
        let (design, weights) = (random(rng, tasks * classes, unknowns), random(rng, unknowns, 1));
        let target: Vec<usize> = (0..tasks).map(|_| rng.gen_range(0..classes)).collect();
        let logits = |weights: &DMatrix<f64>| &design * weights;
        let loss = |weights: &DMatrix<f64>| -> f64 {
            let of_task = |(logits, y): (&[f64], &usize)| logits.iter().map(|l| l.exp()).sum::<f64>().ln() - logits[*y];
            logits(weights).as_slice().chunks(classes).zip(&target).map(of_task).sum()
        };
        let probabilities: Vec<f64> = logits(&weights)
            .as_slice()
            .chunks(classes)
            .flat_map(|logits| {
                let sum: f64 = logits.iter().map(|l| l.exp()).sum();
                logits.iter().map(move |l| l.exp() / sum).collect::<Vec<_>>()
            })
            .collect();
        let residual = |i: usize, _| f64::from(u8::from(target[i / classes] == i % classes)) - probabilities[i];
        let mut sums = NormalEquations::new(unknowns, 1);
        let residuals = DMatrix::from_fn(tasks * classes, 1, residual);
        sums.add_logistic(&design.transpose(), &probabilities, &residuals, classes);
        let found = sums.ridge_change(1e-12, &weights).unwrap();
        // The gradient at the new weights of the loss's second-order expansion is zero.
        let h = 1e-4;
        let moved = |i: usize, by: f64| {
            let mut weights = weights.clone();
            weights[i] += by;
            weights
        };
        let gradient = |at: &dyn Fn(f64) -> DMatrix<f64>| (loss(&at(h)) - loss(&at(-h))) / (2.0 * h);
        for i in 0..unknowns {
            let curved: f64 = (0..unknowns)
                .map(|j| {
                    let of = |by: f64| {
                        gradient(&|inner| {
                            let mut weights = moved(i, inner);
                            weights[j] += by;
                            weights
                        })
                    };
                    (of(h) - of(-h)) / (2.0 * h) * found[j]
                })
                .sum();
            let slope = gradient(&|by| moved(i, by));
            assert!((slope + curved).abs() < 1e-5, "{i}: {slope} and {curved}");
        }
    }

    #[test]
    fn weights_that_no_answer_depends_on_stay_or_go_to_zero() {
        let mut sums = NormalEquations::new(2, 1);
        let weights = DMatrix::from_element(2, 1, 0.5);
        assert_eq!(sums.ridge_change(1e-9, &weights), None);
        sums.add(&DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 0.0, 0.0, 0.0]), &DMatrix::from_element(3, 1, 1.0));
        let ridge = sums.ridge_change(1e-9, &weights).unwrap();
        assert!((ridge[1] + 0.5).abs() < 1e-9 && (ridge[0] - 6.0 / 14.0).abs() < 1e-6);
        assert_eq!(sums.damped_change(1e-9).unwrap()[1], 0.0);
    }
}
