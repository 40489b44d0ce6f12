//! The same numbers as tokens of another width: a token of several vectors becomes several tokens.

use dfdx::prelude::{HasShape, ReshapeTo};
use dfdx::tensor::Tape;

use super::{Grads, NodeId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::{Lane, lanewise, plus};

#[derive(Clone, Debug)]
pub struct Regroup {
    pub x: NodeId,
    /// Of the tokens that it makes.
    pub width: usize,
}

impl Step for Regroup {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        let (batch, length, width) = *x.shape();
        x.try_reshape_like(&(batch, length * width / self.width, self.width))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        out.copy_from_slice(given.of(self.x));
    }

    fn backward(&self, _given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], []) = grads.of([self.x], []);
        for (sum, grad) in grad_x.iter_mut().zip(grad_out) {
            lanewise();
            *sum = plus(sum, grad);
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }
}
