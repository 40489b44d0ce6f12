//! Fast weights, one token after the other: the memory itself is kept. Symbols are those of [`super`].

use multiversion::multiversion;

use super::FastWeights;
use super::kernel::Given;
use crate::nn::step::{TokenReader, Values};
use crate::simd::{Lane, ZERO, dot_lanes, each, lanewise, plus, plus_product, product};

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
        self.state.resize(out.len() * self.step.keys.width, ZERO);
        if self.step.momentum.is_some() {
            self.change.resize(self.state.len(), ZERO);
        }
        read(&self.step.values(&given), (&mut self.state, &mut self.change), out);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn read(given: &Given<'_>, (state, change): (&mut [Lane], &mut [Lane]), out: &mut [Lane]) {
    let (n, value, erased) = (given.keys.width, given.value(0), given.erased());
    for (r, (row, out)) in state.chunks_exact_mut(n).zip(out).enumerate() {
        *out = dot_lanes(row, given.query.of);
        let removed = erased.map(|[e, b]| (dot_lanes(row, e.of), b.of));
        for (i, s) in row.iter_mut().enumerate() {
            lanewise();
            let mut written = product(&value[r], &given.keys.of[i]);
            if let Some((removed, b)) = &removed {
                written = each(|l| written[l] - removed[l] * b[i][l]);
            }
            if let (Some(momentum), Some(change)) = (given.momentum, change.get_mut(r * n + i)) {
                written = plus_product(&written, &momentum.of[0], change);
                *change = written;
            }
            *s = plus(&product(&given.kept(0, i), s), &written);
        }
    }
}
