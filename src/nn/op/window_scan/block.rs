//! The window scan of one block of sixteen sequences, and its gradients. Symbols are those of [`super`].

use dfdx::tensor::Cpu;
use multiversion::multiversion;

use super::WindowScan;
use super::sums::{run_back, run_windows};
use crate::lanes::buffer::Buffer;
use crate::lanes::{
    Lane, ZERO, add_outer, add_scaled, add_times, add_transposed_times, each, lanewise, plus_product, split, split_mut,
    total,
};
use crate::nn::GradTarget;

/// Weights as the fused form reads them.
pub struct Host {
    pub dim: usize,
    pub windows: usize,
    pub decay: Vec<f32>,
    pub mix: [f32; 9],
    pick: [f32; 3],
}

/// What the forward pass leaves for the backward pass, for one block.
pub struct Saved {
    /// (tokens · d) lanes, where a gradient by them is wanted.
    pub tokens: Option<Buffer>,
    /// What the tokens are summed up in. See [`Host::parts`].
    sums: Buffer,
    grad_weights: bool,
}

/// Gradients by the weights of some blocks together, the sequences within a block still apart.
pub struct Grads {
    /// By Λ, (d · d) lanes, by Q, (9), and by D, (3).
    lanes: Buffer,
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

    /// Lanes of each sum: the answer (d), the query X_Nᵀ D (d), ∂answer/∂D = S_N X_Nᵀ (3 · d) and S_N (d · d); for
    /// gradients by the weights R_N = ∂S_N/∂Λ (d · d) and ∂answer/∂Q (9 · d), too.
    fn parts(&self, grad_weights: bool) -> [usize; 6] {
        let (dim, wide) = (self.dim, self.dim * self.dim);
        let [grad_decay, grad_mix] = if grad_weights { [wide, 9 * dim] } else { [0, 0] };
        [dim, dim, 3 * dim, wide, grad_decay, grad_mix]
    }

    fn grads(&self) -> [usize; 3] {
        [self.dim * self.dim, 9, 3]
    }
}

/// The answer of one block, and what its backward pass will need: nothing, if there will be none.
pub fn forward_block(host: &Host, grad_target: Option<GradTarget>, tokens: &[Lane]) -> Saved {
    let grad_weights = matches!(grad_target, Some(GradTarget::Weights | GradTarget::All));
    let parts = host.parts(grad_weights);
    let mut sums = Buffer::uninit(parts.iter().sum());
    let [answer, query, grad_pick, state, grad_decay, grad_mix] = split_mut(&mut sums, parts);
    run_windows(host, tokens, state, grad_decay);
    ask(host, &tokens[host.last()..][..3 * host.dim], state, [answer, query, grad_pick]);
    if grad_weights {
        run_back(host, tokens, query, grad_mix);
    }
    Saved { tokens: None, sums, grad_weights }
}

/// The query, what S_N answers to each row of the last window, and the answer.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn ask(host: &Host, window: &[Lane], state: &[Lane], [answer, query, grad_pick]: [&mut [Lane]; 3]) {
    grad_pick.fill(ZERO);
    add_times(state, host.dim, window, grad_pick);
    for (sum, rows) in [(query, window), (answer, &*grad_pick)] {
        sum.fill(ZERO);
        for (row, pick) in rows.chunks_exact(host.dim).zip(host.pick) {
            for (sum, x) in sum.iter_mut().zip(row) {
                add_scaled(sum, pick, x);
            }
        }
    }
}

impl Saved {
    /// (d) lanes.
    pub fn answer<'a>(&'a self, host: &Host) -> &'a [Lane] {
        &self.sums[..host.dim]
    }

    /// The gradient by the tokens, (tokens · d) lanes, from ∂answer, (d) lanes.
    pub fn grad_tokens(&self, (host, grad_target): (&Host, GradTarget), grad_answer: &[Lane]) -> Buffer {
        let tokens = self.tokens.as_deref().unwrap_or_default();
        let mut grad_tokens = Buffer::zeros(tokens.len());
        let [_, query, _, state, ..] = split(&self.sums, host.parts(self.grad_weights));
        back_to_tokens((host, grad_target), (tokens, query, state), grad_answer, &mut grad_tokens);
        grad_tokens
    }
}

impl Grads {
    /// None yet.
    pub fn zero(host: &Host) -> Self {
        Self { lanes: Buffer::zeros(host.grads().iter().sum()) }
    }

    /// Adds those of a block, from ∂answer: (d) lanes.
    pub fn add(&mut self, host: &Host, saved: &Saved, grad_answer: &[Lane]) {
        let [_, query, grad_pick, _, grad_decay, grad_mix] = split(&saved.sums, host.parts(saved.grad_weights));
        add_grads((query, grad_decay, grad_mix, grad_pick), grad_answer, split_mut(&mut self.lanes, host.grads()));
    }

    /// By Λ, Q and D, summed over the sequences.
    pub fn totals(&self, host: &Host) -> [Vec<f32>; 3] {
        split(&self.lanes, host.grads()).map(|lanes| lanes.iter().map(total).collect())
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_grads(
    (query, grad_decay, grad_mix, grad_pick): (&[Lane], &[Lane], &[Lane], &[Lane]),
    grad_answer: &[Lane],
    [decay, mix, pick]: [&mut [Lane]; 3],
) {
    let dim = query.len();
    for ((sums, r), g) in decay.chunks_exact_mut(dim).zip(grad_decay.chunks_exact(dim)).zip(grad_answer) {
        for ((sum, r), q) in sums.iter_mut().zip(r).zip(query) {
            lanewise();
            *sum = each(|l| sum[l] + g[l] * q[l] * r[l]);
        }
    }
    for (sums, parts) in [(mix, grad_mix), (pick, grad_pick)] {
        for (sum, part) in sums.iter_mut().zip(parts.chunks_exact(dim)) {
            let mut all = *sum;
            for (g, part) in grad_answer.iter().zip(part) {
                lanewise();
                all = plus_product(&all, g, part);
            }
            *sum = all;
        }
    }
}

/// The gradient by the tokens, last window first.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn back_to_tokens(
    (host, grad_target): (&Host, GradTarget),
    (tokens, query, state): (&[Lane], &[Lane], &[Lane]),
    grad_answer: &[Lane],
    grad_tokens: &mut [Lane],
) {
    let dim = host.dim;
    let (mut grad_state, mut grad_query) = (vec![ZERO; dim * dim], vec![ZERO; dim]);
    add_outer(grad_answer, query, (dim, dim), &mut grad_state);
    add_transposed_times(state, dim, grad_answer, &mut grad_query);
    for (a, pick) in host.pick.iter().enumerate() {
        for (token, query) in grad_tokens[host.last() + a * dim..][..dim].iter_mut().zip(&grad_query) {
            add_scaled(token, *pick, query);
        }
    }
    // right[b] = ∂S X_tᵀ e_b and left[a] = ∂Sᵀ X_tᵀ e_a: (3, d) lanes each.
    let (mut right, mut left) = (vec![ZERO; 3 * dim], vec![ZERO; 3 * dim]);
    // The query stands in the last window only.
    let first = if grad_target == GradTarget::Query { host.windows.saturating_sub(1) } else { 0 };
    for t in (first..host.windows).rev() {
        let at = 2 * t * dim;
        let window = &tokens[at..][..3 * dim];
        right.fill(ZERO);
        add_times(&grad_state, dim, window, &mut right);
        left.fill(ZERO);
        add_transposed_times(&grad_state, dim, window, &mut left);
        for (ab, q) in host.mix.iter().enumerate() {
            let (a, b) = (ab / 3 * dim, ab % 3 * dim);
            for i in 0..dim {
                add_scaled(&mut grad_tokens[at + a + i], *q, &right[b + i]);
                add_scaled(&mut grad_tokens[at + b + i], *q, &left[a + i]);
            }
        }
        for (s, k) in grad_state.iter_mut().zip(&host.decay) {
            lanewise();
            *s = s.map(|value| k * value);
        }
    }
}
