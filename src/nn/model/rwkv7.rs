//! RWKV-7: fast weights with a decay and a step size for each channel.
//!
//! | here | paper (2503.14456, equations 2 to 19) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | receptance r, key k, value v and the state: see [`super::fast_weights`] | |
//! | `Ww`, `bw` | w = σ(e Ww + bw), what is kept of each column | (w, d), (1, d) |
//! | `Wa`, `ba` | a = σ(e Wa + ba), the in-context learning rate | (w, d), (1, d) |
//! | `ξ`, `ρ` | the removal key κ = k ⊙ ξ with length 1, and how far a scales the replacement key | (1, d) |
//!
//! k̃ = k ⊙ (1 + (a − 1) ⊙ ρ); S_t = S_{t−1} (diag(w_t) − κ̂_t (a_t ⊙ κ̂_t)ᵀ) + v_t k̃_tᵀ. With w = a = 1 and keys of
//! length 1 it is DeltaNet with β = 1. For keys of any length that is S + (‖k‖ v − S κ̂) κ̂ᵀ, normalised least mean
//! squares on the pairs (κ̂, ‖k‖ v): the construction, with k = q = x and v = y. Where all x have length 1 it is
//! normalised least mean squares on the pairs themselves; else no weights make it so, because what is removed does not
//! know ‖k‖, and what is written has it as a factor.
//!
//! Deviations: w = σ(u) where the paper's exp(−e^−½ σ(u)) stays above 0.545; gates are one affine map and not two of
//! low rank; no token shift, no bonus term and no residual of the values of the first layer.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::fast_weights::{FastWeightModel, Gate, GateConfig, OPEN, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::nn::graph::Sequence;
use crate::nn::layer::init::constant;
use crate::nn::step::{Decay, Erase, FastWeights};
use crate::nn::weights::{weight, weights};
use crate::nn::{Activation, Device, Param};

/// RWKV-7 in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rwkv7Spec {
    /// The construction is normalised least mean squares on inputs of length 1.
    pub init: Init,
}

/// The initial biases of w and a.
const BIASES: [f32; 2] = [3.0, 0.0];

weights! {
    /// The network.
    pub struct Rwkv7<D>(config: Configured<Rwkv7Spec>) {
        let Configured { spec: Rwkv7Spec { init }, setting: Setting { shape, layout, .. } } = config;
        let (width, gates, activation) = (layout.width(shape), shape.dim, Activation::Sigmoid);
        let [keep, rate] = match init { Init::Random => BIASES, Init::Constructed => [OPEN; 2] };
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            keep: Gate<D> = GateConfig { symbol: "w", width, gates, activation, bias: keep },
            rate: Gate<D> = GateConfig { symbol: "a", width, gates, activation, bias: rate },
            removal: Param<D> = weight("ξ", (1, gates), constant(1.0)),
            replacement: Param<D> = weight("ρ", (1, gates), constant(1.0)),
        }
    }
}

impl<D: Device> FastWeightModel<D> for Rwkv7<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let memory = self.projections.memory(tokens);
        let (keys, rate) = (memory.keys, self.rate.of(tokens));
        let removal = keys.times_row(self.removal.taped()).unit_length();
        let change = keys.times(rate).minus(keys).times_row(self.replacement.taped());
        FastWeights {
            keys: keys.plus(change),
            erase: Erase::Along { e: removal, b: removal.times(rate) },
            decay: Decay::Sequence(self.keep.of(tokens)),
            ..memory
        }
    }
}

reads_memory!(Rwkv7, Rwkv7Spec, |self, shape| 2 * shape.dim);
