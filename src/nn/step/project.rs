//! Every token times the same matrix, and a row added: y_t = x_t W, or x_t W + c, with W (a, b) and c (1, b).

use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::row::{grad_added_row, plus_row};
use super::{EachToken, Grads, LinearStep, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, rows_times};
use crate::simd::gemm::{add_outer, add_row_times, add_times_column, write_row};
use crate::simd::{Lane, ZERO, add_product, add_scaled, dot, total};

#[derive(Clone, Debug)]
pub struct Project {
    pub x: NodeId,
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    /// (a, b).
    pub sizes: (usize, usize),
}

impl Step for Project {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let product = rows_times(given.of(self.x), given.param(self.weight))?;
        match self.bias {
            Some(bias) => plus_row(product, given.param(bias)),
            None => Ok(product),
        }
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let bias = self.bias.map(|bias| given.param(bias));
        forward(given.of(self.x), (given.param(self.weight), bias), self.sizes, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let sums = std::mem::take(&mut grads.sums);
        let ([grad_x], [grad_weight]) = grads.of([self.x], [self.weight]);
        let parts = (given.of(self.x), given.param(self.weight));
        match self.sizes.1 {
            1 => backward_column(parts, grad_out, grad_x, sums),
            _ => backward(parts, self.sizes, grad_out, grad_x, grad_weight),
        }
        if let Some(bias) = self.bias {
            let ([], [grad_bias]) = grads.of([], [bias]);
            grad_added_row(grad_out, grad_bias);
        }
    }

    /// ∂W, if it is a column.
    fn sums(&self) -> usize {
        if self.sizes.1 == 1 { self.sizes.0 } else { 0 }
    }

    fn finish(&self, sums: &[Lane], grads: &mut [Vec<f32>]) {
        grads[self.weight.0].iter_mut().zip(sums).for_each(|(sum, lane)| *sum += total(lane));
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn linear(&self) -> Option<&dyn LinearStep> {
        match self.bias {
            Some(_) => None,
            None => Some(self),
        }
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(EachToken(self.clone())))
    }
}

/// Writes x W, or x W + c, to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(x: &[Lane], (weight, bias): (&[f32], Option<&[f32]>), (a, b): (usize, usize), out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        match bias {
            Some(bias) => write_row(bias, out),
            None => out.fill(ZERO),
        }
        add_row_times(x, weight, out);
    }
}

/// Adds the gradients by x and by W.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (x, weight): (&[Lane], &[f32]),
    (a, b): (usize, usize),
    grad_out: &[Lane],
    grad_x: &mut [Lane],
    grad_weight: &mut [f32],
) {
    for (grad_x, grad_out) in grad_x.chunks_exact_mut(a).zip(grad_out.chunks_exact(b)) {
        add_times_column(weight, grad_out, grad_x);
    }
    add_outer(x, grad_out, (a, b), grad_weight);
}

/// The same for a W that is a column, whose gradient is added up in lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_column((x, weight): (&[Lane], &[f32]), grad_out: &[Lane], grad_x: &mut [Lane], sums: &mut [Lane]) {
    for (x, grad_out) in x.chunks_exact(weight.len()).zip(grad_out) {
        for (sum, x) in sums.iter_mut().zip(x) {
            add_product(sum, x, grad_out);
        }
    }
    for (grad_x, grad_out) in grad_x.chunks_exact_mut(weight.len()).zip(grad_out) {
        for (grad_x, w) in grad_x.iter_mut().zip(weight) {
            add_scaled(grad_x, *w, grad_out);
        }
    }
}

impl LinearStep for Project {
    fn flops(&self, _numbers: &dyn Fn(NodeId) -> usize, out: usize) -> usize {
        2 * self.sizes.0 * out
    }

    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]) {
        forward_one(given.of(self.x), given.param(self.weight), self.sizes, out);
    }

    fn grad_x_one(&self, params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>) {
        let ([grad_x], []) = grads.of([self.x], []);
        grad_x_one(grad_out, &params[self.weight.0], self.sizes, grad_x);
    }

    fn grad_weight_one(&self, given: Values<'_, f32>, grad_out: &[f32], grad_params: &mut [Vec<f32>]) {
        grad_weight_one(given.of(self.x), grad_out, self.sizes, &mut grad_params[self.weight.0]);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_one(x: &[f32], weight: &[f32], (a, b): (usize, usize), out: &mut [f32]) {
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        for (x, row) in x.iter().zip(weight.chunks_exact(b)) {
            out.iter_mut().zip(row).for_each(|(out, w)| *out += x * w);
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grad_x_one(grad_out: &[f32], weight: &[f32], (a, b): (usize, usize), grad_x: &mut [f32]) {
    for (grad_out, grad_x) in grad_out.chunks_exact(b).zip(grad_x.chunks_exact_mut(a)) {
        for (grad_x, row) in grad_x.iter_mut().zip(weight.chunks_exact(b)) {
            *grad_x += dot(grad_out, row);
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn grad_weight_one(x: &[f32], grad_out: &[f32], (a, b): (usize, usize), grad_weight: &mut [f32]) {
    for (x, grad_out) in x.chunks_exact(a).zip(grad_out.chunks_exact(b)) {
        for (x, row) in x.iter().zip(grad_weight.chunks_exact_mut(b)) {
            row.iter_mut().zip(grad_out).for_each(|(sum, grad)| *sum += x * grad);
        }
    }
}
