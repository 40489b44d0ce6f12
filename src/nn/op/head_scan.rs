//! The scan of Mamba-2, where all entries of a head forget at the same speed, in its two forms.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `step` Δ | one for each head | (B, T, M) |
//! | `input` x | P channels of the first head, then those of the next | (B, T, M·P) |
//! | `write` B, `read` C | shared by the heads | (B, T, N) |
//! | `rate` A | one negative number for each head | (1, M) |
//! | L | L[t, s] = exp(A Σ_{s<r≤t} Δ_r) for s ≤ t, else 0 | (T, T) |
//!
//! One step at a time it is the selective scan with a Δ and an A that are the same throughout a head; all at once it is
//! masked attention, y = (L ⊙ C Bᵀ) (Δ ⊙ x): the duality of Mamba-2, arXiv 2405.21060, sections 3 and 5.

use dfdx::prelude::*;

use super::join::join;
use super::rows::project;
use super::selective_scan::SelectiveScan;
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
    /// (B, T, N).
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

    /// All at once: every head as attention under its mask. (B, T, M·P).
    pub fn by_matrix(self) -> Outcome<Cube<D, T>, D> {
        let Self { step, input, write, read, rate } = self;
        let device = step.device().clone();
        let ((batch, length, wide), heads) = (*input.shape(), step.shape().2);
        let scores = read.try_matmul(write.try_permute::<_, Axes3<0, 2, 1>>()?)?; // (B, T, T): C Bᵀ
        let expanded = project(step.retaped::<T>(), owners(&device, heads, wide)?.retaped::<T>())?;
        let input = input.try_mul(expanded)?; // Δ ⊙ x
        let speeds = super::times_row(step, rate)?; // (B, T, M): Δ A
        let mut answers = Vec::new();
        for head in 0..heads {
            let speed = slice(speeds.retaped::<T>(), (0..batch, 0..length, head..head + 1))?;
            let mask = mask(speed.try_reshape_like(&(batch, length))?)?;
            let channels = head * (wide / heads)..(head + 1) * (wide / heads);
            let values = slice(input.retaped::<T>(), (0..batch, 0..length, channels))?;
            answers.push(scores.retaped::<T>().try_mul(mask)?.try_matmul(values)?); // (B, T, P)
        }
        let out =
            answers.try_stack()?.try_permute::<_, Axes4<1, 2, 0, 3>>()?.try_reshape_like(&(batch, length, wide))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::Device;
    use crate::nn::op::check::{Random, assert_close};

    type Tape = OwnedTape<f32, Cpu>;

    /// Values, and the gradients of a weighted sum of them, by all five operands.
    fn measure(form: fn(&Cpu, HeadScan<Cpu, Tape>) -> Cube<Cpu, Tape>) -> [Vec<f32>; 6] {
        let (device, mut random) = (Cpu::default(), Random::new(19));
        let (heads, wide, states) = (2, 6, 3);
        let mut cube = |width| random.cube(&device, (19, 5, width));
        let [step, input, write, read, sum] = [heads, wide, states, states, wide].map(&mut cube);
        let rate = random.matrix(&device, (1, heads));
        let scan = HeadScan {
            step: step.leaky_trace(),
            input: input.leaky_trace(),
            write: write.leaky_trace(),
            read: read.leaky_trace(),
            rate: rate.leaky_trace(),
        };
        let out = form(&device, scan);
        let values = out.as_vec();
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [a, b, c, d] = [&step, &input, &write, &read].map(|cube| gradients.get(cube).as_vec());
        [values, a, b, c, d, gradients.get(&rate).as_vec()]
    }

    #[test]
    fn the_recurrent_form_equals_the_masked_matrix_in_value_and_gradient() {
        let recurrent = measure(|device, scan| device.selective_scan(scan.by_channel().unwrap()).unwrap());
        let matrix = measure(|_, scan| scan.by_matrix().unwrap());
        for (recurrent, matrix) in recurrent.iter().zip(&matrix) {
            assert_close(recurrent, matrix, 1e-5);
        }
    }
}
