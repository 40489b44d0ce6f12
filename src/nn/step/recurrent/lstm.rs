//! Long short-term memory.
//!
//! | here | Gers, Schmidhuber & Cummins 2000 | shape |
//! |---|---|---|
//! | i_t, `Wi`, `Ui`, `bi` | input gate | (n), (w, n), (n, n), (n) |
//! | f_t, `Wf`, `Uf`, `bf` | forget gate | the same |
//! | o_t, `Wo'`, `Uo'`, `bo'` | output gate (the mark keeps it apart from the decoder) | the same |
//! | c̃_t, `Wc`, `Uc`, `bc` | cell input | the same |
//! | c_t | cell state | (n) |
//!
//! i, f, o = σ(x_t W + b + h_{t−1} U), each with its own weights, c̃ = tanh(x_t Wc + bc + h_{t−1} Uc),
//! c_t = f ⊙ c_{t−1} + i ⊙ c̃, h_t = o ⊙ tanh(c_t), h₀ = c₀ = 0.
//!
//! Deviations: no peepholes, and tanh for both squashings, as is usual since Graves 2013 (1308.0850). bf starts at 1,
//! so that the cell begins by remembering (Gers et al. sec. 4; Jozefowicz et al. 2015).

use dfdx::prelude::{Tape, TryAdd, TryMul};

use super::super::{Activation, AnyStep};
use super::{Cell, CellState, Recurrent, RecurrentWeights, StepBuffers};
use crate::nn::tensor::{Backend, DeviceResult, Matrix};
use crate::simd::math::{sigmoids, tanhs};
use crate::simd::{Lane, ZERO, each, lanewise};

const INPUT: usize = 0;
const FORGET: usize = 1;
const OUTPUT: usize = 2;
const CELL: usize = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lstm;

impl Cell for Lstm {
    const GATES: &'static [&'static str] = &["i", "f", "o'", "c"];
    const HAS_C: bool = true;

    fn bias(gate: usize) -> f32 {
        if gate == FORGET { 1.0 } else { 0.0 }
    }

    fn listed(layer: Recurrent<Self>) -> AnyStep {
        AnyStep::Lstm(layer)
    }

    fn step<D: Backend, T: Tape<f32, D>>(
        CellState { h, c }: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D> {
        let input = reads(INPUT, h.retaped::<T>())?.try_sigmoid()?;
        let forget = reads(FORGET, h.retaped::<T>())?.try_sigmoid()?;
        let output = reads(OUTPUT, h.retaped::<T>())?.try_sigmoid()?;
        let new = reads(CELL, h)?.try_tanh()?;
        let c = forget.try_mul(c)?.try_add(input.try_mul(new)?)?;
        // The tape goes on in h: what is carried as c is the same tensor without it.
        let kept = c.retaped::<T>();
        Ok(CellState { h: output.try_mul(c.try_tanh()?)?, c: kept })
    }

    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        let [input, forget, output, new] = [INPUT, FORGET, OUTPUT, CELL].map(|gate| reads(gate, &carried.h));
        for i in 0..carried.c.len() {
            let [input, forget, output] = [input[i], forget[i], output[i]].map(|x| Activation::Sigmoid.of(x));
            carried.c[i] = forget * carried.c[i] + input * new[i].tanh();
            carried.h[i] = output * carried.c[i].tanh();
        }
    }

    #[inline(always)]
    fn forward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>) {
        let StepBuffers { gates: [input, forget, output, new], before, after, .. } = now;
        weights.add(INPUT, before.h, input);
        weights.add(FORGET, before.h, forget);
        weights.add(OUTPUT, before.h, output);
        weights.add(CELL, before.h, new);
        for u in 0..before.h.len() {
            lanewise();
            let (i, f, o) = (sigmoids(&input[u]), sigmoids(&forget[u]), sigmoids(&output[u]));
            let (candidate, c_before) = (tanhs(&new[u]), before.c[u]);
            let c: Lane = each(|l| f[l] * c_before[l] + i[l] * candidate[l]);
            let tanh_c = tanhs(&c);
            (input[u], forget[u], output[u], new[u], after.c[u]) = (i, f, o, candidate, c);
            after.h[u] = each(|l| o[l] * tanh_c[l]);
        }
    }

    #[inline(always)]
    fn backward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>, grads: CellState<&mut [Lane]>) {
        let StepBuffers { gates: [input, forget, output, new], before, after, .. } = now;
        for u in 0..before.h.len() {
            lanewise();
            let (i, f, o, candidate) = (input[u], forget[u], output[u], new[u]);
            let (tanh_c, grad_h, grad_next, c_before) = (tanhs(&after.c[u]), grads.h[u], grads.c[u], before.c[u]);
            let grad_c: Lane = each(|l| grad_next[l] + grad_h[l] * o[l] * (1.0 - tanh_c[l] * tanh_c[l]));
            output[u] = each(|l| grad_h[l] * tanh_c[l] * o[l] * (1.0 - o[l]));
            forget[u] = each(|l| grad_c[l] * c_before[l] * f[l] * (1.0 - f[l]));
            input[u] = each(|l| grad_c[l] * candidate[l] * i[l] * (1.0 - i[l]));
            new[u] = each(|l| grad_c[l] * i[l] * (1.0 - candidate[l] * candidate[l]));
            grads.c[u] = each(|l| grad_c[l] * f[l]);
            grads.h[u] = ZERO;
        }
        weights.add_back(INPUT, input, grads.h);
        weights.add_back(FORGET, forget, grads.h);
        weights.add_back(OUTPUT, output, grads.h);
        weights.add_back(CELL, new, grads.h);
    }
}
