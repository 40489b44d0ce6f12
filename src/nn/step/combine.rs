//! Two sequences of the same size, number by number: x + y, x − y, x ⊙ y.

use dfdx::prelude::{TryAdd, TryMul, TrySub};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{EachToken, Grads, LinearStep, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::Lane;

#[derive(Clone, Debug)]
pub struct Combine {
    pub operation: Combination,
    pub parts: [NodeId; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    Plus,
    Minus,
    Times,
}

impl Step for Combine {
    fn reads(&self) -> Vec<NodeId> {
        self.parts.to_vec()
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let [x, y] = self.parts.map(|part| given.of::<T>(part));
        match self.operation {
            Combination::Plus => x.try_add(y),
            Combination::Minus => x.try_sub(y),
            Combination::Times => x.try_mul(y),
        }
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let [x, y] = given.all(self.parts);
        combine(self.operation, x, y, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x, grad_y], []) = grads.of(self.parts, []);
        match self.operation {
            Combination::Plus => {
                add(grad_out, grad_x);
                add(grad_out, grad_y);
            }
            Combination::Minus => {
                add(grad_out, grad_x);
                subtract(grad_out, grad_y);
            }
            Combination::Times => {
                let [x, y] = given.all(self.parts);
                add_products(y, grad_out, grad_x);
                add_products(x, grad_out, grad_y);
            }
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn linear(&self) -> Option<&dyn LinearStep> {
        match self.operation {
            Combination::Plus | Combination::Minus => Some(self),
            Combination::Times => None,
        }
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

impl LinearStep for Combine {
    fn flops(&self, _numbers: &dyn Fn(NodeId) -> usize, out: usize) -> usize {
        out
    }

    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]) {
        let [x, y] = given.all(self.parts);
        let sign = self.sign();
        out.iter_mut().zip(x).zip(y).for_each(|((out, x), y)| *out = x + sign * y);
    }

    fn grad_x_one(&self, _params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>) {
        let ([grad_x, grad_y], []) = grads.of(self.parts, []);
        let sign = self.sign();
        grad_x.iter_mut().zip(grad_out).for_each(|(sum, grad)| *sum += grad);
        grad_y.iter_mut().zip(grad_out).for_each(|(sum, grad)| *sum += sign * grad);
    }

    fn grad_weight_one(&self, _given: Values<'_, f32>, _grad_out: &[f32], _grad_params: &mut [Vec<f32>]) {}
}

impl Combine {
    /// s in x + s y.
    fn sign(&self) -> f32 {
        if self.operation == Combination::Minus { -1.0 } else { 1.0 }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn combine(operation: Combination, x: &[Lane], y: &[Lane], out: &mut [Lane]) {
    let numbers = out.as_flattened_mut().iter_mut().zip(x.as_flattened()).zip(y.as_flattened());
    match operation {
        Combination::Plus => {
            for ((out, x), y) in numbers {
                *out = x + y;
            }
        }
        Combination::Minus => {
            for ((out, x), y) in numbers {
                *out = x - y;
            }
        }
        Combination::Times => {
            for ((out, x), y) in numbers {
                *out = x * y;
            }
        }
    }
}

/// Adds ∂out to `grad_x`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn add(grad_out: &[Lane], grad_x: &mut [Lane]) {
    for (grad_x, grad_out) in grad_x.as_flattened_mut().iter_mut().zip(grad_out.as_flattened()) {
        *grad_x += grad_out;
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn subtract(grad_out: &[Lane], grad_x: &mut [Lane]) {
    for (grad_x, grad_out) in grad_x.as_flattened_mut().iter_mut().zip(grad_out.as_flattened()) {
        *grad_x -= grad_out;
    }
}

/// Adds x ⊙ y to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_products(x: &[Lane], y: &[Lane], out: &mut [Lane]) {
    for ((out, x), y) in out.as_flattened_mut().iter_mut().zip(x.as_flattened()).zip(y.as_flattened()) {
        *out += x * y;
    }
}
