//! Causal attention with softmax, in heads: out_t = Σ_{s≤t} p_ts v_s with p_t = softmax_s(q_t · k_s / √w).
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `queries` q, `keys` k, `values` v | heads side by side, each of width w | (B, T, h·w) |
//! | p | how much each token takes from which: the attention matrix | (T, T), lower triangle |
//!
//! Source: Vaswani et al. 2017 (1706.03762), section 3.2. Every query is a token too, so M = T.

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

use super::lanes::{LANES, Lane, ZERO, add_product, gather, scatter_add};
use super::linear_attend::{Attended, host};
use crate::nn::{Cube, Outcome};

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

/// Made of dfdx's operations, for any device. Sequences and heads are one axis, because dfdx multiplies matrices with two
/// such axes one sequence after the other.
pub fn compose<D: super::Device, T: Tape<f32, D>>(parts: Attended<D, T>, heads: usize) -> Outcome<Cube<D, T>, D> {
    let device = parts.queries.device().clone();
    let (batch, length, all) = *parts.queries.shape();
    let width = all / heads;
    let split = |cube: Cube<D, T>| {
        let heads_first =
            cube.try_reshape_like(&(batch, length, heads, width))?.try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        heads_first.try_reshape_like(&(batch * heads, length, width))
    };
    let keys = split(parts.keys)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (B·h, w, T)
    let scores = split(parts.queries)?.try_matmul(keys)?.try_mul(1.0 / (width as f32).sqrt())?; // (B·h, T, T)
    let later = (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 });
    let mask: Tensor<(usize, usize), f32, D> = device.try_tensor_from_vec(later.collect(), (length, length))?;
    let mask = mask.try_broadcast_like::<_, Axis<0>>(&(batch * heads, length, length))?;
    let attention = scores.try_add(mask)?.try_softmax::<Axis<2>>()?;
    let out = attention.try_matmul(split(parts.values)?)?.try_reshape_like(&(batch, heads, length, width))?;
    out.try_permute::<_, Axes4<0, 2, 1, 3>>()?.try_reshape_like(&(batch, length, all))
}

/// Sizes of a block.
#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    heads: usize,
    /// w.
    width: usize,
}

/// One block of sixteen sequences, as lanes.
struct Block {
    sizes: Sizes,
    queries: Vec<Lane>,
    keys: Vec<Lane>,
    values: Vec<Lane>,
    /// p: (h, T, T).
    attention: Vec<Lane>,
}

/// The fast form: one operation on the tape, in blocks of sixteen sequences, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, parts: Attended<Cpu, T>, heads: usize) -> Outcome<Cube<Cpu, T>, Cpu> {
    let (queries, tape) = parts.queries.split_tape();
    let (keys, keys_tape) = parts.keys.split_tape();
    let (values, values_tape) = parts.values.split_tape();
    let mut tape = tape.merge(keys_tape).merge(values_tape);
    let shape = *queries.shape();
    let sizes = Sizes { length: shape.1, heads, width: shape.2 / heads };
    let (batch, each) = (shape.0, shape.1 * shape.2);

    let [q, k, v] = [&queries, &keys, &values].map(|part| host(part, batch * each));
    let mut rows = vec![0.0; batch * each];
    let blocks: Vec<Block> = (q.par_chunks(LANES * each), k.par_chunks(LANES * each), v.par_chunks(LANES * each))
        .into_par_iter()
        .zip(rows.par_chunks_mut(LANES * each))
        .map(|((q, k, v), rows)| {
            let attention = vec![ZERO; heads * sizes.length * sizes.length];
            let [queries, keys, values] = [q, k, v].map(|rows| gather(rows, each));
            let mut block = Block { sizes, queries, keys, values, attention };
            let mut out = vec![ZERO; each];
            forward_block(&mut block, &mut out);
            scatter_add(&out, rows);
            block
        })
        .collect();
    let out = device.try_tensor_from_vec(rows, shape)?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let by_out = gradients.get_or_alloc_mut(&result)?;
        let lanes: Vec<[Vec<Lane>; 3]> = blocks
            .par_iter()
            .zip(by_out.par_chunks(LANES * each))
            .map(|(block, rows)| backward_block(block, &gather(rows, each)))
            .collect();
        for (part, tensor) in [&queries, &keys, &values].into_iter().enumerate() {
            let rows = gradients.get_or_alloc_mut(tensor)?;
            rows.par_chunks_mut(LANES * each).zip(&lanes).for_each(|(rows, block)| scatter_add(&block[part], rows));
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

impl Sizes {
    /// Where head `head` of token `t` lies in queries, keys, values and answers.
    #[inline(always)]
    fn token(self, head: usize, t: usize) -> std::ops::Range<usize> {
        let at = (t * self.heads + head) * self.width;
        at..at + self.width
    }

    /// Where the weights of token `t` on the tokens up to it lie in p.
    #[inline(always)]
    fn row(self, head: usize, t: usize) -> std::ops::Range<usize> {
        let at = (head * self.length + t) * self.length;
        at..at + t + 1
    }
}

#[inline(always)]
fn dot(a: &[Lane], b: &[Lane]) -> Lane {
    let mut sum = ZERO;
    a.iter().zip(b).for_each(|(a, b)| add_product(&mut sum, a, b));
    sum
}

/// a += k · b, each lane by its own k.
#[inline(always)]
fn add_times_lane(a: &mut [Lane], k: &Lane, b: &[Lane]) {
    a.iter_mut().zip(b).for_each(|(a, b)| add_product(a, k, b));
}

/// p and the answers of one block.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block(block: &mut Block, out: &mut [Lane]) {
    let sizes = block.sizes;
    let scale = 1.0 / (sizes.width as f32).sqrt();
    for head in 0..sizes.heads {
        for t in 0..sizes.length {
            let query = &block.queries[sizes.token(head, t)];
            let row = &mut block.attention[sizes.row(head, t)];
            let (mut most, mut sum) = ([f32::NEG_INFINITY; LANES], ZERO);
            for (s, score) in row.iter_mut().enumerate() {
                *score = dot(query, &block.keys[sizes.token(head, s)]);
                for l in 0..LANES {
                    score[l] *= scale;
                    most[l] = most[l].max(score[l]);
                }
            }
            for score in row.iter_mut() {
                for l in 0..LANES {
                    score[l] = (score[l] - most[l]).exp();
                    sum[l] += score[l];
                }
            }
            let answer = &mut out[sizes.token(head, t)];
            for (s, p) in row.iter_mut().enumerate() {
                for l in 0..LANES {
                    p[l] /= sum[l];
                }
                add_times_lane(answer, p, &block.values[sizes.token(head, s)]);
            }
        }
    }
}

/// Gradients by queries, keys and values of one block, from ∂out.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block(block: &Block, by_out: &[Lane]) -> [Vec<Lane>; 3] {
    let sizes = block.sizes;
    let scale = 1.0 / (sizes.width as f32).sqrt();
    let [mut by_queries, mut by_keys, mut by_values] = [(); 3].map(|()| vec![ZERO; by_out.len()]);
    let mut slopes = vec![ZERO; sizes.length];
    for head in 0..sizes.heads {
        for t in 0..sizes.length {
            let query = sizes.token(head, t);
            let (row, by_answer) = (&block.attention[sizes.row(head, t)], &by_out[query.clone()]);
            // ∂p_s = ∂out · v_s, and ∂score_s = p_s (∂p_s − Σ p ∂p).
            let mut mean = ZERO;
            for ((s, p), slope) in row.iter().enumerate().zip(&mut slopes) {
                let token = sizes.token(head, s);
                *slope = dot(by_answer, &block.values[token.clone()]);
                add_product(&mut mean, p, slope);
                add_times_lane(&mut by_values[token], p, by_answer);
            }
            for ((s, p), slope) in row.iter().enumerate().zip(&mut slopes) {
                for l in 0..LANES {
                    slope[l] = scale * p[l] * (slope[l] - mean[l]);
                }
                let token = sizes.token(head, s);
                add_times_lane(&mut by_queries[query.clone()], slope, &block.keys[token.clone()]);
                add_times_lane(&mut by_keys[token], slope, &block.queries[query.clone()]);
            }
        }
    }
    [by_queries, by_keys, by_values]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Cube<Cpu, OwnedTape<f32, Cpu>>;
    type Parts = Attended<Cpu, OwnedTape<f32, Cpu>>;

    /// Values and the gradients of a weighted sum of them, by queries, keys and values.
    fn run(form: fn(&Cpu, Parts) -> Taped) -> [Vec<f32>; 4] {
        let (device, mut random) = (Cpu::default(), Random::new(5));
        let [q, k, v, weights] = [(); 4].map(|()| random.cube(&device, (19, 5, 6)));
        let parts = Attended { queries: q.leaky_trace(), keys: k.leaky_trace(), values: v.leaky_trace() };
        let out = form(&device, parts);
        let values = out.as_vec();
        let gradients = (out * weights).sum::<Rank0, _>().backward();
        [values, gradients.get(&q).as_vec(), gradients.get(&k).as_vec(), gradients.get(&v).as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        let fast = run(|device, parts| fused(device, parts, 2).unwrap());
        let plain = run(|_, parts| compose(parts, 2).unwrap());
        for (fast, plain) in fast.iter().zip(&plain) {
            assert_close(fast, plain, 1e-5);
        }
    }
}
