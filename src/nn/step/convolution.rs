//! A short causal convolution, each channel on its own: y_t[e] = b[e] + Σ_k w[k, e] x_{t−K+1+k}[e], with zeros before
//! the start.
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

use super::row::plus_row;
use super::{Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, join, slice};
use crate::simd::gemm::write_row;
use crate::simd::{Lane, ZERO, lanewise, plus, plus_product, plus_scaled, total};

/// Tokens that all channels go through before the next: they stay in the cache.
const TOKENS_AT_ONCE: usize = 64;

#[derive(Clone, Debug)]
pub struct Convolution {
    pub input: NodeId,
    pub taps: ParamId,
    pub bias: ParamId,
}

impl Step for Convolution {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    /// Each tap is a product with a matrix that shifts time.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (input, taps, bias) = (given.of::<T>(self.input), given.param::<T>(self.taps), given.param(self.bias));
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

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.of(self.input), given.param(self.taps), given.param(self.bias), out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_input], [grad_taps, grad_bias]) = grads.of([self.input], [self.taps, self.bias]);
        backward((given.of(self.input), given.param(self.taps)), grad_out, grad_input, grad_taps, grad_bias);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(LastTokens { step: self.clone(), last: Vec::new() }))
    }
}

/// The last tokens, as many as there are taps, zeros before the first.
struct LastTokens {
    step: Convolution,
    last: Vec<Lane>,
}

impl TokenReader for LastTokens {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let (token, taps) = (given.of(self.step.input), given.param(self.step.taps));
        self.last.resize(taps.len(), ZERO);
        self.last.copy_within(token.len().., 0);
        self.last[taps.len() - token.len()..].copy_from_slice(token);
        convolve(&self.last, taps, given.param(self.step.bias), out);
    }
}

/// The convolution at the last of these tokens, as many as there are taps.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn convolve(tokens: &[Lane], taps: &[f32], bias: &[f32], out: &mut [Lane]) {
    let wide = bias.len();
    write_row(bias, out);
    for (tokens, taps) in tokens.chunks_exact(wide).zip(taps.chunks_exact(wide)).rev() {
        for ((out, tap), x) in out.iter_mut().zip(taps).zip(tokens) {
            lanewise();
            *out = plus_scaled(out, *tap, x);
        }
    }
}

/// Writes the convolution of one block to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(input: &[Lane], taps: &[f32], bias: &[f32], out: &mut [Lane]) {
    let wide = bias.len();
    let count = taps.len() / wide;
    for (t, out) in out.chunks_exact_mut(wide).enumerate() {
        write_row(bias, out);
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
fn backward(
    (input, taps): (&[Lane], &[f32]),
    grad_out: &[Lane],
    grad_input: &mut [Lane],
    grad_taps: &mut [f32],
    grad_bias: &mut [f32],
) {
    let wide = grad_bias.len();
    let (count, length) = (taps.len() / wide, input.len() / wide);
    for first in (0..length).step_by(TOKENS_AT_ONCE) {
        let end = length.min(first + TOKENS_AT_ONCE);
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
    use crate::nn::check::{assert_close, lanes_of, numbers};

    fn define(input: &[f32], taps: &[f32], bias: &[f32]) -> Vec<f32> {
        let wide = bias.len();
        let sum = |t: usize, e: usize| -> f32 {
            let reached = (0..4).filter(|k| t + k >= 3);
            bias[e] + reached.map(|k| taps[k * wide + e] * input[(t + k - 3) * wide + e]).sum::<f32>()
        };
        (0..input.len()).map(|i| sum(i / wide, i % wide)).collect()
    }

    #[test]
    fn the_kernel_equals_the_definition() {
        for length in [2, 6] {
            let (input, taps, bias) = (numbers(length * 3, 0.1), numbers(12, 0.2), numbers(3, 0.3));
            let mut out = vec![ZERO; length * 3];
            forward(&lanes_of(&input), &taps, &bias, &mut out);
            let found: Vec<f32> = out.iter().map(|lane| lane[3]).collect();
            assert_close(&found, &define(&input, &taps, &bias), 1e-6);
        }
    }
}
