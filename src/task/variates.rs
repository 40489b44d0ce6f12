//! Uniform and normal numbers from random words.
//!
//! Every number is computed from a fixed count of words by additions, products and a square root, which IEEE 754 rounds
//! identically on every machine, and without branches: one by one or sixteen at once, the bits are the same.

use rand::Rng;

/// U(−½, ½), from one word.
#[inline(always)]
pub fn uniform(word: u32) -> f32 {
    word as i32 as f32 * 2f32.powi(-32)
}

/// Two independent samples of N(0, 1), from two words: a point in the plane at the distance √(−2 ln u) and a random
/// angle. Box & Muller 1958, "A note on the generation of random normal deviates".
#[inline(always)]
pub fn box_muller([distance, angle]: [u32; 2]) -> [f32; 2] {
    // In (0, 1], in steps of 2⁻³¹: 6.6 standard deviations at most.
    let u = ((distance >> 1) as i32 as f32 + 1.0) * 2f32.powi(-31);
    let r = (-2.0 * ln(u)).max(0.0).sqrt();
    // An angle within ±π/4 from thirty bits; the other two select the quadrant.
    let t = (angle << 2) as i32 as f32 * (std::f32::consts::FRAC_PI_4 * 2f32.powi(-31));
    let [sin, cos] = [sin(t).to_bits(), cos(t).to_bits() ^ (angle & 1 << 31)];
    let swap = 0u32.wrapping_sub(angle >> 30 & 1);
    let [x, y] = [cos & !swap | sin & swap, sin & !swap | cos & swap];
    [r * f32::from_bits(x), r * f32::from_bits(y)]
}

/// ln x of a positive x. The polynomials of this file are Cephes' (S. Moshier, logf, sinf and cosf).
#[inline(always)]
fn ln(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    // x = 2^e (1 + f) with 1 + f between √½ and √2.
    let above = x.to_bits().wrapping_sub(ROOT_HALF);
    let e = (above as i32 >> 23) as f32;
    let f = f32::from_bits((above & 0x007f_ffff) + ROOT_HALF) - 1.0;
    let mut p = 7.037_683_6e-2;
    for c in [
        -0.115_146_1,
        0.116_769_99,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_58,
        0.200_007_15,
        -0.249_999_94,
        0.333_333_3,
    ] {
        p = p * f + c;
    }
    let square = f * f;
    f + (f * square * p - 0.5 * square) + e * std::f32::consts::LN_2
}

/// sin t for |t| ≤ π/4.
#[inline(always)]
fn sin(t: f32) -> f32 {
    let square = t * t;
    t + t * square * (-0.166_666_55 + square * (8.332_161e-3 + square * -1.951_529_6e-4))
}

/// cos t for |t| ≤ π/4.
#[inline(always)]
fn cos(t: f32) -> f32 {
    let square = t * t;
    1.0 - 0.5 * square + square * square * (4.166_664_6e-2 + square * (-1.388_731_6e-3 + square * 2.443_315_7e-5))
}

/// Samples N(0, std²): two numbers from every two words.
pub fn sample_normal(rng: &mut impl Rng, std: f32, values: &mut [f32]) {
    for pair in values.chunks_mut(2) {
        let samples = box_muller([rng.next_u32(), rng.next_u32()]);
        pair.iter_mut().zip(samples).for_each(|(value, sample)| *value = std * sample);
    }
}

/// Samples U(−range/2, range/2), each number from one word.
pub fn sample_uniform(rng: &mut impl Rng, range: f32, values: &mut [f32]) {
    values.fill_with(|| range * uniform(rng.next_u32()));
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;
    use crate::task::{Stream, rng};

    /// Words at the ends of their range, and many in between.
    fn words() -> impl Iterator<Item = [u32; 2]> {
        let mut rng = rng(5, Stream::Train, 0, 0);
        let ends = [0, 1, 2, u32::MAX / 4, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX - 1, u32::MAX];
        let corners = ends.into_iter().flat_map(move |a| ends.map(|b| [a, b]));
        corners.chain(std::iter::repeat_with(move || [rng.next_u32(), rng.next_u32()]).take(100_000))
    }

    #[test]
    fn box_muller_equals_its_formula_in_f64() {
        for [distance, angle] in words() {
            let [x, y] = box_muller([distance, angle]).map(f64::from);
            let u = f64::from((distance >> 1) as f32 + 1.0) / 2f64.powi(31);
            assert!((x * x + y * y + 2.0 * u.ln()).abs() < 1e-5, "{distance:x}: {x} {y}");
            // The quadrants around angles 0, π/2, π and −π/2.
            let t = std::f64::consts::FRAC_PI_4 * f64::from((angle << 2) as i32) / 2f64.powi(31);
            let [ex, ey] = match angle >> 30 {
                0 => [t.cos(), t.sin()],
                1 => [t.sin(), t.cos()],
                2 => [-t.cos(), t.sin()],
                _ => [t.sin(), -t.cos()],
            };
            let r = x.hypot(y);
            assert!((x - r * ex).abs() < 2e-6 && (y - r * ey).abs() < 2e-6, "{angle:x}: {x} {y} for {ex} {ey}");
        }
    }

    #[test]
    fn moments_equal_those_of_the_distributions() {
        let moment =
            |values: &[f32], k: i32| values.iter().map(|v| f64::from(*v).powi(k)).sum::<f64>() / values.len() as f64;
        let mut rng = rng(6, Stream::Train, 0, 0);
        let mut values = vec![0.0; 400_001];
        sample_normal(&mut rng, 2.0, &mut values);
        for (k, expected) in [(1, 0.0), (2, 4.0), (3, 0.0), (4, 48.0)] {
            let found = moment(&values, k) / 2f64.powi(k);
            assert!((found - expected / 2f64.powi(k)).abs() < 0.03, "normal, {k}: {found}");
        }
        let neighbours = values.chunks_exact(2).map(|pair| f64::from(pair[0] * pair[1])).sum::<f64>() / 200_000.0;
        assert!(neighbours.abs() < 0.03, "the two of a pair are independent: {neighbours}");
        sample_uniform(&mut rng, 2.0, &mut values);
        for (k, expected) in [(1, 0.0), (2, 1.0 / 3.0), (3, 0.0), (4, 0.2)] {
            assert!((moment(&values, k) - expected).abs() < 0.005, "uniform, {k}");
        }
    }
}
