//! A diagonal state-space model of tokens that contain products of x and y: the first version of the GD-SSM.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | u_t = [y_t x_tᵀ; x_{t+1}] | token, the product row by row; the last holds x_q | (w), w = n + d |
//! | `decay` Λ | diagonal of the recurrence | (1, n), n = d_out · d |
//! | `write` B | input matrix | (w, n) |
//! | `read` C | output matrix, whose result is read as (d_out, d) | (n, n) |
//! | `pick` D | projection of the last token to a query | (w, d) |
//!
//! s_t = Λ ⊙ s_{t−1} + u_t B and ŷ_o = Σ_j (s_N C)_{o,j} (u_N D)_j. The input is linear in the token, which already
//! contains y xᵀ; only the readout multiplies. With Λ = 1, B = [I; 0], C = (η/N) I and D = [0; I] the state is Σ y xᵀ
//! and ŷ is one step of gradient descent. Source: arXiv 2410.11687, version 1, section 3.
//!
//! Deviations: Λ is an unconstrained real row, where the paper's code has exp(Δ·(−½)), as in [`super::gd_ssm`]; there
//! the readout is an attention among the rows of one token, here the equivalent bilinear form. The paper has d_out = 1.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::canonical::Canonical;
use super::{Architecture, Configured, GdConstants, Init, LinearBlock, Setting};
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{constant, normal, shifted_diagonal, shifted_diagonal_values, uniform};
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// The model in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductSsmSpec {
    pub init: Init,
}

impl Architecture for ProductSsmSpec {
    type Net<D: Device> = ProductSsm<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Product;
        ensure!(fits, "layout: ProductSsm reads [y xᵀ; x] of a pair and the next, so it needs Product, not {layout:?}");
        Ok(())
    }

    /// u B of each token, weighted, and the readout.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let n = (shape.outputs * shape.dim) as u128;
        4 * n * layout.tokens(shape) as u128 + 4 * n
    }

    /// B and D. The answer is linear in C as well, but any product B C can be reached by B alone.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        let factor = |weight: &str| LinearBlock::Factor { weight: weight.to_owned(), scale: "C".to_owned() };
        vec![factor("B"), factor("D")]
    }

    /// u B and Λ ⊙ s; for the answer s C, u D and their product.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let (n, width) = (shape.outputs * shape.dim, layout.width(shape));
        let flops = matvec(width, n) + 2 * n + matvec(n, n) + matvec(width, shape.dim) + 2 * n;
        Costs::scan(Cost::new(n, flops), (n, false), tokens)
    }
}

/// row (n) · matrix (n, columns), row-major: (columns).
fn product(row: &[f32], matrix: &[f32], columns: usize) -> Vec<f32> {
    let mut sum = vec![0.0; columns];
    for (r, entries) in row.iter().zip(matrix.chunks(columns)) {
        sum.iter_mut().zip(entries).for_each(|(s, entry)| *s += r * entry);
    }
    sum
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

weights! {
    /// The network.
    pub struct ProductSsm<D>(config: Configured<ProductSsmSpec>) {
        let Configured { spec: ProductSsmSpec { init }, setting: Setting { shape, layout, gd_constants } } = config;
        let (d, n, w) = (shape.dim, shape.outputs * shape.dim, layout.width(shape));
        let std = (1.0 / w as f32).sqrt();
        weights {
            // Symbol, shape, random start, construction.
            decay: Param<D> = weight("Λ", (1, n), init.start(uniform(0.8, 1.0), constant(1.0))),
            write: Param<D> = weight("B", (w, n), init.start(normal(std), shifted_diagonal(0, 1.0))),
            read: Param<D> = weight("C", (n, n), init.start(
                normal(0.1 / n as f32),
                shifted_diagonal(0, gd_constants.step_size),
            )),
            pick: Param<D> = weight("D", (w, d), init.start(normal(std), shifted_diagonal(n, 1.0))),
        }
        constants { shape: Shape = shape, }
    }
}

impl<D: Device> ProductSsm<D> {
    /// The definition: s after each token of one sequence, each (n).
    fn define(&self, sequence: &[f32], width: usize) -> Vec<Vec<f32>> {
        let (decay, write) = (self.decay.value.as_vec(), self.write.value.as_vec());
        let mut state = vec![0.0; decay.len()];
        let after = |token: &[f32]| {
            for (j, (s, k)) in state.iter_mut().zip(&decay).enumerate() {
                *s = k * *s + token.iter().enumerate().map(|(i, u)| u * write[i * decay.len() + j]).sum::<f32>();
            }
            state.clone()
        };
        sequence.chunks(width).map(after).collect()
    }
}

impl<D: Device> Net<D> for ProductSsm<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let state = tokens.project(self.write.taped()).decay_scan(self.decay.taped()); // s_N
        let query = tokens.last(1).project(self.pick.taped());
        state.project(self.read.taped()).times_vector(query)
    }

    /// s after each token, and the weights that it implies for a query, from C and the rows of D for x.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let Shape { dim, outputs, .. } = self.shape;
        let (read, pick) = (self.read.value.as_vec(), self.pick.value.as_vec());
        let implied = |state: &[f32]| -> Vec<f32> {
            let map = product(state, &read, outputs * dim);
            let of_input = &pick[outputs * dim * dim..];
            map.chunks(dim).flat_map(|row| of_input.chunks(dim).map(|query| dot(row, query))).collect()
        };
        let (_, length, width) = *tokens.shape();
        let sequences: Vec<_> =
            tokens.as_vec().chunks(length * width).map(|sequence| self.define(sequence, width)).collect();
        let time_steps = StateAt::of_histories(&sequences, |t| t + 1, implied);
        vec![LayerStates::of_maps("state s", (outputs, dim), time_steps)]
    }

    /// With Λ = 1 the basis of the state can be changed together with B and C, and the columns of C together with those
    /// of D. Only the product B C Dᵀ of each output determines the model: a bilinear form of a token and the last one.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        let [decay, write, read, pick] = [&self.decay, &self.write, &self.read, &self.pick].map(|p| p.value.as_vec());
        let (states, dim) = (decay.len(), self.shape.dim);
        let whole = |write: &[f32], read: &[f32], pick: &[f32]| -> Vec<f32> {
            let maps: Vec<f32> = write.chunks(states).flat_map(|row| product(row, read, states)).collect();
            maps.chunks(dim).flat_map(|row| pick.chunks(dim).map(|query| dot(row, query))).collect()
        };
        let width = pick.len() / dim;
        let constructed = [
            shifted_diagonal_values((width, states), 0, 1.0),
            shifted_diagonal_values((states, states), 0, gd_constants.step_size),
            shifted_diagonal_values((width, dim), states, 1.0),
        ];
        let [write_there, read_there, pick_there] = constructed;
        let constructed = whole(&write_there, &read_there, &pick_there);
        vec![
            Canonical::new("Λ", states, decay, vec![1.0; states]),
            Canonical::new("B C Dᵀ", width, whole(&write, &read, &pick), constructed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_forward_pass_equals_the_recurrence() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 2, context: 5 });
        let spec = ProductSsmSpec { init: Init::Random };
        let net = build(&spec, shape, Layout::Product);
        let tokens = Random::new(9).tensor3(&device, (1, 5, 6));
        let sequence = tokens.as_vec();
        let state = net.define(&sequence, 6).pop().unwrap();
        let map = product(&state, &net.read.value.as_vec(), 4);
        let query = product(&sequence[24..], &net.pick.value.as_vec(), 2);
        let expected: Vec<f32> = map.chunks(2).map(|row| dot(row, &query)).collect();
        assert_close(&answers(&net, tokens), &expected, 1e-5);
    }
}
