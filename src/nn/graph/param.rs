//! The weights of a graph: given by the model, or made of such once for all sequences.

use dfdx::prelude::TryMatMul;
use dfdx::tensor::Tape;

use super::spectrum::Discretization;
use crate::nn::step::ParamId;
use crate::nn::tensor::{Backend, DeviceResult, Matrix};
use crate::simd::gemm::{matrix_product, matrix_product_backward};

/// Where the numbers of a weight come from.
pub enum ParamSource<D: Backend, T> {
    Given(Matrix<D, T>),
    Derived(Derived),
}

/// A weight made of others, whose numbers come before it.
#[derive(Clone, Debug)]
pub enum Derived {
    /// W V of (a, h) and (h, b).
    Product([ParamId; 2], [usize; 3]),
    /// λ and g of a diagonal recurrence, (4, n), from three weights, (1, n) each.
    Spectrum(Discretization, [ParamId; 3]),
}

impl Derived {
    /// Made of dfdx's operations, for any device.
    pub fn portable<D: Backend, T: Tape<f32, D>>(&self, params: &[Matrix<D>]) -> DeviceResult<Matrix<D, T>, D> {
        let of = |param: ParamId| params[param.0].retaped::<T>();
        match self {
            Self::Product([first, second], _) => of(*first).try_matmul(of(*second)),
            Self::Spectrum(discretization, weights) => discretization.portable(weights.map(of)),
        }
    }

    /// The numbers, row-major.
    pub fn forward(&self, params: &[Vec<f32>]) -> Vec<f32> {
        match self {
            Self::Product(factors, sizes) => matrix_product(factors.map(|factor| &params[factor.0][..]), *sizes),
            Self::Spectrum(discretization, weights) => {
                discretization.spectrum(weights.map(|weight| &params[weight.0][..]))
            }
        }
    }

    /// Adds the gradients by the weights that it is made of, from its own.
    pub fn backward(&self, params: &[Vec<f32>], grad: &[f32], grads: &mut [Vec<f32>]) {
        match self {
            Self::Product(factors, sizes) => {
                if let Ok(by) = grads.get_disjoint_mut(factors.map(|factor| factor.0)) {
                    let factors = factors.map(|factor| &params[factor.0][..]);
                    matrix_product_backward(factors, *sizes, grad, by.map(Vec::as_mut_slice));
                }
            }
            Self::Spectrum(discretization, weights) => {
                let parts = discretization.backward(weights.map(|weight| &params[weight.0][..]), grad);
                for (weight, part) in weights.iter().zip(parts) {
                    grads[weight.0].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            }
        }
    }
}
