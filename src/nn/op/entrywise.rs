//! What is done to every number of a token alike: sums and products of two sequences or with a row, and functions.

use dfdx::prelude::{Axes2, BroadcastTo, HasShape, ReshapeTo, Tape, TryAdd, TryMul};
use multiversion::multiversion;

use super::Device;
use super::elementary::{gelu, sigmoid, silu, softplus, tanh};
use super::lanes::{LANES, Lane, ZERO, lanewise, plus_product, plus_scaled, total};
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// max(0, x).
    Relu,
    Tanh,
    /// x σ(x): Elfwing et al. 2017 (1702.03118).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// σ(x) = 1/(1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x) by its tanh approximation: Hendrycks & Gimpel 2016 (1606.08415).
    Gelu,
}

impl Function {
    /// Made of dfdx's operations, for any device.
    pub fn compose<D: Device, T: Tape<f32, D>>(self, x: Tensor3<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
        match self {
            Self::Silu => {
                let gate = x.retaped::<T>().try_sigmoid()?;
                x.try_mul(gate)
            }
            // max(x, 0) + ln(1 + e^−|x|): no exponential overflows.
            Self::Softplus => {
                let rest = x.retaped::<T>().try_abs()?.try_negate()?.try_exp()?.try_add(1.0f32)?.try_ln()?;
                x.try_relu()?.try_add(rest)
            }
            Self::Relu => x.try_relu(),
            Self::Tanh => x.try_tanh(),
            Self::Sigmoid => x.try_sigmoid(),
            Self::Gelu => x.try_fast_gelu(),
        }
    }

    /// Value and slope.
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
            // Not a number stays what it is.
            Self::Relu => (if x < 0.0 { 0.0 } else { x }, if x < 0.0 { 0.0 } else { 1.0 }),
            Self::Tanh => {
                let out = tanh(x);
                (out, 1.0 - out * out)
            }
        }
    }
}

/// Does the same with whichever function it is. Each has a loop of its own: a choice within a loop would keep it from
/// becoming vector instructions.
macro_rules! each {
    ($function:expr, $known:ident => $body:expr) => {
        match $function {
            Function::Relu => {
                const $known: Function = Function::Relu;
                $body
            }
            Function::Tanh => {
                const $known: Function = Function::Tanh;
                $body
            }
            Function::Silu => {
                const $known: Function = Function::Silu;
                $body
            }
            Function::Softplus => {
                const $known: Function = Function::Softplus;
                $body
            }
            Function::Sigmoid => {
                const $known: Function = Function::Sigmoid;
                $body
            }
            Function::Gelu => {
                const $known: Function = Function::Gelu;
                $body
            }
        }
    };
}

/// Writes f(x) to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn apply(function: Function, x: &[Lane], out: &mut [Lane]) {
    each!(function, KNOWN => for (x, out) in x.as_flattened().iter().zip(out.as_flattened_mut()) {
        (*out, _) = KNOWN.at(*x);
    });
}

/// Adds the gradient by x.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn apply_backward(function: Function, x: &[Lane], grad_out: &[Lane], grad_x: &mut [Lane]) {
    let (x, grad_out, grad_x) = (x.as_flattened(), grad_out.as_flattened(), grad_x.as_flattened_mut());
    each!(function, KNOWN => for ((grad_x, grad_out), x) in grad_x.iter_mut().zip(grad_out).zip(x) {
        *grad_x += grad_out * KNOWN.at(*x).1;
    });
}

/// Every token plus a row, made of dfdx's operations: (B, T, a) + (1, a).
pub fn plus_row<D: Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    row: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_add(row)
}

/// Every token times a row, entry by entry, made of dfdx's operations: (B, T, a) ⊙ (1, a).
pub fn times_row<D: Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    row: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_mul(row)
}

fn row_like<D: Device, T: Tape<f32, D>>(tokens: &Tensor3<D, T>, row: Matrix<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let shape = *tokens.shape();
    row.try_reshape_like(&(shape.2,))?.try_broadcast_like::<_, Axes2<0, 1>>(&shape)
}

/// Adds ∂out to `grad_x`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn add(grad_out: &[Lane], grad_x: &mut [Lane]) {
    for (grad_x, grad_out) in grad_x.as_flattened_mut().iter_mut().zip(grad_out.as_flattened()) {
        *grad_x += grad_out;
    }
}

/// Adds x ⊙ y to `out`: the product, and the gradient by either factor.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn add_products(x: &[Lane], y: &[Lane], out: &mut [Lane]) {
    for ((out, x), y) in out.as_flattened_mut().iter_mut().zip(x.as_flattened()).zip(y.as_flattened()) {
        *out += x * y;
    }
}

/// Adds a row to the tokens in `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn add_row(row: &[f32], out: &mut [Lane]) {
    for token in out.chunks_exact_mut(row.len()) {
        for (out, number) in token.iter_mut().zip(row) {
            lanewise();
            out.iter_mut().for_each(|out| *out += number);
        }
    }
}

/// Adds tokens times a row to `out`: the product, and the gradient by the tokens.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn add_times_row(x: &[Lane], row: &[f32], out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        for ((x, number), out) in x.iter().zip(row).zip(out) {
            lanewise();
            *out = plus_scaled(out, *number, x);
        }
    }
}

/// Adds the gradient by a row that was added.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn grad_added_row(grad_out: &[Lane], grad_row: &mut [f32]) {
    let width = grad_row.len();
    for (e, grad) in grad_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for grad_out in grad_out.iter().skip(e).step_by(width) {
            (0..LANES).for_each(|l| sum[l] += grad_out[l]);
        }
        *grad += total(&sum);
    }
}

/// Adds the gradient by a row that was multiplied with.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn grad_multiplied_row(x: &[Lane], grad_out: &[Lane], grad_row: &mut [f32]) {
    let width = grad_row.len();
    for (e, grad) in grad_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for (x, grad_out) in x.iter().zip(grad_out).skip(e).step_by(width) {
            sum = plus_product(&sum, x, grad_out);
        }
        *grad += total(&sum);
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec};

    use super::*;
    use crate::nn::op::check::assert_close;

    #[test]
    fn functions_equal_their_definitions_where_exponentials_overflow_too() {
        let values = [-200.0f32, -3.0, -0.5, 0.0, 0.5, 3.0, 200.0];
        type Definition = fn(f64) -> f64;
        let definitions: [(Function, Definition); 4] = [
            (Function::Silu, |x| x / (1.0 + (-x).exp())),
            (Function::Softplus, |x| (1.0 + x.exp()).ln()),
            (Function::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (Function::Gelu, |x| 0.5 * x * (1.0 + (0.797_884_560_802_865 * (x + 0.044_715 * x.powi(3))).tanh())),
        ];
        for (function, definition) in definitions {
            let expected: Vec<f32> = values.iter().map(|x| definition(f64::from(*x)) as f32).collect();
            let x: Tensor3<Cpu> = Cpu::default().tensor_from_vec(values.to_vec(), (1, 7, 1));
            assert_close(&function.compose(x).unwrap().as_vec(), &expected, 1e-6);
            let mut out = [ZERO; 7];
            apply(function, &values.map(|x| [x; LANES]), &mut out);
            assert_close(&out.map(|lane| lane[5]), &expected, 1e-6);
        }
    }
}
