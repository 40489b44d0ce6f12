//! exp, tanh and their relatives, one number at a time, without a branch and without a call: a loop over them becomes
//! vector instructions. The standard library's are calls, one number each.
//!
//! Relative errors stay below 10⁻⁶, and not-a-number comes out as it went in. Outside of the range where eˣ is a normal
//! number, exp stays at the end of that range: near 10⁻³⁸ and 2 · 10³⁸.

use std::f32::consts::LOG2_E;

use super::lane::Lane;

/// e^LEAST and e^MOST are normal numbers.
const LEAST: f32 = -87.0;
const MOST: f32 = 88.0;

/// ln 2 in two parts; the first has few digits, so that its product with a small whole number is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 1.5 · 2²³: a number that this is added to is rounded to a whole one, which then stands in its last bits.
const ROUND: f32 = 12_582_912.0;

/// 2ⁿ and eʳ − 1, where x = n ln 2 + r with |r| ≤ ½ ln 2, n whole.
#[inline(always)]
fn parts(x: f32) -> (f32, f32) {
    let rounded = x.clamp(LEAST, MOST) * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x.clamp(LEAST, MOST) - n * LN_2_HIGH) - n * LN_2_LOW;
    // The series of eʳ − 1; what is left out is below 10⁻⁸ of it.
    let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = r + r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail)));
    // n + 127 in the place of the exponent.
    (f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23)), series)
}

/// eˣ.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (scale, rest) = parts(x);
    scale + scale * rest
}

/// tanh x, from e^2x − 1, which is exact near 0, too.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let (scale, rest) = parts(2.0 * x.clamp(-10.0, 10.0));
    let grown = scale * rest + (scale - 1.0);
    grown / (grown + 2.0)
}

/// The logistic function σ(x) = 1/(1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh of every lane.
#[inline(always)]
pub fn tanhs(x: &Lane) -> Lane {
    let mut all = *x;
    for x in &mut all {
        *x = tanh(*x);
    }
    all
}

/// σ of every lane.
#[inline(always)]
pub fn sigmoids(x: &Lane) -> Lane {
    let mut all = *x;
    for x in &mut all {
        *x = sigmoid(*x);
    }
    all
}

/// ln(1 + eˣ), as max(x, 0) + ln(1 + e^−|x|).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let small = exp(-x.abs());
    // ln(1 + z) = 2 artanh(s) with s = z/(2 + z) ≤ ⅓; what is left out of the series is below 2 · 10⁻⁸ of it.
    let s = small / (2.0 + small);
    let q = s * s;
    let tail = 1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0)));
    x.max(0.0) + 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * tail)))
}

/// x σ(x), and its slope (Elfwing et al. 2017, 1702.03118).
#[inline(always)]
pub fn silu(x: f32) -> (f32, f32) {
    let open = sigmoid(x);
    (x * open, open * (1.0 + x * (1.0 - open)))
}

/// ½ x (1 + tanh u) with u = √(2/π) (x + 0.044715 x³), and its slope (Hendrycks & Gimpel 2016, 1606.08415). In the
/// place of ½ (1 + tanh u) stands σ(2u), which is the same.
#[inline(always)]
pub fn gelu(x: f32) -> (f32, f32) {
    const TWICE: f32 = 1.595_769;
    const CUBIC: f32 = 0.044_715;
    let open = sigmoid(TWICE * (x + CUBIC * x * x * x));
    (x * open, open + x * open * (1.0 - open) * TWICE * (1.0 + 3.0 * CUBIC * x * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest relative error over numbers of all sizes between the two bounds.
    fn worst((least, most): (f32, f32), fast: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let even = (0..=40_000).map(|i| least + (most - least) * i as f32 / 40_000.0);
        let near_zero = (0..400).map(|i| 10f32.powf(-8.0 + 0.02 * i as f32)).flat_map(|x| [x, -x]);
        let error = |x: f32| {
            let exact = exact(f64::from(x));
            (f64::from(fast(x)) - exact).abs() / exact.abs().max(1e-37)
        };
        even.chain(near_zero).filter(|x| (least..=most).contains(x)).map(error).fold(0.0, f64::max)
    }

    fn plain_gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
    }

    fn grad(f: fn(f64) -> f64, x: f64) -> f64 {
        (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    }

    #[test]
    fn they_equal_the_exact_functions() {
        assert!(worst((-87.0, 88.0), exp, f64::exp) < 1e-6);
        assert!(worst((-50.0, 50.0), tanh, f64::tanh) < 1e-6);
        assert!(worst((-80.0, 80.0), sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 1e-6);
        assert!(worst((-80.0, 80.0), softplus, |x| x.exp().ln_1p()) < 1e-6);
        assert!(worst((-80.0, 80.0), |x| silu(x).0, |x| x / (1.0 + (-x).exp())) < 1e-6);
        // In f64, too, 1 + tanh is inexact far below zero.
        assert!(worst((-3.0, 50.0), |x| gelu(x).0, plain_gelu) < 2e-6);
    }

    #[test]
    fn slopes_equal_difference_quotients() {
        for i in -60..=60 {
            let x = 0.1 * f64::from(i);
            let silu_grad = grad(|x| x / (1.0 + (-x).exp()), x);
            assert!((f64::from(silu(x as f32).1) - silu_grad).abs() < 1e-5, "silu at {x}");
            assert!((f64::from(gelu(x as f32).1) - grad(plain_gelu, x)).abs() < 1e-5, "gelu at {x}");
        }
    }

    #[test]
    fn far_out_they_stay_finite_and_not_a_number_stays() {
        for x in [-1e30f32, -200.0, 200.0, 1e30, f32::NEG_INFINITY, f32::INFINITY] {
            assert!(exp(x).is_finite() && tanh(x).abs() <= 1.0 && (0.0..=1.0).contains(&sigmoid(x)));
        }
        for f in [exp, tanh, sigmoid, softplus, |x| silu(x).0, |x| gelu(x).0] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
