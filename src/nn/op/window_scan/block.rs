//! The window scan of one block of sixteen sequences, and its gradients. Symbols are those of [`super`].

use dfdx::tensor::Cpu;
use multiversion::multiversion;

use super::WindowScan;
use crate::lanes::{
    Lane, ZERO, add_outer, add_product, add_scaled, add_times, add_transposed_times, inner, lanewise, plus_product,
    total,
};
use crate::nn::Wanted;
use crate::nn::op::buffer::Buffer;

/// Weights as the fused form reads them.
pub struct Host {
    dim: usize,
    windows: usize,
    decay: Vec<f32>,
    mix: [f32; 9],
    pick: [f32; 3],
}

/// What the forward pass leaves for the backward pass, for one block. Empty where nobody asks for it.
pub struct Saved {
    /// (tokens · d) lanes.
    tokens: Option<Buffer>,
    /// S_N: (d · d) lanes.
    state: Vec<Lane>,
    /// X_Nᵀ D: (d) lanes.
    query: Vec<Lane>,
    /// R_N = ∂S_N/∂Λ: (d · d) lanes.
    by_decay: Vec<Lane>,
    /// ∂answer/∂Q: (9 · d) lanes.
    by_mix: Vec<Lane>,
    /// ∂answer/∂D = S_N X_Nᵀ: (3 · d) lanes.
    by_pick: Vec<Lane>,
}

/// Gradients that one block contributes.
pub struct Gradient {
    pub decay: Vec<f32>,
    pub mix: [f32; 9],
    pub pick: [f32; 3],
    /// (tokens · d) lanes; empty where nobody asks.
    pub tokens: Vec<Lane>,
}

impl Host {
    pub fn read(weights: &WindowScan<'_, Cpu>, windows: usize, dim: usize) -> Self {
        let mut host = Self { dim, windows, decay: vec![0.0; dim * dim], mix: [0.0; 9], pick: [0.0; 3] };
        weights.decay.copy_into(&mut host.decay);
        weights.mix.copy_into(&mut host.mix);
        weights.pick.copy_into(&mut host.pick);
        host
    }

    /// Where the last window begins among the tokens' lanes.
    fn last(&self) -> usize {
        (2 * self.windows.max(1) - 2) * self.dim
    }
}

/// The answer of one block, and what its backward pass will need: nothing, if there will be none.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward_block(host: &Host, wanted: Option<Wanted>, tokens: Buffer) -> (Saved, Vec<Lane>) {
    let dim = host.dim;
    let by_weights = matches!(wanted, Some(Wanted::Weights | Wanted::All));
    let lanes = |count: usize, needed: bool| vec![ZERO; if needed { count } else { 0 }];
    let (mut state, mut by_decay) = (lanes(dim * dim, true), lanes(dim * dim, by_weights));
    run_windows(host, &tokens, &mut state, &mut by_decay);

    let window = &tokens[host.last()..][..3 * dim];
    let (mut query, mut by_pick, mut answer) = (lanes(dim, true), lanes(3 * dim, true), lanes(dim, true));
    add_times(&state, dim, window, &mut by_pick);
    for (a, pick) in host.pick.iter().enumerate() {
        for j in 0..dim {
            add_scaled(&mut query[j], *pick, &window[a * dim + j]);
            add_scaled(&mut answer[j], *pick, &by_pick[a * dim + j]);
        }
    }
    let mut by_mix = lanes(9 * dim, by_weights);
    if by_weights {
        run_back(host, &tokens, &query, &mut by_mix);
    }
    let tokens = (wanted != Some(Wanted::Weights)).then_some(tokens);
    (Saved { tokens, state, query, by_decay, by_mix, by_pick }, answer)
}

/// S_N, and R_N where there is room for it.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn run_windows(host: &Host, tokens: &[Lane], state: &mut [Lane], by_decay: &mut [Lane]) {
    let dim = host.dim;
    let mut mixed = vec![ZERO; 3 * dim];
    for t in 0..host.windows {
        let window = &tokens[2 * t * dim..][..3 * dim];
        let [x0, x1, x2] = rows(window, dim);
        // mixed = Q X_t
        for (mixed, q) in mixed.chunks_exact_mut(dim).zip(host.mix.chunks_exact(3)) {
            for (((mixed, x0), x1), x2) in mixed.iter_mut().zip(x0).zip(x1).zip(x2) {
                lanewise();
                *mixed = std::array::from_fn(|l| q[0] * x0[l] + q[1] * x1[l] + q[2] * x2[l]);
            }
        }
        let [m0, m1, m2] = rows(&mixed, dim);
        for i in 0..dim {
            let (x0, x1, x2, decay) = (x0[i], x1[i], x2[i], &host.decay[i * dim..][..dim]);
            let state = &mut state[i * dim..][..dim];
            if !by_decay.is_empty() {
                for ((r, s), k) in by_decay[i * dim..][..dim].iter_mut().zip(&*state).zip(decay) {
                    lanewise();
                    *r = std::array::from_fn(|l| k * r[l] + s[l]);
                }
            }
            for ((((s, k), m0), m1), m2) in state.iter_mut().zip(decay).zip(m0).zip(m1).zip(m2) {
                lanewise();
                *s = std::array::from_fn(|l| k * s[l] + (x0[l] * m0[l] + x1[l] * m1[l] + x2[l] * m2[l]));
            }
        }
    }
}

/// ∂(S_N q)/∂Q = Σ_t (X_t e_a) ⊙ (P_t X_tᵀ e_b) with P_t = Λ^{N−t} ⊙ 1 qᵀ, last window first: (9 · d) lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn run_back(host: &Host, tokens: &[Lane], query: &[Lane], by_mix: &mut [Lane]) {
    let dim = host.dim;
    let mut carried = query.repeat(dim);
    for t in (0..host.windows).rev() {
        let window = rows(&tokens[2 * t * dim..][..3 * dim], dim);
        let [x0, x1, x2] = window;
        for (i, carried) in carried.chunks_exact_mut(dim).enumerate() {
            let decay = &host.decay[i * dim..][..dim];
            let (mut p0, mut p1, mut p2) = (ZERO, ZERO, ZERO);
            for ((((p, k), x0), x1), x2) in carried.iter_mut().zip(decay).zip(x0).zip(x1).zip(x2) {
                lanewise();
                p0 = plus_product(&p0, p, x0);
                p1 = plus_product(&p1, p, x1);
                p2 = plus_product(&p2, p, x2);
                *p = p.map(|value| k * value);
            }
            for (a, x) in window.iter().enumerate() {
                add_product(&mut by_mix[3 * a * dim + i], &x[i], &p0);
                add_product(&mut by_mix[(3 * a + 1) * dim + i], &x[i], &p1);
                add_product(&mut by_mix[(3 * a + 2) * dim + i], &x[i], &p2);
            }
        }
    }
}

/// The three rows of a window.
#[inline(always)]
fn rows(window: &[Lane], dim: usize) -> [&[Lane]; 3] {
    [&window[..dim], &window[dim..2 * dim], &window[2 * dim..3 * dim]]
}

/// The gradients of one block, from ∂answer: (d) lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward_block((host, wanted): (&Host, Wanted), saved: &Saved, by_answer: &[Lane]) -> Gradient {
    let dim = host.dim;
    let mut gradient = Gradient { decay: vec![0.0; dim * dim], mix: [0.0; 9], pick: [0.0; 3], tokens: Vec::new() };
    if wanted != Wanted::Query {
        let by_decay = gradient.decay.chunks_exact_mut(dim).zip(saved.by_decay.chunks_exact(dim));
        for ((sums, r), g) in by_decay.zip(by_answer) {
            for ((sum, r), q) in sums.iter_mut().zip(r).zip(&saved.query) {
                lanewise();
                let products: Lane = std::array::from_fn(|l| g[l] * q[l] * r[l]);
                *sum = total(&products);
            }
        }
        for (sum, part) in gradient.mix.iter_mut().zip(saved.by_mix.chunks_exact(dim)) {
            *sum = inner(by_answer, part);
        }
        for (sum, part) in gradient.pick.iter_mut().zip(saved.by_pick.chunks_exact(dim)) {
            *sum = inner(by_answer, part);
        }
    }
    if wanted != Wanted::Weights {
        gradient.tokens = vec![ZERO; saved.tokens.as_deref().map_or(0, <[Lane]>::len)];
        back_to_tokens((host, wanted), saved, by_answer, &mut gradient.tokens);
    }
    gradient
}

/// The gradient by the tokens, last window first.
#[inline(always)]
fn back_to_tokens((host, wanted): (&Host, Wanted), saved: &Saved, by_answer: &[Lane], by_tokens: &mut [Lane]) {
    let (dim, tokens) = (host.dim, saved.tokens.as_deref().unwrap_or_default());
    let (mut by_state, mut by_query) = (vec![ZERO; dim * dim], vec![ZERO; dim]);
    add_outer(by_answer, &saved.query, (dim, dim), &mut by_state);
    add_transposed_times(&saved.state, dim, by_answer, &mut by_query);
    for (a, pick) in host.pick.iter().enumerate() {
        for (token, query) in by_tokens[host.last() + a * dim..][..dim].iter_mut().zip(&by_query) {
            add_scaled(token, *pick, query);
        }
    }
    // right[b] = ∂S X_tᵀ e_b and left[a] = ∂Sᵀ X_tᵀ e_a: (3, d) lanes each.
    let (mut right, mut left) = (vec![ZERO; 3 * dim], vec![ZERO; 3 * dim]);
    // The query stands in the last window only.
    let first = if wanted == Wanted::Query { host.windows.saturating_sub(1) } else { 0 };
    for t in (first..host.windows).rev() {
        let at = 2 * t * dim;
        let window = &tokens[at..][..3 * dim];
        right.fill(ZERO);
        add_times(&by_state, dim, window, &mut right);
        left.fill(ZERO);
        add_transposed_times(&by_state, dim, window, &mut left);
        for (ab, q) in host.mix.iter().enumerate() {
            let (a, b) = (ab / 3 * dim, ab % 3 * dim);
            for i in 0..dim {
                add_scaled(&mut by_tokens[at + a + i], *q, &right[b + i]);
                add_scaled(&mut by_tokens[at + b + i], *q, &left[a + i]);
            }
        }
        for (s, k) in by_state.iter_mut().zip(&host.decay) {
            lanewise();
            *s = s.map(|value| k * value);
        }
    }
}
