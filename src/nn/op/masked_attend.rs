//! The matrix form of Mamba-2's scan on the CPU, for one block: y_t = Σ_{s≤t} (C_t · B_s) L[t, s] Δ_s x_s in every head.
//!
//! Symbols and shapes are those of [`super::head_scan`], which also has the definition. L[t, s] = exp(σ_t − σ_s) with
//! σ_t = A Σ_{r≤t} Δ_r. The work grows with the square of the length, the memory does not.

use multiversion::multiversion;

use super::buffer::Buffer;
use super::elementary::exp;
use super::lanes::{LANES, Lane, ZERO, lanewise, plus_product, plus_scaled, product, total};
use super::selective_scan::Scanned;

/// Sizes and sums of one block.
struct Heads<'a> {
    scanned: Scanned<'a>,
    heads: usize,
    /// P.
    each: usize,
    /// N.
    states: usize,
    length: usize,
    /// Tokens that are not asked for an answer.
    skipped: usize,
    /// Σ_{r≤t} Δ_r: (T · M) lanes.
    sums: Buffer,
}

impl<'a> Heads<'a> {
    #[inline(always)]
    fn new(scanned: Scanned<'a>, heads: usize, states: usize) -> Self {
        let [step, input, write, read] = scanned;
        let length = write.len() / states;
        let mut sums = Buffer::zeros(step.len());
        sums.copy_from_slice(step);
        for at in heads..sums.len() {
            sums[at] = std::array::from_fn(|l| sums[at][l] + sums[at - heads][l]);
        }
        let (each, skipped) = (input.len() / length / heads, (write.len() - read.len()) / states);
        Self { scanned, heads, each, states, length, skipped, sums }
    }

    /// C_t · B_s.
    #[inline(always)]
    fn score(&self, t: usize, s: usize) -> Lane {
        let [_, _, write, read] = self.scanned;
        let (read, write) = (&read[(t - self.skipped) * self.states..], &write[s * self.states..]);
        let mut sum = ZERO;
        for (c, b) in read[..self.states].iter().zip(&write[..self.states]) {
            sum = plus_product(&sum, c, b);
        }
        sum
    }

    /// L[t, s] of a head.
    #[inline(always)]
    fn mask(&self, head: usize, a: f32, (t, s): (usize, usize)) -> Lane {
        let (to, from) = (&self.sums[t * self.heads + head], &self.sums[s * self.heads + head]);
        std::array::from_fn(|l| exp(a * (to[l] - from[l])))
    }

    /// Where the channels of a head lie, of token `t`.
    #[inline(always)]
    fn channels(&self, head: usize, t: usize) -> std::ops::Range<usize> {
        let at = (t * self.heads + head) * self.each;
        at..at + self.each
    }
}

/// Writes the last answers to `out`. `rate` is A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(scanned: Scanned<'_>, rate: &[f32], states: usize, out: &mut [Lane]) {
    let [step, input, ..] = scanned;
    let block = Heads::new(scanned, rate.len(), states);
    out.fill(ZERO);
    for t in block.skipped..block.length {
        for s in 0..=t {
            let score = block.score(t, s);
            for (head, a) in rate.iter().enumerate() {
                let weight = product(&product(&score, &block.mask(head, *a, (t, s))), &step[s * rate.len() + head]);
                let answers = &mut out[block.channels(head, t - block.skipped)];
                for (answer, x) in answers.iter_mut().zip(&input[block.channels(head, s)]) {
                    lanewise();
                    *answer = plus_product(answer, &weight, x);
                }
            }
        }
    }
}

/// Adds the gradients by Δ, x, B, C and A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (scanned, rate): (Scanned<'_>, &[f32]),
    states: usize,
    grad_out: &[Lane],
    [grad_step, grad_input, grad_write, grad_read]: [&mut [Lane]; 4],
    grad_rate: &mut [f32],
) {
    let [step, input, write, read] = scanned;
    let (block, heads) = (Heads::new(scanned, rate.len(), states), rate.len());
    // ∂σ/A: what Σ Δ contributes, before it is summed back over time.
    let mut grad_sums = Buffer::zeros(step.len());
    for t in block.skipped..block.length {
        for s in 0..=t {
            let (score, mut grad_score) = (block.score(t, s), ZERO);
            for (head, a) in rate.iter().enumerate() {
                let (mask, delta) = (block.mask(head, *a, (t, s)), s * heads + head);
                let (plain, decayed) = (product(&score, &mask), product(&mask, &step[delta]));
                let (weight, mut grad_weight) = (product(&plain, &step[delta]), ZERO);
                let answers = &grad_out[block.channels(head, t - block.skipped)];
                let (x, grad_x) = (&input[block.channels(head, s)], &mut grad_input[block.channels(head, s)]);
                for ((answer, x), grad_x) in answers.iter().zip(x).zip(grad_x) {
                    lanewise();
                    grad_weight = plus_product(&grad_weight, answer, x);
                    *grad_x = plus_product(grad_x, answer, &weight);
                }
                grad_step[delta] = plus_product(&grad_step[delta], &grad_weight, &plain);
                grad_score = plus_product(&grad_score, &grad_weight, &decayed);
                let grad_exponent = product(&grad_weight, &weight);
                let (to, from) = (t * heads + head, s * heads + head);
                for l in 0..LANES {
                    grad_sums[to][l] += grad_exponent[l];
                    grad_sums[from][l] -= grad_exponent[l];
                }
            }
            let (c, b) = ((t - block.skipped) * states, s * states);
            for n in 0..states {
                lanewise();
                grad_read[c + n] = plus_product(&grad_read[c + n], &grad_score, &write[b + n]);
                grad_write[b + n] = plus_product(&grad_write[b + n], &grad_score, &read[c + n]);
            }
        }
    }
    for (head, (grad, a)) in grad_rate.iter_mut().zip(rate).enumerate() {
        let (mut sum, mut later) = (ZERO, ZERO);
        for at in (head..step.len()).step_by(heads).rev() {
            sum = plus_product(&sum, &grad_sums[at], &block.sums[at]);
            (0..LANES).for_each(|l| later[l] += grad_sums[at][l]);
            grad_step[at] = plus_scaled(&grad_step[at], *a, &later);
        }
        *grad += total(&sum);
    }
}
