//! The mesa layer's answer: ŷ = G z with (H + Λ) z ≈ q by some iterations of conjugate gradients.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | the pairs, of which the first N are read | (B, ≥ N, n), (B, ≥ N, m) |
//! | `query` q | what (H + Λ)⁻¹ is multiplied by | (B, 1, n) |
//! | `log_penalty` l | Λ = diag(λ), λ = exp(l) + 10⁻⁶ | (1, n) |
//! | H = Σ k kᵀ, G = Σ v kᵀ | never made: H p = Σ k (k · p) | |
//! | z, r, p | the solution, its residual q − (H + Λ) z, the direction; z = 0, r = p = q at first | (n) |
//!
//! One iteration: α = r·r / p·(H + Λ)p, z ← z + α p, r ← r − α (H + Λ) p, β = r·r / (r·r before), p ← r + β p. After n
//! iterations z is the exact solution, and ŷ is ridge regression. Source: MesaNet 2506.05233, section 3, which also
//! starts from Λ⁻¹ q; Hestenes & Stiefel 1952. The backward pass goes back through the iterations; on the CPU all of it
//! is in double precision, because α and β divide by residuals that vanish.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::ridge::{FLOOR, Wide, lambda, wide};
use super::{Grads, NodeId, ParamId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, slice};
use crate::simd::{LANES, Lane, each};

#[derive(Clone, Debug)]
pub struct Mesa {
    pub keys: NodeId,
    pub values: NodeId,
    pub query: NodeId,
    pub log_penalty: ParamId,
    /// N.
    pub pairs: usize,
    /// Iterations.
    pub steps: usize,
}

/// Added to what divides, so that a residual of zero stays zero.
const TINY: f64 = 1e-30;

impl Step for Mesa {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.keys, self.values, self.query]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (keys, values, query) = (given.of::<T>(self.keys), given.of::<T>(self.values), given.of::<T>(self.query));
        let ((batch, _, n), m) = (*keys.shape(), values.shape().2);
        if self.pairs == 0 {
            let zeros: Tensor3<D> = query.device().try_zeros_like(&(batch, 1, m))?;
            return Ok([keys, values, query].into_iter().fold(zeros.retaped::<T>(), join));
        }
        let vector = (batch, n, 1);
        let keys = slice(keys, (0..batch, 0..self.pairs, 0..n))?;
        let values = slice(values, (0..batch, 0..self.pairs, 0..m))?;
        let across = keys.retaped::<T>().try_mul(1.0f32)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (B, n, N)
        let penalty: Matrix<D, T> = given.param::<T>(self.log_penalty).try_exp()?.try_add(FLOOR)?;
        let penalty = penalty.try_reshape_like(&(n,))?.try_broadcast_like::<_, Axes2<0, 2>>(&vector)?;
        let by_matrix = |p: Tensor3<D, T>| -> DeviceResult<Tensor3<D, T>, D> {
            let seen = keys.retaped::<T>().try_matmul(p.retaped::<T>())?;
            across.retaped::<T>().try_matmul(seen)?.try_add(p.try_mul(penalty.retaped::<T>())?)
        };
        // A copy: dfdx does not differentiate the product of a tensor with itself.
        let dot = |a: Tensor3<D, T>, b: Tensor3<D, T>| -> DeviceResult<Tensor<(usize,), f32, D, T>, D> {
            a.try_mul(b.try_mul(1.0f32)?)?.try_sum::<_, Axes2<1, 2>>()
        };
        let spread = |number: Tensor<(usize,), f32, D, T>| number.try_broadcast_like::<_, Axes2<1, 2>>(&vector);
        let mut rest = query.retaped::<T>().try_reshape_like(&vector)?;
        let mut direction = rest.retaped::<T>().try_mul(1.0f32)?;
        let mut square = dot(rest.retaped::<T>(), rest.retaped::<T>())?;
        let mut solution: Option<Tensor3<D, T>> = None;
        for _ in 0..self.steps {
            let image = by_matrix(direction.retaped::<T>())?;
            let along = dot(direction.retaped::<T>(), image.retaped::<T>())?.try_add(TINY as f32)?;
            let alpha = spread(square.retaped::<T>().try_div(along)?)?;
            let change = direction.retaped::<T>().try_mul(alpha.retaped::<T>())?;
            solution = Some(match solution {
                Some(solution) => solution.try_add(change)?,
                None => change,
            });
            rest = rest.try_sub(image.try_mul(alpha)?)?;
            let next = dot(rest.retaped::<T>(), rest.retaped::<T>())?;
            let beta = next.retaped::<T>().try_div(square.try_add(TINY as f32)?)?;
            direction = rest.retaped::<T>().try_add(direction.try_mul(spread(beta)?)?)?;
            square = next;
        }
        let zeros: Tensor3<D> = query.device().try_zeros_like(&vector)?;
        let solution = solution.unwrap_or_else(|| zeros.retaped::<T>());
        let weights = keys.retaped::<T>().try_matmul(solution)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (B, 1, N)
        let answer = join(join(weights.try_matmul(values)?, penalty), across);
        // What the last iteration leaves is not read, and its tape goes on.
        let answer = join(join(join(answer, square), direction), rest);
        Ok([keys, query].into_iter().fold(answer, join))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(&self.problem(&given, out.len()), self.steps, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (by, [grad_log]) = grads.of([self.keys, self.values, self.query], [self.log_penalty]);
        let mut grad_penalty = vec![0.0; grad_log.len()];
        backward(&self.problem(&given, grad_out.len()), self.steps, grad_out, (by, &mut grad_penalty));
        for ((sum, log), grad) in grad_log.iter_mut().zip(given.param(self.log_penalty)).zip(grad_penalty) {
            *sum += log.exp() * grad;
        }
    }
}

impl Mesa {
    fn problem<'a>(&self, given: &Values<'a>, outputs: usize) -> Problem<'a> {
        let penalty: Vec<f32> = given.param(self.log_penalty).iter().copied().map(lambda).collect();
        let n = penalty.len();
        Problem {
            keys: &given.of(self.keys)[..self.pairs * n],
            values: &given.of(self.values)[..self.pairs * outputs],
            query: given.of(self.query),
            penalty,
            outputs,
        }
    }
}

/// What one block solves.
struct Problem<'a> {
    keys: &'a [Lane],
    values: &'a [Lane],
    query: &'a [Lane],
    penalty: Vec<f32>,
    /// m.
    outputs: usize,
}

/// One iteration: p, (H + Λ) p, r·r, p·(H + Λ)p, α, β, and r after it.
struct Iteration {
    direction: Vec<Wide>,
    image: Vec<Wide>,
    square: Wide,
    along: Wide,
    alpha: Wide,
    beta: Wide,
    rest: Vec<Wide>,
}

const ZEROS: Wide = [0.0; LANES];

#[inline(always)]
fn dot(a: &[Wide], b: &[Wide]) -> Wide {
    let mut sum = ZEROS;
    for (a, b) in a.iter().zip(b) {
        sum = wide(|l| sum[l] + a[l] * b[l]);
    }
    sum
}

/// to += factor · from.
#[inline(always)]
fn add(to: &mut [Wide], factor: &Wide, from: &[Wide]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = wide(|l| to[l] + factor[l] * from[l]);
    }
}

#[inline(always)]
fn widened(lanes: &[Lane]) -> Vec<Wide> {
    lanes.iter().map(|lane| wide(|l| f64::from(lane[l]))).collect()
}

impl Problem<'_> {
    /// Σ k (k · p) + λ ⊙ p.
    #[inline(always)]
    fn image(&self, p: &[Wide]) -> Vec<Wide> {
        let mut image: Vec<Wide> =
            p.iter().zip(&self.penalty).map(|(p, lambda)| wide(|l| f64::from(*lambda) * p[l])).collect();
        for key in self.keys.chunks_exact(p.len()) {
            let key = widened(key);
            add(&mut image, &dot(&key, p), &key);
        }
        image
    }

    /// The solution, and how it was found.
    #[inline(always)]
    fn solve(&self, steps: usize) -> (Vec<Wide>, Vec<Iteration>) {
        let mut rest = widened(self.query);
        let (mut solution, mut direction) = (vec![ZEROS; rest.len()], rest.clone());
        let mut square = dot(&rest, &rest);
        let mut iterations = Vec::with_capacity(steps);
        for _ in 0..steps {
            let image = self.image(&direction);
            let along = dot(&direction, &image);
            let alpha = wide(|l| square[l] / (along[l] + TINY));
            add(&mut solution, &alpha, &direction);
            add(&mut rest, &wide(|l| -alpha[l]), &image);
            let next = dot(&rest, &rest);
            let beta = wide(|l| next[l] / (square[l] + TINY));
            let mut next_direction = rest.clone();
            add(&mut next_direction, &beta, &direction);
            let direction_before = std::mem::replace(&mut direction, next_direction);
            iterations.push(Iteration {
                direction: direction_before,
                image,
                square,
                along,
                alpha,
                beta,
                rest: rest.clone(),
            });
            square = next;
        }
        (solution, iterations)
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(problem: &Problem<'_>, steps: usize, out: &mut [Lane]) {
    let (solution, _) = problem.solve(steps);
    let mut sums = vec![ZEROS; problem.outputs];
    let pairs = problem.keys.chunks_exact(solution.len()).zip(problem.values.chunks_exact(problem.outputs));
    for (key, value) in pairs {
        let along = dot(&widened(key), &solution);
        add(&mut sums, &along, &widened(value));
    }
    for (out, sum) in out.iter_mut().zip(&sums) {
        *out = each(|l| sum[l] as f32);
    }
}

/// Back through the iterations. A gradient ∂u by u = (H + Λ) p is one by k of (k · p) ∂u + (k · ∂u) p, and by λ of p ⊙
/// ∂u.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    problem: &Problem<'_>,
    steps: usize,
    grad_out: &[Lane],
    ([grad_keys, grad_values, grad_query], grad_penalty): ([&mut [Lane]; 3], &mut [f32]),
) {
    let (solution, iterations) = problem.solve(steps);
    let (n, m, grad_out) = (solution.len(), problem.outputs, widened(grad_out));
    let mut by_solution = vec![ZEROS; n];
    let mut by_keys = vec![ZEROS; problem.keys.len()];
    for (t, (key, value)) in problem.keys.chunks_exact(n).zip(problem.values.chunks_exact(m)).enumerate() {
        let (key, weight) = (widened(key), dot(&widened(value), &grad_out));
        let along = dot(&key, &solution);
        add(&mut by_solution, &weight, &key);
        add(&mut by_keys[t * n..][..n], &weight, &solution);
        for (grad, out) in grad_values[t * m..][..m].iter_mut().zip(&grad_out) {
            *grad = each(|l| grad[l] + (along[l] * out[l]) as f32);
        }
    }
    // By the residual, the direction and r·r after an iteration.
    let (mut by_rest, mut by_direction, mut by_square) = (vec![ZEROS; n], vec![ZEROS; n], ZEROS);
    for Iteration { direction, image, square, along, alpha, beta, rest } in iterations.iter().rev() {
        add(&mut by_rest, &[1.0; LANES], &by_direction);
        let by_beta = dot(&by_direction, direction);
        let mut before = vec![ZEROS; n];
        add(&mut before, beta, &by_direction);
        by_square = wide(|l| by_square[l] + by_beta[l] / (square[l] + TINY));
        let mut square_before = wide(|l| -by_beta[l] * beta[l] / (square[l] + TINY));
        add(&mut by_rest, &wide(|l| 2.0 * by_square[l]), rest);
        let (down, across) = (dot(&by_rest, image), dot(&by_solution, direction));
        let by_alpha = wide(|l| across[l] - down[l]);
        add(&mut before, alpha, &by_solution);
        square_before = wide(|l| square_before[l] + by_alpha[l] / (along[l] + TINY));
        let by_along = wide(|l| -by_alpha[l] * alpha[l] / (along[l] + TINY));
        add(&mut before, &by_along, image);
        // By (H + Λ) p.
        let mut by_image = vec![ZEROS; n];
        add(&mut by_image, &wide(|l| -alpha[l]), &by_rest);
        add(&mut by_image, &by_along, direction);
        add(&mut before, &[1.0; LANES], &problem.image(&by_image));
        for (key, grad) in problem.keys.chunks_exact(n).zip(by_keys.chunks_exact_mut(n)) {
            let key = widened(key);
            add(grad, &dot(&key, direction), &by_image);
            add(grad, &dot(&key, &by_image), direction);
        }
        for ((grad, p), by_image) in grad_penalty.iter_mut().zip(direction).zip(&by_image) {
            *grad += p.iter().zip(by_image).map(|(p, by)| p * by).sum::<f64>() as f32;
        }
        (by_direction, by_square) = (before, square_before);
    }
    // At first r = p = q.
    let query = widened(problem.query);
    add(&mut by_rest, &[1.0; LANES], &by_direction);
    add(&mut by_rest, &wide(|l| 2.0 * by_square[l]), &query);
    for (grads, found) in [(grad_query, &by_rest), (grad_keys, &by_keys)] {
        for (grad, found) in grads.iter_mut().zip(found) {
            *grad = each(|l| grad[l] + found[l] as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};

    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};

    #[test]
    fn as_many_iterations_as_a_key_has_numbers_are_ridge_regression() {
        let (pairs, n, m) = (6, 4, 2);
        let (keys, values, query) = (numbers(pairs * n, 0.1), numbers(pairs * m, 0.2), numbers(n, 0.3));
        let penalty = [0.1f32, 0.2, 0.3, 0.4];
        let matrix = |all: &[f32], columns| DMatrix::from_row_slice(pairs, columns, all).map(f64::from);
        let (k, v) = (matrix(&keys, n), matrix(&values, m));
        let lambda = DMatrix::from_diagonal(&DVector::from_fn(n, |i, _| f64::from(penalty[i])));
        let q = DVector::from_fn(n, |i, _| f64::from(query[i]));
        let expected = v.transpose() * &k * (k.transpose() * &k + lambda).lu().solve(&q).unwrap();
        let [keys, values, query] = [keys, values, query].map(|part| lanes_of(&part));
        let problem = Problem { keys: &keys, values: &values, query: &query, penalty: penalty.to_vec(), outputs: m };
        let mut out = [[0.0; LANES]; 2];
        forward(&problem, n, &mut out);
        assert_close(&out.map(|lane| lane[3]), expected.map(|x| x as f32).as_slice(), 1e-5);
        // One more changes nothing, and one alone is not enough.
        let mut more = out;
        forward(&problem, n + 1, &mut more);
        assert_close(&more.map(|lane| lane[3]), &out.map(|lane| lane[3]), 1e-5);
        forward(&problem, 1, &mut more);
        assert!((more[0][3] - out[0][3]).abs() > 1e-3);
    }
    /// The two forms of the papers: (H + Λ)⁻¹ kept up to date pair by pair (2309.05858, section 4), and conjugate
    /// gradients for the queries of all tokens at once, in which H_t p_t is a row of (P Kᵀ)_{i ≤ t} K (2506.05233,
    /// section 3).
    #[test]
    fn pair_by_pair_and_all_tokens_at_once_the_answers_are_the_same() {
        let (pairs, n, m) = (6, 4, 2);
        let numbers = |rows, columns, seed: f64| {
            DMatrix::from_fn(rows, columns, |i, j| (seed + 1.7 * (i * columns + j) as f64).sin())
        };
        let (k, v, q) = (numbers(pairs, n, 0.1), numbers(pairs, m, 0.2), numbers(pairs, n, 0.3));
        let penalty = [0.5, 0.6, 0.7, 0.8];
        let lambda = DMatrix::from_diagonal(&DVector::from_row_slice(&penalty));

        let (mut inverse, mut sum) = (lambda.clone().try_inverse().unwrap(), DMatrix::zeros(m, n));
        let one_by_one = |t: usize| {
            let key = k.row(t).transpose();
            let along = &inverse * &key;
            inverse -= &along * along.transpose() / (1.0 + along.dot(&key));
            sum += v.row(t).transpose() * key.transpose();
            &sum * &inverse * q.row(t).transpose()
        };
        let one_by_one: Vec<DVector<f64>> = (0..pairs).map(one_by_one).collect();

        let [mut rest, mut direction] = [q.clone(), q.clone()];
        let mut solution = DMatrix::zeros(pairs, n);
        for _ in 0..n {
            let image = (&direction * k.transpose()).lower_triangle() * &k + &direction * &lambda;
            for t in 0..pairs {
                let square = rest.row(t).norm_squared();
                let alpha = square / direction.row(t).dot(&image.row(t));
                let changed = solution.row(t) + alpha * direction.row(t);
                solution.set_row(t, &changed);
                let less = rest.row(t) - alpha * image.row(t);
                rest.set_row(t, &less);
                let next = &less + less.norm_squared() / square * direction.row(t);
                direction.set_row(t, &next);
            }
        }
        let at_once = (&solution * k.transpose()).lower_triangle() * &v;

        let rows = |matrix: &DMatrix<f64>| matrix.transpose().iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let [keys, values] = [&k, &v].map(|part| lanes_of(&rows(part)));
        for t in 0..pairs {
            let query = lanes_of(&rows(&q.rows(t, 1).into_owned()));
            let (keys, values) = (&keys[..(t + 1) * n], &values[..(t + 1) * m]);
            let penalty = penalty.map(|penalty| penalty as f32).to_vec();
            let mut out = [[0.0; LANES]; 2];
            forward(&Problem { keys, values, query: &query, penalty, outputs: m }, n, &mut out);
            let single = |all: Vec<f64>| all.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
            assert_close(&out.map(|lane| lane[3]), &single(one_by_one[t].iter().copied().collect()), 1e-5);
            assert_close(&out.map(|lane| lane[3]), &single(at_once.row(t).iter().copied().collect()), 1e-5);
        }
    }
}
