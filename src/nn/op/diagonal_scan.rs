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

use super::blocks::{Kernel, Operands, Slopes, run};
use super::complex::Spectrum;
use super::join::join;
use super::lanes::{LANES, Lane, ZERO, add_product, add_scaled, inner};
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

/// The fast form on the CPU. A weight's list is Re λ, Im λ, Re g, Im g, as in the definition.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, scan: DiagonalScan<Cpu, T>) -> Outcome<Cube<Cpu, T>, Cpu> {
    let wide = scan.input.shape().2;
    let Spectrum { decay, gain } = scan.spectrum;
    let weights = vec![decay.re, decay.im, gain.re, gain.im];
    run(device, Operands { inputs: vec![scan.input], weights }, wide, |weights| Fused { weights })
}

struct Fused {
    weights: Vec<Vec<f32>>,
}

impl Kernel for Fused {
    /// Every state: (T · 2n) lanes.
    type Saved = Vec<Lane>;

    fn forward(&self, inputs: &[Vec<Lane>], out: &mut [Lane]) -> Vec<Lane> {
        forward_block(&self.weights, &inputs[0], out);
        out.to_vec()
    }

    fn backward(&self, inputs: &[Vec<Lane>], states: &Vec<Lane>, by_out: &[Lane], slopes: &mut Slopes) {
        backward_block(&self.weights, (&inputs[0], states), by_out, slopes);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block(weights: &[Vec<f32>], input: &[Lane], out: &mut [Lane]) {
    let n = weights[0].len();
    let mut state = vec![ZERO; 2 * n];
    for (v, out) in input.chunks_exact(2 * n).zip(out.chunks_exact_mut(2 * n)) {
        for j in 0..n {
            let [decay_re, decay_im, gain_re, gain_im] = [0, 1, 2, 3].map(|i| weights[i][j]);
            let (re, im, v_re, v_im) = (state[j], state[n + j], v[j], v[n + j]);
            for l in 0..LANES {
                state[j][l] = decay_re * re[l] - decay_im * im[l] + gain_re * v_re[l] - gain_im * v_im[l];
                state[n + j][l] = decay_re * im[l] + decay_im * re[l] + gain_re * v_im[l] + gain_im * v_re[l];
            }
        }
        out.copy_from_slice(&state);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block(weights: &[Vec<f32>], (input, states): (&[Lane], &[Lane]), by_out: &[Lane], slopes: &mut Slopes) {
    let n = weights[0].len();
    let wide = 2 * n;
    for j in 0..n {
        let [decay_re, decay_im, gain_re, gain_im] = [0, 1, 2, 3].map(|i| weights[i][j]);
        // ∂h_t, and the four sums over time, lane by lane.
        let (mut re, mut im) = (ZERO, ZERO);
        let mut sums = [ZERO; 4];
        for t in (0..input.len() / wide).rev() {
            let (a, b) = (t * wide + j, t * wide + n + j);
            for l in 0..LANES {
                re[l] += by_out[a][l];
                im[l] += by_out[b][l];
            }
            let [decay_by_re, decay_by_im, gain_by_re, gain_by_im] = &mut sums;
            add_product(gain_by_re, &re, &input[a]);
            add_product(gain_by_re, &im, &input[b]);
            add_product(gain_by_im, &im, &input[a]);
            subtract_product(gain_by_im, &re, &input[b]);
            let by_input = &mut slopes.inputs[0];
            add_scaled(&mut by_input[a], gain_re, &re);
            add_scaled(&mut by_input[a], gain_im, &im);
            add_scaled(&mut by_input[b], gain_re, &im);
            add_scaled(&mut by_input[b], -gain_im, &re);
            if t > 0 {
                let (a, b) = (a - wide, b - wide);
                add_product(decay_by_re, &re, &states[a]);
                add_product(decay_by_re, &im, &states[b]);
                add_product(decay_by_im, &im, &states[a]);
                subtract_product(decay_by_im, &re, &states[b]);
            }
            for l in 0..LANES {
                (re[l], im[l]) = (decay_re * re[l] + decay_im * im[l], decay_re * im[l] - decay_im * re[l]);
            }
        }
        for (slope, sum) in slopes.weights.iter_mut().zip(&sums) {
            slope[j] = inner(&[*sum], &[[1.0; LANES]]);
        }
    }
}

#[inline(always)]
fn subtract_product(a: &mut Lane, b: &Lane, c: &Lane) {
    for l in 0..LANES {
        a[l] -= b[l] * c[l];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::Complex;
    use crate::nn::op::check::{Random, assert_close};

    type Tape = OwnedTape<f32, Cpu>;
    type Form = dyn Fn(&Cpu, DiagonalScan<Cpu, Tape>) -> Cube<Cpu, Tape>;

    /// Values, and the gradients of a weighted sum of them, by the input and the four weights.
    fn measure(form: &Form, batch: usize, n: usize) -> [Vec<f32>; 6] {
        let (device, mut random, length) = (Cpu::default(), Random::new(11), 5);
        let input = random.cube(&device, (batch, length, 2 * n));
        let rows = [(); 4].map(|()| random.matrix(&device, (1, n)));
        let sum = random.cube(&device, (batch, length, 2 * n));
        let [re, im, gain_re, gain_im] = [0, 1, 2, 3].map(|i| rows[i].leaky_trace());
        let spectrum = Spectrum { decay: Complex { re, im }, gain: Complex { re: gain_re, im: gain_im } };
        let out = form(&device, DiagonalScan { input: input.leaky_trace(), spectrum });
        let values = out.as_vec();
        let states: Vec<f32> = input
            .as_vec()
            .chunks(length * 2 * n)
            .flat_map(|v| diagonal_states(v, &[0, 1, 2, 3].map(|i| rows[i].as_vec())).concat())
            .collect();
        assert_close(&values, &states, 1e-5);
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| gradients.get(&rows[i]).as_vec());
        [values, gradients.get(&input).as_vec(), a, b, c, d]
    }

    #[test]
    fn definition_composition_and_fused_form_agree_in_value_and_gradient() {
        for (batch, n) in [(1, 1), (37, 3)] {
            let fast = measure(&|device, scan| fused(device, scan).unwrap(), batch, n);
            let plain = measure(&|_, scan| compose(scan).unwrap(), batch, n);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }
}
