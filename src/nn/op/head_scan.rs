//! The scan of Mamba-2, where all entries of a head forget at the same speed, in its two forms.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `step` Δ | one for each head | (B, T, M) |
//! | `input` x | P channels of the first head, then those of the next | (B, T, M·P) |
//! | `write` B | shared by the heads | (B, T, N) |
//! | `read` C | shared by the heads, for the last tokens, as many as are asked | (B, ·, N) |
//! | `rate` A | one negative number for each head | (1, M) |
//! | L | L[t, s] = exp(A Σ_{s<r≤t} Δ_r) for s ≤ t, else 0 | (T, T) |
//!
//! One step at a time it is the selective scan with a Δ and an A that are the same throughout a head; all at once it is
//! masked attention, y = (L ⊙ C Bᵀ) (Δ ⊙ x): the duality of Mamba-2, arXiv 2405.21060, sections 3 and 5.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::buffer::Buffer;
use super::elementary::exp;
use super::entrywise::times_row;
use super::join::join;
use super::lanes::{Lane, ZERO, lanewise, plus_product, plus_scaled, product, total};
use super::project::project;
use super::selective_scan::{Scanned, SelectiveScan};
use super::slice::slice;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// What the scan runs over.
pub struct HeadScan<D: super::Device, T> {
    /// (B, T, M).
    pub step: Tensor3<D, T>,
    /// (B, T, M·P).
    pub input: Tensor3<D, T>,
    /// (B, T, N).
    pub write: Tensor3<D, T>,
    /// (B, ·, N).
    pub read: Tensor3<D, T>,
    /// (1, M).
    pub rate: Matrix<D, T>,
}

/// Ones where a channel belongs to a head: (M, M·P).
pub fn head_expansion<D: super::Device>(device: &D, heads: usize, wide: usize) -> DeviceResult<Matrix<D>, D> {
    let mut ones = vec![0.0; heads * wide];
    (0..wide).for_each(|channel| ones[channel / (wide / heads) * wide + channel] = 1.0);
    device.try_tensor_from_vec(ones, (heads, wide))
}

impl<D: super::Device, T: Tape<f32, D>> HeadScan<D, T> {
    /// The same as a selective scan over channels, which carry their head's Δ and A.
    pub fn by_channel(self) -> DeviceResult<SelectiveScan<D, T>, D> {
        let device = self.step.device().clone();
        let (wide, states) = (self.input.shape().2, self.write.shape().2);
        let head_expansion = head_expansion(&device, self.step.shape().2, wide)?;
        let column = self.rate.try_matmul(head_expansion.clone())?.try_reshape_like(&(wide, 1))?;
        let rate = column.try_matmul(device.try_tensor_from_vec(vec![1.0; states], (1, states))?)?;
        let step = project(self.step, head_expansion.retaped::<T>())?;
        Ok(SelectiveScan { step, input: self.input, write: self.write, read: self.read, rate })
    }

    /// All at once: every head as attention under its mask. (B, ·, M·P).
    pub fn by_matrix(self) -> DeviceResult<Tensor3<D, T>, D> {
        let Self { step, input, write, read, rate } = self;
        let device = step.device().clone();
        let ((batch, length, wide), heads, asked) = (*input.shape(), step.shape().2, read.shape().1);
        let scores = read.try_matmul(write.try_permute::<_, Axes3<0, 2, 1>>()?)?; // (B, ·, T): C Bᵀ
        let expanded = project(step.retaped::<T>(), head_expansion(&device, heads, wide)?.retaped::<T>())?;
        let input = input.try_mul(expanded)?; // Δ ⊙ x
        let speeds = times_row(step, rate)?; // (B, T, M): Δ A
        let mut answers = Vec::new();
        for head in 0..heads {
            let speed = slice(speeds.retaped::<T>(), (0..batch, 0..length, head..head + 1))?;
            let mask = mask(speed.try_reshape_like(&(batch, length))?)?;
            let mask = slice(mask, (0..batch, length - asked..length, 0..length))?;
            let channels = head * (wide / heads)..(head + 1) * (wide / heads);
            let values = slice(input.retaped::<T>(), (0..batch, 0..length, channels))?;
            answers.push(scores.retaped::<T>().try_mul(mask)?.try_matmul(values)?); // (B, ·, P)
        }
        let out =
            answers.try_stack()?.try_permute::<_, Axes4<1, 2, 0, 3>>()?.try_reshape_like(&(batch, asked, wide))?;
        Ok([scores, input, speeds].into_iter().fold(out, join))
    }
}

/// L, from the exponents Δ A of one head: (B, T) → (B, T, T).
fn mask<D: super::Device, T: Tape<f32, D>>(speed: Matrix<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let device = speed.device().clone();
    let (batch, length) = *speed.shape();
    let all = (batch, length, length);
    // Σ_{r≤t}, as a product with ones on and above the diagonal.
    let ones = device.try_upper_tri_like(&(length, length), 1.0f32, None)?;
    let sums = speed.try_matmul(ones)?;
    // Times one, because dfdx refuses to subtract a tensor from itself, broadcast though it is.
    let from = sums.retaped::<T>().try_mul(1.0f32)?.try_broadcast_like::<_, Axis<1>>(&all)?; // [b, t, s] = sum to s
    let span = sums.try_broadcast_like::<_, Axis<2>>(&all)?.try_sub(from)?;
    // Above the diagonal the exponent is positive and may be large: it is made zero first, then its exponential is.
    let below: Matrix<D> = device.try_lower_tri_like(&(length, length), 1.0f32, None)?;
    let below = below.try_broadcast_like::<_, Axis<0>>(&all)?;
    span.try_mul(below.clone())?.try_exp()?.try_mul(below)
}

/// exp(Δ_t A) of every head and token: (T · M) lanes.
#[inline(always)]
fn decays(step: &[Lane], rate: &[f32]) -> Buffer {
    let mut decays = Buffer::zeros(step.len());
    for (decays, step) in decays.chunks_exact_mut(rate.len()).zip(step.chunks_exact(rate.len())) {
        for ((decay, delta), a) in decays.iter_mut().zip(step).zip(rate) {
            lanewise();
            *decay = std::array::from_fn(|l| exp(delta[l] * a));
        }
    }
    decays
}

/// The recurrent form of one block: writes the last answers to `out`. `rate` is A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(scanned: Scanned<'_>, rate: &[f32], states: usize, out: &mut [Lane]) {
    let [step, input, write, read] = scanned;
    let (heads, length) = (rate.len(), write.len() / states);
    let (wide, skipped) = (input.len() / length, (write.len() - read.len()) / states);
    let decays = decays(step, rate);
    let mut state = Buffer::zeros(states);
    for e in 0..wide {
        let head = e / (wide / heads);
        state.fill(ZERO);
        for t in 0..length {
            let at = t * heads + head;
            let taken = product(&step[at], &input[t * wide + e]);
            for (h, b) in state.iter_mut().zip(&write[t * states..]) {
                lanewise();
                *h = plus_product(&product(&taken, b), &decays[at], h);
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

/// The recurrent form: adds the gradients by Δ, x, B, C and A. As in the selective scan, states are computed again.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (scanned, rate): (Scanned<'_>, &[f32]),
    states: usize,
    grad_out: &[Lane],
    [grad_step, grad_input, grad_write, grad_read]: [&mut [Lane]; 4],
    grad_rate: &mut [f32],
) {
    let [step, input, write, read] = scanned;
    let (heads, length) = (rate.len(), write.len() / states);
    let (wide, skipped) = (input.len() / length, (write.len() - read.len()) / states);
    let decays = decays(step, rate);
    // h_{t−1} of one channel, ∂h, and ∂ of the decays.
    let mut memory = Buffer::zeros((length + 2) * states + length * heads);
    let (history, rest) = memory.split_at_mut((length + 1) * states);
    let (grad_state, grad_decays) = rest.split_at_mut(states);
    for e in 0..wide {
        let head = e / (wide / heads);
        for t in 0..length {
            let at = t * heads + head;
            let taken = product(&step[at], &input[t * wide + e]);
            let (before, now) = history[t * states..].split_at_mut(states);
            for ((now, before), b) in now.iter_mut().zip(before.iter()).zip(&write[t * states..]) {
                lanewise();
                *now = plus_product(&product(&taken, b), &decays[at], before);
            }
        }
        grad_state.fill(ZERO);
        for t in (0..length).rev() {
            let (at, place) = (t * heads + head, t * wide + e);
            let taken = product(&step[at], &input[place]);
            let (before, now) = history[t * states..][..2 * states].split_at(states);
            if t >= skipped {
                let (answer, at) = (&grad_out[(t - skipped) * wide + e], (t - skipped) * states);
                for n in 0..states {
                    lanewise();
                    grad_state[n] = plus_product(&grad_state[n], answer, &read[at + n]);
                    grad_read[at + n] = plus_product(&grad_read[at + n], answer, &now[n]);
                }
            }
            let (mut grad_taken, mut grad_decay) = (ZERO, grad_decays[at]);
            let (write, grad_write) = (&write[t * states..][..states], &mut grad_write[t * states..][..states]);
            for n in 0..states {
                lanewise();
                grad_write[n] = plus_product(&grad_write[n], &grad_state[n], &taken);
                grad_taken = plus_product(&grad_taken, &grad_state[n], &write[n]);
                grad_decay = plus_product(&grad_decay, &grad_state[n], &before[n]);
                grad_state[n] = product(&grad_state[n], &decays[at]);
            }
            grad_decays[at] = grad_decay;
            grad_input[place] = plus_product(&grad_input[place], &grad_taken, &step[at]);
            grad_step[at] = plus_product(&grad_step[at], &grad_taken, &input[place]);
        }
    }
    for (head, (grad, a)) in grad_rate.iter_mut().zip(rate).enumerate() {
        let mut sum = ZERO;
        for at in (head..length * heads).step_by(heads) {
            let grad_exponent = product(&grad_decays[at], &decays[at]);
            sum = plus_product(&sum, &grad_exponent, &step[at]);
            grad_step[at] = plus_scaled(&grad_step[at], *a, &grad_exponent);
        }
        *grad += total(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};
    use crate::nn::op::selective_scan;

    type Owned = OwnedTape<f32, Cpu>;

    /// Values, and the gradients of a weighted sum of them, by all five operands.
    fn measure(asked: usize, form: fn(HeadScan<Cpu, Owned>) -> Tensor3<Cpu, Owned>) -> [Vec<f32>; 6] {
        let (device, mut random) = (Cpu::default(), Random::new(19));
        let (heads, wide, states, length) = (2, 6, 3, 5);
        let mut tensor3 = |tokens, width| random.tensor3(&device, (3, tokens, width));
        let [step, input, write] = [heads, wide, states].map(|width| tensor3(length, width));
        let [read, sum] = [states, wide].map(|width| tensor3(asked, width));
        let rate = random.matrix(&device, (1, heads));
        let out = form(HeadScan {
            step: step.leaky_trace(),
            input: input.leaky_trace(),
            write: write.leaky_trace(),
            read: read.leaky_trace(),
            rate: rate.leaky_trace(),
        });
        let values = out.as_vec();
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [a, b, c, d] = [&step, &input, &write, &read].map(|tensor3| gradients.get(tensor3).as_vec());
        [values, a, b, c, d, gradients.get(&rate).as_vec()]
    }

    #[test]
    fn the_recurrent_form_equals_the_masked_matrix_in_value_and_gradient() {
        for asked in [5, 2] {
            let recurrent = measure(asked, |scan| selective_scan::compose(scan.by_channel().unwrap()).unwrap());
            let matrix = measure(asked, |scan| scan.by_matrix().unwrap());
            for (recurrent, matrix) in recurrent.iter().zip(&matrix) {
                assert_close(recurrent, matrix, 1e-5);
            }
        }
    }
}
