//! The window recurrence, one token after the other. Symbols are those of [`super`].

use multiversion::multiversion;

use super::sums::ScanWeights;
use super::{WindowScan, read};
use crate::nn::step::{TokenReader, Values};
use crate::simd::{Lane, ZERO, plus_product, plus_scaled, split_mut};

/// S, and what the next window needs of the tokens before.
pub struct WindowState {
    step: WindowScan,
    tokens_read: usize,
    /// The last w tokens, (w · d).
    window: Vec<Lane>,
    /// (d · d).
    state: Vec<Lane>,
    /// Q X_t and what is asked, (w · d), (d) and (w · d).
    scratch: Vec<Lane>,
}

impl WindowState {
    pub fn new(step: WindowScan) -> Self {
        let (dim, wide) = (step.dim, step.window.rows() * step.dim);
        let [window, state, scratch] = [wide, dim * dim, 2 * wide + dim].map(|lanes| vec![ZERO; lanes]);
        Self { step, tokens_read: 0, window, state, scratch }
    }
}

impl TokenReader for WindowState {
    /// A token that ends no window changes no state and has no answer: zero.
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let (dim, window) = (self.step.dim, self.step.window);
        self.window.copy_within(dim.., 0);
        self.window[(window.rows() - 1) * dim..].copy_from_slice(given.of(self.step.tokens));
        self.tokens_read += 1;
        let after_first = self.tokens_read.checked_sub(window.rows());
        if !after_first.is_some_and(|tokens| tokens.is_multiple_of(window.stride())) {
            return out.fill(ZERO);
        }
        let weights = ScanWeights { windows: 1, ..self.step.weights(&given) };
        let wide = self.window.len();
        let [mixed, query, by_row] = split_mut(&mut self.scratch, [wide, dim, wide]);
        add_window(weights, &self.window, mixed, &mut self.state);
        read(weights, &self.window, &self.state, [out, query, by_row]);
    }
}

/// S ← Λ ⊙ S + Xᵀ Q X; Q X is written to `mixed`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_window(weights: ScanWeights<'_>, window: &[Lane], mixed: &mut [Lane], state: &mut [Lane]) {
    let ScanWeights { dim, decay, mix, .. } = weights;
    let w = weights.window.rows();
    mixed.fill(ZERO);
    for (mixed, mix) in mixed.chunks_exact_mut(dim).zip(mix.chunks_exact(w)) {
        for (row, q) in window.chunks_exact(dim).zip(mix) {
            for (sum, x) in mixed.iter_mut().zip(row) {
                *sum = plus_scaled(sum, *q, x);
            }
        }
    }
    for (i, (row, decay)) in state.chunks_exact_mut(dim).zip(decay.chunks_exact(dim)).enumerate() {
        for (j, (s, k)) in row.iter_mut().zip(decay).enumerate() {
            let mut sum = plus_scaled(&ZERO, *k, s);
            for a in 0..w {
                sum = plus_product(&sum, &window[a * dim + i], &mixed[a * dim + j]);
            }
            *s = sum;
        }
    }
}
