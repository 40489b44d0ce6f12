//! Additive attention of one query over all tokens: the result is Σ_t α_t v_t, with α = softmax_t(s · tanh(k_t + q)).
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | of all tokens | (B, T, n) each |
//! | `query` q | | (B, 1, n) |
//! | `score` s | how much each unit counts | (n, 1) |
//!
//! Source: Bahdanau, Cho & Bengio 2014 (1409.0473), section A.1.2.

use dfdx::prelude::{Axis, BroadcastTo, HasShape, ReshapeTo, TryAdd, TryMatMul};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{Grads, NodeId, ParamId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, rows_times};
use crate::simd::math::{exp, tanh};
use crate::simd::{LANES, Lane, ZERO, add_product, each, lanewise, plus_scaled, total};

#[derive(Clone, Debug)]
pub struct AdditiveAttention {
    pub query: NodeId,
    pub keys: NodeId,
    pub values: NodeId,
    pub score: ParamId,
    /// T.
    pub length: usize,
    /// n.
    pub units: usize,
}

impl Step for AdditiveAttention {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.query, self.keys, self.values]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (keys, values) = (given.of::<T>(self.keys), given.of::<T>(self.values));
        let (batch, length, units) = *keys.shape();
        let query: Matrix<D, T> = given.of::<T>(self.query).try_reshape_like(&(batch, units))?;
        let sums = keys.try_add(query.try_broadcast_like::<_, Axis<1>>(&(batch, length, units))?)?.try_tanh()?;
        let scores: Matrix<D, T> = rows_times(sums, given.param(self.score))?.try_reshape_like(&(batch, length))?;
        scores.try_softmax::<Axis<1>>()?.try_reshape_like(&(batch, 1, length))?.try_matmul(values)
    }

    /// α and tanh(k_t + q).
    fn saved(&self) -> usize {
        self.length * (1 + self.units)
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        let parts = given.all([self.query, self.keys, self.values]);
        forward(parts, given.param(self.score), saved.split_at_mut(self.length), out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (by, [grad_score]) = grads.of([self.query, self.keys, self.values], [self.score]);
        let (values, score) = (given.of(self.values), given.param(self.score));
        backward((values, score), saved.split_at(self.length), grad_out, by, grad_score);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(
    [query, keys, values]: [&[Lane]; 3],
    score: &[f32],
    (alpha, tanhs): (&mut [Lane], &mut [Lane]),
    out: &mut [Lane],
) {
    let units = score.len();
    let (mut greatest, mut sum) = ([f32::NEG_INFINITY; LANES], ZERO);
    for ((alpha, tanhs), key) in alpha.iter_mut().zip(tanhs.chunks_exact_mut(units)).zip(keys.chunks_exact(units)) {
        let mut total = ZERO;
        for (((saved, k), q), s) in tanhs.iter_mut().zip(key).zip(query).zip(score) {
            lanewise();
            let value = each(|l| tanh(k[l] + q[l]));
            *saved = value;
            total = plus_scaled(&total, *s, &value);
        }
        *alpha = total;
        greatest = each(|l| greatest[l].max(total[l]));
    }
    for alpha in alpha.iter_mut() {
        lanewise();
        *alpha = each(|l| exp(alpha[l] - greatest[l]));
        sum = each(|l| sum[l] + alpha[l]);
    }
    out.fill(ZERO);
    for (alpha, value) in alpha.iter_mut().zip(values.chunks_exact(units)) {
        *alpha = each(|l| alpha[l] / sum[l]);
        for (out, v) in out.iter_mut().zip(value) {
            add_product(out, alpha, v);
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (values, score): (&[Lane], &[f32]),
    (alpha, tanhs): (&[Lane], &[Lane]),
    grad_out: &[Lane],
    [grad_query, grad_keys, grad_values]: [&mut [Lane]; 3],
    grad_score: &mut [f32],
) {
    let units = score.len();
    // ∂α_t = ∂out · v_t, and ∂score_t = α_t (∂α_t − Σ α ∂α).
    let (mut grads, mut mean) = (vec![ZERO; alpha.len()], ZERO);
    for (((alpha, value), grad), grad_value) in
        alpha.iter().zip(values.chunks_exact(units)).zip(&mut grads).zip(grad_values.chunks_exact_mut(units))
    {
        for ((v, out), grad_v) in value.iter().zip(grad_out).zip(grad_value) {
            add_product(grad, v, out);
            add_product(grad_v, alpha, out);
        }
        add_product(&mut mean, alpha, grad);
    }
    let mut grad_scores = vec![ZERO; units];
    for (((alpha, tanhs), grad), grad_key) in
        alpha.iter().zip(tanhs.chunks_exact(units)).zip(&grads).zip(grad_keys.chunks_exact_mut(units))
    {
        let grad: Lane = each(|l| alpha[l] * (grad[l] - mean[l]));
        for ((((tanh, s), sum), grad_k), grad_q) in
            tanhs.iter().zip(score).zip(&mut grad_scores).zip(grad_key).zip(&mut *grad_query)
        {
            lanewise();
            let slope: Lane = each(|l| grad[l] * s * (1.0 - tanh[l] * tanh[l]));
            *sum = each(|l| sum[l] + grad[l] * tanh[l]);
            *grad_k = each(|l| grad_k[l] + slope[l]);
            *grad_q = each(|l| grad_q[l] + slope[l]);
        }
    }
    grad_score.iter_mut().zip(&grad_scores).for_each(|(sum, lane)| *sum += total(lane));
}
