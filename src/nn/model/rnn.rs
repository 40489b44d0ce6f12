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
use crate::nn::op::{Carried, Cell, Moment, Past, elementary};
use crate::nn::{Device, Matrix, Outcome};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rnn;

impl Cell for Rnn {
    const GATES: &'static [&'static str] = &[""];

    fn step<D: Device, T: Tape<f32, D>>(
        Carried { h, c }: Carried<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> Outcome<Matrix<D, T>, D>,
    ) -> Outcome<Carried<Matrix<D, T>>, D> {
        Ok(Carried { h: reads(0, h)?.try_tanh()?, c })
    }

    fn define(carried: &mut Carried<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        carried.h = reads(0, &carried.h).into_iter().map(f32::tanh).collect();
    }

    #[inline(always)]
    fn forward(past: Past<'_>, now: Moment<'_>) {
        let Moment { gates: [sum, ..], before, after, .. } = now;
        past.add(0, before.h, sum);
        for (h, sum) in after.h.iter_mut().zip(sum) {
            lanewise();
            *h = elementary::tanhs(sum);
        }
    }

    #[inline(always)]
    fn backward(past: Past<'_>, now: Moment<'_>, by: Carried<&mut [Lane]>) {
        let Moment { gates: [slope, ..], after, .. } = now;
        for ((slope, h), by_h) in slope.iter_mut().zip(&*after.h).zip(by.h.iter_mut()) {
            lanewise();
            *slope = std::array::from_fn(|l| by_h[l] * (1.0 - h[l] * h[l]));
            *by_h = ZERO;
        }
        past.add_back(0, slope, by.h);
    }
}
