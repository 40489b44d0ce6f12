//! mLSTM of xLSTM: a matrix memory with an input gate, a forget gate and a normaliser.
//!
//! | here | paper (2405.04517, equations 19 to 27) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | q, k, v and C: see [`super::fast_weights`] | |
//! | `Wi`, `bi` | i = softplus(e Wi + bi), how strongly a pair is written | (w, 1), (1, 1) |
//! | `Wf`, `bf` | f = σ(e Wf + bf), how much is kept | (w, 1), (1, 1) |
//! | n | the normaliser, n_t = f_t n_{t−1} + i_t k_t | (d) |
//!
//! S_t = f_t S_{t−1} + i_t v_t k_tᵀ, ŷ = S q / max(|n·q|, 1): one step of gradient descent where |n·q| < 1, else an
//! average of the values. In the construction k = 2⁻¹⁰ x and v = 2¹⁰ (η/N) y: the factor is not in v kᵀ and keeps
//! |n·q| below 1 where N ‖x‖² is below 2¹⁰, so that the model is one step of gradient descent.
//!
//! Deviations: i = softplus(u) where the paper has exp(u), which needs a running maximum to stay finite; f = σ(u), one
//! of the paper's two choices; no output gate.

use anyhow::Result;
use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::fast_weights::{self, FastWeightModel, Gate, GateConfig, OPEN, ProjectionConfig, Projections};
use super::{Architecture, Configured, Init, LinearBlock, Setting};
use crate::nn::graph::Sequence;
use crate::nn::step::{Decay, FastWeights, VectorScale};
use crate::nn::weights::weights;
use crate::nn::{Activation, Costs, Device, LayerStates, Net, Tensor3};
use crate::task::{Layout, Shape};

/// mLSTM in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MLstmSpec {
    /// The construction is a step of gradient descent.
    pub init: Init,
}

/// k = `KEY` x in the construction: a power of two, which rounds nothing.
const KEY: f64 = 1.0 / 1024.0;

/// The initial bias of the forget gate.
const BIAS: f32 = 3.0;

impl Architecture for MLstmSpec {
    type Net<D: Device> = MLstm<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        fast_weights::check("MLstm", layout)
    }

    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        fast_weights::activations(shape, layout, 2)
    }

    /// Wv. The normaliser has the query, and so Wq, in its denominator.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wv"])]
    }

    fn costs(&self, shape: Shape, _layout: Layout, tokens: usize) -> Costs {
        fast_weights::costs(shape, tokens, 2)
    }
}

weights! {
    /// The network.
    pub struct MLstm<D>(config: Configured<MLstmSpec>) {
        let Configured { spec: MLstmSpec { init }, setting: Setting { shape, layout, gd_constants } } = config;
        let value = gd_constants.step_size / KEY;
        let projections = ProjectionConfig { key: KEY, value, ..ProjectionConfig::new(init, shape) };
        let width = layout.width(shape);
        // softplus(0.541) = 1.
        let (input, forget) = match init { Init::Random => (0.541, BIAS), Init::Constructed => (0.541_324_85, OPEN) };
        let gate = |symbol, activation, bias| GateConfig { symbol, width, gates: 1, activation, bias };
        weights {
            projections: Projections<D> = projections,
            input: Gate<D> = gate("i", Activation::Softplus, input),
            forget: Gate<D> = gate("f", Activation::Sigmoid, forget),
        }
    }
}

impl<D: Device> FastWeightModel<D> for MLstm<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let memory = self.projections.memory(tokens);
        let keys = memory.keys.times_step_size(VectorScale::Rate, self.input.of(tokens));
        FastWeights { keys, decay: Decay::Sequence(self.forget.of(tokens)), ..memory }
    }
}

impl<D: Device> Net<D> for MLstm<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let memory = self.memory(tokens);
        let normaliser = FastWeights { values: None, ..memory }.read();
        memory.read().times_step_size(VectorScale::Normaliser, normaliser)
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        self.fast_weights(tokens)
    }
}
