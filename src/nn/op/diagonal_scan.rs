//! A diagonal linear recurrence over complex numbers: h_t = λ ⊙ h_{t−1} + g ⊙ v_t.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `input` v | what arrives: n real parts, then n imaginary parts | (B, T, 2n) |
//! | `decay` λ | what is kept of a state | (1, n), complex |
//! | `gain` g | how strongly the input is written | (1, n), complex |
//!
//! The result is every h_t, (B, T, 2n), in the form of the input. Source: LRU 2303.06349, equation 5; S5 2208.04933,
//! equation 5. With the pairs side by side, Re(C h) is one real product: of [Re h | Im h] with [Re C; −Im C].

use dfdx::prelude::*;
use multiversion::multiversion;

use super::buffer::Buffer;
use super::complex::Spectrum;
use super::join::join;
use super::lanes::{LANES, Lane, ZERO, total};
use super::slice::slice;
use crate::nn::{Cube, Matrix, Outcome};

/// What the recurrence runs over.
pub struct DiagonalScan<D: super::Device, T> {
    /// (B, T, 2n).
    pub input: Cube<D, T>,
    pub spectrum: Spectrum<D, T>,
}

/// The definition: every state of one sequence of (T, 2n). `weights`: Re λ, Im λ, Re g, Im g.
fn diagonal_states(input: &[f32], weights: &[Vec<f32>; 4]) -> Vec<Vec<f32>> {
    let [decay_re, decay_im, gain_re, gain_im] = weights;
    let n = decay_re.len();
    let mut state = vec![0.0; 2 * n];
    let step = |v: &[f32]| {
        for j in 0..n {
            let (re, im) = (state[j], state[n + j]);
            state[j] = decay_re[j] * re - decay_im[j] * im + gain_re[j] * v[j] - gain_im[j] * v[n + j];
            state[n + j] = decay_re[j] * im + decay_im[j] * re + gain_re[j] * v[n + j] + gain_im[j] * v[j];
        }
        state.clone()
    };
    input.chunks(2 * n).map(step).collect()
}

impl<D: super::Device> DiagonalScan<D, NoneTape> {
    /// The definition for every sequence: (T, 2n) each.
    pub fn history(self) -> Vec<Vec<f32>> {
        let length = self.input.shape().1 * self.input.shape().2;
        let Spectrum { decay, gain } = self.spectrum;
        let weights = [decay.re, decay.im, gain.re, gain.im].map(|row| row.as_vec());
        self.input.as_vec().chunks(length).map(|v| diagonal_states(v, &weights).concat()).collect()
    }
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(scan: DiagonalScan<D, T>) -> Outcome<Cube<D, T>, D> {
    let DiagonalScan { input, spectrum: Spectrum { decay, gain } } = scan;
    let (batch, length, wide) = *input.shape();
    let n = wide / 2;
    let spread =
        |row: &Matrix<D, T>| row.retaped::<T>().try_reshape_like(&(n,))?.try_broadcast_like::<_, Axis<0>>(&(batch, n));
    let at = |t: usize, columns: std::ops::Range<usize>| {
        slice(input.retaped::<T>(), (0..batch, t..t + 1, columns))?.try_reshape_like(&(batch, n))
    };
    // a · z + b · w, with the rows a and b.
    let blend = |a: &Matrix<D, T>, z: &Matrix<D, T>, b: &Matrix<D, T>, w: &Matrix<D, T>| {
        let left = z.retaped::<T>().try_mul(spread(a)?)?;
        left.try_add(w.retaped::<T>().try_mul(spread(b)?)?)
    };
    let minus = |row: &Matrix<D, T>| row.retaped::<T>().try_negate();
    let (decay_minus, gain_minus) = (minus(&decay.im)?, minus(&gain.im)?);
    let mut states: Vec<Matrix<D, T>> = Vec::new();
    for t in 0..length {
        let (v_re, v_im) = (at(t, 0..n)?, at(t, n..wide)?);
        let mut re = blend(&gain.re, &v_re, &gain_minus, &v_im)?;
        let mut im = blend(&gain.re, &v_im, &gain.im, &v_re)?;
        if let [.., h_re, h_im] = &states[..] {
            re = re.try_add(blend(&decay.re, h_re, &decay_minus, h_im)?)?;
            im = im.try_add(blend(&decay.re, h_im, &decay.im, h_re)?)?;
        }
        // The states take the slices' tapes with them.
        states.push(join(re, v_re));
        states.push(join(im, v_im));
    }
    let stacked = states.try_stack()?.try_reshape_like(&(length, 2, batch, n))?;
    let out = stacked.try_permute::<_, Axes4<2, 0, 1, 3>>()?.try_reshape_like(&(batch, length, wide))?;
    let mut out = join(out, input);
    for part in [decay.re, decay.im, gain.re, gain.im, decay_minus, gain_minus] {
        out = join(out, part);
    }
    Ok(out)
}

/// What one state adds up over time and passes on: λ and g of it.
#[derive(Clone, Copy)]
struct Speed {
    decay: (f32, f32),
    gain: (f32, f32),
}

impl Speed {
    #[inline(always)]
    fn of(weights: &[&[f32]], j: usize) -> Self {
        Self { decay: (weights[0][j], weights[1][j]), gain: (weights[2][j], weights[3][j]) }
    }

    /// λ h + g v.
    #[inline(always)]
    fn step(self, (re, im): (&Lane, &Lane), (v_re, v_im): (&Lane, &Lane)) -> (Lane, Lane) {
        let (kept, taken) = (times(self.decay, (re, im)), times(self.gain, (v_re, v_im)));
        let sum = |a: Lane, b: Lane| std::array::from_fn(|l| a[l] + b[l]);
        (sum(kept.0, taken.0), sum(kept.1, taken.1))
    }
}

/// A complex number times a lane of them.
#[inline(always)]
fn times((a, b): (f32, f32), (re, im): (&Lane, &Lane)) -> (Lane, Lane) {
    let real = std::array::from_fn(|l| a * re[l] - b * im[l]);
    (real, std::array::from_fn(|l| a * im[l] + b * re[l]))
}

/// Writes the last states to `out`, as many as it holds. `weights`: Re λ, Im λ, Re g, Im g.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(input: &[Lane], weights: &[&[f32]], out: &mut [Lane]) {
    let n = weights[0].len();
    let skipped = (input.len() - out.len()) / (2 * n);
    for j in 0..n {
        let speed = Speed::of(weights, j);
        let mut state = (ZERO, ZERO);
        for (t, v) in input.chunks_exact(2 * n).enumerate() {
            state = speed.step((&state.0, &state.1), (&v[j], &v[n + j]));
            if t >= skipped {
                let at = (t - skipped) * 2 * n;
                (out[at + j], out[at + n + j]) = state;
            }
        }
    }
}

/// Adds the gradients by input and weights. The states are computed again, one after the other, for that costs less
/// than keeping them.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (input, weights): (&[Lane], &[&[f32]]),
    by_out: &[Lane],
    by_input: &mut [Lane],
    mut by_weights: [&mut [f32]; 4],
) {
    let n = weights[0].len();
    let wide = 2 * n;
    let (length, skipped) = (input.len() / wide, (input.len() - by_out.len()) / wide);
    // What the state was before each token.
    let mut before = Buffer::zeros(2 * length);
    for j in 0..n {
        let speed = Speed::of(weights, j);
        let mut state = (ZERO, ZERO);
        for (t, v) in input.chunks_exact(wide).enumerate() {
            (before[2 * t], before[2 * t + 1]) = state;
            state = speed.step((&state.0, &state.1), (&v[j], &v[n + j]));
        }
        // ∂h_t, and the sums of ∂h h* and ∂h v* over time, lane by lane.
        let mut slope = (ZERO, ZERO);
        let mut sums = [ZERO; 4];
        for t in (0..length).rev() {
            if t >= skipped {
                let at = (t - skipped) * wide;
                let (re, im) = (&by_out[at + j], &by_out[at + n + j]);
                (0..LANES).for_each(|l| (slope.0[l], slope.1[l]) = (slope.0[l] + re[l], slope.1[l] + im[l]));
            }
            let (a, b) = (t * wide + j, t * wide + n + j);
            add_conjugate_product(&mut sums[..2], &slope, (&before[2 * t], &before[2 * t + 1]));
            add_conjugate_product(&mut sums[2..], &slope, (&input[a], &input[b]));
            let (re, im) = times((speed.gain.0, -speed.gain.1), (&slope.0, &slope.1));
            (0..LANES)
                .for_each(|l| (by_input[a][l], by_input[b][l]) = (by_input[a][l] + re[l], by_input[b][l] + im[l]));
            slope = times((speed.decay.0, -speed.decay.1), (&slope.0, &slope.1));
        }
        for (by_weight, sum) in by_weights.iter_mut().zip(&sums) {
            by_weight[j] += total(sum);
        }
    }
}

/// Adds a b* to the sums of real and imaginary parts.
#[inline(always)]
fn add_conjugate_product(sums: &mut [Lane], (a_re, a_im): &(Lane, Lane), (b_re, b_im): (&Lane, &Lane)) {
    let [re, im] = sums else { return };
    for l in 0..LANES {
        re[l] += a_re[l] * b_re[l] + a_im[l] * b_im[l];
        im[l] += a_im[l] * b_re[l] - a_re[l] * b_im[l];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::Complex;
    use crate::nn::op::check::{Random, assert_close};

    #[test]
    fn the_composition_equals_the_definition() {
        let (device, mut random, n) = (Cpu::default(), Random::new(11), 3);
        let scan = DiagonalScan {
            input: random.cube(&device, (4, 5, 2 * n)),
            spectrum: Spectrum {
                decay: Complex { re: random.matrix(&device, (1, n)), im: random.matrix(&device, (1, n)) },
                gain: Complex { re: random.matrix(&device, (1, n)), im: random.matrix(&device, (1, n)) },
            },
        };
        let again = DiagonalScan {
            input: scan.input.clone(),
            spectrum: Spectrum { decay: scan.spectrum.decay.again(), gain: scan.spectrum.gain.again() },
        };
        assert_close(&compose(scan).unwrap().as_vec(), &again.history().concat(), 1e-6);
    }
}
