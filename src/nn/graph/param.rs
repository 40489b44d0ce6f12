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
    /// −exp(w), number by number.
    NegativeExp(ParamId),
    /// Every number of a row (1, n) so many times: (1, n · times).
    Repeat(ParamId, Groups),
    /// A column (2 · groups · each, 1) as a matrix (2 · groups · each, groups) with zeros where a row and a column are
    /// of different groups. The groups come twice: real parts, then imaginary ones.
    Grouped(ParamId, Groups),
    /// Zeros and ones (groups, 2 · groups · each), which copy a number of each group to its real parts.
    Spread(Groups),
}

/// Neighbouring numbers that belong together, such as the states of one channel: number i to group i / each.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub count: usize,
    pub each: usize,
}

impl Groups {
    pub fn numbers(self) -> usize {
        self.count * self.each
    }

    /// Every number of a row, (1, count), `each` times: (1, count · each).
    pub fn repeat(self, row: &[f32]) -> Vec<f32> {
        row.iter().flat_map(|number| std::iter::repeat_n(*number, self.each)).collect()
    }

    /// The group of a row of [`Derived::Grouped`].
    fn of_part(self, row: usize) -> usize {
        row % self.numbers() / self.each
    }

    /// Ones at (group, its numbers), in a matrix of so many columns.
    fn ones(self, columns: usize) -> Vec<f32> {
        let mut ones = vec![0.0; self.count * columns];
        (0..self.numbers()).for_each(|number| ones[number / self.each * columns + number] = 1.0);
        ones
    }

    /// Ones where a row of [`Derived::Grouped`] is of the column's group.
    fn mask(self) -> Vec<f32> {
        let mut mask = vec![0.0; 2 * self.numbers() * self.count];
        (0..2 * self.numbers()).for_each(|row| mask[row * self.count + self.of_part(row)] = 1.0);
        mask
    }
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
    pub fn portable<D: Backend, T: Tape<f32, D>>(
        &self,
        device: &D,
        params: &[Matrix<D>],
    ) -> DeviceResult<Matrix<D, T>, D> {
        let of = |param: ParamId| params[param.0].retaped::<T>();
        let constant = |numbers, shape| device.try_tensor_from_vec(numbers, shape);
        match self {
            Self::Product([first, second], _) => of(*first).try_matmul(of(*second)),
            Self::Transpose(weight, sizes) => {
                let columns = of(*weight).try_permute::<_, Axes2<1, 0>>()?;
                let (width, rows) = *columns.shape();
                columns.try_mul(1.0f32)?.try_slice((0..width, rows - sizes.last..rows))
            }
            Self::Spectrum(discretization, weights) => discretization.portable(weights.map(of)),
            Self::NegativeExp(weight) => of(*weight).try_exp()?.try_negate(),
            Self::Repeat(row, groups) => {
                let columns = groups.numbers();
                of(*row).try_matmul(constant(groups.ones(columns), (groups.count, columns))?)
            }
            Self::Grouped(column, groups) => {
                let row = constant(vec![1.0; groups.count], (1, groups.count))?;
                of(*column).try_matmul(row)?.try_mul(constant(groups.mask(), (2 * groups.numbers(), groups.count))?)
            }
            Self::Spread(groups) => {
                let columns = 2 * groups.numbers();
                Ok(constant(groups.ones(columns), (groups.count, columns))?.retaped::<T>())
            }
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
            Self::NegativeExp(weight) => params[weight.0].iter().map(|x| -x.exp()).collect(),
            Self::Repeat(row, groups) => groups.repeat(&params[row.0]),
            Self::Grouped(column, groups) => {
                let mut matrix = vec![0.0; 2 * groups.numbers() * groups.count];
                let rows = params[column.0].iter().enumerate();
                rows.for_each(|(row, number)| matrix[row * groups.count + groups.of_part(row)] = *number);
                matrix
            }
            Self::Spread(groups) => groups.ones(2 * groups.numbers()),
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
            Self::NegativeExp(weight) => {
                let by_number = params[weight.0].iter().zip(grad).map(|(x, grad)| -x.exp() * grad);
                grads[weight.0].iter_mut().zip(by_number).for_each(|(sum, part)| *sum += part);
            }
            Self::Repeat(row, groups) => {
                let by_number = grad.chunks(groups.each).map(|grad| grad.iter().sum::<f32>());
                grads[row.0].iter_mut().zip(by_number).for_each(|(sum, part)| *sum += part);
            }
            Self::Grouped(column, groups) => {
                let rows = grads[column.0].iter_mut().enumerate();
                rows.for_each(|(row, sum)| *sum += grad[row * groups.count + groups.of_part(row)]);
            }
            Self::Spread(_) => {}
        }
    }
}
