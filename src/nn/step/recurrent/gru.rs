//! The gated recurrent unit.
//!
//! | here | Cho et al. 2014 (1406.1078, sec. 2.3) | shape |
//! |---|---|---|
//! | z_t, `Wz`, `Uz`, `bz` | update gate | (n), (w, n), (n, n), (n) |
//! | r_t, `Wr`, `Ur`, `br` | reset gate | the same |
//! | h̃_t, `Wh`, `Uh`, `bh` | candidate | the same |
//!
//! z_t = σ(x_t Wz + bz + h_{t−1} Uz), r_t = σ(x_t Wr + br + h_{t−1} Ur),
//! h̃_t = tanh(x_t Wh + bh + (r_t ⊙ h_{t−1}) Uh), h_t = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ h̃_t, h₀ = 0.
//!
//! Deviations: the gates have biases, which the paper leaves out of its equations. As in the paper r_t is applied
//! before Uh, and z_t = 1 keeps; some libraries apply it after, or turn z around.

use dfdx::prelude::{Tape, TryAdd, TryMul, TrySub};

use super::super::{Activation, AnyStep};
use super::{Cell, CellState, Recurrent, RecurrentWeights, StepBuffers};
use crate::nn::tensor::{Backend, DeviceResult, Matrix};
use crate::simd::math::{sigmoids, tanhs};
use crate::simd::{Lane, ZERO, each, lanewise};

const UPDATE: usize = 0;
const RESET: usize = 1;
const CANDIDATE: usize = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gru;

impl Cell for Gru {
    const GATES: &'static [&'static str] = &["z", "r", "h"];
    /// r ⊙ h.
    const READS_OTHER: Option<usize> = Some(CANDIDATE);

    fn listed(layer: Recurrent<Self>) -> AnyStep {
        AnyStep::Gru(layer)
    }

    fn step<D: Backend, T: Tape<f32, D>>(
        CellState { h, c }: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D> {
        let z = reads(UPDATE, h.retaped::<T>())?.try_sigmoid()?;
        let r = reads(RESET, h.retaped::<T>())?.try_sigmoid()?;
        let candidate = reads(CANDIDATE, r.try_mul(h.retaped::<T>())?)?.try_tanh()?;
        // z h + (1 − z) h̃ with one product.
        let kept = h.try_sub(candidate.retaped::<T>())?.try_mul(z)?;
        Ok(CellState { h: kept.try_add(candidate)?, c })
    }

    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        let z = reads(UPDATE, &carried.h);
        let r = reads(RESET, &carried.h);
        let reset: Vec<f32> = r.iter().zip(&carried.h).map(|(r, h)| Activation::Sigmoid.of(*r) * h).collect();
        let candidate = reads(CANDIDATE, &reset);
        for ((h, z), candidate) in carried.h.iter_mut().zip(&z).zip(&candidate) {
            *h = Activation::Sigmoid.of(*z) * *h + (1.0 - Activation::Sigmoid.of(*z)) * candidate.tanh();
        }
    }

    #[inline(always)]
    fn forward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>) {
        let StepBuffers { gates: [z, r, candidate, _], before: CellState { h, .. }, after, other: reset, .. } = now;
        weights.add(UPDATE, h, z);
        weights.add(RESET, h, r);
        for i in 0..h.len() {
            lanewise();
            let (update, open, h) = (sigmoids(&z[i]), sigmoids(&r[i]), h[i]);
            (z[i], r[i]) = (update, open);
            reset[i] = each(|l| open[l] * h[l]);
        }
        weights.add(CANDIDATE, reset, candidate);
        for i in 0..h.len() {
            lanewise();
            let (new, z, h) = (tanhs(&candidate[i]), z[i], h[i]);
            candidate[i] = new;
            after.h[i] = each(|l| new[l] + z[l] * (h[l] - new[l]));
        }
    }

    #[inline(always)]
    fn backward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>, grads: CellState<&mut [Lane]>) {
        let StepBuffers { gates: [z, r, candidate, _], before: CellState { h, .. }, scratch: grad_product, .. } = now;
        for i in 0..h.len() {
            lanewise();
            let (open, new, grad, h) = (z[i], candidate[i], grads.h[i], h[i]);
            z[i] = each(|l| grad[l] * (h[l] - new[l]) * open[l] * (1.0 - open[l]));
            candidate[i] = each(|l| grad[l] * (1.0 - open[l]) * (1.0 - new[l] * new[l]));
            grads.h[i] = each(|l| grad[l] * open[l]);
        }
        grad_product.fill(ZERO);
        weights.add_back(CANDIDATE, candidate, grad_product);
        for i in 0..h.len() {
            lanewise();
            let (open, grad, h, grad_h) = (r[i], grad_product[i], h[i], grads.h[i]);
            r[i] = each(|l| grad[l] * h[l] * open[l] * (1.0 - open[l]));
            grads.h[i] = each(|l| grad_h[l] + grad[l] * open[l]);
        }
        weights.add_back(UPDATE, z, grads.h);
        weights.add_back(RESET, r, grads.h);
    }
}
