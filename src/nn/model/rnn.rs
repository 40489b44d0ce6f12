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

use crate::lanes::{Lane, ZERO, lanewise};
use crate::nn::op::{Cell, CellState, RecurrentWeights, StepBuffers, elementary};
use crate::nn::{Device, DeviceResult, Matrix};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rnn;

impl Cell for Rnn {
    const GATES: &'static [&'static str] = &[""];

    fn step<D: Device, T: Tape<f32, D>>(
        CellState { h, c }: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D> {
        Ok(CellState { h: reads(0, h)?.try_tanh()?, c })
    }

    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        carried.h = reads(0, &carried.h).into_iter().map(f32::tanh).collect();
    }

    #[inline(always)]
    fn forward(past: RecurrentWeights<'_>, now: StepBuffers<'_>) {
        let StepBuffers { gates: [sum, ..], before, after, .. } = now;
        past.add(0, before.h, sum);
        for (h, sum) in after.h.iter_mut().zip(sum) {
            lanewise();
            *h = elementary::tanhs(sum);
        }
    }

    #[inline(always)]
    fn backward(past: RecurrentWeights<'_>, now: StepBuffers<'_>, by: CellState<&mut [Lane]>) {
        let StepBuffers { gates: [grad, ..], after, .. } = now;
        for ((grad, h), grad_h) in grad.iter_mut().zip(&*after.h).zip(by.h.iter_mut()) {
            lanewise();
            *grad = std::array::from_fn(|l| grad_h[l] * (1.0 - h[l] * h[l]));
            *grad_h = ZERO;
        }
        past.add_back(0, grad, by.h);
    }
}
