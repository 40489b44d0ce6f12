//! The sums over all windows of one block of sixteen sequences. Symbols are those of [`super`].
//!
//! What is summed stays in registers from one window to the next, so the windows are the inner loop. They are taken
//! few at a time, because they are read again for every few numbers of a sum and should still be in the cache by
//! then.

use multiversion::multiversion;

use crate::simd::{Buffer, Lane, ZERO, each, lanewise, plus_product, plus_scaled, product};

/// Windows whose rows stay in the cache.
const AT_ONCE: usize = 16;

/// Sizes and weights of a window scan.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub dim: usize,
    pub windows: usize,
    pub decay: &'a [f32],
    pub mix: &'a [f32],
    pub pick: &'a [f32],
}

impl Weights<'_> {
    /// Where the last window begins among the tokens' lanes.
    pub fn last(&self) -> usize {
        (2 * self.windows - 2) * self.dim
    }
}

/// Some neighbouring windows of a block.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// (2n + 1) tokens of d lanes.
    tokens: &'a [Lane],
    /// What has been computed of each, once for all sums.
    prepared: &'a [Lane],
    /// Whether no others were summed before.
    is_first: bool,
}

/// S_N, and R_N unless `grad_decay` is empty.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn run_windows(weights: Weights<'_>, tokens: &[Lane], state: &mut [Lane], grad_decay: &mut [Lane]) {
    let dim = weights.dim;
    if weights.windows == 0 {
        state.fill(ZERO);
        grad_decay.fill(ZERO);
    }
    let mut mixed = Buffer::uninit(3 * dim * AT_ONCE.min(weights.windows));
    for first in (0..weights.windows).step_by(AT_ONCE) {
        let count = AT_ONCE.min(weights.windows - first);
        let tokens = &tokens[2 * first * dim..][..(2 * count + 1) * dim];
        let mixed = &mut mixed[..3 * dim * count];
        mix(weights, tokens, mixed);
        let part = Part { tokens, prepared: mixed, is_first: first == 0 };
        for i in 0..dim {
            let mut j = 0;
            while j < dim {
                j += match (dim - j, grad_decay.is_empty()) {
                    (4.., false) => add_columns::<4, true>(weights, part, (i, j), state, grad_decay),
                    (2.., false) => add_columns::<2, true>(weights, part, (i, j), state, grad_decay),
                    (_, false) => add_columns::<1, true>(weights, part, (i, j), state, grad_decay),
                    (4.., true) => add_columns::<4, false>(weights, part, (i, j), state, grad_decay),
                    (2.., true) => add_columns::<2, false>(weights, part, (i, j), state, grad_decay),
                    (_, true) => add_columns::<1, false>(weights, part, (i, j), state, grad_decay),
                };
            }
        }
    }
}

/// Q X_t of some windows.
#[inline(always)]
fn mix(weights: Weights<'_>, tokens: &[Lane], mixed: &mut [Lane]) {
    let dim = weights.dim;
    for (t, mixed) in mixed.chunks_exact_mut(3 * dim).enumerate() {
        let [x0, x1, x2] = rows(&tokens[2 * t * dim..], dim);
        for (mixed, q) in mixed.chunks_exact_mut(dim).zip(weights.mix.chunks_exact(3)) {
            for (((mixed, x0), x1), x2) in mixed.iter_mut().zip(x0).zip(x1).zip(x2) {
                lanewise();
                *mixed = each(|l| q[0] * x0[l] + q[1] * x1[l] + q[2] * x2[l]);
            }
        }
    }
}

/// `J` numbers of S in row i from column j on, and of R where it is wanted, over some windows. Returns `J`.
#[inline(always)]
fn add_columns<const J: usize, const R: bool>(
    weights: Weights<'_>,
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
    for (t, mixed) in part.prepared.chunks_exact(3 * dim).enumerate() {
        lanewise();
        let [x0, x1, x2] = rows(&part.tokens[2 * t * dim..], dim);
        let [m0, m1, m2] = rows(mixed, dim);
        let (x0, x1, x2) = (x0[i], x1[i], x2[i]);
        let (m0, m1, m2) = (&m0[j..][..J], &m1[j..][..J], &m2[j..][..J]);
        for c in 0..J {
            lanewise();
            let (k, [m0, m1, m2]) = (decay[c], [m0[c], m1[c], m2[c]]);
            if R {
                r[c] = each(|l| k * r[c][l] + s[c][l]);
            }
            s[c] = each(|l| k * s[c][l] + (x0[l] * m0[l] + x1[l] * m1[l] + x2[l] * m2[l]));
        }
    }
    state[at..][..J].copy_from_slice(&s);
    if R {
        grad_decay[at..][..J].copy_from_slice(&r);
    }
    J
}

/// ∂(S_N q)/∂Q = Σ_t (X_t e_a) ⊙ (Λ^{N−t} (q ⊙ X_tᵀ e_b)), powers entry by entry: (9 · d) lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn run_back(weights: Weights<'_>, tokens: &[Lane], query: &[Lane], grad_mix: &mut [Lane]) {
    let dim = weights.dim;
    let mut powers = vec![1.0; dim * dim];
    let mut asked = Buffer::uninit((2 * AT_ONCE.min(weights.windows) + 1) * dim);
    let mut end = weights.windows;
    while end > 0 {
        let count = AT_ONCE.min(end);
        end -= count;
        let tokens = &tokens[2 * end * dim..][..(2 * count + 1) * dim];
        let asked = &mut asked[..tokens.len()];
        ask(tokens, query, asked);
        let part = Part { tokens, prepared: asked, is_first: end + count == weights.windows };
        let mut i = 0;
        while i < dim {
            i += match dim - i {
                2.. => add_rows::<2>(weights, part, i, &mut powers, grad_mix),
                _ => add_rows::<1>(weights, part, i, &mut powers, grad_mix),
            };
        }
    }
}

/// q ⊙ each token.
#[inline(always)]
fn ask(tokens: &[Lane], query: &[Lane], asked: &mut [Lane]) {
    for (token, asked) in tokens.chunks_exact(query.len()).zip(asked.chunks_exact_mut(query.len())) {
        for ((asked, x), q) in asked.iter_mut().zip(token).zip(query) {
            lanewise();
            *asked = product(x, q);
        }
    }
}

/// `I` numbers of each sum, from i on, over some windows, the last first. Returns `I`.
#[inline(always)]
fn add_rows<const I: usize>(
    weights: Weights<'_>,
    part: Part<'_>,
    i: usize,
    powers: &mut [f32],
    grad_mix: &mut [Lane],
) -> usize {
    let dim = weights.dim;
    let (powers, decay) = (&mut powers[i * dim..][..I * dim], &weights.decay[i * dim..][..I * dim]);
    let mut sums = [[ZERO; 9]; I];
    if !part.is_first {
        for row in 0..I {
            for ab in 0..9 {
                sums[row][ab] = grad_mix[ab * dim + i + row];
            }
        }
    }
    for t in (0..part.tokens.len() / dim / 2).rev() {
        let window = rows(&part.tokens[2 * t * dim..], dim);
        let [a0, a1, a2] = rows(&part.prepared[2 * t * dim..], dim);
        let mut p = [[ZERO; 3]; I];
        for (j, ((a0, a1), a2)) in a0.iter().zip(a1).zip(a2).enumerate() {
            lanewise();
            let (a0, a1, a2) = (*a0, *a1, *a2);
            for row in 0..I {
                let power = powers[row * dim + j];
                p[row][0] = plus_scaled(&p[row][0], power, &a0);
                p[row][1] = plus_scaled(&p[row][1], power, &a1);
                p[row][2] = plus_scaled(&p[row][2], power, &a2);
            }
        }
        for row in 0..I {
            for a in 0..3 {
                let x = window[a][i + row];
                for b in 0..3 {
                    sums[row][3 * a + b] = plus_product(&sums[row][3 * a + b], &x, &p[row][b]);
                }
            }
        }
        powers.iter_mut().zip(decay).for_each(|(power, decay)| *power *= decay);
    }
    for row in 0..I {
        for ab in 0..9 {
            grad_mix[ab * dim + i + row] = sums[row][ab];
        }
    }
    I
}

/// The three rows of a window.
#[inline(always)]
fn rows(window: &[Lane], dim: usize) -> [&[Lane]; 3] {
    [&window[..dim], &window[dim..2 * dim], &window[2 * dim..3 * dim]]
}
