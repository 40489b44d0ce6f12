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
use crate::nn::{Cube, Matrix, Outcome};

/// What the scan runs over.
pub struct HeadScan<D: super::Device, T> {
    /// (B, T, M).
    pub step: Cube<D, T>,
    /// (B, T, M·P).
    pub input: Cube<D, T>,
    /// (B, T, N).
    pub write: Cube<D, T>,
    /// (B, ·, N).
    pub read: Cube<D, T>,
    /// (1, M).
    pub rate: Matrix<D, T>,
}

/// Ones where a channel belongs to a head: (M, M·P).
pub fn owners<D: super::Device>(device: &D, heads: usize, wide: usize) -> Outcome<Matrix<D>, D> {
    let mut ones = vec![0.0; heads * wide];
    (0..wide).for_each(|channel| ones[channel / (wide / heads) * wide + channel] = 1.0);
    device.try_tensor_from_vec(ones, (heads, wide))
}

impl<D: super::Device, T: Tape<f32, D>> HeadScan<D, T> {
    /// The same as a selective scan over channels, which carry their head's Δ and A.
    pub fn by_channel(self) -> Outcome<SelectiveScan<D, T>, D> {
        let device = self.step.device().clone();
        let (wide, states) = (self.input.shape().2, self.write.shape().2);
        let owners = owners(&device, self.step.shape().2, wide)?;
        let column = self.rate.try_matmul(owners.clone())?.try_reshape_like(&(wide, 1))?;
        let rate = column.try_matmul(device.try_tensor_from_vec(vec![1.0; states], (1, states))?)?;
        let step = project(self.step, owners.retaped::<T>())?;
        Ok(SelectiveScan { step, input: self.input, write: self.write, read: self.read, rate })
    }

    /// All at once: every head as attention under its mask. (B, ·, M·P).
    pub fn by_matrix(self) -> Outcome<Cube<D, T>, D> {
        let Self { step, input, write, read, rate } = self;
        let device = step.device().clone();
        let ((batch, length, wide), heads, asked) = (*input.shape(), step.shape().2, read.shape().1);
        let scores = read.try_matmul(write.try_permute::<_, Axes3<0, 2, 1>>()?)?; // (B, ·, T): C Bᵀ
        let expanded = project(step.retaped::<T>(), owners(&device, heads, wide)?.retaped::<T>())?;
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
fn mask<D: super::Device, T: Tape<f32, D>>(speed: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
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
    by_out: &[Lane],
    [by_step, by_input, by_write, by_read]: [&mut [Lane]; 4],
    by_rate: &mut [f32],
) {
    let [step, input, write, read] = scanned;
    let (heads, length) = (rate.len(), write.len() / states);
    let (wide, skipped) = (input.len() / length, (write.len() - read.len()) / states);
    let decays = decays(step, rate);
    // h_{t−1} of one channel, ∂h, and ∂ of the decays.
    let mut memory = Buffer::zeros((length + 2) * states + length * heads);
    let (history, rest) = memory.split_at_mut((length + 1) * states);
    let (by_state, by_decays) = rest.split_at_mut(states);
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
        by_state.fill(ZERO);
        for t in (0..length).rev() {
            let (at, place) = (t * heads + head, t * wide + e);
            let taken = product(&step[at], &input[place]);
            let (before, now) = history[t * states..][..2 * states].split_at(states);
            if t >= skipped {
                let (answer, at) = (&by_out[(t - skipped) * wide + e], (t - skipped) * states);
                for n in 0..states {
                    lanewise();
                    by_state[n] = plus_product(&by_state[n], answer, &read[at + n]);
                    by_read[at + n] = plus_product(&by_read[at + n], answer, &now[n]);
                }
            }
            let (mut by_taken, mut by_decay) = (ZERO, by_decays[at]);
            let (write, by_write) = (&write[t * states..][..states], &mut by_write[t * states..][..states]);
            for n in 0..states {
                lanewise();
                by_write[n] = plus_product(&by_write[n], &by_state[n], &taken);
                by_taken = plus_product(&by_taken, &by_state[n], &write[n]);
                by_decay = plus_product(&by_decay, &by_state[n], &before[n]);
                by_state[n] = product(&by_state[n], &decays[at]);
            }
            by_decays[at] = by_decay;
            by_input[place] = plus_product(&by_input[place], &by_taken, &step[at]);
            by_step[at] = plus_product(&by_step[at], &by_taken, &input[place]);
        }
    }
    for (head, (slope, a)) in by_rate.iter_mut().zip(rate).enumerate() {
        let mut sum = ZERO;
        for at in (head..length * heads).step_by(heads) {
            let by_exponent = product(&by_decays[at], &decays[at]);
            sum = plus_product(&sum, &by_exponent, &step[at]);
            by_step[at] = plus_scaled(&by_step[at], *a, &by_exponent);
        }
        *slope += total(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};
    use crate::nn::op::selective_scan;

    type Owned = OwnedTape<f32, Cpu>;

    /// Values, and the gradients of a weighted sum of them, by all five operands.
    fn measure(asked: usize, form: fn(HeadScan<Cpu, Owned>) -> Cube<Cpu, Owned>) -> [Vec<f32>; 6] {
        let (device, mut random) = (Cpu::default(), Random::new(19));
        let (heads, wide, states, length) = (2, 6, 3, 5);
        let mut cube = |tokens, width| random.cube(&device, (3, tokens, width));
        let [step, input, write] = [heads, wide, states].map(|width| cube(length, width));
        let [read, sum] = [states, wide].map(|width| cube(asked, width));
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
        let [a, b, c, d] = [&step, &input, &write, &read].map(|cube| gradients.get(cube).as_vec());
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
