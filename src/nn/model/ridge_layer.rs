//! The optimisation layer: a ridge regression solved inside the network, with a learnt λ.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | X, Y | the context, one pair per row | (N, d), (N, d_out) |
//! | `l` | λ = exp(l) + 10⁻⁶, so that λ stays positive | (1, 1) |
//! | A = XᵀX + λI | the Hessian of the ridge objective | (d, d) |
//! | W = YᵀX A⁻¹ | the minimiser of ½ Σ‖W x_i − y_i‖² + ½ λ‖W‖² | (d_out, d) |
//!
//! ŷ = W x_q = Yᵀ X z with A z = x_q. Sources: Amos & Kolter 2017 (1703.00443), a layer whose output is the solution of
//! an optimisation problem; Bertinetto et al. 2018 (1805.08136), ridge regression as such a layer, with learnt λ.
//!
//! Deviations: no embedding before the solver, so that λ is the only parameter and can be compared with its Bayes value
//! σ²/s_w². The floor of 10⁻⁶ keeps A invertible where N < d.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::canonical::Canonical;
use super::{Architecture, Configured, GdConstants, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::constant;
use crate::nn::step::lambda;
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// The optimisation layer in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeLayerSpec {
    /// The initial λ.
    #[serde(deserialize_with = "bounds::scale")]
    pub lambda: f64,
}

impl Architecture for RidgeLayerSpec {
    type Net<D: Device> = RidgeLayer<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Joined;
        ensure!(fits, "layout: RidgeLayer reads pairs [x; y], so it needs Joined, not {layout:?}");
        Ok(())
    }

    /// Slices and copies of the tokens, and four matrices (d, d).
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        6 * (layout.tokens(shape) * layout.width(shape)) as u128 + 4 * (shape.dim as u128).pow(2)
    }

    /// Without a pair there is nothing to solve.
    fn reads(&self, pairs: usize, _context: usize) -> bool {
        pairs > 0
    }

    /// None: λ stands within an inverse.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        Vec::new()
    }

    /// A pair adds x xᵀ and y xᵀ to two sums; the answer takes a Gaussian elimination.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let (d, outputs) = (shape.dim, shape.outputs);
        let sums = matvec(d, d + outputs);
        let solve = 2 * d * d * d / 3 + matvec(d, d) + matvec(d, outputs);
        Costs {
            step: Some(Cost::new(d * (d + outputs), sums + solve)),
            whole: Some(Cost::new(tokens * layout.width(shape), sums + solve / tokens.max(1))),
        }
    }
}

weights! {
    /// The network.
    pub struct RidgeLayer<D>(config: Configured<RidgeLayerSpec>) {
        let Configured { spec: RidgeLayerSpec { lambda }, setting: Setting { shape, .. } } = config;
        weights {
            log: Param<D> = weight("l", (1, 1), constant(lambda.ln() as f32)),
        }
        constants {
            dim: usize = shape.dim,
            outputs: usize = shape.outputs,
        }
    }
}

impl<D: Device> RidgeLayer<D> {
    /// λ as a number.
    fn lambda(&self) -> f32 {
        self.log.value.as_vec().into_iter().map(lambda).sum()
    }

    /// The definition: W after the first t pairs of one sequence, t = 1 … N, each (d_out, d).
    fn define(&self, sequence: &[f32], lambda: f32) -> Vec<Vec<f32>> {
        let (d, width) = (self.dim, self.dim + self.outputs);
        let row = |part: &[f32]| DMatrix::from_row_iterator(1, part.len(), part.iter().map(|x| f64::from(*x)));
        let pairs = sequence.chunks(width).take(sequence.len() / width - 1);
        let pairs = pairs.map(|pair| [&pair[..d], &pair[d..]].map(row));
        solutions(&(DMatrix::identity(d, d) * f64::from(lambda)), self.outputs, pairs)
    }
}

/// (P + Σ kᵀ k)⁻¹ Σ kᵀ v after each pair of a key and a value, rows of n and m numbers; transposed, so (m, n).
pub(super) fn solutions(
    penalty: &DMatrix<f64>,
    outputs: usize,
    pairs: impl Iterator<Item = [DMatrix<f64>; 2]>,
) -> Vec<Vec<f32>> {
    let (mut curvature, mut moment) = (penalty.clone(), DMatrix::zeros(penalty.nrows(), outputs));
    let after = |[key, value]: [DMatrix<f64>; 2]| {
        curvature += key.transpose() * &key;
        moment += key.transpose() * value;
        let solution = curvature.clone().lu().solve(&moment).unwrap_or_else(|| moment.clone());
        // nalgebra's order is column by column.
        solution.iter().map(|entry| *entry as f32).collect()
    };
    pairs.map(after).collect()
}

impl<D: Device> Net<D> for RidgeLayer<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        tokens.ridge(self.log.taped(), self.dim)
    }

    /// W after each pair.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let lambda = self.lambda();
        let sequences: Vec<_> =
            tokens.as_vec().chunks(length * width).map(|sequence| self.define(sequence, lambda)).collect();
        let time_steps = StateAt::of_histories(&sequences, |t| t + 1, <[f32]>::to_vec);
        vec![LayerStates::of_maps("solution W", (self.outputs, self.dim), time_steps)]
    }

    /// λ itself; it has no symmetries.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        vec![Canonical::new("λ", 1, vec![self.lambda()], vec![gd_constants.lambda as f32])]
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec};

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_answer_is_the_last_solution_times_the_query() {
        let (device, shape) = (Cpu::default(), Shape { dim: 3, outputs: 2, context: 5 });
        let net = build(&RidgeLayerSpec { lambda: 0.1 }, shape, Layout::Joined);
        let tokens = Random::new(9).tensor3(&device, (1, 6, 5));
        let numbers = tokens.as_vec();
        let last = net.states(&tokens).remove(0).time_steps.pop().unwrap().values;
        let expected: Vec<f32> =
            last.chunks(3).map(|row| row.iter().zip(&numbers[25..]).map(|(w, x)| w * x).sum()).collect();
        let answer = answers(&net, tokens);
        assert_close(&answer, &expected, 1e-5);
    }

    #[test]
    fn one_pair_with_d_1_equals_the_closed_form() {
        // w = x y / (x² + λ).
        let (device, shape) = (Cpu::default(), Shape { dim: 1, outputs: 1, context: 1 });
        let net = build(&RidgeLayerSpec { lambda: 0.5 }, shape, Layout::Joined);
        let tokens: Tensor3<Cpu> = device.tensor_from_vec(vec![2.0, 3.0, 7.0, 0.0], (1, 2, 2));
        let answer = answers(&net, tokens);
        assert_close(&answer, &[7.0 * 6.0 / 4.5], 1e-5);
    }
}
