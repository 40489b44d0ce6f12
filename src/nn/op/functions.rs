//! eˣ and what is made of it, for all lanes at once: plain arithmetic that compilers turn into vector instructions.

use super::lanes::Lane;

/// eˣ to two units in the last place, from e^−87 to e^88; beyond, those two.
///
/// x = n ln 2 + r with |r| ≤ ½ ln 2; eʳ by the polynomial of Cephes (Moshier 1989, expf), 2ⁿ by its bits.
#[inline(always)]
pub fn exp(x: &Lane) -> Lane {
    std::array::from_fn(|l| {
        // Adding 1.5 · 2²³ rounds to an integer and leaves it in the last bits.
        const SHIFT: f32 = 12_582_912.0;
        let x = x[l].clamp(-87.0, 88.0);
        let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
        let n = shifted - SHIFT;
        let r = n.mul_add(-0.693_359_4, x);
        let r = n.mul_add(2.121_944_4e-4, r);
        let mut sum = 1.987_569_1e-4f32;
        for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
            sum = sum.mul_add(r, coefficient);
        }
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
        sum * power
    })
}

/// σ(x) = 1/(1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid(x: &Lane) -> Lane {
    let e = exp(&std::array::from_fn(|l| -x[l]));
    std::array::from_fn(|l| 1.0 / (1.0 + e[l]))
}

/// tanh x = 2 σ(2x) − 1.
#[inline(always)]
pub fn tanh(x: &Lane) -> Lane {
    let s = sigmoid(&std::array::from_fn(|l| 2.0 * x[l]));
    std::array::from_fn(|l| 2.0 * s[l] - 1.0)
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + u) with u = e^−|x|, and ln(1 + u) = 2 artanh(u/(2 + u)) by its series.
#[inline(always)]
pub fn softplus(x: &Lane) -> Lane {
    let u = exp(&std::array::from_fn(|l| -x[l].abs()));
    std::array::from_fn(|l| {
        let z = u[l] / (2.0 + u[l]);
        let square = z * z;
        let mut sum = 1.0 / 13.0;
        for odd in [11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
            sum = square.mul_add(sum, 1.0 / odd);
        }
        (2.0 * z).mul_add(sum, x[l].max(0.0))
    })
}

/// All four at once, for tests.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::lanes::LANES;

    #[test]
    fn all_equal_their_definitions() {
        let definitions: [(fn(&Lane) -> Lane, fn(f64) -> f64); 4] = [
            (exp, f64::exp),
            (sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (tanh, f64::tanh),
            (softplus, |x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }),
        ];
        for (i, (fast, plain)) in definitions.into_iter().enumerate() {
            for step in -860..=860 {
                let x = step as f32 / 10.0;
                let (found, expected) = (f64::from(fast(&[x; LANES])[3]), plain(f64::from(x)));
                let scale = if i == 2 { 1.0 } else { expected };
                assert!((found - expected).abs() <= 3e-7 * scale, "{i} of {x}: {found} against {expected}");
            }
        }
        assert_eq!(exp(&[0.0; LANES]), [1.0; LANES]);
    }
}
