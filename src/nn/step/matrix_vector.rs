//! A matrix of each sequence's own times a vector of its own: y_i = Σ_j M[i, j] v_j, token by token.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | M | its rows one after the other | (B, T, o · d) |
//! | v | | (B, T, d) |
//! | y | the result | (B, T, o) |

use dfdx::prelude::{HasShape, ReshapeTo, TryMatMul};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{EachToken, Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::{Lane, ZERO, add_product};

#[derive(Clone, Debug)]
pub struct MatrixVector {
    pub matrix: NodeId,
    pub vector: NodeId,
    /// d.
    pub dim: usize,
}

impl Step for MatrixVector {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.matrix, self.vector]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (matrix, vector) = (given.of::<T>(self.matrix), given.of::<T>(self.vector));
        let (batch, length, size) = *matrix.shape();
        let (tokens, rows) = (batch * length, size / self.dim);
        let vector = vector.try_reshape_like(&(tokens, self.dim, 1))?;
        let product = matrix.try_reshape_like(&(tokens, rows, self.dim))?.try_matmul(vector)?;
        product.try_reshape_like(&(batch, length, rows))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let [matrix, vector] = given.all([self.matrix, self.vector]);
        forward(matrix, vector, self.dim, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let values = given.all([self.matrix, self.vector]);
        let (by, []) = grads.of([self.matrix, self.vector], []);
        backward(values, self.dim, grad_out, by);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(matrix: &[Lane], vector: &[Lane], dim: usize, out: &mut [Lane]) {
    let rows = matrix.len() / vector.len();
    for ((matrix, v), out) in
        matrix.chunks_exact(rows * dim).zip(vector.chunks_exact(dim)).zip(out.chunks_exact_mut(rows))
    {
        for (row, out) in matrix.chunks_exact(dim).zip(out) {
            *out = ZERO;
            for (m, v) in row.iter().zip(v) {
                add_product(out, m, v);
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    [matrix, vector]: [&[Lane]; 2],
    dim: usize,
    grad_out: &[Lane],
    [grad_matrix, grad_vector]: [&mut [Lane]; 2],
) {
    let rows = matrix.len() / vector.len();
    for (at, grad) in grad_out.iter().enumerate() {
        let (row, token) = (at * dim..(at + 1) * dim, at / rows * dim..(at / rows + 1) * dim);
        let (v, grad_v) = (&vector[token.clone()], &mut grad_vector[token]);
        for (((m, v), grad_m), grad_v) in matrix[row.clone()].iter().zip(v).zip(&mut grad_matrix[row]).zip(grad_v) {
            add_product(grad_m, grad, v);
            add_product(grad_v, grad, m);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::lanes_of;

    #[test]
    fn the_kernel_equals_the_definition() {
        let mut out = [ZERO; 2];
        forward(&lanes_of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), &lanes_of(&[1.0, 0.5, -1.0]), 3, &mut out);
        assert_eq!([out[0][7], out[1][7]], [-1.0, 0.5]);
    }
}
