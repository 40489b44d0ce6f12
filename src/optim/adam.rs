//! Adam (Kingma & Ba 2014, arXiv 1412.6980), with moments that can be read and written back.
//!
//! m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  p ← p − α · m̂ / (√v̂ + ε) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).

use dfdx::prelude::{HasShape, TryAdd, TryDiv, TryMul, TrySub};

use crate::nn::{Device, Matrix, Outcome, Param};

const EPSILON: f32 = 1e-8;

/// Running means of one parameter's gradient and squared gradient.
#[derive(Clone, Debug)]
pub struct Moments<D: Device> {
    pub first: Matrix<D>,
    pub second: Matrix<D>,
}

impl<D: Device> Moments<D> {
    /// Both zero, as before the first step.
    pub fn zero(device: &D, param: &Param<D>) -> Outcome<Self, D> {
        let shape = *param.value.shape();
        Ok(Self { first: device.try_zeros_like(&shape)?, second: device.try_zeros_like(&shape)? })
    }

    /// Moves a parameter; `step` counts from 1.
    pub fn update(
        &mut self,
        param: &mut Param<D>,
        gradient: Matrix<D>,
        lr: f64,
        step: u64,
        [beta1, beta2]: [f64; 2],
    ) -> Outcome<(), D> {
        let unbiased = |beta: f64| 1.0 - beta.powf(step as f64);
        let squared = gradient.clone().try_square()?;
        self.first = blend(&self.first, gradient, beta1)?;
        self.second = blend(&self.second, squared, beta2)?;
        let scale = self.second.clone().try_mul(unbiased(beta2).recip() as f32)?.try_sqrt()?.try_add(EPSILON)?;
        let change = self.first.clone().try_mul((lr / unbiased(beta1)) as f32)?.try_div(scale)?;
        param.value = param.value.clone().try_sub(change)?;
        Ok(())
    }
}

/// β · mean + (1 − β) · new.
fn blend<D: Device>(mean: &Matrix<D>, new: Matrix<D>, beta: f64) -> Outcome<Matrix<D>, D> {
    mean.clone().try_mul(beta as f32)?.try_add(new.try_mul((1.0 - beta) as f32)?)
}
