//! A short causal convolution, each channel on its own: y_t[e] = b[e] + Σ_k w[k, e] x_{t−K+1+k}[e], with zeros before the start.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `input` x | | (B, T, E) |
//! | `taps` w | the last row meets the token itself, the first the one K − 1 before it | (K, E) |
//! | `bias` b | | (1, E) |
//!
//! Source: Mamba 2312.00752, section 3.4, where K = 4.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::entrywise::plus_row;
use super::join::join;
use super::lanes::{LANES, Lane, ZERO, lanewise, plus, plus_product, plus_scaled, total};
use super::slice::slice;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// Tokens that all channels go through before the next: they stay in the cache.
const TOKENS: usize = 64;

/// What is convolved with what.
pub struct CausalConv<D: super::Device, T> {
    /// (B, T, E).
    pub input: Tensor3<D, T>,
    /// (K, E).
    pub taps: Matrix<D, T>,
    /// (1, E).
    pub bias: Matrix<D, T>,
}

/// Made of dfdx's operations, for any device: each tap is a product with a matrix that shifts time.
pub fn compose<D: super::Device, T: Tape<f32, D>>(conv: CausalConv<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let CausalConv { input, taps, bias } = conv;
    let device = input.device().clone();
    let (batch, length, wide) = *input.shape();
    let count = taps.shape().0;
    let taps = taps.try_reshape_like(&(1, count, wide))?;
    let channels = input.try_permute::<_, Axes3<0, 2, 1>>()?.try_reshape_like(&(batch * wide, length))?;
    let mut sum: Option<Tensor3<D, T>> = None;
    for k in 0..count {
        // shift[s, t] = 1 where t = s + back.
        let back = count - 1 - k;
        let mut shift = vec![0.0; length * length];
        (back..length).for_each(|t| shift[(t - back) * length + t] = 1.0);
        let shift = device.try_tensor_from_vec(shift, (length, length))?;
        let moved = channels.retaped::<T>().try_matmul(shift)?.try_reshape_like(&(batch, wide, length))?;
        let moved = moved.try_permute::<_, Axes3<0, 2, 1>>()?; // (B, T, E)
        let tap = slice(taps.retaped::<T>(), (0..1, k..k + 1, 0..wide))?.try_reshape_like(&(wide,))?;
        let part = moved.try_mul(tap.try_broadcast_like::<_, Axes2<0, 1>>(&(batch, length, wide))?)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => sum.try_add(part)?,
        });
    }
    let sum = match sum {
        Some(sum) => sum,
        None => device.try_zeros_like(&(batch, length, wide))?.retaped::<T>(),
    };
    Ok(join(join(plus_row(sum, bias)?, channels), taps))
}

/// Writes the convolution of one block to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(input: &[Lane], taps: &[f32], bias: &[f32], out: &mut [Lane]) {
    let wide = bias.len();
    let count = taps.len() / wide;
    for (t, out) in out.chunks_exact_mut(wide).enumerate() {
        for (out, bias) in out.iter_mut().zip(bias) {
            lanewise();
            *out = [*bias; LANES];
        }
        for back in 0..count.min(t + 1) {
            let (tap, from) = (&taps[(count - 1 - back) * wide..][..wide], &input[(t - back) * wide..][..wide]);
            for ((out, tap), x) in out.iter_mut().zip(tap).zip(from) {
                lanewise();
                *out = plus_scaled(out, *tap, x);
            }
        }
    }
}

/// Adds the gradients by input, taps and bias.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (input, taps): (&[Lane], &[f32]),
    grad_out: &[Lane],
    grad_input: &mut [Lane],
    grad_taps: &mut [f32],
    grad_bias: &mut [f32],
) {
    let wide = grad_bias.len();
    let (count, length) = (taps.len() / wide, input.len() / wide);
    for first in (0..length).step_by(TOKENS) {
        let end = length.min(first + TOKENS);
        for e in 0..wide {
            let mut sum = ZERO;
            for t in first..end {
                lanewise();
                sum = plus(&sum, &grad_out[t * wide + e]);
            }
            grad_bias[e] += total(&sum);
            for back in 0..count.min(end) {
                let tap = (count - 1 - back) * wide + e;
                let mut sum = ZERO;
                for t in first.max(back)..end {
                    lanewise();
                    let (grad, from) = (&grad_out[t * wide + e], (t - back) * wide + e);
                    sum = plus_product(&sum, grad, &input[from]);
                    grad_input[from] = plus_scaled(&grad_input[from], taps[tap], grad);
                }
                grad_taps[tap] += total(&sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    fn defined(input: &Tensor3<Cpu>, taps: &[f32], bias: &[f32]) -> Vec<f32> {
        let ((_, length, wide), rows) = (*input.shape(), input.as_vec());
        let mut out = Vec::new();
        for sequence in rows.chunks(length * wide) {
            for t in 0..length {
                for e in 0..wide {
                    let reached = (0..4).filter(|k| t + k >= 3);
                    let sum: f32 = reached.map(|k| taps[k * wide + e] * sequence[(t + k - 3) * wide + e]).sum();
                    out.push(bias[e] + sum);
                }
            }
        }
        out
    }

    #[test]
    fn the_composition_equals_the_definition() {
        for (batch, length) in [(1, 2), (5, 6)] {
            let (device, mut random, wide) = (Cpu::default(), Random::new(17), 3);
            let input = random.tensor3(&device, (batch, length, wide));
            let (taps, bias) = (random.matrix(&device, (4, wide)), random.matrix(&device, (1, wide)));
            let expected = defined(&input, &taps.as_vec(), &bias.as_vec());
            assert_close(&compose(CausalConv { input, taps, bias }).unwrap().as_vec(), &expected, 1e-6);
        }
    }
}
