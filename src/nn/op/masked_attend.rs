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
    by_out: &[Lane],
    [by_step, by_input, by_write, by_read]: [&mut [Lane]; 4],
    by_rate: &mut [f32],
) {
    let [step, input, write, read] = scanned;
    let (block, heads) = (Heads::new(scanned, rate.len(), states), rate.len());
    // ∂σ/A: what Σ Δ contributes, before it is summed back over time.
    let mut by_sums = Buffer::zeros(step.len());
    for t in block.skipped..block.length {
        for s in 0..=t {
            let (score, mut by_score) = (block.score(t, s), ZERO);
            for (head, a) in rate.iter().enumerate() {
                let (mask, delta) = (block.mask(head, *a, (t, s)), s * heads + head);
                let (plain, decayed) = (product(&score, &mask), product(&mask, &step[delta]));
                let (weight, mut by_weight) = (product(&plain, &step[delta]), ZERO);
                let answers = &by_out[block.channels(head, t - block.skipped)];
                let (x, by_x) = (&input[block.channels(head, s)], &mut by_input[block.channels(head, s)]);
                for ((answer, x), by_x) in answers.iter().zip(x).zip(by_x) {
                    lanewise();
                    by_weight = plus_product(&by_weight, answer, x);
                    *by_x = plus_product(by_x, answer, &weight);
                }
                by_step[delta] = plus_product(&by_step[delta], &by_weight, &plain);
                by_score = plus_product(&by_score, &by_weight, &decayed);
                let by_exponent = product(&by_weight, &weight);
                let (to, from) = (t * heads + head, s * heads + head);
                for l in 0..LANES {
                    by_sums[to][l] += by_exponent[l];
                    by_sums[from][l] -= by_exponent[l];
                }
            }
            let (c, b) = ((t - block.skipped) * states, s * states);
            for n in 0..states {
                lanewise();
                by_read[c + n] = plus_product(&by_read[c + n], &by_score, &write[b + n]);
                by_write[b + n] = plus_product(&by_write[b + n], &by_score, &read[c + n]);
            }
        }
    }
    for (head, (slope, a)) in by_rate.iter_mut().zip(rate).enumerate() {
        let (mut sum, mut later) = (ZERO, ZERO);
        for at in (head..step.len()).step_by(heads).rev() {
            sum = plus_product(&sum, &by_sums[at], &block.sums[at]);
            (0..LANES).for_each(|l| later[l] += by_sums[at][l]);
            by_step[at] = plus_scaled(&by_step[at], *a, &later);
        }
        *slope += total(&sum);
    }
}
