//! The scan in heads of Mamba-2 as masked attention, all tokens at once: y_t = Σ_{s≤t} (C_t · B_s) L[t, s] Δ_s x_s in
//! every head, with L[t, s] = exp(σ_t − σ_s) for s ≤ t, else 0, and σ_t = A Σ_{r≤t} Δ_r.
//!
//! The same function as [`super::HeadScan`], whose symbols and shapes it shares: the duality of Mamba-2, arXiv
//! 2405.21060, sections 3 and 5. The work grows with the square of the length; on the CPU the memory does not.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::row::times_row;
use super::selective_scan::{Scan, head_expansion};
use super::{Grads, NodeId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, rows_times, slice};
use crate::simd::math::exp;
use crate::simd::{Buffer, LANES, Lane, ZERO, each, lanewise, plus_product, plus_scaled, product, total};

#[derive(Clone, Debug)]
pub struct MaskedAttention(pub Scan);

impl Step for MaskedAttention {
    fn reads(&self) -> Vec<NodeId> {
        self.0.nodes().to_vec()
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let [delta, x, b, c] = self.0.nodes().map(|node| given.of::<T>(node));
        let device = delta.device().clone();
        let ((batch, length, wide), heads, last) = (*x.shape(), delta.shape().2, c.shape().1);
        let scores = c.try_matmul(b.try_permute::<_, Axes3<0, 2, 1>>()?)?; // (B, ·, T): C Bᵀ
        let expanded = rows_times(delta.retaped::<T>(), head_expansion(&device, heads, wide)?.retaped::<T>())?;
        let x = x.try_mul(expanded)?; // Δ ⊙ x
        let speeds = times_row(delta, given.param(self.0.a))?; // (B, T, M): Δ A
        let mut answers = Vec::new();
        for head in 0..heads {
            let speed = slice(speeds.retaped::<T>(), (0..batch, 0..length, head..head + 1))?;
            let mask = mask(speed.try_reshape_like(&(batch, length))?)?;
            let mask = slice(mask, (0..batch, length - last..length, 0..length))?;
            let channels = head * (wide / heads)..(head + 1) * (wide / heads);
            let values = slice(x.retaped::<T>(), (0..batch, 0..length, channels))?;
            answers.push(scores.retaped::<T>().try_mul(mask)?.try_matmul(values)?); // (B, ·, P)
        }
        let out = answers.try_stack()?.try_permute::<_, Axes4<1, 2, 0, 3>>()?.try_reshape_like(&(batch, last, wide))?;
        Ok([scores, x, speeds].into_iter().fold(out, join))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.all(self.0.nodes()), given.param(self.0.a), self.0.states, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (grad_parts, [grad_a]) = grads.of(self.0.nodes(), [self.0.a]);
        let parts = (given.all(self.0.nodes()), given.param(self.0.a));
        backward(parts, self.0.states, grad_out, grad_parts, grad_a);
    }
}

/// L, from the exponents Δ A of one head: (B, T) → (B, T, T).
fn mask<D: Backend, T: Tape<f32, D>>(speed: Matrix<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let device = speed.device().clone();
    let (batch, length) = *speed.shape();
    let all = (batch, length, length);
    // Σ_{r≤t}, as a product with ones on and above the diagonal.
    let ones = device.try_upper_tri_like(&(length, length), 1.0f32, None)?;
    let sums = speed.try_matmul(ones)?;
    // Times one, because dfdx refuses to subtract a tensor from itself, broadcast though it is.
    let from = sums.retaped::<T>().try_mul(1.0f32)?.try_broadcast_like::<_, Axis<1>>(&all)?; // [b, t, s] = sum to s
    let span = sums.try_broadcast_like::<_, Axis<2>>(&all)?.try_sub(from)?;
    // Above the diagonal the exponent is positive and may be large: it is made zero first, then its exponential is.
    let below: Matrix<D> = device.try_lower_tri_like(&(length, length), 1.0f32, None)?;
    let below = below.try_broadcast_like::<_, Axis<0>>(&all)?;
    span.try_mul(below.clone())?.try_exp()?.try_mul(below)
}

/// Sizes and sums of one block.
struct ScannedHeads<'a> {
    scanned: [&'a [Lane]; 4],
    heads: usize,
    /// P.
    each: usize,
    /// N.
    states: usize,
    length: usize,
    /// Tokens without an answer, before the others.
    skipped: usize,
    /// Σ_{r≤t} Δ_r: (T · M) lanes.
    sums: Buffer,
}

impl<'a> ScannedHeads<'a> {
    #[inline(always)]
    fn new(scanned: [&'a [Lane]; 4], heads: usize, states: usize) -> Self {
        let [delta, x, b, c] = scanned;
        let length = b.len() / states;
        let mut sums = Buffer::zeros(delta.len());
        sums.copy_from_slice(delta);
        for at in heads..sums.len() {
            sums[at] = each(|l| sums[at][l] + sums[at - heads][l]);
        }
        let (each, skipped) = (x.len() / length / heads, (b.len() - c.len()) / states);
        Self { scanned, heads, each, states, length, skipped, sums }
    }

    /// C_t · B_s.
    #[inline(always)]
    fn score(&self, t: usize, s: usize) -> Lane {
        let [_, _, b, c] = self.scanned;
        let (c, b) = (&c[(t - self.skipped) * self.states..], &b[s * self.states..]);
        let mut sum = ZERO;
        for (c, b) in c[..self.states].iter().zip(&b[..self.states]) {
            sum = plus_product(&sum, c, b);
        }
        sum
    }

    /// L[t, s] of a head.
    #[inline(always)]
    fn mask(&self, head: usize, a: f32, (t, s): (usize, usize)) -> Lane {
        let (to, from) = (&self.sums[t * self.heads + head], &self.sums[s * self.heads + head]);
        each(|l| exp(a * (to[l] - from[l])))
    }

    /// Where the channels of a head lie, of token `t`.
    #[inline(always)]
    fn channels(&self, head: usize, t: usize) -> std::ops::Range<usize> {
        let at = (t * self.heads + head) * self.each;
        at..at + self.each
    }
}

/// Writes the last answers to `out`. `rates`: A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(scanned: [&[Lane]; 4], rates: &[f32], states: usize, out: &mut [Lane]) {
    let [delta, x, ..] = scanned;
    let block = ScannedHeads::new(scanned, rates.len(), states);
    out.fill(ZERO);
    for t in block.skipped..block.length {
        for s in 0..=t {
            let score = block.score(t, s);
            for (head, a) in rates.iter().enumerate() {
                let weight = product(&product(&score, &block.mask(head, *a, (t, s))), &delta[s * rates.len() + head]);
                let answers = &mut out[block.channels(head, t - block.skipped)];
                for (answer, x) in answers.iter_mut().zip(&x[block.channels(head, s)]) {
                    lanewise();
                    *answer = plus_product(answer, &weight, x);
                }
            }
        }
    }
}

/// Adds the gradients by Δ, x, B, C and A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (scanned, rates): ([&[Lane]; 4], &[f32]),
    states: usize,
    grad_out: &[Lane],
    [grad_delta, grad_x, grad_b, grad_c]: [&mut [Lane]; 4],
    grad_a: &mut [f32],
) {
    let [delta, x, b, c] = scanned;
    let (block, heads) = (ScannedHeads::new(scanned, rates.len(), states), rates.len());
    // ∂σ/A: what Σ Δ contributes, before it is summed back over time.
    let mut grad_sums = Buffer::zeros(delta.len());
    for t in block.skipped..block.length {
        for s in 0..=t {
            let (score, mut grad_score) = (block.score(t, s), ZERO);
            for (head, a) in rates.iter().enumerate() {
                let (mask, at) = (block.mask(head, *a, (t, s)), s * heads + head);
                let (plain, decayed) = (product(&score, &mask), product(&mask, &delta[at]));
                let (weight, mut grad_weight) = (product(&plain, &delta[at]), ZERO);
                let answers = &grad_out[block.channels(head, t - block.skipped)];
                let (x, grad_x) = (&x[block.channels(head, s)], &mut grad_x[block.channels(head, s)]);
                for ((answer, x), grad_x) in answers.iter().zip(x).zip(grad_x) {
                    lanewise();
                    grad_weight = plus_product(&grad_weight, answer, x);
                    *grad_x = plus_product(grad_x, answer, &weight);
                }
                grad_delta[at] = plus_product(&grad_delta[at], &grad_weight, &plain);
                grad_score = plus_product(&grad_score, &grad_weight, &decayed);
                let grad_exponent = product(&grad_weight, &weight);
                let (to, from) = (t * heads + head, s * heads + head);
                for l in 0..LANES {
                    grad_sums[to][l] += grad_exponent[l];
                    grad_sums[from][l] -= grad_exponent[l];
                }
            }
            let (at_c, at_b) = ((t - block.skipped) * states, s * states);
            for n in 0..states {
                lanewise();
                grad_c[at_c + n] = plus_product(&grad_c[at_c + n], &grad_score, &b[at_b + n]);
                grad_b[at_b + n] = plus_product(&grad_b[at_b + n], &grad_score, &c[at_c + n]);
            }
        }
    }
    for (head, (grad, a)) in grad_a.iter_mut().zip(rates).enumerate() {
        let (mut sum, mut later) = (ZERO, ZERO);
        for at in (head..delta.len()).step_by(heads).rev() {
            sum = plus_product(&sum, &grad_sums[at], &block.sums[at]);
            (0..LANES).for_each(|l| later[l] += grad_sums[at][l]);
            grad_delta[at] = plus_scaled(&grad_delta[at], *a, &later);
        }
        *grad += total(&sum);
    }
}
