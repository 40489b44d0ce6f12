//! Fast weights, one token after the other: the memory itself is kept. Symbols are those of [`super`].

use multiversion::multiversion;

use super::{FastWeights, Pairs};
use crate::nn::step::{TokenReader, Values};
use crate::simd::{LANES, Lane, ZERO, each, lanewise, plus, plus_product, product};

/// S, and with momentum M.
pub struct MemoryState {
    step: FastWeights,
    /// (m · n), empty before the first token.
    state: Vec<Lane>,
    change: Vec<Lane>,
}

impl MemoryState {
    pub fn new(step: FastWeights) -> Self {
        Self { step, state: Vec::new(), change: Vec::new() }
    }
}

impl TokenReader for MemoryState {
    /// Answers from the pairs before, then writes this one.
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        self.state.resize(out.len() * self.step.width, ZERO);
        if self.step.momentum.is_some() {
            self.change.resize(self.state.len(), ZERO);
        }
        let pair = Pairs { pairs: 1, ..self.step.pairs(&given, out.len()) };
        read(&pair, given.of(self.step.query), (&mut self.state, &mut self.change), out);
    }
}

#[inline(always)]
fn dot(row: &[Lane], vector: &[Lane]) -> Lane {
    let mut sum = ZERO;
    for (s, x) in row.iter().zip(vector) {
        lanewise();
        sum = plus_product(&sum, s, x);
    }
    sum
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn read(pair: &Pairs<'_, Lane>, query: &[Lane], (state, change): (&mut [Lane], &mut [Lane]), out: &mut [Lane]) {
    let [_, n, decay_width] = pair.sizes;
    let beside = if pair.erase[1].is_empty() { pair.keys } else { pair.erase[1] };
    for (r, (row, out)) in state.chunks_exact_mut(n).zip(out).enumerate() {
        *out = dot(row, query);
        let removed = dot(row, pair.erase[0]);
        let value = pair.values.get(r).copied().unwrap_or([1.0; LANES]);
        for (i, s) in row.iter_mut().enumerate() {
            lanewise();
            let written = product(&value, &pair.keys[i]);
            let mut written = each(|l| written[l] - removed[l] * beside[i][l]);
            if let Some(change) = change.get_mut(r * n + i) {
                written = plus_product(&written, &pair.momentum[0], change);
                *change = written;
            }
            let kept = if decay_width == 0 { [pair.constant; LANES] } else { pair.decay[i % decay_width] };
            *s = plus(&product(&kept, s), &written);
        }
    }
}
