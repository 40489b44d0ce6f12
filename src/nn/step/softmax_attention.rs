//! Causal attention with softmax, in heads: out_t = Σ_{s≤t} p_ts v_s with p_t = softmax_s(q_t · k_s / √w).
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | of all tokens; heads side by side, each of width w | (B, T, h·w) |
//! | `queries` q | of the last M tokens | (B, M, h·w) |
//! | p | how much each token takes from which: the attention matrix | (M, T), zero where s > t |
//!
//! Source: Vaswani et al. 2017 (1706.03762), section 3.2. The backward pass computes p again, which costs less than to
//! keep it.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::{Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::math::exp;
use crate::simd::{LANES, Lane, ZERO, add_product, dot_lanes, each, lanewise};

/// The definition: the attention matrix (T, T) of one head, from its queries and keys, each (T, w).
pub fn attention_matrix(queries: &[f32], keys: &[f32], width: usize) -> Vec<f32> {
    let length = queries.len() / width;
    let mut matrix = vec![0.0; length * length];
    for ((t, query), row) in queries.chunks(width).enumerate().zip(matrix.chunks_mut(length)) {
        for (score, key) in row[..=t].iter_mut().zip(keys.chunks(width)) {
            *score = query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() / (width as f32).sqrt();
        }
        let most = row[..=t].iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        row[..=t].iter_mut().for_each(|score| *score = (*score - most).exp());
        let sum: f32 = row[..=t].iter().sum();
        row[..=t].iter_mut().for_each(|score| *score /= sum);
    }
    matrix
}

#[derive(Clone, Debug)]
pub struct SoftmaxAttention {
    /// Queries, keys and values.
    pub parts: [NodeId; 3],
    pub heads: Heads,
}

impl Step for SoftmaxAttention {
    fn reads(&self) -> Vec<NodeId> {
        self.parts.to_vec()
    }

    /// Sequences and heads are one axis, because dfdx multiplies matrices with two such axes one sequence after the
    /// other.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let [queries, keys, values] = self.parts.map(|part| given.of::<T>(part));
        let (device, heads) = (queries.device().clone(), self.heads.count);
        let ((batch, last, all), length) = (*queries.shape(), keys.shape().1);
        let width = all / heads;
        let split = |tensor3: Tensor3<D, T>, tokens: usize| {
            let heads_first =
                tensor3.try_reshape_like(&(batch, tokens, heads, width))?.try_permute::<_, Axes4<0, 2, 1, 3>>()?;
            heads_first.try_reshape_like(&(batch * heads, tokens, width))
        };
        let keys = split(keys, length)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (B·h, w, T)
        let scores = split(queries, last)?.try_matmul(keys)?.try_mul(1.0 / (width as f32).sqrt())?; // (B·h, M, T)
        let is_later = |i: usize| i % length > i / length + length - last;
        let later = (0..last * length).map(|i| if is_later(i) { f32::NEG_INFINITY } else { 0.0 });
        let mask: Tensor<(usize, usize), f32, D> = device.try_tensor_from_vec(later.collect(), (last, length))?;
        let mask = mask.try_broadcast_like::<_, Axis<0>>(&(batch * heads, last, length))?;
        let attention = scores.try_add(mask)?.try_softmax::<Axis<2>>()?;
        let out = attention.try_matmul(split(values, length)?)?.try_reshape_like(&(batch, heads, last, width))?;
        out.try_permute::<_, Axes4<0, 2, 1, 3>>()?.try_reshape_like(&(batch, last, all))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.all(self.parts), self.heads, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (by, []) = grads.of(self.parts, []);
        backward(given.all(self.parts), self.heads, grad_out, by);
    }

    fn token_reader(&self, length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        let [keys, values] = [(); 2].map(|()| Vec::with_capacity(length(self.parts[1]) * self.heads.units));
        Some(Box::new(Cache { step: self.clone(), keys, values }))
    }
}

/// The keys and values of all tokens so far.
struct Cache {
    step: SoftmaxAttention,
    keys: Vec<Lane>,
    values: Vec<Lane>,
}

impl TokenReader for Cache {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let [query, key, value] = given.all(self.step.parts);
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        forward([query, &self.keys, &self.values], self.step.heads, out);
    }
}

/// How many heads, and how wide all of them are together.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub count: usize,
    pub units: usize,
}

impl Heads {
    /// Where a head of token `t` lies.
    #[inline(always)]
    fn place(self, head: usize, t: usize) -> std::ops::Range<usize> {
        let width = self.units / self.count;
        let at = t * self.units + head * width;
        at..at + width
    }

    /// 1/√w.
    fn scale(self) -> f32 {
        ((self.units / self.count) as f32).sqrt().recip()
    }
}

/// a += k · b, each lane by its own k.
#[inline(always)]
fn add_times_lane(a: &mut [Lane], k: &Lane, b: &[Lane]) {
    a.iter_mut().zip(b).for_each(|(a, b)| add_product(a, k, b));
}

/// p of one query over the tokens up to it, as many as `row` is long.
#[inline(always)]
fn weigh(query: &[Lane], keys: &[Lane], (heads, head): (Heads, usize), row: &mut [Lane]) {
    let scale = heads.scale();
    let (mut most, mut sum) = ([f32::NEG_INFINITY; LANES], ZERO);
    for (s, score) in row.iter_mut().enumerate() {
        let product = dot_lanes(query, &keys[heads.place(head, s)]);
        for l in 0..LANES {
            score[l] = scale * product[l];
            most[l] = most[l].max(score[l]);
        }
    }
    for score in row.iter_mut() {
        lanewise();
        for l in 0..LANES {
            score[l] = exp(score[l] - most[l]);
            sum[l] += score[l];
        }
    }
    let share: Lane = each(|l| 1.0 / sum[l]);
    for score in row.iter_mut() {
        lanewise();
        (0..LANES).for_each(|l| score[l] *= share[l]);
    }
}

/// Writes the answers of one block to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward([queries, keys, values]: [&[Lane]; 3], heads: Heads, out: &mut [Lane]) {
    let (last, length) = (queries.len() / heads.units, keys.len() / heads.units);
    let mut row = vec![ZERO; length];
    out.fill(ZERO);
    for head in 0..heads.count {
        for t in 0..last {
            let row = &mut row[..=t + length - last];
            weigh(&queries[heads.place(head, t)], keys, (heads, head), row);
            for (s, p) in row.iter().enumerate() {
                add_times_lane(&mut out[heads.place(head, t)], p, &values[heads.place(head, s)]);
            }
        }
    }
}

/// Adds the gradients by queries, keys and values of one block, from ∂out.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    [queries, keys, values]: [&[Lane]; 3],
    heads: Heads,
    grad_out: &[Lane],
    [grad_queries, grad_keys, grad_values]: [&mut [Lane]; 3],
) {
    let (last, length) = (queries.len() / heads.units, keys.len() / heads.units);
    let (mut row, mut grads) = (vec![ZERO; length], vec![ZERO; length]);
    let scale = heads.scale();
    for head in 0..heads.count {
        for t in 0..last {
            let row = &mut row[..=t + length - last];
            let (query, grad_answer) = (&queries[heads.place(head, t)], &grad_out[heads.place(head, t)]);
            weigh(query, keys, (heads, head), row);
            // ∂p_s = ∂out · v_s, and ∂score_s = p_s (∂p_s − Σ p ∂p).
            let mut mean = ZERO;
            for ((s, p), grad) in row.iter().enumerate().zip(&mut grads) {
                *grad = dot_lanes(grad_answer, &values[heads.place(head, s)]);
                add_product(&mut mean, p, grad);
                add_times_lane(&mut grad_values[heads.place(head, s)], p, grad_answer);
            }
            for ((s, p), grad) in row.iter().enumerate().zip(&mut grads) {
                (0..LANES).for_each(|l| grad[l] = scale * p[l] * (grad[l] - mean[l]));
                add_times_lane(&mut grad_queries[heads.place(head, t)], grad, &keys[heads.place(head, s)]);
                add_times_lane(&mut grad_keys[heads.place(head, s)], grad, query);
            }
        }
    }
}
