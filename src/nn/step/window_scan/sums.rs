//! The sums over all windows of one block of sixteen sequences. Symbols are those of [`super`].
//!
//! What is summed stays in registers from one window to the next, so the windows are the inner loop. They are taken
//! few at a time, because they are read again for every few numbers of a sum and should still be in the cache by
//! then.

use multiversion::multiversion;

use super::Window;
use crate::simd::{Buffer, Lane, ZERO, each, lanewise, plus_product, plus_scaled, product};

/// Windows whose rows stay in the cache.
const AT_ONCE: usize = 16;

/// Sizes and weights of a window scan.
#[derive(Clone, Copy)]
pub struct ScanWeights<'a> {
    pub dim: usize,
    pub window: Window,
    pub windows: usize,
    pub decay: &'a [f32],
    pub mix: &'a [f32],
    pub pick: &'a [f32],
}

impl ScanWeights<'_> {
    /// Where the last window begins among the tokens' lanes.
    pub fn last(&self) -> usize {
        self.window.stride() * (self.windows - 1) * self.dim
    }
}

/// Some neighbouring windows of a block.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// The tokens of n windows, d lanes each.
    tokens: &'a [Lane],
    /// What has been computed of each, once for all sums.
    prepared: &'a [Lane],
    /// Whether no others were summed before.
    is_first: bool,
}

/// S_N, and R_N unless `grad_decay` is empty.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn run_windows(weights: ScanWeights<'_>, tokens: &[Lane], state: &mut [Lane], grad_decay: &mut [Lane]) {
    if weights.windows == 0 {
        state.fill(ZERO);
        grad_decay.fill(ZERO);
    }
    match weights.window {
        Window::One => add_windows::<1, 1>(weights, tokens, state, grad_decay),
        Window::Two => add_windows::<2, 1>(weights, tokens, state, grad_decay),
        Window::Three => add_windows::<3, 2>(weights, tokens, state, grad_decay),
    }
}

/// [`run_windows`] of windows of `W` tokens, each `S` tokens after the one before.
#[inline(always)]
fn add_windows<const W: usize, const S: usize>(
    weights: ScanWeights<'_>,
    tokens: &[Lane],
    state: &mut [Lane],
    grad_decay: &mut [Lane],
) {
    let dim = weights.dim;
    let mut mixed = Buffer::uninit(W * dim * AT_ONCE.min(weights.windows));
    for first in (0..weights.windows).step_by(AT_ONCE) {
        let count = AT_ONCE.min(weights.windows - first);
        let tokens = &tokens[S * first * dim..][..(S * (count - 1) + W) * dim];
        let mixed = &mut mixed[..W * dim * count];
        mix::<W, S>(weights, tokens, mixed);
        let part = Part { tokens, prepared: mixed, is_first: first == 0 };
        for i in 0..dim {
            let mut j = 0;
            while j < dim {
                j += match (dim - j, grad_decay.is_empty()) {
                    (4.., false) => add_columns::<W, S, 4, true>(weights, part, (i, j), state, grad_decay),
                    (2.., false) => add_columns::<W, S, 2, true>(weights, part, (i, j), state, grad_decay),
                    (_, false) => add_columns::<W, S, 1, true>(weights, part, (i, j), state, grad_decay),
                    (4.., true) => add_columns::<W, S, 4, false>(weights, part, (i, j), state, grad_decay),
                    (2.., true) => add_columns::<W, S, 2, false>(weights, part, (i, j), state, grad_decay),
                    (_, true) => add_columns::<W, S, 1, false>(weights, part, (i, j), state, grad_decay),
                };
            }
        }
    }
}

/// Q X_t of some windows.
#[inline(always)]
fn mix<const W: usize, const S: usize>(weights: ScanWeights<'_>, tokens: &[Lane], mixed: &mut [Lane]) {
    let dim = weights.dim;
    for (t, mixed) in mixed.chunks_exact_mut(W * dim).enumerate() {
        let x: [&[Lane]; W] = rows(&tokens[S * t * dim..], dim);
        for (mixed, q) in mixed.chunks_exact_mut(dim).zip(weights.mix.chunks_exact(W)) {
            for (j, mixed) in mixed.iter_mut().enumerate() {
                lanewise();
                let mut sum = each(|l| q[0] * x[0][j][l]);
                for a in 1..W {
                    sum = plus_scaled(&sum, q[a], &x[a][j]);
                }
                *mixed = sum;
            }
        }
    }
}

/// `J` numbers of S in row i from column j on, and of R where it is wanted, over some windows. Returns `J`.
#[inline(always)]
fn add_columns<const W: usize, const S: usize, const J: usize, const R: bool>(
    weights: ScanWeights<'_>,
    part: Part<'_>,
    (i, j): (usize, usize),
    state: &mut [Lane],
    grad_decay: &mut [Lane],
) -> usize {
    let dim = weights.dim;
    let at = i * dim + j;
    let decay = &weights.decay[at..][..J];
    let (mut s, mut r) = ([ZERO; J], [ZERO; J]);
    if !part.is_first {
        s.copy_from_slice(&state[at..][..J]);
        if R {
            r.copy_from_slice(&grad_decay[at..][..J]);
        }
    }
    for (t, mixed) in part.prepared.chunks_exact(W * dim).enumerate() {
        lanewise();
        let (window, mixed): ([_; W], [_; W]) = (rows(&part.tokens[S * t * dim..], dim), rows(mixed, dim));
        let (mut x, mut m) = ([ZERO; W], [&[][..]; W]);
        for a in 0..W {
            (x[a], m[a]) = (window[a][i], &mixed[a][j..][..J]);
        }
        for c in 0..J {
            lanewise();
            let k = decay[c];
            if R {
                r[c] = each(|l| k * r[c][l] + s[c][l]);
            }
            let mut added = product(&x[0], &m[0][c]);
            for a in 1..W {
                added = plus_product(&added, &x[a], &m[a][c]);
            }
            s[c] = each(|l| k * s[c][l] + added[l]);
        }
    }
    state[at..][..J].copy_from_slice(&s);
    if R {
        grad_decay[at..][..J].copy_from_slice(&r);
    }
    J
}

/// ∂(S_N q)/∂Q = Σ_t (X_t e_a) ⊙ (Λ^{N−t} (q ⊙ X_tᵀ e_b)), powers entry by entry: (w² · d) lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn run_back(weights: ScanWeights<'_>, tokens: &[Lane], query: &[Lane], grad_mix: &mut [Lane]) {
    match weights.window {
        Window::One => add_back::<1, 1>(weights, tokens, query, grad_mix),
        Window::Two => add_back::<2, 1>(weights, tokens, query, grad_mix),
        Window::Three => add_back::<3, 2>(weights, tokens, query, grad_mix),
    }
}

/// [`run_back`] of windows of `W` tokens, each `S` tokens after the one before.
#[inline(always)]
fn add_back<const W: usize, const S: usize>(
    weights: ScanWeights<'_>,
    tokens: &[Lane],
    query: &[Lane],
    grad_mix: &mut [Lane],
) {
    let dim = weights.dim;
    let tokens_of = |windows: usize| S * (windows - 1) + W;
    let mut powers = vec![1.0; dim * dim];
    let mut products = Buffer::uninit(tokens_of(AT_ONCE.min(weights.windows)) * dim);
    let mut end = weights.windows;
    while end > 0 {
        let count = AT_ONCE.min(end);
        end -= count;
        let tokens = &tokens[S * end * dim..][..tokens_of(count) * dim];
        let products = &mut products[..tokens.len()];
        times_query(tokens, query, products);
        let part = Part { tokens, prepared: products, is_first: end + count == weights.windows };
        let mut i = 0;
        while i < dim {
            i += match dim - i {
                2.. => add_rows::<W, S, 2>(weights, (part, count), i, &mut powers, grad_mix),
                _ => add_rows::<W, S, 1>(weights, (part, count), i, &mut powers, grad_mix),
            };
        }
    }
}

/// q ⊙ each token.
#[inline(always)]
fn times_query(tokens: &[Lane], query: &[Lane], products: &mut [Lane]) {
    for (token, products) in tokens.chunks_exact(query.len()).zip(products.chunks_exact_mut(query.len())) {
        for ((out, x), q) in products.iter_mut().zip(token).zip(query) {
            lanewise();
            *out = product(x, q);
        }
    }
}

/// `I` numbers of each sum, from i on, over some windows, the last first. Returns `I`.
#[inline(always)]
fn add_rows<const W: usize, const S: usize, const I: usize>(
    weights: ScanWeights<'_>,
    (part, windows): (Part<'_>, usize),
    i: usize,
    powers: &mut [f32],
    grad_mix: &mut [Lane],
) -> usize {
    let dim = weights.dim;
    let (powers, decay) = (&mut powers[i * dim..][..I * dim], &weights.decay[i * dim..][..I * dim]);
    let mut sums = [[[ZERO; W]; W]; I];
    if !part.is_first {
        for row in 0..I {
            for ab in 0..W * W {
                sums[row][ab / W][ab % W] = grad_mix[ab * dim + i + row];
            }
        }
    }
    for t in (0..windows).rev() {
        let window: [&[Lane]; W] = rows(&part.tokens[S * t * dim..], dim);
        let products: [&[Lane]; W] = rows(&part.prepared[S * t * dim..], dim);
        let mut p = [[ZERO; W]; I];
        for j in 0..dim {
            lanewise();
            for row in 0..I {
                let power = powers[row * dim + j];
                for b in 0..W {
                    p[row][b] = plus_scaled(&p[row][b], power, &products[b][j]);
                }
            }
        }
        for row in 0..I {
            for a in 0..W {
                let x = window[a][i + row];
                for b in 0..W {
                    sums[row][a][b] = plus_product(&sums[row][a][b], &x, &p[row][b]);
                }
            }
        }
        powers.iter_mut().zip(decay).for_each(|(power, decay)| *power *= decay);
    }
    for row in 0..I {
        for ab in 0..W * W {
            grad_mix[ab * dim + i + row] = sums[row][ab / W][ab % W];
        }
    }
    I
}

/// The rows of a window.
#[inline(always)]
fn rows<const W: usize>(window: &[Lane], dim: usize) -> [&[Lane]; W] {
    let mut rows = [&[][..]; W];
    for (row, values) in rows.iter_mut().enumerate() {
        *values = &window[row * dim..][..dim];
    }
    rows
}
