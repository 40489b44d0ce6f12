//! A diagonal linear recurrence over real numbers, read at its last token: h_t = λ ⊙ h_{t−1} + v_t, the result is h_T.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `input` v | what is added to the state | (B, T, n) |
//! | `decay` λ | what is kept of each number of the state | (1, n) |
//!
//! The backward pass needs no states: ∂v_t = λ^{T−t} ⊙ ∂h_T, and ∂h_T/∂λ = r_T with r_t = λ ⊙ r_{t−1} + h_{t−1}, which
//! the forward pass carries along.

use dfdx::prelude::{Axis, BroadcastTo, HasShape, ReshapeTo, SumTo, TryMul, TryStack};
use dfdx::tensor::Tape;
use multiversion::multiversion;

use super::{Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3};
use crate::simd::{Lane, ZERO, each, inner, lanewise, plus_scaled};

#[derive(Clone, Debug)]
pub struct DecayScan {
    pub input: NodeId,
    pub decay: ParamId,
    /// n.
    pub states: usize,
}

impl Step for DecayScan {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.input]
    }

    /// All tokens at once, times λ^{T−1}, …, λ, 1.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let (input, decay) = (given.of::<T>(self.input), given.param::<T>(self.decay));
        let (batch, length, states) = *input.shape();
        let ones: Matrix<D> = input.device().try_ones_like(&(1, states))?;
        let mut power = ones.retaped::<T>();
        let mut powers = vec![power.retaped::<T>()];
        for _ in 1..length {
            power = power.try_mul(decay.retaped::<T>())?;
            powers.push(power.retaped::<T>());
        }
        // The highest power carries the tape of all.
        powers.pop();
        powers.push(power);
        powers.reverse();
        let powers = powers.try_stack()?.try_reshape_like(&(length, states))?;
        let kept = powers.try_broadcast_like::<_, Axis<0>>(&(batch, length, states))?;
        let state: Matrix<D, T> = input.try_mul(kept)?.try_sum::<_, Axis<1>>()?;
        state.try_reshape_like(&(batch, 1, states))
    }

    /// r_T.
    fn saved(&self) -> usize {
        self.states
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        forward(given.of(self.input), given.param(self.decay), saved, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_input], [grad_decay]) = grads.of([self.input], [self.decay]);
        backward((given.param(self.decay), saved), grad_out, grad_input, grad_decay);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(DecayState { step: self.clone(), state: vec![ZERO; self.states] }))
    }
}

/// h.
struct DecayState {
    step: DecayScan,
    state: Vec<Lane>,
}

impl TokenReader for DecayState {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let parts = self.state.iter_mut().zip(given.param(self.step.decay)).zip(given.of(self.step.input));
        for (((h, decay), v), out) in parts.zip(out) {
            lanewise();
            *h = plus_scaled(v, *decay, h);
            *out = *h;
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(input: &[Lane], decay: &[f32], sums: &mut [Lane], state: &mut [Lane]) {
    sums.fill(ZERO);
    state.fill(ZERO);
    for v in input.chunks_exact(decay.len()) {
        for (((r, h), k), v) in sums.iter_mut().zip(&mut *state).zip(decay).zip(v) {
            lanewise();
            *r = plus_scaled(h, *k, r);
            *h = plus_scaled(v, *k, h);
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward((decay, sums): (&[f32], &[Lane]), grad_out: &[Lane], grad_input: &mut [Lane], grad_decay: &mut [f32]) {
    for ((grad_decay, r), grad) in grad_decay.iter_mut().zip(sums).zip(grad_out) {
        *grad_decay += inner(&[*r], &[*grad]);
    }
    let mut powers = vec![1.0; decay.len()];
    for grad_v in grad_input.chunks_exact_mut(decay.len()).rev() {
        for (((grad_v, grad), power), k) in grad_v.iter_mut().zip(grad_out).zip(&mut powers).zip(decay) {
            lanewise();
            let factor = *power;
            *grad_v = each(|l| grad_v[l] + factor * grad[l]);
            *power *= k;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of};

    #[test]
    fn the_kernel_equals_the_definition() {
        let (decay, input) = ([0.5, -0.9], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut state = [0.0; 2];
        input.chunks(2).for_each(|v| (0..2).for_each(|i| state[i] = decay[i] * state[i] + v[i]));
        let (mut sums, mut out) = ([ZERO; 2], [ZERO; 2]);
        forward(&lanes_of(&input), &decay, &mut sums, &mut out);
        assert_close(&out.map(|lane| lane[9]), &state, 1e-6);
    }
}
