//! A diagonal linear recurrence over complex numbers: h_t = λ ⊙ h_{t−1} + g ⊙ v_t.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `input` v | the input: n real parts, then n imaginary parts | (B, T, 2n) |
//! | `spectrum` λ, g | what is kept of a state, and how strongly the input is written ([`crate::nn::graph`]) | (4, n) |
//!
//! The result is the last h_t, as many as `last` says, in the form of the input. Source: LRU 2303.06349, equation
//! 5; S5 2208.04933, equation 5. With the pairs side by side, Re(C h) is one real product: of [Re h | Im h] with [Re
//! C; −Im C].

mod by_token;

use dfdx::prelude::*;
use multiversion::multiversion;

use self::by_token::DiagonalState;
use super::{Grads, LinearStep, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::complex::Complex;
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, slice};
use crate::simd::{LANES, Lane, ZERO, total};

#[derive(Clone, Debug)]
pub struct DiagonalScan {
    pub input: NodeId,
    pub spectrum: ParamId,
    /// States that are made: those of the last tokens.
    pub last: usize,
}

/// The definition: every state of one sequence, (T, 2n), from its input, (T, 2n), and the spectrum, (4, n).
pub fn diagonal_states(input: &[f32], spectrum: &[f32]) -> Vec<f32> {
    let n = spectrum.len() / 4;
    let [decay_re, decay_im, gain_re, gain_im] = rows(spectrum);
    let mut state = vec![0.0; 2 * n];
    let step = |v: &[f32]| {
        for j in 0..n {
            let (re, im) = (state[j], state[n + j]);
            state[j] = decay_re[j] * re - decay_im[j] * im + gain_re[j] * v[j] - gain_im[j] * v[n + j];
            state[n + j] = decay_re[j] * im + decay_im[j] * re + gain_re[j] * v[n + j] + gain_im[j] * v[j];
        }
        state.clone()
    };
    input.chunks(2 * n).flat_map(step).collect()
}

/// Re λ, Im λ, Re g, Im g.
fn rows(spectrum: &[f32]) -> [&[f32]; 4] {
    let n = spectrum.len() / 4;
    std::array::from_fn(|row| &spectrum[row * n..][..n])
}

impl Step for DiagonalScan {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (input, spectrum) = (given.of::<T>(self.input), given.param::<T>(self.spectrum));
        let n = spectrum.shape().1;
        let spectrum = spectrum.try_reshape_like(&(1, 4, n))?;
        let row = |row: usize| slice(spectrum.retaped::<T>(), (0..1, row..row + 1, 0..n))?.try_reshape_like(&(1, n));
        let (decay, gain) = (Complex { re: row(0)?, im: row(1)? }, Complex { re: row(2)?, im: row(3)? });
        let states = match self.last {
            1 => last_state(input, decay, gain)?,
            last => each_state(input, decay, gain, last)?,
        };
        Ok(join(states, spectrum))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.of(self.input), given.param(self.spectrum), out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_input], [grad_spectrum]) = grads.of([self.input], [self.spectrum]);
        backward((given.of(self.input), given.param(self.spectrum)), grad_out, grad_input, grad_spectrum);
    }

    fn linear(&self) -> Option<&dyn LinearStep> {
        Some(self)
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(DiagonalState::new(self.clone())))
    }
}

impl LinearStep for DiagonalScan {
    /// Two complex products and a sum for each pair of numbers.
    fn flops(&self, numbers: &dyn Fn(NodeId) -> usize, _out: usize) -> usize {
        7 * numbers(self.input)
    }

    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]) {
        let states = states_of_one(given.of(self.input), given.param(self.spectrum));
        out.copy_from_slice(&states[states.len() - out.len()..]);
    }

    fn grad_x_one(&self, params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>) {
        let ([grad_input], []) = grads.of([self.input], []);
        grad_input_one(grad_out, &params[self.spectrum.0], grad_input);
    }

    fn grad_weight_one(&self, given: Values<'_, f32>, grad_out: &[f32], grad_params: &mut [Vec<f32>]) {
        let parts = (given.of(self.input), given.param(self.spectrum));
        grad_spectrum_one(parts, grad_out, &mut grad_params[self.spectrum.0]);
    }
}

/// One state after the other.
fn each_state<D: Backend, T: Tape<f32, D>>(
    input: Tensor3<D, T>,
    decay: Complex<D, T>,
    gain: Complex<D, T>,
    last: usize,
) -> DeviceResult<Tensor3<D, T>, D> {
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
    let mut out = join(slice(out, (0..batch, length - last..length, 0..wide))?, input);
    for part in [decay.re, decay.im, gain.re, gain.im, decay_minus, gain_minus] {
        out = join(out, part);
    }
    Ok(out)
}

/// h_T = Σ_t λ^{T−t} g v_t at once: a few large operations instead of some for each token.
fn last_state<D: Backend, T: Tape<f32, D>>(
    input: Tensor3<D, T>,
    decay: Complex<D, T>,
    gain: Complex<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let shape = *input.shape();
    let (batch, length, wide) = shape;
    let n = wide / 2;
    // g λ^{m−1}, …, g λ, g and λᵐ: twice as many in each turn.
    let (mut written, mut power, mut m) = (gain, decay, 1);
    while m < length {
        let rows = |row: Matrix<D, T>| row.try_reshape_like(&(n,))?.try_broadcast_like::<_, Axis<0>>(&(m, n));
        let many = Complex { re: rows(power.re.retaped::<T>())?, im: rows(power.im.retaped::<T>())? };
        let above = written.again().product(many)?;
        let re = (above.re, written.re).try_concat_along(Axis::<0>)?;
        written = Complex { re, im: (above.im, written.im).try_concat_along(Axis::<0>)? };
        (power, m) = (power.square()?, 2 * m);
    }
    let sum_of_products = |left: Matrix<D, T>, right: Matrix<D, T>| {
        let both = (left, right).try_concat_along(Axis::<1>)?.try_reshape_like(&(1, m, wide))?;
        let rows = slice(both, (0..1, m - length..m, 0..wide))?.try_reshape_like(&(length, wide))?;
        let products = input.retaped::<T>().try_mul(rows.try_broadcast_like::<_, Axis<0>>(&shape)?)?;
        let halves = products.try_sum::<_, Axis<1>>()?.try_reshape_like(&(batch, 2, n))?;
        halves.try_sum::<(usize, usize), Axis<1>>()
    };
    let minus = written.im.retaped::<T>().try_negate()?;
    let re: Matrix<D, T> = sum_of_products(written.re.retaped::<T>(), minus)?;
    let im = sum_of_products(written.im, written.re)?;
    let state = (re, im).try_concat_along(Axis::<1>)?.try_reshape_like(&(batch, 1, wide))?;
    Ok(join(join(join(state, input), power.re), power.im))
}

/// λ and g of one state.
#[derive(Clone, Copy)]
struct Coefficients {
    decay: (f32, f32),
    gain: (f32, f32),
}

impl Coefficients {
    #[inline(always)]
    fn of(spectrum: &[f32], j: usize) -> Self {
        let [decay_re, decay_im, gain_re, gain_im] = rows(spectrum);
        Self { decay: (decay_re[j], decay_im[j]), gain: (gain_re[j], gain_im[j]) }
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

/// Writes the last states to `out`, as many as it holds.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(input: &[Lane], spectrum: &[f32], out: &mut [Lane]) {
    let n = spectrum.len() / 4;
    let skipped = (input.len() - out.len()) / (2 * n);
    for j in 0..n {
        let coefficients = Coefficients::of(spectrum, j);
        let mut state = (ZERO, ZERO);
        for (t, v) in input.chunks_exact(2 * n).enumerate() {
            state = coefficients.step((&state.0, &state.1), (&v[j], &v[n + j]));
            if t >= skipped {
                let at = (t - skipped) * 2 * n;
                (out[at + j], out[at + n + j]) = state;
            }
        }
    }
}

/// Adds the gradients by input and spectrum. The states are computed again, one after the other, for that costs less
/// than keeping them.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (input, spectrum): (&[Lane], &[f32]),
    grad_out: &[Lane],
    grad_input: &mut [Lane],
    grad_spectrum: &mut [f32],
) {
    let n = spectrum.len() / 4;
    let wide = 2 * n;
    let (length, skipped) = (input.len() / wide, (input.len() - grad_out.len()) / wide);
    // What the state was before each token.
    let mut before = vec![ZERO; 2 * length];
    for j in 0..n {
        let coefficients = Coefficients::of(spectrum, j);
        let mut state = (ZERO, ZERO);
        for (t, v) in input.chunks_exact(wide).enumerate() {
            (before[2 * t], before[2 * t + 1]) = state;
            state = coefficients.step((&state.0, &state.1), (&v[j], &v[n + j]));
        }
        // ∂h_t, and the sums of ∂h h* and ∂h v* over time, lane by lane.
        let mut grad = (ZERO, ZERO);
        let mut sums = [ZERO; 4];
        for t in (0..length).rev() {
            if t >= skipped {
                let at = (t - skipped) * wide;
                let (re, im) = (&grad_out[at + j], &grad_out[at + n + j]);
                (0..LANES).for_each(|l| (grad.0[l], grad.1[l]) = (grad.0[l] + re[l], grad.1[l] + im[l]));
            }
            let (a, b) = (t * wide + j, t * wide + n + j);
            add_conjugate_product(&mut sums[..2], &grad, (&before[2 * t], &before[2 * t + 1]));
            add_conjugate_product(&mut sums[2..], &grad, (&input[a], &input[b]));
            let (re, im) = times((coefficients.gain.0, -coefficients.gain.1), (&grad.0, &grad.1));
            (0..LANES).for_each(|l| {
                (grad_input[a][l], grad_input[b][l]) = (grad_input[a][l] + re[l], grad_input[b][l] + im[l])
            });
            grad = times((coefficients.decay.0, -coefficients.decay.1), (&grad.0, &grad.1));
        }
        for (grad_row, sum) in grad_spectrum.chunks_exact_mut(n).zip(&sums) {
            grad_row[j] += total(sum);
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

/// Of one sequence: adds the gradient by its input, which does not depend on the input.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grad_input_one(grad_out: &[f32], spectrum: &[f32], grad_input: &mut [f32]) {
    let wide = spectrum.len() / 2;
    let grads = grads_of_one(grad_out, spectrum, grad_input.len());
    for (grad, grad_v) in grads.chunks_exact(wide).zip(grad_input.chunks_exact_mut(wide)) {
        add_products(Factor::Conjugate, &spectrum[wide..], grad, grad_v);
    }
}

/// Of one sequence: adds the gradient by the spectrum.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grad_spectrum_one((input, spectrum): (&[f32], &[f32]), grad_out: &[f32], grad_spectrum: &mut [f32]) {
    let wide = spectrum.len() / 2;
    let (grad_decay, grad_gain) = grad_spectrum.split_at_mut(wide);
    let (states, grads) = (states_of_one(input, spectrum), grads_of_one(grad_out, spectrum, input.len()));
    for (v, grad) in input.chunks_exact(wide).zip(grads.chunks_exact(wide)) {
        add_products(Factor::Conjugate, v, grad, grad_gain);
    }
    for (before, grad) in states.chunks_exact(wide).zip(grads.chunks_exact(wide).skip(1)) {
        add_products(Factor::Conjugate, before, grad, grad_decay);
    }
}

/// Every state: (T, 2n).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn states_of_one(input: &[f32], spectrum: &[f32]) -> Vec<f32> {
    let (decay, gain) = spectrum.split_at(spectrum.len() / 2);
    let mut states = vec![0.0; input.len()];
    for (t, v) in input.chunks_exact(gain.len()).enumerate() {
        let (before, state) = states[..(t + 1) * gain.len()].split_at_mut(t * gain.len());
        add_products(Factor::Plain, gain, v, state);
        if let Some(last) = before.rchunks_exact(gain.len()).next() {
            add_products(Factor::Plain, decay, last, state);
        }
    }
    states
}

/// The gradients by every state, of so many numbers.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grads_of_one(grad_out: &[f32], spectrum: &[f32], size: usize) -> Vec<f32> {
    let (decay, _) = spectrum.split_at(spectrum.len() / 2);
    let mut grads = vec![0.0; size];
    grads[size - grad_out.len()..].copy_from_slice(grad_out);
    for t in (1..size / decay.len()).rev() {
        let (grads, after) = grads.split_at_mut(t * decay.len());
        if let Some(grad) = grads.rchunks_exact_mut(decay.len()).next() {
            add_products(Factor::Conjugate, decay, &after[..decay.len()], grad);
        }
    }
    grads
}

/// What a row is multiplied with: another, or that one's complex conjugate.
#[derive(Clone, Copy)]
enum Factor {
    Plain,
    Conjugate,
}

/// out += a ⊙ z, or a* ⊙ z; rows of complex numbers, all real parts before all imaginary parts.
#[inline(always)]
fn add_products(factor: Factor, a: &[f32], z: &[f32], out: &mut [f32]) {
    let n = out.len() / 2;
    let ((a_re, a_im), (z_re, z_im), (re, im)) = (a.split_at(n), z.split_at(n), out.split_at_mut(n));
    let sign = match factor {
        Factor::Plain => 1.0,
        Factor::Conjugate => -1.0,
    };
    let (a_im, z_im, im) = (&a_im[..n], &z_im[..n], &mut im[..n]);
    for j in 0..n {
        re[j] += a_re[j] * z_re[j] - sign * a_im[j] * z_im[j];
        im[j] += a_re[j] * z_im[j] + sign * a_im[j] * z_re[j];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};

    #[test]
    fn the_kernels_equal_the_definition() {
        for length in [1, 2, 5, 8] {
            let (input, spectrum) = (numbers(length * 6, 0.1), numbers(12, 0.2));
            let states = diagonal_states(&input, &spectrum);
            assert_close(&states_of_one(&input, &spectrum), &states, 1e-6);
            for last in [1, length] {
                let mut out = vec![ZERO; last * 6];
                forward(&lanes_of(&input), &spectrum, &mut out);
                let found: Vec<f32> = out.iter().map(|lane| lane[15]).collect();
                assert_close(&found, &states[(length - last) * 6..], 1e-6);
            }
        }
    }
}
