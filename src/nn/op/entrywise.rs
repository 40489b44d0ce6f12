//! What is done to every number of a token alike: sums and products of two sequences or with a row, and functions.

use dfdx::prelude::{Axes2, BroadcastTo, HasShape, ReshapeTo, Tape, TryAdd, TryMul};
use multiversion::multiversion;

use super::Device;
use super::functions::{sigmoid, softplus, tanh};
use super::lanes::{LANES, Lane, ZERO, fused_product, fused_scaled, total};
use crate::nn::{Cube, Matrix, Outcome};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// x σ(x): Elfwing et al. 2017 (1702.03118).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// σ(x) = 1/(1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x) by its tanh approximation: Hendrycks & Gimpel 2016 (1606.08415).
    Gelu,
}

/// √(2/π) and the factor of x³ in the approximation of GELU.
const GELU: [f32; 2] = [0.797_884_6, 0.044_715];

impl Function {
    /// Made of dfdx's operations, for any device.
    pub fn compose<D: Device, T: Tape<f32, D>>(self, x: Cube<D, T>) -> Outcome<Cube<D, T>, D> {
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
            Self::Sigmoid => x.try_sigmoid(),
            Self::Gelu => x.try_fast_gelu(),
        }
    }

    /// Value and slope.
    #[inline(always)]
    fn at(self, x: &Lane) -> [Lane; 2] {
        match self {
            Self::Silu => {
                let s = sigmoid(x);
                let slope = std::array::from_fn(|l| s[l] * (1.0 + x[l] * (1.0 - s[l])));
                [std::array::from_fn(|l| x[l] * s[l]), slope]
            }
            Self::Softplus => [softplus(x), sigmoid(x)],
            Self::Sigmoid => {
                let s = sigmoid(x);
                [s, std::array::from_fn(|l| s[l] * (1.0 - s[l]))]
            }
            Self::Gelu => {
                let [k, cubic] = GELU;
                let t = tanh(&std::array::from_fn(|l| k * x[l] * (1.0 + cubic * x[l] * x[l])));
                let value = std::array::from_fn(|l| 0.5 * x[l] * (1.0 + t[l]));
                let slope = std::array::from_fn(|l| {
                    let inner = k * (1.0 + 3.0 * cubic * x[l] * x[l]);
                    0.5 * (1.0 + t[l]) + 0.5 * x[l] * (1.0 - t[l] * t[l]) * inner
                });
                [value, slope]
            }
        }
    }
}

/// Writes f(x) to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn apply(function: Function, x: &[Lane], out: &mut [Lane]) {
    for (x, out) in x.iter().zip(out) {
        [*out, _] = function.at(x);
    }
}

/// Adds the gradient by x.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn apply_backward(function: Function, x: &[Lane], by_out: &[Lane], by_x: &mut [Lane]) {
    for ((x, by_out), by_x) in x.iter().zip(by_out).zip(by_x) {
        let [_, slope] = function.at(x);
        *by_x = fused_product(by_x, by_out, &slope);
    }
}

/// Every token plus a row, made of dfdx's operations: (B, T, a) + (1, a).
pub fn plus_row<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_add(row)
}

/// Every token times a row, entry by entry, made of dfdx's operations: (B, T, a) ⊙ (1, a).
pub fn times_row<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_mul(row)
}

fn row_like<D: Device, T: Tape<f32, D>>(tokens: &Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let shape = *tokens.shape();
    row.try_reshape_like(&(shape.2,))?.try_broadcast_like::<_, Axes2<0, 1>>(&shape)
}

/// Adds ∂out to `by_x`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn add(by_out: &[Lane], by_x: &mut [Lane]) {
    for (by_out, by_x) in by_out.iter().zip(by_x) {
        (0..LANES).for_each(|l| by_x[l] += by_out[l]);
    }
}

/// Adds x ⊙ y to `out`: the product, and the gradient by either factor.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn add_products(x: &[Lane], y: &[Lane], out: &mut [Lane]) {
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = fused_product(out, x, y);
    }
}

/// Adds a row to the tokens in `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn add_row(row: &[f32], out: &mut [Lane]) {
    for token in out.chunks_exact_mut(row.len()) {
        for (out, number) in token.iter_mut().zip(row) {
            out.iter_mut().for_each(|out| *out += number);
        }
    }
}

/// Adds tokens times a row to `out`: the product, and the gradient by the tokens.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn add_times_row(x: &[Lane], row: &[f32], out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        for ((x, number), out) in x.iter().zip(row).zip(out) {
            *out = fused_scaled(out, *number, x);
        }
    }
}

/// Adds the gradient by a row that was added.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn by_added_row(by_out: &[Lane], by_row: &mut [f32]) {
    let width = by_row.len();
    for (e, slope) in by_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for by_out in by_out.iter().skip(e).step_by(width) {
            (0..LANES).for_each(|l| sum[l] += by_out[l]);
        }
        *slope += total(&sum);
    }
}

/// Adds the gradient by a row that was multiplied with.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn by_multiplied_row(x: &[Lane], by_out: &[Lane], by_row: &mut [f32]) {
    let width = by_row.len();
    for (e, slope) in by_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for (x, by_out) in x.iter().zip(by_out).skip(e).step_by(width) {
            sum = fused_product(&sum, x, by_out);
        }
        *slope += total(&sum);
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
        let definitions: [(Function, fn(f64) -> f64); 4] = [
            (Function::Silu, |x| x / (1.0 + (-x).exp())),
            (Function::Softplus, |x| (1.0 + x.exp()).ln()),
            (Function::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (Function::Gelu, |x| 0.5 * x * (1.0 + (0.797_884_560_802_865 * (x + 0.044_715 * x.powi(3))).tanh())),
        ];
        for (function, definition) in definitions {
            let expected: Vec<f32> = values.iter().map(|x| definition(f64::from(*x)) as f32).collect();
            let x: Cube<Cpu> = Cpu::default().tensor_from_vec(values.to_vec(), (1, 7, 1));
            assert_close(&function.compose(x).unwrap().as_vec(), &expected, 1e-6);
            let mut out = [ZERO; 7];
            apply(function, &values.map(|x| [x; LANES]), &mut out);
            assert_close(&out.map(|lane| lane[5]), &expected, 1e-6);
        }
    }
}
