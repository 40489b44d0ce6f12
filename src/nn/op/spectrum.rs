//! The numbers of a diagonal recurrence h_t = λ ⊙ h_{t−1} + g ⊙ v_t, from the weights that say them.
//!
//! λ and g are complex. Their parts are the rows of one matrix, (4, n): Re λ, Im λ, Re g, Im g. A [`Discretization`] says how they
//! follow from three weights, (1, n) each, which no step of training can turn into a recurrence that grows.

use dfdx::prelude::*;

use super::blocks::untape;
use super::complex::Complex;
use super::host::numbers;
use crate::nn::{DeviceResult, Matrix};

/// What three weights mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discretization {
    /// ν, θ and γ: λ = exp(−e^ν + i e^θ) and g = e^γ. LRU (2303.06349), section 3.
    Ring,
    /// a, b and log Δ: Λ = −eᵃ + ib under a zero-order hold, λ = exp(ΔΛ) and g = (λ − 1)/Λ. S4D (2206.11893), equation 3;
    /// S5 (2208.04933), equation 6.
    ZeroOrderHold,
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(
    discretization: Discretization,
    [a, b, c]: [Matrix<D, T>; 3],
) -> DeviceResult<Matrix<D, T>, D> {
    let n = a.shape().1;
    let (fading, third) = (a.try_exp()?.try_negate()?, c.try_exp()?);
    let (decay, gain) = match discretization {
        Discretization::Ring => {
            let none = third.retaped::<T>().try_mul(0.0f32)?;
            (Complex { re: fading, im: b.try_exp()? }.exp()?, Complex { re: third, im: none })
        }
        Discretization::ZeroOrderHold => {
            let rate = Complex { re: fading, im: b };
            let decay = rate.again().times(third)?.exp()?;
            let above = Complex { re: decay.re.retaped::<T>().try_sub(1.0f32)?, im: decay.im.retaped::<T>() };
            (decay, above.over(rate)?)
        }
    };
    vec![decay.re, decay.im, gain.re, gain.im].try_stack()?.try_reshape_like(&(4, n))
}

/// The fast form: one operation on the tape.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    discretization: Discretization,
    weights: [Matrix<Cpu, T>; 3],
) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let n = weights[0].shape().1;
    let mut tape = T::default();
    let weights = weights.map(|weight| untape(weight, &mut tape));
    let [a, b, c] = &weights;
    let rows = [numbers(a)?, numbers(b)?, numbers(c)?];
    let at = move |j: usize| [rows[0][j], rows[1][j], rows[2][j]];
    let mut values = vec![0.0; 4 * n];
    for j in 0..n {
        discretization.numbers(at(j)).into_iter().enumerate().for_each(|(row, value)| values[row * n + j] = value);
    }
    let out = device.try_tensor_from_vec(values, (4, n))?;
    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let grad_out = gradients.get_or_alloc_mut(&result)?;
        let each = |j: usize| discretization.grads(at(j), std::array::from_fn(|row| grad_out[row * n + j]));
        let grads: Vec<[f32; 3]> = (0..n).map(each).collect();
        for (i, weight) in weights.iter().enumerate() {
            let sum = gradients.get_or_alloc_mut(weight)?;
            sum.iter_mut().zip(&grads).for_each(|(sum, grads)| *sum += grads[i]);
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

impl Discretization {
    /// The definition: Re λ, Im λ, Re g and Im g of one state.
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
    use crate::nn::op::check::{Random, assert_close};

    /// Values, and the gradients of a weighted sum of them.
    fn measure(
        form: impl Fn([Matrix<Cpu, OwnedTape<f32, Cpu>>; 3]) -> Matrix<Cpu, OwnedTape<f32, Cpu>>,
    ) -> [Vec<f32>; 4] {
        let (device, mut random) = (Cpu::default(), Random::new(8));
        let weights = [(); 3].map(|()| random.matrix(&device, (1, 7)));
        let out = form([0, 1, 2].map(|i| weights[i].leaky_trace()));
        let (values, sum) = (out.as_vec(), random.matrix(&device, (4, 7)));
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [a, b, c] = weights.map(|weight| gradients.get(&weight).as_vec());
        [values, a, b, c]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        for discretization in [Discretization::Ring, Discretization::ZeroOrderHold] {
            let fast = measure(|weights| fused(&Cpu::default(), discretization, weights).unwrap());
            let plain = measure(|weights| compose(discretization, weights).unwrap());
            fast.iter().zip(&plain).for_each(|(fast, plain)| assert_close(fast, plain, 1e-5));
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
