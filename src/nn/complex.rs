//! Complex numbers as pairs of real tensors.

use dfdx::prelude::{Tape, TryAdd, TryDiv, TryMul, TrySub};

use super::tensor::{Backend, DeviceResult, Matrix};

/// Complex numbers, entry by entry.
pub struct Complex<D: Backend, T> {
    pub re: Matrix<D, T>,
    pub im: Matrix<D, T>,
}

impl<D: Backend, T: Tape<f32, D>> Complex<D, T> {
    /// The same numbers for another use; the tape stays with `self`.
    pub fn again(&self) -> Self {
        Self { re: self.re.retaped::<T>(), im: self.im.retaped::<T>() }
    }

    /// exp(a + ib) = eᵃ (cos b + i sin b).
    pub fn exp(self) -> DeviceResult<Self, D> {
        let modulus = self.re.try_exp()?;
        let re = modulus.retaped::<T>().try_mul(self.im.retaped::<T>().try_cos()?)?;
        Ok(Self { re, im: modulus.try_mul(self.im.try_sin()?)? })
    }

    /// Entry by entry.
    pub fn product(self, q: Self) -> DeviceResult<Self, D> {
        let re = {
            let left = self.re.retaped::<T>().try_mul(q.re.retaped::<T>())?;
            left.try_sub(self.im.retaped::<T>().try_mul(q.im.retaped::<T>())?)?
        };
        let im = self.re.try_mul(q.im)?.try_add(self.im.try_mul(q.re)?)?;
        Ok(Self { re, im })
    }

    /// Entry by entry by itself, which dfdx's product of two tensors must not be asked for.
    pub fn square(self) -> DeviceResult<Self, D> {
        let re = self.re.retaped::<T>().try_square()?.try_sub(self.im.retaped::<T>().try_square()?)?;
        Ok(Self { re, im: self.re.try_mul(self.im)?.try_mul(2.0f32)? })
    }

    /// Entry by entry times a real number.
    pub fn times(self, factor: Matrix<D, T>) -> DeviceResult<Self, D> {
        Ok(Self { re: self.re.try_mul(factor.retaped::<T>())?, im: self.im.try_mul(factor)? })
    }

    /// Entry by entry, by numbers that are not zero: p / q = p q* / |q|².
    pub fn over(self, q: Self) -> DeviceResult<Self, D> {
        let size = q.re.retaped::<T>().try_square()?.try_add(q.im.retaped::<T>().try_square()?)?;
        let re = {
            let left = self.re.retaped::<T>().try_mul(q.re.retaped::<T>())?;
            left.try_add(self.im.retaped::<T>().try_mul(q.im.retaped::<T>())?)?
        };
        let im = self.im.try_mul(q.re)?.try_sub(self.re.try_mul(q.im)?)?;
        Ok(Self { re: re.try_div(size.retaped::<T>())?, im: im.try_div(size)? })
    }
}
