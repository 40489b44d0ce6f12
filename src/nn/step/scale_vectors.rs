//! Every vector times a number that follows from its squared length s = ‖x‖² and, in most rules, from a rate β of its
//! own.
//!
//! | rule | factor | what S ← S + (v − S k) (factor k)ᵀ is |
//! |---|---|---|
//! | [`VectorScale::Rate`] | β | the delta rule: least mean squares |
//! | [`VectorScale::Normalised`] | β/s | normalised least mean squares |
//! | [`VectorScale::Implicit`] | β/(1 + β s) | the step whose error is taken after it (2407.14207, equation 4) |
//! | [`VectorScale::UnitLength`] | 1/√s | no step: the vector with length 1 |
//! | [`VectorScale::Normaliser`] | 1/max(\|β\|, 1) | no step: the answer of mLSTM (2405.04517, equation 21) |
//!
//! Where s is a divisor, 10⁻⁶ is added to it, so that a vector of zeros stays one.

use dfdx::prelude::{Axis, BroadcastTo, HasShape, ReshapeTo, SumTo, TryAdd, TryDiv, TryMul, TrySub};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{EachToken, Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3};
use crate::simd::{Lane, ZERO, dot_lanes, each, lanewise, plus_product};

#[derive(Clone, Debug)]
pub struct ScaleVectors {
    /// (B, T, n).
    pub x: NodeId,
    pub scale: VectorScale,
    /// n.
    pub width: usize,
}

/// What a vector is multiplied by. Rates β are (B, T, 1).
#[derive(Clone, Copy, Debug)]
pub enum VectorScale {
    Rate(NodeId),
    Normalised(NodeId),
    Implicit(NodeId),
    UnitLength,
    Normaliser(NodeId),
}

/// Added to s where it divides.
const EPSILON: f32 = 1e-6;

/// A factor, and its derivatives by s and β.
struct Factor {
    value: f32,
    by_square: f32,
    by_rate: f32,
}

impl VectorScale {
    fn rate(self) -> Option<NodeId> {
        match self {
            Self::Rate(rate) | Self::Normalised(rate) | Self::Implicit(rate) | Self::Normaliser(rate) => Some(rate),
            Self::UnitLength => None,
        }
    }

    #[inline(always)]
    fn factor(self, s: f32, rate: f32) -> Factor {
        match self {
            Self::Rate(_) => Factor { value: rate, by_square: 0.0, by_rate: 1.0 },
            Self::Normalised(_) => {
                let inverse = 1.0 / (s + EPSILON);
                Factor { value: rate * inverse, by_square: -rate * inverse * inverse, by_rate: inverse }
            }
            Self::Implicit(_) => {
                let (inverse, value) = (1.0 / (1.0 + rate * s), rate / (1.0 + rate * s));
                Factor { value, by_square: -value * value, by_rate: inverse * inverse }
            }
            Self::UnitLength => {
                let inverse = 1.0 / (s + EPSILON);
                Factor { value: inverse.sqrt(), by_square: -0.5 * inverse.sqrt() * inverse, by_rate: 0.0 }
            }
            Self::Normaliser(_) => {
                let (inverse, is_large) = (1.0 / rate.abs().max(1.0), f32::from(u8::from(rate.abs() > 1.0)));
                Factor { value: inverse, by_square: 0.0, by_rate: -is_large * rate * inverse * inverse * inverse }
            }
        }
    }
}

impl Step for ScaleVectors {
    fn reads(&self) -> Vec<NodeId> {
        [self.x].into_iter().chain(self.scale.rate()).collect()
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        let shape = *x.shape();
        let (batch, length, _) = shape;
        let square = |x: Tensor3<D, T>| -> DeviceResult<Matrix<D, T>, D> { x.try_powi(2)?.try_sum::<_, Axis<2>>() };
        let rate = |node: NodeId| given.of::<T>(node).try_reshape_like(&(batch, length));
        let factor = match self.scale {
            VectorScale::Rate(node) => rate(node)?,
            VectorScale::Normalised(node) => rate(node)?.try_div(square(x.retaped::<T>())?.try_add(EPSILON)?)?,
            VectorScale::Implicit(node) => {
                let divisor = square(x.retaped::<T>())?.try_mul(rate(node)?)?.try_add(1.0f32)?;
                rate(node)?.try_div(divisor)?
            }
            VectorScale::UnitLength => square(x.retaped::<T>())?.try_add(EPSILON)?.try_sqrt()?.try_powi(-1)?,
            // max(|β|, 1) = max(|β| − 1, 0) + 1.
            VectorScale::Normaliser(node) => {
                rate(node)?.try_abs()?.try_sub(1.0f32)?.try_relu()?.try_add(1.0f32)?.try_powi(-1)?
            }
        };
        x.try_mul(factor.try_broadcast_like::<_, Axis<2>>(&shape)?)
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let rates = self.scale.rate().map(|rate| given.of(rate));
        forward(given.of(self.x), rates, (self.scale, self.width), out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let rates = self.scale.rate().map(|rate| given.of(rate));
        let by = grads.of_some([Some(self.x), self.scale.rate()]);
        backward((given.of(self.x), rates), (self.scale, self.width), grad_out, by);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(x: &[Lane], rates: Option<&[Lane]>, (scale, width): (VectorScale, usize), out: &mut [Lane]) {
    for (t, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let (square, rate) = (dot_lanes(x, x), rates.map_or(ZERO, |rates| rates[t]));
        let factor = each(|l| scale.factor(square[l], rate[l]).value);
        for (x, out) in x.iter().zip(out) {
            lanewise();
            *out = each(|l| factor[l] * x[l]);
        }
    }
}

/// ∂x = factor ∂out + 2 (∂factor/∂s) (∂out · x) x and ∂β = (∂factor/∂β) (∂out · x).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (x, rates): (&[Lane], Option<&[Lane]>),
    (scale, width): (VectorScale, usize),
    grad_out: &[Lane],
    [grad_x, grad_rates]: [&mut [Lane]; 2],
) {
    let vectors = x.chunks_exact(width).zip(grad_out.chunks_exact(width)).zip(grad_x.chunks_exact_mut(width));
    for (t, ((x, grad), grad_x)) in vectors.enumerate() {
        let (square, along, rate) = (dot_lanes(x, x), dot_lanes(grad, x), rates.map_or(ZERO, |rates| rates[t]));
        let factor = each(|l| scale.factor(square[l], rate[l]).value);
        let by_square = each(|l| 2.0 * scale.factor(square[l], rate[l]).by_square * along[l]);
        for ((x, grad), grad_x) in x.iter().zip(grad).zip(grad_x) {
            lanewise();
            *grad_x = each(|l| grad_x[l] + factor[l] * grad[l] + by_square[l] * x[l]);
        }
        if let Some(grad_rate) = grad_rates.get_mut(t) {
            let by_rate = each(|l| scale.factor(square[l], rate[l]).by_rate);
            *grad_rate = plus_product(grad_rate, &by_rate, &along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of};

    #[test]
    fn the_kernel_equals_the_definition() {
        let (x, rates) = ([3.0f32, 4.0, 0.0, 0.0], [0.5, 2.0]);
        let node = NodeId(1);
        let factors = [
            (VectorScale::Rate(node), 0.5),
            (VectorScale::Normalised(node), 0.5 / 25.0),
            (VectorScale::Implicit(node), 0.5 / (1.0 + 0.5 * 25.0)),
            (VectorScale::UnitLength, 0.2),
            (VectorScale::Normaliser(node), 1.0),
        ];
        for (scale, factor) in factors {
            let mut out = [ZERO; 4];
            forward(&lanes_of(&x), Some(&lanes_of(&rates)), (scale, 2), &mut out);
            assert_close(&out.map(|lane| lane[5]), &[3.0 * factor, 4.0 * factor, 0.0, 0.0], 1e-6);
        }
    }
}
