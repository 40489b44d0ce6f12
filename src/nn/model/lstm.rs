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
//! Deviations: no peepholes, and tanh for both squashings, as is usual since Graves 2013 (1308.0850). bf starts at 1, so
//! that the cell begins by remembering (Gers et al. sec. 4; Jozefowicz et al. 2015).

use dfdx::prelude::{Tape, TryAdd, TryMul};

use super::recurrent::sigmoid;
use crate::lanes::{LANES, Lane, lanewise};
use crate::nn::op::{Carried, Cell, Moment, Past, elementary};
use crate::nn::{Device, Matrix, Outcome};

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

    fn step<D: Device, T: Tape<f32, D>>(
        Carried { h, c }: Carried<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> Outcome<Matrix<D, T>, D>,
    ) -> Outcome<Carried<Matrix<D, T>>, D> {
        let input = reads(INPUT, h.retaped::<T>())?.try_sigmoid()?;
        let forget = reads(FORGET, h.retaped::<T>())?.try_sigmoid()?;
        let output = reads(OUTPUT, h.retaped::<T>())?.try_sigmoid()?;
        let new = reads(CELL, h)?.try_tanh()?;
        let c = forget.try_mul(c)?.try_add(input.try_mul(new)?)?;
        // The tape goes on in h: what is carried as c is the same tensor without it.
        let kept = c.retaped::<T>();
        Ok(Carried { h: output.try_mul(c.try_tanh()?)?, c: kept })
    }

    fn define(carried: &mut Carried<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>) {
        let [input, forget, output, new] = [INPUT, FORGET, OUTPUT, CELL].map(|gate| reads(gate, &carried.h));
        for i in 0..carried.c.len() {
            carried.c[i] = sigmoid(forget[i]) * carried.c[i] + sigmoid(input[i]) * new[i].tanh();
            carried.h[i] = sigmoid(output[i]) * carried.c[i].tanh();
        }
    }

    #[inline(always)]
    fn forward(past: Past<'_>, now: Moment<'_>) {
        let Moment { mut gates, before, after, .. } = now;
        gates.iter_mut().enumerate().for_each(|(gate, sum)| past.add(gate, before.h, sum));
        let [input, forget, output, new] = gates;
        for i in 0..before.h.len() {
            lanewise();
            for l in 0..LANES {
                input[i][l] = elementary::sigmoid(input[i][l]);
                forget[i][l] = elementary::sigmoid(forget[i][l]);
                output[i][l] = elementary::sigmoid(output[i][l]);
                new[i][l] = elementary::tanh(new[i][l]);
                after.c[i][l] = forget[i][l] * before.c[i][l] + input[i][l] * new[i][l];
                after.h[i][l] = output[i][l] * elementary::tanh(after.c[i][l]);
            }
        }
    }

    #[inline(always)]
    fn backward(past: Past<'_>, now: Moment<'_>, by: Carried<&mut [Lane]>) {
        let Moment { mut gates, before, after, .. } = now;
        let [input, forget, output, new] = &mut gates;
        for i in 0..before.h.len() {
            lanewise();
            for l in 0..LANES {
                let [take, keep, show, made] = [&input, &forget, &output, &new].map(|gate| gate[i][l]);
                let (bent, by_h) = (elementary::tanh(after.c[i][l]), by.h[i][l]);
                let by_c = by.c[i][l] + by_h * show * (1.0 - bent * bent);
                output[i][l] = by_h * bent * show * (1.0 - show);
                forget[i][l] = by_c * before.c[i][l] * keep * (1.0 - keep);
                input[i][l] = by_c * made * take * (1.0 - take);
                new[i][l] = by_c * take * (1.0 - made * made);
                by.c[i][l] = by_c * keep;
                by.h[i][l] = 0.0;
            }
        }
        gates.iter().enumerate().for_each(|(gate, slope)| past.add_back(gate, slope, by.h));
    }
}
