//! The window recurrence of the GD-SSM as a layer: its last state answers at every window, not at the query's alone.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | Λ, Q, D | as in [`super::WindowScan`] | (d, d), (3, 3), (3, 1) |
//! | tokens | x₁, y₁, …, x_N, y_N, x_q, y_q | (2N+2, d) |
//! | X_t | the window (x_t, y_t, x_{t+1}) for t = 1 … N, with x_{N+1} = x_q; X₀ = (0, 0, x₁) | (3, d) |
//!
//! S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, and the result is S_N (X_tᵀ D) at the token y_{t+1}, zero at every x.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::window_scan::{ScanWeights, back_through_windows, last_state, run_windows};
use super::{Grads, NodeId, Step, Tensors, Values, Window, WindowWeights, window_states};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, slice};
use crate::simd::{Lane, ZERO, add_outer, add_scaled, add_times, add_transposed_times, inner};

#[derive(Clone, Debug)]
pub struct WindowLayer {
    pub tokens: NodeId,
    pub weights: WindowWeights,
    /// d.
    pub dim: usize,
    /// N.
    pub pairs: usize,
}

/// The definition, for one sequence of (2N+2, d): what the result is at every token.
pub fn window_answers(tokens: &[f32], dim: usize, [decay, mix, pick]: [&[f32]; 3]) -> Vec<f32> {
    let mut answers = vec![0.0; tokens.len()];
    let Some(state) = window_states(Window::Three, &tokens[..tokens.len() - dim], dim, decay, mix).pop() else {
        return answers;
    };
    for (place, answer) in answers.chunks_mut(dim).enumerate().filter(|(place, _)| !place.is_multiple_of(2)) {
        // The window before y_{t+1} begins three places earlier; the first one is cut off.
        for (a, pick) in pick.iter().enumerate().filter(|(a, _)| place + a >= 3) {
            let token = &tokens[(place + a - 3) * dim..][..dim];
            for (sum, row) in answer.iter_mut().zip(state.chunks(dim)) {
                *sum += pick * row.iter().zip(token).map(|(s, x)| s * x).sum::<f32>();
            }
        }
    }
    answers
}

impl Step for WindowLayer {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.tokens]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (tokens, [decay, mix, pick]) =
            (given.of::<T>(self.tokens), self.weights.all().map(|p| given.param::<T>(p)));
        let device = tokens.device().clone();
        let (batch, length, dim) = *tokens.shape();
        let pairs = length / 2;
        // Which of the picks multiplies which token, in which window: (N+1, 2N+2) rows of three.
        let place =
            |(window, token): (usize, usize)| (0..3).map(move |a| f32::from(u8::from(token + 3 == 2 * window + 1 + a)));
        let cells = (0..pairs).flat_map(|window| (0..length).map(move |token| (window, token)));
        let places: Matrix<D> = device.try_tensor_from_vec(cells.flat_map(place).collect(), (pairs * length, 3))?;
        let picks = places.retaped::<T>().try_matmul(pick)?.try_reshape_like(&(pairs, length))?;
        let read = slice(tokens.retaped::<T>(), (0..batch, 0..length - 1, 0..dim))?;
        let state = last_state(&read, &decay, &mix)?; // (B, d, d)
        let queries = tokens.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(picks.try_permute::<_, Axes2<1, 0>>()?)?;
        let answers = state.try_matmul(queries)?; // (B, d, N+1)
        let spread = (0..pairs * length).map(|i| f32::from(u8::from(i % length == 2 * (i / length) + 1)));
        let spread: Matrix<D> = device.try_tensor_from_vec(spread.collect(), (pairs, length))?;
        let out = answers.try_matmul(spread)?.try_permute::<_, Axes3<0, 2, 1>>()?;
        Ok([decay, mix].into_iter().fold(join(out, read), join))
    }

    /// S_N, and R_N = ∂S_N/∂Λ with R_t = Λ ⊙ R_{t−1} + S_{t−1}.
    fn saved(&self) -> usize {
        2 * self.dim * self.dim
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        let (weights, tokens) = (self.weights(&given), given.of(self.tokens));
        let (state, sums) = saved.split_at_mut(self.dim * self.dim);
        run_windows(weights, tokens, state, sums);
        answer(weights, tokens, state, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (weights, tokens) = (self.weights(&given), given.of(self.tokens));
        let ([grad_tokens], [grad_decay, grad_mix, grad_pick]) = grads.of([self.tokens], self.weights.all());
        let (state, sums) = saved.split_at(self.dim * self.dim);
        let by = (&mut *grad_tokens, grad_decay, grad_pick);
        let grad_state = back_to_state(weights, (tokens, state, sums), grad_out, by);
        back_through_windows((weights, 0), tokens, grad_state, (grad_tokens, Some(grad_mix)));
    }
}

impl WindowLayer {
    fn weights<'a>(&self, given: &Values<'a>) -> ScanWeights<'a> {
        let [decay, mix, pick] = self.weights.all().map(|param| given.param(param));
        ScanWeights { dim: self.dim, window: Window::Three, windows: self.pairs, decay, mix, pick }
    }
}

/// X_tᵀ D for t = 0 … N, each (d): the query of each window.
#[inline(always)]
fn queries(weights: ScanWeights<'_>, tokens: &[Lane]) -> Vec<Lane> {
    let dim = weights.dim;
    let mut queries = vec![ZERO; (weights.windows + 1) * dim];
    for (t, query) in queries.chunks_exact_mut(dim).enumerate() {
        for (a, pick) in weights.pick.iter().enumerate().filter(|(a, _)| 2 * t + a >= 2) {
            let token = &tokens[(2 * t + a - 2) * dim..][..dim];
            for (sum, x) in query.iter_mut().zip(token) {
                add_scaled(sum, *pick, x);
            }
        }
    }
    queries
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn answer(weights: ScanWeights<'_>, tokens: &[Lane], state: &[Lane], out: &mut [Lane]) {
    let dim = weights.dim;
    out.fill(ZERO);
    for (t, query) in queries(weights, tokens).chunks_exact(dim).enumerate() {
        add_times(state, dim, query, &mut out[(2 * t + 1) * dim..][..dim]);
    }
}

/// The gradients by the queries, which go on to D and the tokens, and by S_N, which goes on to Λ and is returned.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn back_to_state(
    weights: ScanWeights<'_>,
    (tokens, state, sums): (&[Lane], &[Lane], &[Lane]),
    grad_out: &[Lane],
    (grad_tokens, grad_decay, grad_pick): (&mut [Lane], &mut [f32], &mut [f32]),
) -> Vec<Lane> {
    let dim = weights.dim;
    let (mut grad_state, mut grad_query) = (vec![ZERO; dim * dim], vec![ZERO; dim]);
    for (t, query) in queries(weights, tokens).chunks_exact(dim).enumerate() {
        let grad_answer = &grad_out[(2 * t + 1) * dim..][..dim];
        add_outer(grad_answer, query, (dim, dim), &mut grad_state);
        grad_query.fill(ZERO);
        add_transposed_times(state, dim, grad_answer, &mut grad_query);
        for a in (0..3).filter(|a| 2 * t + a >= 2) {
            let at = (2 * t + a - 2) * dim;
            grad_pick[a] += inner(&tokens[at..][..dim], &grad_query);
            for (sum, grad) in grad_tokens[at..][..dim].iter_mut().zip(&grad_query) {
                add_scaled(sum, weights.pick[a], grad);
            }
        }
    }
    for ((sum, s), r) in grad_decay.iter_mut().zip(&grad_state).zip(sums) {
        *sum += inner(&[*s], &[*r]);
    }
    grad_state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};

    #[test]
    fn the_kernel_equals_the_definition() {
        let (dim, pairs) = (4, 3);
        let tokens = numbers((2 * pairs + 2) * dim, 0.1);
        let (decay, mix, pick) = (numbers(dim * dim, 0.2), numbers(9, 0.3), numbers(3, 0.4));
        let weights = ScanWeights { dim, window: Window::Three, windows: pairs, decay: &decay, mix: &mix, pick: &pick };
        let (mut state, mut out) = (vec![ZERO; dim * dim], vec![ZERO; tokens.len()]);
        run_windows(weights, &lanes_of(&tokens), &mut state, &mut []);
        answer(weights, &lanes_of(&tokens), &state, &mut out);
        let expected = window_answers(&tokens, dim, [&decay, &mix, &pick]);
        assert_close(&out.iter().map(|lane| lane[2]).collect::<Vec<_>>(), &expected, 1e-5);
    }
}
