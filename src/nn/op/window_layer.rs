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

use super::blocks::{self, Grads, Kernel, Operands};
use super::buffer::Buffer;
use super::lanes::{
    LANES, Lane, ZERO, add_outer, add_product, add_scaled, add_times, add_transposed_times, inner, lanewise,
};
use super::slice::slice;
use super::window_scan::{WindowScan, last_state, window_states};
use crate::nn::{DeviceResult, GradTarget, Matrix, Tensor3};

/// The definition, for one sequence of (2N+2, d): what the result is at every token.
pub fn window_answers(tokens: &[f32], dim: usize, [decay, mix, pick]: [&[f32]; 3]) -> Vec<f32> {
    let mut answers = vec![0.0; tokens.len()];
    let Some(state) = window_states(&tokens[..tokens.len() - dim], dim, decay, mix).pop() else { return answers };
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

/// The same made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    weights: WindowScan<'_, D>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let device = tokens.device().clone();
    let (batch, length, dim) = *tokens.shape();
    let pairs = length / 2;
    // Which of the picks meets which token, at which window: (N+1, 2N+2) rows of three.
    let place =
        |(window, token): (usize, usize)| (0..3).map(move |a| f32::from(u8::from(token + 3 == 2 * window + 1 + a)));
    let cells = (0..pairs).flat_map(|window| (0..length).map(move |token| (window, token)));
    let places: Matrix<D> = device.try_tensor_from_vec(cells.flat_map(place).collect(), (pairs * length, 3))?;
    let picks = places.retaped::<T>().try_matmul(weights.pick.clone())?.try_reshape_like(&(pairs, length))?;
    let read = slice(tokens.retaped::<T>(), (0..batch, 0..length - 1, 0..dim))?;
    let state = last_state(read, &weights)?; // (B, d, d)
    let asked = tokens.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(picks.try_permute::<_, Axes2<1, 0>>()?)?;
    let answers = state.try_matmul(asked)?; // (B, d, N+1)
    let spread = (0..pairs * length).map(|i| f32::from(u8::from(i % length == 2 * (i / length) + 1)));
    let spread: Matrix<D> = device.try_tensor_from_vec(spread.collect(), (pairs, length))?;
    answers.try_matmul(spread)?.try_permute::<_, Axes3<0, 2, 1>>()
}

/// The fast form, on the CPU.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    tokens: Tensor3<Cpu, T>,
    weights: WindowScan<'_, Cpu>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let (_, length, dim) = *tokens.shape();
    let weights = [weights.decay, weights.mix, weights.pick].map(|weight| weight.retaped::<T>());
    let operands = Operands { inputs: vec![tokens], weights: weights.into(), grad_target: GradTarget::All };
    blocks::run(device, operands, (length, dim), |weights| {
        let mut weights = weights.into_iter();
        let mut next = || weights.next().unwrap_or_default();
        Layer { dim, pairs: length / 2 - 1, decay: next(), mix: next(), pick: next() }
    })
}

/// Sizes and weights.
struct Layer {
    dim: usize,
    /// N.
    pairs: usize,
    decay: Vec<f32>,
    mix: Vec<f32>,
    pick: Vec<f32>,
}

impl Kernel for Layer {
    /// S_N, and R_N = ∂S_N/∂Λ with R_t = Λ ⊙ R_{t−1} + S_{t−1}.
    fn saved(&self) -> usize {
        2 * self.dim * self.dim
    }

    fn forward(&self, inputs: &[Buffer], saved: &mut [Lane], out: &mut [Lane]) {
        saved.fill(ZERO);
        forward(self, &inputs[0], saved.split_at_mut(self.dim * self.dim), out);
    }

    fn backward(&self, inputs: &[Buffer], saved: &mut [Lane], grad_out: &[Lane], grads: Grads<'_>) {
        let saved = saved.split_at(self.dim * self.dim);
        backward(self, (&inputs[0], saved), grad_out, (&mut grads.inputs[0], grads.weights));
    }
}

impl Layer {
    /// X_tᵀ D for t = 0 … N, each (d): what each window asks.
    #[inline(always)]
    fn asked(&self, tokens: &[Lane]) -> Vec<Lane> {
        let mut asked = vec![ZERO; (self.pairs + 1) * self.dim];
        for (t, asked) in asked.chunks_exact_mut(self.dim).enumerate() {
            for (a, pick) in self.pick.iter().enumerate().filter(|(a, _)| 2 * t + a >= 2) {
                let token = &tokens[(2 * t + a - 2) * self.dim..][..self.dim];
                asked.iter_mut().zip(token).for_each(|(sum, x)| add_scaled(sum, *pick, x));
            }
        }
        asked
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(layer: &Layer, tokens: &[Lane], (state, grad_decay): (&mut [Lane], &mut [Lane]), out: &mut [Lane]) {
    let dim = layer.dim;
    let mut mixed = vec![ZERO; 3 * dim];
    for t in 0..layer.pairs {
        let window = &tokens[2 * t * dim..][..3 * dim];
        for (a, mixed) in mixed.chunks_exact_mut(dim).enumerate() {
            for (j, sum) in mixed.iter_mut().enumerate() {
                *sum = ZERO;
                (0..3).for_each(|b| add_scaled(sum, layer.mix[3 * a + b], &window[b * dim + j]));
            }
        }
        for ((r, s), k) in grad_decay.iter_mut().zip(&mut *state).zip(&layer.decay) {
            lanewise();
            for l in 0..LANES {
                r[l] = k * r[l] + s[l];
                s[l] *= k;
            }
        }
        add_outer(window, &mixed, (dim, dim), state);
    }
    let asked = layer.asked(tokens);
    for (t, asked) in asked.chunks_exact(dim).enumerate() {
        add_times(state, dim, asked, &mut out[(2 * t + 1) * dim..][..dim]);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    layer: &Layer,
    (tokens, (state, grad_decay)): (&[Lane], (&[Lane], &[Lane])),
    grad_out: &[Lane],
    (grad_tokens, grad_weights): (&mut [Lane], &mut [Vec<f32>]),
) {
    let dim = layer.dim;
    let mut grad_state = vec![ZERO; dim * dim];
    let mut grad_asked = vec![ZERO; dim];
    for (t, asked) in layer.asked(tokens).chunks_exact(dim).enumerate() {
        let grad_answer = &grad_out[(2 * t + 1) * dim..][..dim];
        add_outer(grad_answer, asked, (dim, dim), &mut grad_state);
        grad_asked.fill(ZERO);
        add_transposed_times(state, dim, grad_answer, &mut grad_asked);
        for a in (0..3).filter(|a| 2 * t + a >= 2) {
            let at = (2 * t + a - 2) * dim;
            grad_weights[2][a] += inner(&tokens[at..][..dim], &grad_asked);
            let token = grad_tokens[at..][..dim].iter_mut();
            token.zip(&grad_asked).for_each(|(sum, asked)| add_scaled(sum, layer.pick[a], asked));
        }
    }
    for ((sum, s), r) in grad_weights[0].iter_mut().zip(&grad_state).zip(grad_decay) {
        *sum += inner(&[*s], &[*r]);
    }
    // right[b] = ∂S X_tᵀ e_b and left[a] = ∂Sᵀ X_tᵀ e_a: (3, d) lanes each.
    let (mut right, mut left) = (vec![ZERO; 3 * dim], vec![ZERO; 3 * dim]);
    let mut grad_mix = [ZERO; 9];
    for t in (0..layer.pairs).rev() {
        let at = 2 * t * dim;
        let window = &tokens[at..][..3 * dim];
        right.fill(ZERO);
        add_times(&grad_state, dim, window, &mut right);
        left.fill(ZERO);
        add_transposed_times(&grad_state, dim, window, &mut left);
        for (ab, (sum, q)) in grad_mix.iter_mut().zip(&layer.mix).enumerate() {
            let (a, b) = (ab / 3 * dim, ab % 3 * dim);
            for i in 0..dim {
                add_product(sum, &window[a + i], &right[b + i]);
                add_scaled(&mut grad_tokens[at + a + i], *q, &right[b + i]);
                add_scaled(&mut grad_tokens[at + b + i], *q, &left[a + i]);
            }
        }
        for (s, k) in grad_state.iter_mut().zip(&layer.decay) {
            lanewise();
            s.iter_mut().for_each(|value| *value *= k);
        }
    }
    for (sum, lane) in grad_weights[1].iter_mut().zip(&grad_mix) {
        *sum += lane.iter().sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Tensor3<Cpu, OwnedTape<f32, Cpu>>;
    type Form = fn(Taped, WindowScan<'_, Cpu>) -> DeviceResult<Taped, Cpu>;

    /// Answers and the gradients of a weighted sum of them, by Λ, Q, D and the tokens.
    fn run(form: Form, (batch, pairs, dim): (usize, usize, usize)) -> [Vec<f32>; 5] {
        let (device, mut random) = (Cpu::default(), Random::new(7));
        let tokens = random.tensor3(&device, (batch, 2 * pairs + 2, dim));
        let weights = [(dim, dim), (3, 3), (3, 1)].map(|shape| random.matrix(&device, shape));
        let sought = random.tensor3(&device, (batch, 2 * pairs + 2, dim));
        let [decay, mix, pick] = &weights;
        let answers = form(tokens.leaky_trace(), WindowScan { decay, mix, pick }).unwrap();
        let values = answers.as_vec();
        let gradients = (answers * sought).sum::<Rank0, _>().backward();
        let [decay, mix, pick] = [decay, mix, pick].map(|weight| gradients.get(weight).as_vec());
        [values, decay, mix, pick, gradients.get(&tokens).as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        // 37 sequences: two full blocks and a part of one.
        for sizes in [(1, 2, 1), (37, 4, 3), (16, 10, 10)] {
            let fast = run(|tokens, weights| fused(&Cpu::default(), tokens, weights), sizes);
            let plain = run(compose, sizes);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }

    #[test]
    fn the_composition_equals_the_definition() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(3), 4);
        let tokens = random.tensor3(&device, (1, 8, dim));
        let weights = [(dim, dim), (3, 3), (3, 1)].map(|shape| random.matrix(&device, shape));
        let [decay, mix, pick] = &weights;
        let numbers = weights.clone().map(|weight| weight.as_vec());
        let expected = window_answers(&tokens.as_vec(), dim, [&numbers[0], &numbers[1], &numbers[2]]);
        let answers = compose(tokens, WindowScan { decay, mix, pick }).unwrap().as_vec();
        assert_close(&answers, &expected, 1e-5);
    }
}
