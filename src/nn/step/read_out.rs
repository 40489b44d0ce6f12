//! A matrix, or its last rows, times every token: y_t = C x_t, with C (o, d) the last o rows of a weight (·, d).
//!
//! The same as x W with W = Cᵀ ([`super::Project`]); the papers write output matrices like this.

use dfdx::prelude::{Axes2, HasShape, PermuteTo};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{Grads, NodeId, ParamId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, rows_times, slice};
use crate::simd::gemm::{add_outer, add_row_times, add_times_column};
use crate::simd::{Lane, ZERO};

#[derive(Clone, Debug)]
pub struct ReadOut {
    pub x: NodeId,
    pub weight: ParamId,
    /// d.
    pub width: usize,
    /// o.
    pub outputs: usize,
}

impl Step for ReadOut {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let weight = given.param::<T>(self.weight).try_permute::<_, Axes2<1, 0>>()?;
        let rows = weight.shape().1;
        let all = rows_times(given.of(self.x), weight)?;
        let (batch, length, _) = *all.shape();
        slice(all, (0..batch, 0..length, rows - self.outputs..rows))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        out.fill(ZERO);
        let weight = given.param(self.weight);
        forward(given.of(self.x), &weight[weight.len() - self.outputs * self.width..], self.width, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], [grad_weight]) = grads.of([self.x], [self.weight]);
        let first = grad_weight.len() - self.outputs * self.width;
        let weight = &given.param(self.weight)[first..];
        backward((given.of(self.x), weight), self.width, grad_out, (grad_x, &mut grad_weight[first..]));
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }
}

/// Adds C x_t to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(x: &[Lane], weight: &[f32], width: usize, out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(weight.len() / width)) {
        add_times_column(weight, x, out);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (x, weight): (&[Lane], &[f32]),
    width: usize,
    grad_out: &[Lane],
    (grad_x, grad_weight): (&mut [Lane], &mut [f32]),
) {
    let outputs = weight.len() / width;
    for (grad_x, grad_out) in grad_x.chunks_exact_mut(width).zip(grad_out.chunks_exact(outputs)) {
        add_row_times(grad_out, weight, grad_x);
    }
    add_outer(grad_out, x, (outputs, width), grad_weight);
}
