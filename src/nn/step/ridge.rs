//! Ridge regression on the pairs of a context, read at the query: ŷ = Yᵀ X z with (XᵀX + λI) z = x_q.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `tokens` | [x_i; y_i], and last [x_q; ·] | (B, N+1, d + o) |
//! | `log_lambda` l | λ = exp(l) + 10⁻⁶ | (1, 1) |
//! | A = XᵀX + λI | positive definite | (d, d) |
//! | ŷ | the result | (B, 1, o) |
//!
//! Gradients by the implicit function theorem (Amos & Kolter 2017, 1703.00443, section 3): with g = Σ_i x_i (y_i ·
//! ∂ŷ) and A u = g, ∂x_q = u, ∂A = −u zᵀ and ∂λ = −u · z. On the CPU the systems are solved in double precision.

use dfdx::prelude::{
    Axes2, Axes3, Axis, BroadcastTo, HasShape, NoneTape, PermuteTo, ReshapeTo, SumTo, Tape, TryAdd, TryDiv, TryMatMul,
    TryMul, TrySub,
};
use dfdx::tensor::Tensor;
use multiversion::multiversion;

use super::{Grads, NodeId, ParamId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, slice};
use crate::simd::{LANES, Lane, each};

#[derive(Clone, Debug)]
pub struct Ridge {
    pub tokens: NodeId,
    pub log_lambda: ParamId,
    /// d.
    pub dim: usize,
    /// o.
    pub outputs: usize,
}

/// The least λ, with which A can be inverted where N < d.
pub const FLOOR: f32 = 1e-6;

/// λ from l.
pub fn lambda(log: f32) -> f32 {
    log.exp() + FLOOR
}

impl Step for Ridge {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.tokens]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (tokens, d) = (given.of::<T>(self.tokens), self.dim);
        let (batch, length, width) = *tokens.shape();
        let pairs = 0..length - 1;
        let x = slice(tokens.retaped::<T>(), (0..batch, pairs.clone(), 0..d))?; // (B, N, d)
        let y = slice(tokens.retaped::<T>(), (0..batch, pairs, d..width))?; // (B, N, o)
        let query = slice(tokens, (0..batch, length - 1..length, 0..d))?; // (B, 1, d)
        let eye = (0..d * d).map(|i| f32::from(u8::from(i.is_multiple_of(d + 1))));
        let eye: Matrix<D> = query.device().try_tensor_from_vec(eye.collect(), (d * d, 1))?;
        let lambda = given.param::<T>(self.log_lambda).try_exp()?.try_add(FLOOR)?;
        let penalty = eye.retaped::<T>().try_matmul(lambda)?.try_reshape_like(&(d, d))?;
        // A copy: dfdx does not differentiate the product of a tensor with itself.
        let across = x.retaped::<T>().try_mul(1.0f32)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (B, d, N)
        let penalty = penalty.try_broadcast_like::<_, Axis<0>>(&(batch, d, d))?;
        let curvature = across.try_matmul(x.retaped::<T>())?.try_add(penalty)?; // A
        let z = solve(curvature, query.try_reshape_like(&(batch, d, 1))?)?; // (B, d, 1)
        let weights = x.try_matmul(z)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (X z)ᵀ: (B, 1, N)
        weights.try_matmul(y)
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.of(self.tokens), lambda(given.param(self.log_lambda)[0]), self.dim, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_tokens], [grad_log]) = grads.of([self.tokens], [self.log_lambda]);
        let log = given.param(self.log_lambda)[0];
        grad_log[0] += log.exp() * backward(given.of(self.tokens), lambda(log), self.dim, grad_out, grad_tokens);
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }
}

/// A number of each sequence of a block in double precision.
pub(super) type Wide = [f64; LANES];

#[inline(always)]
pub(super) fn wide(number: impl Fn(usize) -> f64) -> Wide {
    let mut lane = [0.0; LANES];
    for (l, value) in lane.iter_mut().enumerate() {
        *value = number(l);
    }
    lane
}

#[inline(always)]
fn dot(a: &[Lane], b: &[Wide]) -> Wide {
    let mut sum = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        sum = wide(|l| sum[l] + f64::from(a[l]) * b[l]);
    }
    sum
}

/// L of A = L Lᵀ: (d, d), of which the lower triangle counts.
#[inline(always)]
fn cholesky(tokens: &[Lane], width: usize, lambda: f32, dim: usize) -> Vec<Wide> {
    let pairs = tokens.len() / width - 1;
    let mut factor = vec![[0.0; LANES]; dim * dim];
    for i in 0..dim {
        for j in 0..=i {
            let mut sum = if i == j { [f64::from(lambda); LANES] } else { [0.0; LANES] };
            for pair in tokens.chunks_exact(width).take(pairs) {
                sum = wide(|l| sum[l] + f64::from(pair[i][l]) * f64::from(pair[j][l]));
            }
            for k in 0..j {
                let (a, b) = (factor[i * dim + k], factor[j * dim + k]);
                sum = wide(|l| sum[l] - a[l] * b[l]);
            }
            let pivot = factor[j * dim + j];
            factor[i * dim + j] = if i == j { wide(|l| sum[l].sqrt()) } else { wide(|l| sum[l] / pivot[l]) };
        }
    }
    factor
}

/// The solution of L Lᵀ z = b, in the place of b.
#[inline(always)]
fn substitute(factor: &[Wide], dim: usize, z: &mut [Wide]) {
    for i in 0..dim {
        for k in 0..i {
            let (a, b) = (&factor[i * dim + k], z[k]);
            z[i] = wide(|l| z[i][l] - a[l] * b[l]);
        }
        z[i] = wide(|l| z[i][l] / factor[i * dim + i][l]);
    }
    for i in (0..dim).rev() {
        for k in i + 1..dim {
            let (a, b) = (&factor[k * dim + i], z[k]);
            z[i] = wide(|l| z[i][l] - a[l] * b[l]);
        }
        z[i] = wide(|l| z[i][l] / factor[i * dim + i][l]);
    }
}

/// The query, in double precision.
#[inline(always)]
fn query(tokens: &[Lane], width: usize, dim: usize) -> Vec<Wide> {
    tokens[tokens.len() - width..][..dim].iter().map(|x| wide(|l| f64::from(x[l]))).collect()
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(tokens: &[Lane], lambda: f32, dim: usize, out: &mut [Lane]) {
    let width = dim + out.len();
    let mut z = query(tokens, width, dim);
    substitute(&cholesky(tokens, width, lambda, dim), dim, &mut z);
    let mut sums = vec![[0.0; LANES]; out.len()];
    for pair in tokens.chunks_exact(width).take(tokens.len() / width - 1) {
        let along = dot(&pair[..dim], &z);
        for (sum, y) in sums.iter_mut().zip(&pair[dim..]) {
            *sum = wide(|l| sum[l] + f64::from(y[l]) * along[l]);
        }
    }
    for (out, sum) in out.iter_mut().zip(&sums) {
        *out = each(|l| sum[l] as f32);
    }
}

/// Returns ∂λ, and adds the gradient by the tokens unless that is empty.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(tokens: &[Lane], lambda: f32, dim: usize, grad_out: &[Lane], grad_tokens: &mut [Lane]) -> f32 {
    let width = dim + grad_out.len();
    let pairs = tokens.len() / width - 1;
    let (factor, mut z) = (cholesky(tokens, width, lambda, dim), query(tokens, width, dim));
    substitute(&factor, dim, &mut z);
    let grad_y: Vec<Wide> = grad_out.iter().map(|grad| wide(|l| f64::from(grad[l]))).collect();
    let mut u = vec![[0.0; LANES]; dim];
    for pair in tokens.chunks_exact(width).take(pairs) {
        let v = dot(&pair[dim..], &grad_y);
        for (g, x) in u.iter_mut().zip(pair) {
            *g = wide(|l| g[l] + f64::from(x[l]) * v[l]);
        }
    }
    substitute(&factor, dim, &mut u);
    for (grad, pair) in grad_tokens.chunks_exact_mut(width).zip(tokens.chunks_exact(width)).take(pairs) {
        let (v, by_z, by_u) = (dot(&pair[dim..], &grad_y), dot(&pair[..dim], &z), dot(&pair[..dim], &u));
        let (grad_x, grad_target) = grad.split_at_mut(dim);
        for ((grad, z), u) in grad_x.iter_mut().zip(&z).zip(&u) {
            *grad = each(|l| grad[l] + ((v[l] - by_u[l]) * z[l] - by_z[l] * u[l]) as f32);
        }
        for (grad, out) in grad_target.iter_mut().zip(&grad_y) {
            *grad = each(|l| grad[l] + (out[l] * by_z[l]) as f32);
        }
    }
    for (grad, u) in grad_tokens.chunks_exact_mut(width).skip(pairs).flatten().zip(&u) {
        *grad = each(|l| grad[l] + u[l] as f32);
    }
    let products = u.iter().zip(&z).flat_map(|(u, z)| u.iter().zip(z)).map(|(u, z)| u * z);
    -products.sum::<f64>() as f32
}

/// z = A⁻¹ b: (B, d, m), from positive definite A (B, d, d). On the tape is only one step of refinement, z = z₀ + M
/// (b − A z₀) with M = A⁻¹ and z₀ = M b held fixed. Its value is z, only more exact, and its gradient is the true
/// one: ∂z = M (∂b − ∂A z₀), the implicit function theorem (Krantz & Parks 2002).
fn solve<D: Backend, T: Tape<f32, D>>(matrix: Tensor3<D, T>, right: Tensor3<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let inverses = newton_schulz(matrix.retaped::<NoneTape>())?;
    let start = inverses.clone().try_matmul(right.retaped::<NoneTape>())?; // z₀
    let rest = right.try_sub(matrix.try_matmul(start.clone())?)?; // b − A z₀
    inverses.retaped::<T>().try_matmul(rest)?.try_add(start)
}

/// Doubles the exact digits 27 times: enough for a condition number of 10⁷, beyond which single precision has none
/// left.
const DOUBLINGS: usize = 27;

/// All inverses by products alone, so that no number is read back from the device: M ← M + M (I − A M), from
/// M = I / tr A, which is near enough for a positive definite A. Source: Schulz 1933; Ben-Israel 1965.
fn newton_schulz<D: Backend>(matrices: Tensor3<D>) -> DeviceResult<Tensor3<D>, D> {
    let device = matrices.device().clone();
    let all = *matrices.shape();
    let dim = all.1;
    let eye = (0..dim * dim).map(|i| f32::from(u8::from(i.is_multiple_of(dim + 1))));
    let eye: Matrix<D> = device.try_tensor_from_vec(eye.collect(), (dim, dim))?;
    let eye = eye.try_broadcast_like::<_, Axis<0>>(&all)?;
    let trace: Tensor<(usize,), f32, D> = matrices.clone().try_mul(eye.clone())?.try_sum::<_, Axes2<1, 2>>()?;
    let mut inverses = eye.clone().try_div(trace.try_broadcast_like::<_, Axes2<1, 2>>(&all)?)?;
    for _ in 0..DOUBLINGS {
        let rest = eye.clone().try_sub(matrices.clone().try_matmul(inverses.clone())?)?;
        inverses = inverses.clone().try_add(inverses.try_matmul(rest)?)?;
    }
    Ok(inverses)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec};
    use nalgebra::DMatrix;

    use super::*;
    use crate::nn::check::{Random, assert_close};

    #[test]
    fn products_alone_come_to_the_inverses_of_elimination() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(6), 5);
        // Condition numbers of about ten and of about ten thousand.
        for scale in [1.0f32, 900.0] {
            let r = random.matrix(&device, (dim, dim)).as_vec();
            let entry = |i: usize, j: usize| (0..dim).map(|k| r[k * dim + i] * r[k * dim + j]).sum::<f32>() * scale;
            let a = (0..dim * dim).map(|i| entry(i / dim, i % dim) + f32::from(u8::from(i % (dim + 1) == 0)));
            let a: Vec<f32> = a.collect();
            let found = newton_schulz(device.tensor_from_vec(a.clone(), (1, dim, dim))).unwrap();
            let exact = DMatrix::from_row_slice(dim, dim, &a).map(f64::from).try_inverse().unwrap();
            assert_close(&found.as_vec(), exact.map(|entry| entry as f32).as_slice(), 1e-6 * scale);
        }
    }
}
