//! The simple recurrent network.
//!
//! | here | Elman 1990 | shape |
//! |---|---|---|
//! | x_t | the token | (w) |
//! | h_t | context units | (n) |
//! | `W`, `b` | weights from the input, and bias | (w, n), (n) |
//! | `U` | weights from the context units | (n, n) |
//!
//! h_t = tanh(x_t W + b + h_{t−1} U), h₀ = 0.
//!
//! Deviations: tanh where Elman has the logistic function, as is usual since; U starts orthogonal.

use dfdx::prelude::Tape;

use super::super::AnyStep;
use super::{Cell, CellState, Recurrent, RecurrentWeights, StepBuffers};
use crate::nn::tensor::{Backend, DeviceResult, Matrix};
use crate::simd::math::tanhs;
use crate::simd::{Lane, ZERO, each, lanewise};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rnn;

impl Cell for Rnn {
    const GATES: &'static [&'static str] = &[""];

    fn listed(layer: Recurrent<Self>) -> AnyStep {
        AnyStep::Rnn(layer)
    }

    fn step<D: Backend, T: Tape<f32, D>>(
        CellState { h, c }: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D> {
        Ok(CellState { h: reads(0, h)?.try_tanh()?, c })
    }

    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        carried.h = reads(0, &carried.h).into_iter().map(f32::tanh).collect();
    }

    #[inline(always)]
    fn forward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>) {
        let StepBuffers { gates: [sum, ..], before, after, .. } = now;
        weights.add(0, before.h, sum);
        for (h, sum) in after.h.iter_mut().zip(sum) {
            lanewise();
            *h = tanhs(sum);
        }
    }

    #[inline(always)]
    fn backward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>, grads: CellState<&mut [Lane]>) {
        let StepBuffers { gates: [grad, ..], after, .. } = now;
        for ((grad, h), grad_h) in grad.iter_mut().zip(&*after.h).zip(grads.h.iter_mut()) {
            lanewise();
            *grad = each(|l| grad_h[l] * (1.0 - h[l] * h[l]));
            *grad_h = ZERO;
        }
        weights.add_back(0, grad, grads.h);
    }
}
