//! The numbers λ and g of a diagonal recurrence h_t = λ ⊙ h_{t−1} + g ⊙ v_t, from the weights that determine them.
//!
//! λ and g are complex. Their parts are the rows of one matrix, (4, n): Re λ, Im λ, Re g, Im g. A [`Discretization`]
//! says how they follow from three weights, (1, n) each, which no step of training can turn into a recurrence that
//! grows.

use dfdx::prelude::*;

use crate::nn::complex::Complex;
use crate::nn::tensor::{Backend, DeviceResult, Matrix};

/// How three weights determine λ and g.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discretization {
    /// ν, θ and γ: λ = exp(−e^ν + i e^θ) and g = e^γ. LRU (2303.06349), section 3.
    Ring,
    /// a, b and log Δ: Λ = −eᵃ + ib under a zero-order hold, λ = exp(ΔΛ) and g = (λ − 1)/Λ. S4D (2206.11893),
    /// equation 3; S5 (2208.04933), equation 6.
    ZeroOrderHold,
}

impl Discretization {
    /// Made of dfdx's operations, for any device: (4, n), from three weights, (1, n) each.
    pub fn portable<D: Backend, T: Tape<f32, D>>(self, [a, b, c]: [Matrix<D, T>; 3]) -> DeviceResult<Matrix<D, T>, D> {
        let n = a.shape().1;
        let (fading, third) = (a.try_exp()?.try_negate()?, c.try_exp()?);
        let (decay, gain) = match self {
            Self::Ring => {
                let none = third.retaped::<T>().try_mul(0.0f32)?;
                (Complex { re: fading, im: b.try_exp()? }.exp()?, Complex { re: third, im: none })
            }
            Self::ZeroOrderHold => {
                let rate = Complex { re: fading, im: b };
                let decay = rate.again().times(third)?.exp()?;
                let above = Complex { re: decay.re.retaped::<T>().try_sub(1.0f32)?, im: decay.im.retaped::<T>() };
                (decay, above.over(rate)?)
            }
        };
        vec![decay.re, decay.im, gain.re, gain.im].try_stack()?.try_reshape_like(&(4, n))
    }

    /// The definition, of all states: (4, n).
    pub fn spectrum(self, weights: [&[f32]; 3]) -> Vec<f32> {
        let n = weights[0].len();
        let mut spectrum = vec![0.0; 4 * n];
        for j in 0..n {
            let parts = self.numbers(weights.map(|weight| weight[j]));
            parts.into_iter().enumerate().for_each(|(row, value)| spectrum[row * n + j] = value);
        }
        spectrum
    }

    /// The gradients by the weights, (3, n), from that by the spectrum.
    pub fn backward(self, weights: [&[f32]; 3], grad_spectrum: &[f32]) -> [Vec<f32>; 3] {
        let n = weights[0].len();
        let mut grads = [(); 3].map(|()| vec![0.0; n]);
        for j in 0..n {
            let by = std::array::from_fn(|row| grad_spectrum[row * n + j]);
            let parts = self.grads(weights.map(|weight| weight[j]), by);
            grads.iter_mut().zip(parts).for_each(|(grad, part)| grad[j] = part);
        }
        grads
    }

    /// Re λ, Im λ, Re g and Im g of one state.
    fn numbers(self, [a, b, c]: [f32; 3]) -> [f32; 4] {
        let (fading, third) = (-a.exp(), c.exp());
        match self {
            Self::Ring => {
                let (modulus, (sin, cos)) = (fading.exp(), b.exp().sin_cos());
                [modulus * cos, modulus * sin, third, 0.0]
            }
            Self::ZeroOrderHold => {
                let (modulus, (sin, cos)) = ((third * fading).exp(), (third * b).sin_cos());
                let (re, im) = (modulus * cos, modulus * sin);
                let gain = over((re - 1.0, im), (fading, b));
                [re, im, gain.0, gain.1]
            }
        }
    }

    /// Gradients by the weights, from those by λ and g. For a complex function f, ∂z = f'(z)* ∂f.
    fn grads(self, weights: [f32; 3], by: [f32; 4]) -> [f32; 3] {
        let ([a, b, c], [re, im, gain_re, gain_im]) = (weights, self.numbers(weights));
        let (fading, third, grad_decay) = (-a.exp(), c.exp(), (by[0], by[1]));
        let conjugate = |(re, im): (f32, f32)| (re, -im);
        match self {
            Self::Ring => {
                let by_log = times((re, -im), grad_decay);
                [by_log.0 * fading, by_log.1 * b.exp(), by[2] * third]
            }
            Self::ZeroOrderHold => {
                let grad_gain = over((by[2], by[3]), (fading, -b));
                let by_log = times((re, -im), (grad_decay.0 + grad_gain.0, grad_decay.1 + grad_gain.1));
                let shrunk = times(conjugate((gain_re, gain_im)), grad_gain);
                let grad_rate = (third * by_log.0 - shrunk.0, third * by_log.1 - shrunk.1);
                let grad_step = fading * by_log.0 + b * by_log.1;
                [fading * grad_rate.0, grad_rate.1, third * grad_step]
            }
        }
    }
}

fn times((a, b): (f32, f32), (c, d): (f32, f32)) -> (f32, f32) {
    (a * c - b * d, a * d + b * c)
}

fn over((a, b): (f32, f32), (c, d): (f32, f32)) -> (f32, f32) {
    let size = c * c + d * d;
    ((a * c + b * d) / size, (b * c - a * d) / size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{Random, assert_close};

    #[test]
    fn the_definition_and_its_gradients_equal_the_portable_form() {
        let (device, mut random) = (Cpu::default(), Random::new(8));
        for discretization in [Discretization::Ring, Discretization::ZeroOrderHold] {
            let weights = [(); 3].map(|()| random.matrix(&device, (1, 7)));
            let sum = random.matrix(&device, (4, 7));
            let out = discretization.portable([0, 1, 2].map(|i| weights[i].leaky_trace())).unwrap();
            let rows = weights.each_ref().map(|weight| weight.as_vec());
            let rows = rows.each_ref().map(|row| &row[..]);
            assert_close(&discretization.spectrum(rows), &out.as_vec(), 1e-5);
            let grads = discretization.backward(rows, &sum.as_vec());
            let gradients = (out * sum).sum::<Rank0, _>().backward();
            for (grad, weight) in grads.iter().zip(&weights) {
                assert_close(grad, &gradients.get(weight).as_vec(), 1e-5);
            }
        }
    }

    #[test]
    fn a_hold_is_the_exact_solution_under_a_constant_input() {
        // h' = Λ h + 1 from h = 1 + i over Δ, in many small steps.
        let (a, b, log_step) = (0.3f32, 1.7f32, -1.0f32);
        let ((re, im), step, steps) = ((f64::from(-a.exp()), f64::from(b)), f64::from(log_step.exp()), 100_000);
        let mut h = (1.0, 1.0);
        for _ in 0..steps {
            let change = (re * h.0 - im * h.1 + 1.0, re * h.1 + im * h.0);
            h = (h.0 + step / f64::from(steps) * change.0, h.1 + step / f64::from(steps) * change.1);
        }
        let [decay_re, decay_im, gain_re, gain_im] = Discretization::ZeroOrderHold.numbers([a, b, log_step]);
        let found = [decay_re - decay_im + gain_re, decay_re + decay_im + gain_im];
        assert_close(&found, &[h.0 as f32, h.1 as f32], 1e-4);
    }
}
