//! The tokens of a sequence, and after them tokens of zeros.

use dfdx::prelude::{Axis, HasShape, TryConcatAlong};
use dfdx::tensor::Tape;

use super::combine::add;
use super::{Grads, NodeId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3};
use crate::simd::{Lane, ZERO};

#[derive(Clone, Debug)]
pub struct Pad {
    pub x: NodeId,
    /// Tokens of zeros.
    pub count: usize,
}

impl Step for Pad {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        let (batch, _, width) = *x.shape();
        let zeros: Tensor3<D> = x.device().try_zeros_like(&(batch, self.count, width))?;
        (x, zeros.retaped::<T>()).try_concat_along(Axis::<1>)
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let x = given.of(self.x);
        let (tokens, zeros) = out.split_at_mut(x.len());
        tokens.copy_from_slice(x);
        zeros.fill(ZERO);
    }

    fn backward(&self, _given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], []) = grads.of([self.x], []);
        add(&grad_out[..grad_x.len()], grad_x);
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }
}
