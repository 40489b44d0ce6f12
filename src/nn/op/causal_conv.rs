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

use super::blocks::{Kernel, Operands, Slopes, run};
use super::join::join;
use super::lanes::{LANES, Lane, add_scaled, inner};
use super::plus_row;
use super::slice::slice;
use crate::nn::{Cube, Matrix, Outcome};

/// What is convolved with what.
pub struct CausalConv<D: super::Device, T> {
    /// (B, T, E).
    pub input: Cube<D, T>,
    /// (K, E).
    pub taps: Matrix<D, T>,
    /// (1, E).
    pub bias: Matrix<D, T>,
}

/// Made of dfdx's operations, for any device: each tap is a product with a matrix that shifts time.
pub fn compose<D: super::Device, T: Tape<f32, D>>(conv: CausalConv<D, T>) -> Outcome<Cube<D, T>, D> {
    let CausalConv { input, taps, bias } = conv;
    let device = input.device().clone();
    let (batch, length, wide) = *input.shape();
    let count = taps.shape().0;
    let taps = taps.try_reshape_like(&(1, count, wide))?;
    let channels = input.try_permute::<_, Axes3<0, 2, 1>>()?.try_reshape_like(&(batch * wide, length))?;
    let mut sum: Option<Cube<D, T>> = None;
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

/// The fast form on the CPU.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, conv: CausalConv<Cpu, T>) -> Outcome<Cube<Cpu, T>, Cpu> {
    let wide = conv.input.shape().2;
    let operands = Operands { inputs: vec![conv.input], weights: vec![conv.taps, conv.bias] };
    run(device, operands, wide, |weights| Fused { weights, wide })
}

struct Fused {
    /// w and b.
    weights: Vec<Vec<f32>>,
    /// E.
    wide: usize,
}

impl Kernel for Fused {
    type Saved = ();

    fn forward(&self, inputs: &[Vec<Lane>], out: &mut [Lane]) {
        forward_block((&self.weights[0], &self.weights[1]), self.wide, &inputs[0], out);
    }

    fn backward(&self, inputs: &[Vec<Lane>], _saved: &(), by_out: &[Lane], slopes: &mut Slopes) {
        backward_block(&self.weights[0], self.wide, &inputs[0], by_out, slopes);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block((taps, bias): (&[f32], &[f32]), wide: usize, input: &[Lane], out: &mut [Lane]) {
    let count = taps.len() / wide;
    for (place, sum) in out.iter_mut().enumerate() {
        *sum = [bias[place % wide]; LANES];
        for back in 0..count.min(place / wide + 1) {
            add_scaled(sum, taps[(count - 1 - back) * wide + place % wide], &input[place - back * wide]);
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block(taps: &[f32], wide: usize, input: &[Lane], by_out: &[Lane], slopes: &mut Slopes) {
    let count = taps.len() / wide;
    for (place, slope) in by_out.iter().enumerate() {
        slopes.weights[1][place % wide] += slope.iter().sum::<f32>();
        for back in 0..count.min(place / wide + 1) {
            let (tap, from) = ((count - 1 - back) * wide + place % wide, place - back * wide);
            slopes.weights[0][tap] += inner(&[*slope], &[input[from]]);
            add_scaled(&mut slopes.inputs[0][from], taps[tap], slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Tape = OwnedTape<f32, Cpu>;
    type Form = dyn Fn(&Cpu, CausalConv<Cpu, Tape>) -> Cube<Cpu, Tape>;

    /// Values, and the gradients of a weighted sum of them, by input, taps and bias.
    fn measure(form: &Form, batch: usize, length: usize) -> [Vec<f32>; 4] {
        let (device, mut random, wide) = (Cpu::default(), Random::new(17), 3);
        let shape = (batch, length, wide);
        let (input, sum) = (random.cube(&device, shape), random.cube(&device, shape));
        let (taps, bias) = (random.matrix(&device, (4, wide)), random.matrix(&device, (1, wide)));
        let conv = CausalConv { input: input.leaky_trace(), taps: taps.leaky_trace(), bias: bias.leaky_trace() };
        let out = form(&device, conv);
        let values = out.as_vec();
        assert_close(&values, &defined(&input, &taps.as_vec(), &bias.as_vec()), 1e-5);
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [by_taps, by_bias] = [&taps, &bias].map(|weight| gradients.get(weight).as_vec());
        [values, gradients.get(&input).as_vec(), by_taps, by_bias]
    }

    fn defined(input: &Cube<Cpu>, taps: &[f32], bias: &[f32]) -> Vec<f32> {
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
    fn definition_composition_and_fused_form_agree_in_value_and_gradient() {
        for (batch, length) in [(1, 2), (37, 6)] {
            let fast = measure(&|device, conv| fused(device, conv).unwrap(), batch, length);
            let plain = measure(&|_, conv| compose(conv).unwrap(), batch, length);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }
}
