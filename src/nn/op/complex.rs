//! Complex numbers as pairs of real tensors, and how a continuous recurrence becomes a discrete one.

use dfdx::prelude::{Tape, TryAdd, TryDiv, TryMul, TrySub};

use super::Device;
use crate::nn::{Matrix, Outcome};

/// Complex numbers, entry by entry.
pub struct Complex<D: Device, T> {
    pub re: Matrix<D, T>,
    pub im: Matrix<D, T>,
}

impl<D: Device, T: Tape<f32, D>> Complex<D, T> {
    /// The same numbers for another use; the tape stays with `self`.
    pub fn again(&self) -> Self {
        Self { re: self.re.retaped::<T>(), im: self.im.retaped::<T>() }
    }

    /// exp(a + ib) = eᵃ (cos b + i sin b).
    pub fn exp(self) -> Outcome<Self, D> {
        let modulus = self.re.try_exp()?;
        let re = modulus.retaped::<T>().try_mul(self.im.retaped::<T>().try_cos()?)?;
        Ok(Self { re, im: modulus.try_mul(self.im.try_sin()?)? })
    }

    /// Entry by entry times a real number.
    pub fn times(self, factor: Matrix<D, T>) -> Outcome<Self, D> {
        Ok(Self { re: self.re.try_mul(factor.retaped::<T>())?, im: self.im.try_mul(factor)? })
    }

    /// Entry by entry, by numbers that are not zero: p / q = p q* / |q|².
    pub fn over(self, q: Self) -> Outcome<Self, D> {
        let size = q.re.retaped::<T>().try_square()?.try_add(q.im.retaped::<T>().try_square()?)?;
        let re = {
            let left = self.re.retaped::<T>().try_mul(q.re.retaped::<T>())?;
            left.try_add(self.im.retaped::<T>().try_mul(q.im.retaped::<T>())?)?
        };
        let im = self.im.try_mul(q.re)?.try_sub(self.re.try_mul(q.im)?)?;
        Ok(Self { re: re.try_div(size.retaped::<T>())?, im: im.try_div(size)? })
    }
}

/// The numbers of a diagonal recurrence h_t = λ ⊙ h_{t−1} + g ⊙ v_t.
pub struct Spectrum<D: Device, T> {
    /// λ: (1, n).
    pub decay: Complex<D, T>,
    /// g: (1, n).
    pub gain: Complex<D, T>,
}

/// The discrete decay and gain of h' = Λ h + v under a zero-order hold of length Δ: Λ̄ = exp(ΔΛ) and (Λ̄ − 1) / Λ.
///
/// Source: S4D (2206.11893), equation 3; S5 (2208.04933), equation 6. All are (1, n).
pub fn zero_order_hold<D: Device, T: Tape<f32, D>>(
    rate: Complex<D, T>,
    step: Matrix<D, T>,
) -> Outcome<Spectrum<D, T>, D> {
    let decay = rate.again().times(step)?.exp()?;
    let above = Complex { re: decay.re.retaped::<T>().try_sub(1.0f32)?, im: decay.im.retaped::<T>() };
    let gain = above.over(rate)?;
    Ok(Spectrum { decay, gain })
}
