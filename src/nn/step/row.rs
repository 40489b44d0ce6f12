//! Every token plus a row, or times a row entry by entry: y_t = x_t + r or x_t ⊙ r, with r (1, width).

use dfdx::prelude::{Axes2, BroadcastTo, HasShape, ReshapeTo, TryAdd, TryMul};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::combine::add;
use super::{EachToken, Grads, LinearStep, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3};
use crate::simd::{Lane, ZERO, each, lanewise, plus, plus_product, plus_scaled, total};

#[derive(Clone, Debug)]
pub struct Row {
    pub operation: RowOperation,
    pub x: NodeId,
    pub row: ParamId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOperation {
    Plus,
    Times,
}

impl Step for Row {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        match self.operation {
            RowOperation::Plus => plus_row(given.of(self.x), given.param(self.row)),
            RowOperation::Times => times_row(given.of(self.x), given.param(self.row)),
        }
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let (x, row) = (given.of(self.x), given.param(self.row));
        match self.operation {
            RowOperation::Plus => write_plus_row(x, row, out),
            RowOperation::Times => {
                out.fill(ZERO);
                add_times_row(x, row, out);
            }
        }
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], [grad_row]) = grads.of([self.x], [self.row]);
        match self.operation {
            RowOperation::Plus => {
                add(grad_out, grad_x);
                grad_added_row(grad_out, grad_row);
            }
            RowOperation::Times => {
                add_times_row(grad_out, given.param(self.row), grad_x);
                grad_multiplied_row(given.of(self.x), grad_out, grad_row);
            }
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn linear(&self) -> Option<&dyn LinearStep> {
        match self.operation {
            RowOperation::Plus => None,
            RowOperation::Times => Some(self),
        }
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

/// Only the product is linear: see [`Step::linear`].
impl LinearStep for Row {
    fn flops(&self, _numbers: &dyn Fn(NodeId) -> usize, out: usize) -> usize {
        out
    }

    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]) {
        add_products_with_row(given.of(self.x), given.param(self.row), out);
    }

    fn grad_x_one(&self, params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>) {
        let ([grad_x], []) = grads.of([self.x], []);
        add_products_with_row(grad_out, &params[self.row.0], grad_x);
    }

    fn grad_weight_one(&self, given: Values<'_, f32>, grad_out: &[f32], grad_params: &mut [Vec<f32>]) {
        let grad_row = &mut grad_params[self.row.0];
        let width = grad_row.len();
        for (x, grad_out) in given.of(self.x).chunks_exact(width).zip(grad_out.chunks_exact(width)) {
            grad_row.iter_mut().zip(x).zip(grad_out).for_each(|((sum, x), grad)| *sum += x * grad);
        }
    }
}

fn add_products_with_row(x: &[f32], row: &[f32], out: &mut [f32]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        out.iter_mut().zip(x).zip(row).for_each(|((out, x), factor)| *out += x * factor);
    }
}

/// Every token plus a row, made of dfdx's operations: (B, T, a) + (1, a).
pub fn plus_row<D: Backend, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    row: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_add(row)
}

/// Every token times a row, entry by entry, made of dfdx's operations: (B, T, a) ⊙ (1, a).
pub fn times_row<D: Backend, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    row: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_mul(row)
}

fn row_like<D: Backend, T: Tape<f32, D>>(tokens: &Tensor3<D, T>, row: Matrix<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let shape = *tokens.shape();
    row.try_reshape_like(&(shape.2,))?.try_broadcast_like::<_, Axes2<0, 1>>(&shape)
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn write_plus_row(x: &[Lane], row: &[f32], out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        for ((x, number), out) in x.iter().zip(row).zip(out) {
            lanewise();
            *out = each(|l| x[l] + number);
        }
    }
}

/// Adds tokens times a row to `out`: the product, and the gradient by the tokens.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_times_row(x: &[Lane], row: &[f32], out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        for ((x, number), out) in x.iter().zip(row).zip(out) {
            lanewise();
            *out = plus_scaled(out, *number, x);
        }
    }
}

/// Adds the gradient by a row that was added.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn grad_added_row(grad_out: &[Lane], grad_row: &mut [f32]) {
    let width = grad_row.len();
    for (e, grad) in grad_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for grad_out in grad_out.iter().skip(e).step_by(width) {
            lanewise();
            sum = plus(&sum, grad_out);
        }
        *grad += total(&sum);
    }
}

/// Adds the gradient by a row that was multiplied with.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grad_multiplied_row(x: &[Lane], grad_out: &[Lane], grad_row: &mut [f32]) {
    let width = grad_row.len();
    for (e, grad) in grad_row.iter_mut().enumerate() {
        let mut sum = ZERO;
        for (x, grad_out) in x.iter().zip(grad_out).skip(e).step_by(width) {
            sum = plus_product(&sum, x, grad_out);
        }
        *grad += total(&sum);
    }
}
