//! The selective scan: a linear recurrence whose decay, input and readout depend on the token.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `step` Δ | how much of the token is taken in, and how much is forgotten for it | (B, T, E) |
//! | `input` x | what is written | (B, T, E) |
//! | `write` B | where it is written | (B, T, N) |
//! | `read` C | from where it is read, for the last M tokens | (B, M, N) |
//! | `rate` A | how fast each entry of the state forgets; negative | (E, N) |
//!
//! h_t[e, n] = exp(Δ_t[e] A[e, n]) h_{t−1}[e, n] + Δ_t[e] B_t[n] x_t[e]; y_t[e] = Σ_n C_t[n] h_t[e, n], and the result are the
//! last y: (B, M, E). Source: Mamba 2312.00752, algorithm 2, with Δ B for B̄ as in the paper's code.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::buffer::Buffer;
use super::elementary::exp;
use super::join::join;
use super::lanes::{Lane, ZERO, lanewise, plus, plus_product, plus_scaled, product, total};
use super::slice::slice;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// What the scan runs over.
pub struct SelectiveScan<D: super::Device, T> {
    /// (B, T, E).
    pub step: Tensor3<D, T>,
    /// (B, T, E).
    pub input: Tensor3<D, T>,
    /// (B, T, N).
    pub write: Tensor3<D, T>,
    /// (B, M, N).
    pub read: Tensor3<D, T>,
    /// (E, N).
    pub rate: Matrix<D, T>,
}

/// The definition: every state of one sequence, each (E, N). `parts`: Δ, x and B of it.
pub fn selective_states(parts: [&[f32]; 3], rate: &[f32], (wide, states): (usize, usize)) -> Vec<Vec<f32>> {
    let [step, input, write] = parts;
    let mut state = vec![0.0; wide * states];
    let mut history = Vec::new();
    for t in 0..step.len() / wide {
        for e in 0..wide {
            let (delta, x) = (step[t * wide + e], input[t * wide + e]);
            for n in 0..states {
                let h = &mut state[e * states + n];
                *h = (delta * rate[e * states + n]).exp() * *h + delta * write[t * states + n] * x;
            }
        }
        history.push(state.clone());
    }
    history
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(scan: SelectiveScan<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let SelectiveScan { step, input, write, read, rate } = scan;
    let (batch, length, wide) = *step.shape();
    let (asked, states) = (read.shape().1, rate.shape().1);
    let all = (batch, wide, states);
    let at = |tensor3: &Tensor3<D, T>, t: usize| {
        let width = tensor3.shape().2;
        slice(tensor3.retaped::<T>(), (0..batch, t..t + 1, 0..width))?.try_reshape_like(&(batch, width))
    };
    let mut state: Option<Tensor3<D, T>> = None;
    let mut answers: Vec<Matrix<D, T>> = Vec::new();
    for t in 0..length {
        let delta = at(&step, t)?; // (B, E)
        let write = at(&write, t)?.try_broadcast_like::<_, Axis<1>>(&all)?;
        let input = delta.retaped::<T>().try_mul(at(&input, t)?)?.try_broadcast_like::<_, Axis<2>>(&all)?;
        let update = input.try_mul(write)?;
        let rate = rate.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&all)?;
        let decay = delta.try_broadcast_like::<_, Axis<2>>(&all)?.try_mul(rate)?.try_exp()?;
        let next = match state {
            // What the first step forgets is nothing, but Δ's tape is there.
            None => join(update, decay),
            Some(state) => state.try_mul(decay)?.try_add(update)?,
        };
        if t + asked >= length {
            let read = at(&read, t + asked - length)?.try_broadcast_like::<_, Axis<1>>(&all)?;
            answers.push(next.retaped::<T>().try_mul(read)?.try_sum::<_, Axis<2>>()?);
        }
        state = Some(next);
    }
    let out = answers.try_stack()?.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(batch, asked, wide))?;
    let inputs = [step, input, write, read].into_iter().chain(state);
    Ok(inputs.fold(join(out, rate), join))
}

/// Tokens that all channels go through before the next: they stay in the cache.
const TOKENS: usize = 64;

/// Δ, x, B and C of one block.
pub type Scanned<'a> = [&'a [Lane]; 4];

/// Writes the last answers to `out`, as many as there are of C. `rate` is A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward([step, input, write, read]: Scanned<'_>, rate: &[f32], states: usize, out: &mut [Lane]) {
    let wide = rate.len() / states;
    let (length, skipped) = (step.len() / wide, (write.len() - read.len()) / states);
    let mut all = Buffer::zeros(rate.len());
    for first in (0..length).step_by(TOKENS) {
        for ((e, rate), state) in rate.chunks_exact(states).enumerate().zip(all.chunks_exact_mut(states)) {
            for t in first..length.min(first + TOKENS) {
                let delta = &step[t * wide + e];
                let taken = product(delta, &input[t * wide + e]);
                for ((h, a), b) in state.iter_mut().zip(rate).zip(&write[t * states..]) {
                    lanewise();
                    *h = plus_product(&product(&taken, b), &decay(delta, *a), h);
                }
                if t >= skipped {
                    let mut answer = ZERO;
                    for (h, c) in state.iter().zip(&read[(t - skipped) * states..]) {
                        answer = plus_product(&answer, h, c);
                    }
                    out[(t - skipped) * wide + e] = answer;
                }
            }
        }
    }
}

/// exp(Δ a).
#[inline(always)]
fn decay(delta: &Lane, a: f32) -> Lane {
    std::array::from_fn(|l| exp(delta[l] * a))
}

/// Adds the gradients by Δ, x, B, C and A. The states are computed again, one channel after the other, for all of them
/// would be N times as much memory as all else.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (scanned, rate): (Scanned<'_>, &[f32]),
    states: usize,
    grad_out: &[Lane],
    [grad_step, grad_input, grad_write, grad_read]: [&mut [Lane]; 4],
    grad_rate: &mut [f32],
) {
    let [step, input, write, read] = scanned;
    let wide = rate.len() / states;
    let (length, skipped) = (step.len() / wide, (write.len() - read.len()) / states);
    // h_{t−1} and exp(Δ_t A) of one channel, and in the end ∂h and ∂A.
    let mut memory = Buffer::zeros((2 * length + 3) * states);
    let (history, rest) = memory.split_at_mut((length + 1) * states);
    let (decays, rest) = rest.split_at_mut(length * states);
    let (grad_state, grad_rates) = rest.split_at_mut(states);
    for (e, rate) in rate.chunks_exact(states).enumerate() {
        for t in 0..length {
            let delta = &step[t * wide + e];
            let taken = product(delta, &input[t * wide + e]);
            let (before, now) = history[t * states..].split_at_mut(states);
            let decays = &mut decays[t * states..][..states];
            for n in 0..states {
                lanewise();
                decays[n] = decay(delta, rate[n]);
                now[n] = plus_product(&product(&taken, &write[t * states + n]), &decays[n], &before[n]);
            }
        }
        grad_state.fill(ZERO);
        grad_rates.fill(ZERO);
        for t in (0..length).rev() {
            let place = t * wide + e;
            let (delta, x) = (&step[place], &input[place]);
            let taken = product(delta, x);
            let (before, now) = history[t * states..][..2 * states].split_at(states);
            if t >= skipped {
                let (answer, at) = (&grad_out[(t - skipped) * wide + e], (t - skipped) * states);
                for n in 0..states {
                    lanewise();
                    grad_state[n] = plus_product(&grad_state[n], answer, &read[at + n]);
                    grad_read[at + n] = plus_product(&grad_read[at + n], answer, &now[n]);
                }
            }
            // ∂(Δ x), and the part of ∂Δ that comes through the decay.
            let (mut grad_taken, mut grad_delta) = (ZERO, ZERO);
            let (write, grad_write) = (&write[t * states..][..states], &mut grad_write[t * states..][..states]);
            for n in 0..states {
                lanewise();
                grad_write[n] = plus_product(&grad_write[n], &grad_state[n], &taken);
                grad_taken = plus_product(&grad_taken, &grad_state[n], &write[n]);
                grad_state[n] = product(&grad_state[n], &decays[t * states + n]);
                let grad_exponent = product(&grad_state[n], &before[n]);
                grad_rates[n] = plus_product(&grad_rates[n], &grad_exponent, delta);
                grad_delta = plus_scaled(&grad_delta, rate[n], &grad_exponent);
            }
            grad_input[place] = plus_product(&grad_input[place], &grad_taken, delta);
            grad_delta = plus_product(&grad_delta, &grad_taken, x);
            grad_step[place] = plus(&grad_step[place], &grad_delta);
        }
        for (grad, sum) in grad_rate[e * states..].iter_mut().zip(grad_rates.iter()) {
            lanewise();
            *grad += total(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    #[test]
    fn the_composition_equals_the_definition_also_where_only_the_last_are_asked() {
        let (device, mut random) = (Cpu::default(), Random::new(13));
        let (batch, length, wide, states) = (4, 5, 3, 2);
        for asked in [length, 2] {
            let mut tensor3 = |tokens, width| random.tensor3(&device, (batch, tokens, width));
            let [step, input, write] = [wide, wide, states].map(|width| tensor3(length, width));
            let read = tensor3(asked, states);
            let rate = random.matrix(&device, (wide, states));
            let part = |tensor3: &Tensor3<Cpu>, b: usize| {
                tensor3.as_vec().chunks(tensor3.shape().1 * tensor3.shape().2).nth(b).unwrap().to_vec()
            };
            let mut expected = Vec::new();
            for b in 0..batch {
                let [d, x, w] = [&step, &input, &write].map(|tensor3| part(tensor3, b));
                let history = selective_states([&d, &x, &w], &rate.as_vec(), (wide, states));
                for (state, read) in history[length - asked..].iter().zip(part(&read, b).chunks(states)) {
                    expected.extend(state.chunks(states).map(|h| h.iter().zip(read).map(|(h, c)| h * c).sum::<f32>()));
                }
            }
            let out = compose(SelectiveScan { step, input, write, read, rate }).unwrap();
            assert_close(&out.as_vec(), &expected, 1e-6);
        }
    }
}
