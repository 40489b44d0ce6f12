//! Adam's change of one parameter (Kingma & Ba 2014, arXiv 1412.6980).
//!
//! m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  p ← p − α · m̂ / (√v̂ + ε) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 −
//! β₂ᵗ).

use dfdx::prelude::{HasShape, Shape, TryAdd, TryDiv, TryMul, TrySub};
use dfdx::tensor::Cpu;
use multiversion::multiversion;

use crate::nn::{Device, DeviceResult, Matrix};
use crate::simd::{Buffer, LANES};

const EPSILON: f32 = 1e-8;

/// Running means of one parameter's gradient and squared gradient.
#[derive(Clone, Debug)]
pub struct Moments<D: Device> {
    pub first: Matrix<D>,
    pub second: Matrix<D>,
}

impl<D: Device> Moments<D> {
    /// Both zero, as before the first step.
    pub fn zero(device: &D, param: &Matrix<D>) -> DeviceResult<Self, D> {
        let shape = *param.shape();
        Ok(Self { first: device.try_zeros_like(&shape)?, second: device.try_zeros_like(&shape)? })
    }
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    decay: [f32; 2],
    /// 1 − β.
    fresh: [f32; 2],
    /// α / (1 − β₁ᵗ).
    rate: f32,
    /// 1 / (1 − β₂ᵗ).
    unbiased: f32,
}

impl AdamStep {
    /// With the learning rate α and [β₁, β₂]; the step t counts from 1.
    pub fn new(lr: f64, step: u64, betas: [f64; 2]) -> Self {
        let weight = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            decay: betas.map(|beta| beta as f32),
            fresh: betas.map(|beta| (1.0 - beta) as f32),
            rate: (lr / weight(betas[0])) as f32,
            unbiased: weight(betas[1]).recip() as f32,
        }
    }

    /// α / (1 − β₁ᵗ) and 1 / (1 − β₂ᵗ).
    pub fn rates(&self) -> (f32, f32) {
        (self.rate, self.unbiased)
    }
}

/// The definition, made of dfdx's operations, for any device.
pub fn portable<D: Device>(
    param: &mut Matrix<D>,
    moments: &mut Moments<D>,
    gradient: Matrix<D>,
    step: AdamStep,
) -> DeviceResult<(), D> {
    let squared = gradient.clone().try_square()?;
    let blend = |mean: &Matrix<D>, new: Matrix<D>, which: usize| {
        mean.clone().try_mul(step.decay[which])?.try_add(new.try_mul(step.fresh[which])?)
    };
    moments.first = blend(&moments.first, gradient, 0)?;
    moments.second = blend(&moments.second, squared, 1)?;
    let scale = moments.second.clone().try_mul(step.unbiased)?.try_sqrt()?.try_add(EPSILON)?;
    let change = moments.first.clone().try_mul(step.rate)?.try_div(scale)?;
    *param = param.clone().try_sub(change)?;
    Ok(())
}

/// The fast form: one pass over the numbers.
pub fn fused(
    param: &mut Matrix<Cpu>,
    moments: &mut Moments<Cpu>,
    gradient: &Matrix<Cpu>,
    step: AdamStep,
) -> DeviceResult<(), Cpu> {
    let count = param.shape().num_elements();
    // All of this memory is written below: zeroing it would cost as much as the step.
    let mut memory = Buffer::uninit((4 * count).div_ceil(LANES));
    let [mut parts @ .., gradient_part] = quarters(memory.as_flattened_mut(), count);
    let tensors = [&mut *param, &mut moments.first, &mut moments.second];
    for (part, tensor) in parts.iter_mut().zip(&tensors) {
        tensor.copy_into(part);
    }
    gradient.copy_into(gradient_part);
    change(parts.each_mut().map(|part| &mut **part), gradient_part, step);
    for (part, tensor) in parts.into_iter().zip(tensors) {
        tensor.copy_from(part);
    }
    Ok(())
}

/// Four parts of so many numbers each.
fn quarters(numbers: &mut [f32], count: usize) -> [&mut [f32]; 4] {
    let (a, rest) = numbers.split_at_mut(count);
    let (b, rest) = rest.split_at_mut(count);
    let (c, rest) = rest.split_at_mut(count);
    [a, b, c, &mut rest[..count]]
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn change([p, m, v]: [&mut [f32]; 3], g: &[f32], step: AdamStep) {
    for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
        *m = *m * step.decay[0] + g * step.fresh[0];
        *v = *v * step.decay[1] + g * g * step.fresh[1];
        *p -= *m * step.rate / ((*v * step.unbiased).sqrt() + EPSILON);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::Random;

    #[test]
    fn the_fused_form_equals_the_portable_form_to_the_last_bit() {
        let (device, mut random) = (Cpu::default(), Random::new(1));
        let start = random.matrix(&device, (7, 5));
        let (mut fast, mut plain) = (start.clone(), start);
        let zero = Moments::zero(&device, &fast).unwrap();
        let (mut fast_moments, mut plain_moments) = (zero.clone(), zero);
        for t in 1..=5 {
            let gradient = random.matrix(&device, (7, 5));
            let step = AdamStep::new(0.01, t, [0.9, 0.999]);
            fused(&mut fast, &mut fast_moments, &gradient, step).unwrap();
            portable(&mut plain, &mut plain_moments, gradient, step).unwrap();
        }
        assert_eq!(fast.as_vec(), plain.as_vec());
        assert_eq!(fast_moments.first.as_vec(), plain_moments.first.as_vec());
        assert_eq!(fast_moments.second.as_vec(), plain_moments.second.as_vec());
    }
}
