//! The diagonal recurrence, one token after the other. Symbols are those of [`super`].

use multiversion::multiversion;

use super::{DiagonalScan, rows};
use crate::nn::step::{TokenReader, Values};
use crate::simd::{Lane, ZERO, each, lanewise};

/// h, (2n).
pub struct DiagonalState {
    step: DiagonalScan,
    state: Vec<Lane>,
}

impl DiagonalState {
    pub fn new(step: DiagonalScan) -> Self {
        Self { step, state: Vec::new() }
    }
}

impl TokenReader for DiagonalState {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        self.state.resize(out.len(), ZERO);
        read(given.of(self.step.input), given.param(self.step.spectrum), &mut self.state);
        out.copy_from_slice(&self.state);
    }
}

/// h ← λ ⊙ h + g ⊙ v.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn read(input: &[Lane], spectrum: &[f32], state: &mut [Lane]) {
    let n = spectrum.len() / 4;
    let [decay_re, decay_im, gain_re, gain_im] = rows(spectrum);
    let (re, im) = state.split_at_mut(n);
    for j in 0..n {
        lanewise();
        let (h_re, h_im, v_re, v_im) = (re[j], im[j], input[j], input[n + j]);
        let (a, b, g, k) = (decay_re[j], decay_im[j], gain_re[j], gain_im[j]);
        re[j] = each(|l| a * h_re[l] - b * h_im[l] + g * v_re[l] - k * v_im[l]);
        im[j] = each(|l| a * h_im[l] + b * h_re[l] + g * v_im[l] + k * v_re[l]);
    }
}
