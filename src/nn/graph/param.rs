//! The weights of a graph: given by the model, or made of such once for all sequences.

use dfdx::prelude::{Axes2, HasShape, PermuteTo, TryMatMul, TryMul};
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
    /// The transpose (columns, last) of the last rows of a weight (·, columns).
    Transpose(ParamId, TransposeSizes),
    /// λ and g of a diagonal recurrence, (4, n), from three weights, (1, n) each.
    Spectrum(Discretization, [ParamId; 3]),
}

/// How many last rows are transposed, and their length.
#[derive(Clone, Copy, Debug)]
pub struct TransposeSizes {
    pub last: usize,
    pub columns: usize,
}

impl TransposeSizes {
    /// The places in the weight, of so many numbers, that stand in the transpose one after the other.
    fn places(self, count: usize) -> impl Iterator<Item = usize> {
        let Self { last, columns } = self;
        let first = count - last * columns;
        (0..columns).flat_map(move |column| (0..last).map(move |row| first + row * columns + column))
    }
}

impl Derived {
    /// Made of dfdx's operations, for any device.
    pub fn portable<D: Backend, T: Tape<f32, D>>(&self, params: &[Matrix<D>]) -> DeviceResult<Matrix<D, T>, D> {
        let of = |param: ParamId| params[param.0].retaped::<T>();
        match self {
            Self::Product([first, second], _) => of(*first).try_matmul(of(*second)),
            Self::Transpose(weight, sizes) => {
                let columns = of(*weight).try_permute::<_, Axes2<1, 0>>()?;
                let (width, rows) = *columns.shape();
                columns.try_mul(1.0f32)?.try_slice((0..width, rows - sizes.last..rows))
            }
            Self::Spectrum(discretization, weights) => discretization.portable(weights.map(of)),
        }
    }

    /// The numbers, row-major.
    pub fn forward(&self, params: &[Vec<f32>]) -> Vec<f32> {
        match self {
            Self::Product(factors, sizes) => matrix_product(factors.map(|factor| &params[factor.0][..]), *sizes),
            Self::Transpose(weight, sizes) => {
                let weight = &params[weight.0];
                sizes.places(weight.len()).map(|place| weight[place]).collect()
            }
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
            Self::Transpose(weight, sizes) => {
                let sums = &mut grads[weight.0];
                sizes.places(sums.len()).zip(grad).for_each(|(place, grad)| sums[place] += grad);
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
