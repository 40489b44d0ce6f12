//! Layer normalisation of every token x: g ⊙ x̂ + c, with x̂ = (x − μ)/√(σ² + ε) of mean 0 and mean square 1.
//!
//! Source: Ba, Kiros & Hinton 2016 (1607.06450), equation 4.

use dfdx::prelude::{Axis, HasShape, ReshapeTo};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::row::{plus_row, times_row};
use super::{EachToken, Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::{LANES, Lane, ZERO, each, lanewise, plus, plus_product, plus_scaled, total};

/// ε.
const EPSILON: f32 = 1e-5;

/// The definition: x̂ of one row.
pub fn normalise_row(row: &mut [f32]) {
    let n = row.len() as f32;
    let mean = row.iter().sum::<f32>() / n;
    row.iter_mut().for_each(|x| *x -= mean);
    let inverse = 1.0 / (row.iter().map(|x| x * x).sum::<f32>() / n + EPSILON).sqrt();
    row.iter_mut().for_each(|x| *x *= inverse);
}

#[derive(Clone, Debug)]
pub struct LayerNormalise {
    pub x: NodeId,
    /// g: (1, n).
    pub gain: ParamId,
    /// c: (1, n).
    pub bias: ParamId,
}

impl Step for LayerNormalise {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        let shape = *x.shape();
        let rows = x.try_reshape_like(&(shape.0 * shape.1, shape.2))?;
        let normal = rows.try_normalize::<Axis<1>>(EPSILON)?.try_reshape_like(&shape)?;
        plus_row(times_row(normal, given.param(self.gain))?, given.param(self.bias))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.of(self.x), given.param(self.gain), given.param(self.bias), out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], [grad_gain, grad_bias]) = grads.of([self.x], [self.gain, self.bias]);
        backward((given.of(self.x), given.param(self.gain)), grad_out, grad_x, grad_gain, grad_bias);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

/// μ and 1/√(σ² + ε) of a token.
#[inline(always)]
fn moments(token: &[Lane]) -> (Lane, Lane) {
    let share = 1.0 / token.len() as f32;
    let (mut mean, mut square) = (ZERO, ZERO);
    for x in token {
        lanewise();
        (0..LANES).for_each(|l| mean[l] += share * x[l]);
    }
    for x in token {
        lanewise();
        (0..LANES).for_each(|l| square[l] += share * (x[l] - mean[l]) * (x[l] - mean[l]));
    }
    (mean, each(|l| 1.0 / (square[l] + EPSILON).sqrt()))
}

/// Writes the normalised tokens to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(tokens: &[Lane], gain: &[f32], bias: &[f32], out: &mut [Lane]) {
    for (token, out) in tokens.chunks_exact(gain.len()).zip(out.chunks_exact_mut(gain.len())) {
        let (mean, inverse) = moments(token);
        for (((x, out), gain), bias) in token.iter().zip(out).zip(gain).zip(bias) {
            lanewise();
            *out = each(|l| gain * ((x[l] - mean[l]) * inverse[l]) + bias);
        }
    }
}

/// Adds the gradients by the tokens, by g and by c.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (tokens, gain): (&[Lane], &[f32]),
    grad_out: &[Lane],
    grad_x: &mut [Lane],
    grad_gain: &mut [f32],
    grad_bias: &mut [f32],
) {
    let width = gain.len();
    let share = 1.0 / width as f32;
    let mut sums = vec![[ZERO; 2]; width];
    let mut normal = vec![ZERO; width];
    for ((token, grad_out), grad_token) in
        tokens.chunks_exact(width).zip(grad_out.chunks_exact(width)).zip(grad_x.chunks_exact_mut(width))
    {
        let (mean, inverse) = moments(token);
        // The means of g ⊙ ∂out and of its product with x̂.
        let (mut level, mut along) = (ZERO, ZERO);
        for ((((x, normal), grad), gain), [grad_gain, grad_bias]) in
            token.iter().zip(&mut normal).zip(grad_out).zip(gain).zip(&mut sums)
        {
            lanewise();
            let (unit, scale): (Lane, f32) = (each(|l| (x[l] - mean[l]) * inverse[l]), share * gain);
            *normal = unit;
            *grad_gain = plus_product(grad_gain, grad, &unit);
            *grad_bias = plus(grad_bias, grad);
            level = plus_scaled(&level, scale, grad);
            along = each(|l| along[l] + scale * grad[l] * unit[l]);
        }
        for (((grad_token, normal), grad), gain) in grad_token.iter_mut().zip(&normal).zip(grad_out).zip(gain) {
            lanewise();
            let grad_unit: Lane = each(|l| gain * grad[l] - level[l] - along[l] * normal[l]);
            *grad_token = plus_product(grad_token, &inverse, &grad_unit);
        }
    }
    for (([of_gain, of_bias], grad_gain), grad_bias) in sums.iter().zip(grad_gain).zip(grad_bias) {
        lanewise();
        *grad_gain += total(of_gain);
        *grad_bias += total(of_bias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::lanes_of;

    #[test]
    fn lanes_equal_the_definition() {
        let row: Vec<f32> = (0..7).map(|i| (i as f32).sin()).collect();
        let (gain, bias) = (vec![2.0; 7], vec![0.25; 7]);
        let mut out = vec![ZERO; 7];
        forward(&lanes_of(&row), &gain, &bias, &mut out);
        let mut expected = row;
        normalise_row(&mut expected);
        for (found, expected) in out.iter().zip(expected) {
            assert!((found[3] - (2.0 * expected + 0.25)).abs() < 1e-5);
        }
    }
}
