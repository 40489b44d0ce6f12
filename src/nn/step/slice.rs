//! Some neighbouring tokens, and of them some neighbouring numbers: y_t = x_{first+t}[columns].

use std::ops::Range;

use dfdx::prelude::HasShape;
use dfdx::tensor::Tape;

use super::{EachToken, Grads, LinearStep, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, slice};
use crate::simd::Lane;

#[derive(Clone, Debug)]
pub struct Slice {
    pub x: NodeId,
    /// The width of x.
    pub width: usize,
    pub tokens: Range<usize>,
    pub columns: Range<usize>,
}

impl Slice {
    /// Where each token's numbers lie in x.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.columns.clone();
        let width = self.width;
        self.tokens.clone().map(move |t| t * width + start..t * width + end)
    }

    fn copy<X: Copy>(&self, x: &[X], out: &mut [X]) {
        let rows = out.chunks_exact_mut(self.columns.len().max(1)).zip(self.rows());
        rows.for_each(|(out, row)| out.copy_from_slice(&x[row]));
    }
}

impl Step for Slice {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of(self.x);
        let batch = x.shape().0;
        slice(x, (0..batch, self.tokens.clone(), self.columns.clone()))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        self.copy(given.of(self.x), out);
    }

    fn backward(&self, _given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], []) = grads.of([self.x], []);
        if grad_x.is_empty() {
            return;
        }
        for (grad_out, row) in grad_out.chunks_exact(self.columns.len().max(1)).zip(self.rows()) {
            let sums = grad_x[row].as_flattened_mut().iter_mut();
            sums.zip(grad_out.as_flattened()).for_each(|(sum, grad)| *sum += grad);
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn linear(&self) -> Option<&dyn LinearStep> {
        Some(self)
    }

    /// Of the last tokens, or of all but the last, which is the query's.
    fn token_reader(&self, length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        let reads_on = self.tokens.end + 1 >= length(self.x);
        reads_on.then(|| Box::new(EachToken(Self { tokens: 0..1, ..self.clone() })) as Box<dyn TokenReader>)
    }
}

impl LinearStep for Slice {
    fn flops(&self, _numbers: &dyn Fn(NodeId) -> usize, _out: usize) -> usize {
        0
    }

    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]) {
        self.copy(given.of(self.x), out);
    }

    fn grad_x_one(&self, _params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>) {
        let ([grad_x], []) = grads.of([self.x], []);
        for (grad_out, row) in grad_out.chunks_exact(self.columns.len().max(1)).zip(self.rows()) {
            grad_x[row].iter_mut().zip(grad_out).for_each(|(sum, grad)| *sum += grad);
        }
    }

    fn grad_weight_one(&self, _given: Values<'_, f32>, _grad_out: &[f32], _grad_params: &mut [Vec<f32>]) {}
}
