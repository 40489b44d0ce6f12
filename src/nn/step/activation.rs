//! A function of one number, applied to every number of every token.

use dfdx::prelude::{TryAdd, TryMul};
use dfdx::tensor::Tape;
use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::{EachToken, Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::Lane;
use crate::simd::math::{gelu, sigmoid, silu, softplus, tanh};

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// x Φ(x) by its tanh approximation: Hendrycks & Gimpel 2016 (1606.08415). dfdx 0.13 also has an exact form, but
    /// its gradient lacks a factor of 1/√2.
    Gelu,
    Tanh,
    /// x σ(x): Elfwing et al. 2017 (1702.03118).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// σ(x) = 1/(1 + e⁻ˣ).
    Sigmoid,
}

impl Activation {
    /// The definition, of one number.
    pub fn of(self, x: f32) -> f32 {
        let wide = f64::from(x);
        let value = match self {
            Self::Relu => wide.max(0.0),
            Self::Gelu => {
                0.5 * wide * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * (wide + 0.044_715 * wide.powi(3))).tanh())
            }
            Self::Tanh => wide.tanh(),
            Self::Silu => wide / (1.0 + (-wide).exp()),
            Self::Softplus => wide.max(0.0) + (-wide.abs()).exp().ln_1p(),
            Self::Sigmoid => 1.0 / (1.0 + (-wide).exp()),
        };
        value as f32
    }

    /// Value and derivative.
    #[inline(always)]
    fn at(self, x: f32) -> (f32, f32) {
        match self {
            Self::Silu => silu(x),
            Self::Softplus => (softplus(x), sigmoid(x)),
            Self::Sigmoid => {
                let s = sigmoid(x);
                (s, s * (1.0 - s))
            }
            Self::Gelu => gelu(x),
            // NaN stays NaN.
            Self::Relu => (if x < 0.0 { 0.0 } else { x }, if x < 0.0 { 0.0 } else { 1.0 }),
            Self::Tanh => {
                let out = tanh(x);
                (out, 1.0 - out * out)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Activate {
    pub activation: Activation,
    pub x: NodeId,
}

impl Step for Activate {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        match self.activation {
            Activation::Silu => {
                let gate = x.retaped::<T>().try_sigmoid()?;
                x.try_mul(gate)
            }
            // max(x, 0) + ln(1 + e^−|x|): no exponential overflows.
            Activation::Softplus => {
                let rest = x.retaped::<T>().try_abs()?.try_negate()?.try_exp()?.try_add(1.0f32)?.try_ln()?;
                x.try_relu()?.try_add(rest)
            }
            Activation::Relu => x.try_relu(),
            Activation::Tanh => x.try_tanh(),
            Activation::Sigmoid => x.try_sigmoid(),
            Activation::Gelu => x.try_fast_gelu(),
        }
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        apply(self.activation, given.of(self.x), out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], []) = grads.of([self.x], []);
        apply_backward(self.activation, given.of(self.x), grad_out, grad_x);
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

/// The same code for each activation, which is a constant in it: a choice within a loop would keep the loop from
/// becoming vector instructions.
macro_rules! for_each_known {
    ($activation:expr, $known:ident => $body:expr) => {
        match $activation {
            Activation::Relu => {
                const $known: Activation = Activation::Relu;
                $body
            }
            Activation::Tanh => {
                const $known: Activation = Activation::Tanh;
                $body
            }
            Activation::Silu => {
                const $known: Activation = Activation::Silu;
                $body
            }
            Activation::Softplus => {
                const $known: Activation = Activation::Softplus;
                $body
            }
            Activation::Sigmoid => {
                const $known: Activation = Activation::Sigmoid;
                $body
            }
            Activation::Gelu => {
                const $known: Activation = Activation::Gelu;
                $body
            }
        }
    };
}

/// Writes f(x) to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn apply(activation: Activation, x: &[Lane], out: &mut [Lane]) {
    for_each_known!(activation, KNOWN => for (x, out) in x.as_flattened().iter().zip(out.as_flattened_mut()) {
        (*out, _) = KNOWN.at(*x);
    });
}

/// Adds the gradient by x.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn apply_backward(activation: Activation, x: &[Lane], grad_out: &[Lane], grad_x: &mut [Lane]) {
    let (x, grad_out, grad_x) = (x.as_flattened(), grad_out.as_flattened(), grad_x.as_flattened_mut());
    for_each_known!(activation, KNOWN => for ((grad_x, grad_out), x) in grad_x.iter_mut().zip(grad_out).zip(x) {
        *grad_x += grad_out * KNOWN.at(*x).1;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::assert_close;
    use crate::simd::{LANES, ZERO};

    #[test]
    fn kernels_equal_the_definitions_where_exponentials_overflow_too() {
        let values = [-200.0f32, -3.0, -0.5, 0.0, 0.5, 3.0, 200.0];
        use Activation::{Gelu, Relu, Sigmoid, Silu, Softplus, Tanh};
        for activation in [Relu, Gelu, Tanh, Silu, Softplus, Sigmoid] {
            let mut out = [ZERO; 7];
            apply(activation, &values.map(|x| [x; LANES]), &mut out);
            assert_close(&out.map(|lane| lane[5]), &values.map(|x| activation.of(x)), 1e-6);
        }
    }
}
