//! The window recurrence of the GD-SSM, read out at the query.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `decay` Λ | what is kept of each entry of the state | (d, d) |
//! | `mix` Q | how the rows of a window multiply each other | (w, w) |
//! | `pick` D | which row of the last window is the query | (w, 1) |
//! | X_t | window t: see [`Window`] | (w, d) |
//!
//! S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, and the result is S_N (X_Nᵀ D): (d). Source: arXiv 2410.11687, section 3.
//!
//! Only S_N reaches the loss, and the query is known before the first window is read. So the derivatives of the
//! answer by the weights can be summed up in the forward pass already, in memory that does not grow with the context:
//! S_N itself, R_N = ∂S_N/∂Λ with R_t = Λ ⊙ R_{t−1} + S_{t−1}, and ∂(S_N q)/∂Q. The backward pass is a few products
//! with ∂answer.
//!
//! Without S_N, as Σ_t Σ_a X_t[a] ⊙ Λ^{N−t} (q ⊙ (Q X_t)[a]), the answer takes 3 multiplications instead of 4 for
//! each t, i and j with w = 3. But then its change with D takes 3 more, for which S_N answers at once; and R_N needs
//! S_N.

mod by_token;
mod portable;
mod sums;

pub use self::portable::last_state;
pub use self::sums::{ScanWeights, run_windows};

use dfdx::tensor::Tape;
use multiversion::multiversion;

use self::by_token::WindowState;
use self::sums::run_back;
use super::{Grads, NodeId, ParamId, Step, TOKENS, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, GradTarget, Tensor3};
use crate::simd::{
    Lane, ZERO, add_outer, add_product, add_scaled, add_times, add_transposed_times, each, lanewise, plus_product,
    split, split_mut, total,
};

/// The tokens that a state is made of at once: w = 1, 2 or 3 neighbours.
///
/// A window of three is (x_t, y_t, x_{t+1}), one for each pair. Shorter ones stand at every token: if they moved by two
/// as well, the last one would hold either no pair or no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    One,
    Two,
    Three,
}

impl Window {
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// A window of this many tokens. Three if there is none.
    pub fn of(rows: usize) -> Self {
        Self::ALL.into_iter().find(|window| window.rows() == rows).unwrap_or(Self::Three)
    }

    /// w, its tokens.
    pub fn rows(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// By how many tokens one begins after the one before.
    pub fn stride(self) -> usize {
        match self {
            Self::One | Self::Two => 1,
            Self::Three => 2,
        }
    }

    /// How many there are in so many tokens.
    pub fn count(self, tokens: usize) -> usize {
        if tokens < self.rows() { 0 } else { (tokens - self.rows()) / self.stride() + 1 }
    }

    /// The tokens that have been read after window t, from 0.
    pub fn tokens_read(self, t: usize) -> usize {
        self.stride() * t + self.rows()
    }
}

#[derive(Clone, Debug)]
pub struct WindowScan {
    pub tokens: NodeId,
    pub weights: WindowWeights,
    pub window: Window,
    /// d.
    pub dim: usize,
    /// N; without a window the result is zero.
    pub windows: usize,
}

/// Λ, Q and D.
#[derive(Clone, Copy, Debug)]
pub struct WindowWeights {
    pub decay: ParamId,
    pub mix: ParamId,
    pub pick: ParamId,
}

impl WindowWeights {
    pub fn all(self) -> [ParamId; 3] {
        [self.decay, self.mix, self.pick]
    }
}

/// The definition: every state S₁ … S_N of one sequence of (tokens, d), each (d, d), row-major.
pub fn window_states(window: Window, tokens: &[f32], dim: usize, decay: &[f32], mix: &[f32]) -> Vec<Vec<f32>> {
    let w = window.rows();
    let mut state = vec![0.0; dim * dim];
    let mut states = Vec::new();
    for t in 0..window.count(tokens.len() / dim) {
        let window = &tokens[window.stride() * t * dim..][..w * dim];
        // Q X_t
        let mixed = |a: usize, j: usize| (0..w).map(|b| mix[a * w + b] * window[b * dim + j]).sum::<f32>();
        let mixed: Vec<f32> = (0..w * dim).map(|at| mixed(at / dim, at % dim)).collect();
        for i in 0..dim {
            for j in 0..dim {
                let update: f32 = (0..w).map(|a| window[a * dim + i] * mixed[a * dim + j]).sum();
                state[i * dim + j] = decay[i * dim + j] * state[i * dim + j] + update;
            }
        }
        states.push(state.clone());
    }
    states
}

impl Step for WindowScan {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.tokens]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        portable::answer(self.window, given.of::<T>(self.tokens), self.weights.all().map(|param| given.param(param)))
    }

    fn saved(&self) -> usize {
        self.parts().iter().sum()
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        if self.windows == 0 {
            return out.fill(ZERO);
        }
        let (weights, tokens) = (self.weights(&given), given.of(self.tokens));
        let for_weights = matches!(given.grad_target, Some(GradTarget::Weights | GradTarget::All));
        let [query, grad_pick, state, grad_decay, grad_mix] = split_mut(saved, self.parts());
        run_windows(weights, tokens, state, if for_weights { grad_decay } else { &mut [] });
        read(weights, &tokens[weights.last()..][..self.window.rows() * self.dim], state, [out, query, grad_pick]);
        if for_weights {
            run_back(weights, tokens, query, grad_mix);
        }
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        if self.windows == 0 {
            return;
        }
        let [query, grad_pick, state, grad_decay, grad_mix] = split(saved, self.parts());
        if given.grad_target != Some(GradTarget::Query) {
            let sums = split_mut(std::mem::take(&mut grads.sums), self.weight_sizes());
            add_grads((query, grad_decay, grad_mix, grad_pick), grad_out, sums);
        }
        let ([grad_tokens], []) = grads.of([self.tokens], []);
        if !grad_tokens.is_empty() {
            // The query's token is in the last window only.
            let only_query = given.grad_target == Some(GradTarget::Query) && self.tokens == TOKENS;
            let first = if only_query { self.windows - 1 } else { 0 };
            let values = (given.of(self.tokens), query, state);
            back_to_tokens((self.weights(&given), first), values, grad_out, grad_tokens);
        }
    }

    fn sums(&self) -> usize {
        self.weight_sizes().iter().sum()
    }

    fn finish(&self, sums: &[Lane], grads: &mut [Vec<f32>]) {
        for (weight, lanes) in self.weights.all().iter().zip(split(sums, self.weight_sizes())) {
            grads[weight.0].iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += total(lane));
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(WindowState::new(self.clone())))
    }
}

impl WindowScan {
    /// Numbers of Λ, Q and D.
    fn weight_sizes(&self) -> [usize; 3] {
        let w = self.window.rows();
        [self.dim * self.dim, w * w, w]
    }

    /// Lanes of each sum: the query X_Nᵀ D (d), ∂answer/∂D = S_N X_Nᵀ (w · d) and S_N (d · d); for gradients by the
    /// weights R_N = ∂S_N/∂Λ (d · d) and ∂answer/∂Q (w² · d), too.
    fn parts(&self) -> [usize; 5] {
        let (dim, wide, w) = (self.dim, self.dim * self.dim, self.window.rows());
        [dim, w * dim, wide, wide, w * w * dim]
    }

    fn weights<'a>(&self, given: &Values<'a>) -> ScanWeights<'a> {
        let [decay, mix, pick] = self.weights.all().map(|param| given.param(param));
        ScanWeights { dim: self.dim, window: self.window, windows: self.windows, decay, mix, pick }
    }
}

/// The query, what S_N answers to each row of the last window, and the answer.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn read(weights: ScanWeights<'_>, window: &[Lane], state: &[Lane], [answer, query, grad_pick]: [&mut [Lane]; 3]) {
    grad_pick.fill(ZERO);
    add_times(state, weights.dim, window, grad_pick);
    for (sum, rows) in [(query, window), (answer, &*grad_pick)] {
        sum.fill(ZERO);
        for (row, pick) in rows.chunks_exact(weights.dim).zip(weights.pick) {
            for (sum, x) in sum.iter_mut().zip(row) {
                add_scaled(sum, *pick, x);
            }
        }
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

/// Adds the gradient by the tokens, those of the query's window and of the windows from `first` on.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn back_to_tokens(
    (weights, first): (ScanWeights<'_>, usize),
    (tokens, query, state): (&[Lane], &[Lane], &[Lane]),
    grad_answer: &[Lane],
    grad_tokens: &mut [Lane],
) {
    let dim = weights.dim;
    let (mut grad_state, mut grad_query) = (vec![ZERO; dim * dim], vec![ZERO; dim]);
    add_outer(grad_answer, query, (dim, dim), &mut grad_state);
    add_transposed_times(state, dim, grad_answer, &mut grad_query);
    for (a, pick) in weights.pick.iter().enumerate() {
        for (token, query) in grad_tokens[weights.last() + a * dim..][..dim].iter_mut().zip(&grad_query) {
            add_scaled(token, *pick, query);
        }
    }
    back_through_windows((weights, first), tokens, grad_state, (grad_tokens, None));
}

/// From ∂S_N, adds the gradients by the tokens of the windows from `first` on, last window first, and by Q if wanted.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn back_through_windows(
    (weights, first): (ScanWeights<'_>, usize),
    tokens: &[Lane],
    mut grad_state: Vec<Lane>,
    (grad_tokens, grad_mix): (&mut [Lane], Option<&mut [f32]>),
) {
    let (dim, w) = (weights.dim, weights.window.rows());
    // right[b] = ∂S X_tᵀ e_b and left[a] = ∂Sᵀ X_tᵀ e_a: (w, d) lanes each.
    let (mut right, mut left) = (vec![ZERO; w * dim], vec![ZERO; w * dim]);
    let mut mix_sums = [ZERO; 9];
    for t in (first..weights.windows).rev() {
        let at = weights.window.stride() * t * dim;
        let window = &tokens[at..][..w * dim];
        right.fill(ZERO);
        add_times(&grad_state, dim, window, &mut right);
        left.fill(ZERO);
        add_transposed_times(&grad_state, dim, window, &mut left);
        for (ab, q) in weights.mix.iter().enumerate() {
            let (a, b) = (ab / w * dim, ab % w * dim);
            for i in 0..dim {
                add_scaled(&mut grad_tokens[at + a + i], *q, &right[b + i]);
                add_scaled(&mut grad_tokens[at + b + i], *q, &left[a + i]);
            }
        }
        if grad_mix.is_some() {
            for (ab, sum) in mix_sums[..w * w].iter_mut().enumerate() {
                let (a, b) = (ab / w * dim, ab % w * dim);
                for i in 0..dim {
                    add_product(sum, &window[a + i], &right[b + i]);
                }
            }
        }
        for (s, k) in grad_state.iter_mut().zip(weights.decay) {
            lanewise();
            *s = each(|l| k * s[l]);
        }
    }
    let sums = grad_mix.into_iter().flatten().zip(&mix_sums);
    sums.for_each(|(sum, lane)| *sum += total(lane));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};

    #[test]
    fn the_kernel_is_the_last_state_of_the_definition_at_the_query() {
        let dim = 4;
        // More windows than are taken at once, too.
        for (window, windows) in Window::ALL.into_iter().flat_map(|window| [1, 3, 35].map(|count| (window, count))) {
            let w = window.rows();
            let tokens = numbers(window.tokens_read(windows - 1) * dim, 0.1);
            assert_eq!(window.count(tokens.len() / dim), windows);
            let (decay, mix) = (numbers(dim * dim, 0.2), numbers(w * w, 0.3));
            let state = window_states(window, &tokens, dim, &decay, &mix).pop().unwrap();
            let query = &tokens[tokens.len() - dim..];
            let expected: Vec<f32> =
                state.chunks(dim).map(|row| row.iter().zip(query).map(|(s, x)| s * x).sum()).collect();
            let pick = (1..=w).map(|row| if row == w { 1.0 } else { 0.0 }).collect();
            let params = [decay, mix, pick];
            let weights = WindowWeights { decay: ParamId(0), mix: ParamId(1), pick: ParamId(2) };
            let step = WindowScan { tokens: TOKENS, weights, window, dim, windows };
            let (mut saved, mut out) = (vec![ZERO; step.saved()], vec![ZERO; dim]);
            let tokens = lanes_of(&tokens);
            let given = Values { tokens: &tokens, memory: &[], places: &[], params: &params, grad_target: None };
            step.forward(given, &mut saved, &mut out);
            assert_close(&out.iter().map(|lane| lane[11]).collect::<Vec<_>>(), &expected, 1e-5);
        }
    }
}
