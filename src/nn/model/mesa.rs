//! The mesa layer: fast weights that solve ridge regression on all pairs so far, by conjugate gradients.
//!
//! | here | paper (2309.05858, section 4; MesaNet 2506.05233, section 3) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv` | queries, keys and values: see [`super::fast_weights`] | |
//! | `l` | Λ = diag(exp(l) + 10⁻⁶), the penalty | (1, d) |
//! | `steps` | iterations of conjugate gradients | |
//!
//! ŷ = G (H + Λ)⁻¹ q with G = Σ v kᵀ and H = Σ k kᵀ. After d iterations the solution is exact, and with k = q = x, v =
//! y and Λ = σ²/s_w² I the answer is ridge regression after every pair; after one it is a gradient step of the best
//! length.
//!
//! Deviations: no gates β and γ, because pairs count alike; iterations begin at zero and not at Λ⁻¹ q.

use anyhow::Result;
use dfdx::prelude::{HasShape, Tape};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::fast_weights::{self, ProjectionConfig, Projections};
use super::ridge_layer::solutions;
use super::{Architecture, Configured, Init, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::constant;
use crate::nn::step::lambda;
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, Param, Tensor3};
use crate::task::{Layout, Shape};

/// The mesa layer in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MesaSpec {
    /// The construction is ridge regression, given enough steps.
    pub init: Init,
    /// Iterations of conjugate gradients.
    #[serde(deserialize_with = "bounds::layers")]
    pub steps: usize,
}

/// Λ of the construction where there is no noise, and of a random start.
const PENALTIES: [f64; 2] = [1e-6, 1.0];

impl Architecture for MesaSpec {
    type Net<D: Device> = Mesa<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        fast_weights::check("Mesa", layout)
    }

    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        fast_weights::activations(shape, layout, 2) + (4 * self.steps * shape.dim) as u128
    }

    /// Wv. The iterations of the solution need not be linear in the query.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wv"])]
    }

    /// A pair adds k kᵀ and v kᵀ to two sums; an iteration is a product with H. All at once H is a product with all
    /// keys.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let (d, outputs, w) = (shape.dim, shape.outputs, layout.width(shape));
        let token = matvec(w, 2 * d + outputs) + matvec(d, d + outputs);
        let solve = self.steps * (matvec(d, d) + 10 * d) + matvec(d, outputs);
        let whole = matvec(w, 2 * d + outputs) + self.steps * (2 * matvec(d, 1) + 10 * d / tokens.max(1));
        Costs {
            step: Some(Cost::new(d * (d + outputs), token + solve)),
            whole: Some(Cost::new(tokens * w, whole + matvec(d + outputs, 1))),
        }
    }
}

weights! {
    /// The network.
    pub struct Mesa<D>(config: Configured<MesaSpec>) {
        let Configured { spec: MesaSpec { init, steps }, setting: Setting { shape, gd_constants, .. } } = config;
        let [least, random] = PENALTIES;
        let penalty = match init { Init::Random => random, Init::Constructed => gd_constants.lambda.max(least) };
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            log: Param<D> = weight("l", (1, shape.dim), constant(penalty.ln() as f32)),
        }
        constants { steps: usize = steps, }
    }
}

impl<D: Device> Net<D> for Mesa<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let Projections { wq, wk, wv, .. } = &self.projections;
        let pairs = [wk, wv].map(|weight| tokens.project(weight.taped()));
        tokens.last(1).project(wq.taped()).solve(pairs, self.log.taped(), self.steps)
    }

    /// G (H + Λ)⁻¹ after each pair, solved exactly, whatever `steps` is.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (batch, length, width) = *tokens.shape();
        let penalty = self.log.value.as_vec().into_iter().map(lambda);
        let penalty =
            DMatrix::from_diagonal(&DVector::from_iterator(self.projections.shape.dim, penalty.map(f64::from)));
        let matrix = |weight: &Param<D>| {
            let (rows, columns) = *weight.value.shape();
            DMatrix::from_row_iterator(rows, columns, weight.value.as_vec().into_iter().map(f64::from))
        };
        let [wk, wv] = [&self.projections.wk, &self.projections.wv].map(matrix);
        let numbers = tokens.as_vec();
        let states = |sequence: &[f32]| {
            let pair = |token: &[f32]| {
                let token = DMatrix::from_row_iterator(1, width, token.iter().map(|x| f64::from(*x)));
                [&wk, &wv].map(|weight| &token * weight)
            };
            solutions(&penalty, wv.ncols(), sequence.chunks(width).take(length - 1).map(pair))
        };
        let histories: Vec<Vec<Vec<f32>>> = (0..batch).map(|b| states(&numbers[b * length * width..])).collect();
        self.projections.layer(&histories, length - 1)
    }
}
