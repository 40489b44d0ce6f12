//! The tokens of a sequence in the opposite order: y_t = x_{T−1−t}, for t = 0 … T−1.

use dfdx::prelude::{Axes3, HasShape, PermuteTo, ReshapeTo, TryMatMul};
use dfdx::tensor::Tape;

use super::combine::add;
use super::{Grads, NodeId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3};
use crate::simd::Lane;

#[derive(Clone, Debug)]
pub struct Reverse {
    pub x: NodeId,
    pub width: usize,
}

impl Step for Reverse {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.x]
    }

    /// A product with ones on the other diagonal.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let x = given.of::<T>(self.x);
        let (_, length, _) = *x.shape();
        let flip = (0..length * length).map(|i| f32::from(u8::from(i / length + i % length + 1 == length)));
        let flip: Matrix<D> = x.device().try_tensor_from_vec(flip.collect(), (length, length))?;
        x.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(flip)?.try_permute::<_, Axes3<0, 2, 1>>()?.try_contiguous()
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let tokens = given.of(self.x).chunks_exact(self.width);
        tokens.rev().zip(out.chunks_exact_mut(self.width)).for_each(|(x, out)| out.copy_from_slice(x));
    }

    fn backward(&self, _given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_x], []) = grads.of([self.x], []);
        let tokens = grad_x.chunks_exact_mut(self.width).rev();
        tokens.zip(grad_out.chunks_exact(self.width)).for_each(|(grad_x, grad_out)| add(grad_out, grad_x));
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }
}
