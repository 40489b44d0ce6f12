//! Gated DeltaNet and KDA: fast weights that fade, and that each pair corrects by its own error.
//!
//! | here | paper (2412.06464, equation 10; KDA: 2510.26692, equation 1) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | queries, keys, values and fast weights: see [`super::fast_weights`] | |
//! | `Wβ`, `bβ` | β = σ(e Wβ + bβ), the step size | (w, 1), (1, 1) |
//! | `Wα`, `bα` | α = σ(e Wα + bα), what is kept of S; in KDA one number for each column | (w, 1 or d), (1, 1 or d) |
//!
//! S_t = S_{t−1} diag(α_t) (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ. With constant α and β and k = x this is the leaky
//! least-mean-squares algorithm, which follows weights that drift.
//!
//! The step is as in [`super::delta_net`]. Deviation: the papers' α = exp(−A softplus(u)) has a factor A for each head,
//! which one head does not need; with A = 1 it is σ(−u).

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::delta_net::StepSize;
use super::fast_weights::{FastWeightModel, Gate, GateConfig, OPEN, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::nn::graph::Sequence;
use crate::nn::step::{Decay, Erase, FastWeights, VectorScale};
use crate::nn::weights::weights;
use crate::nn::{Activation, Device};
use crate::task::Shape;

/// Gated DeltaNet in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatedDeltaNetSpec {
    /// The construction is normalised least mean squares with β = 1, and α = 1.
    pub init: Init,
    #[serde(default)]
    pub step: StepSize,
    /// Whether each column of the state has an α of its own, as in KDA (Kimi Delta Attention).
    #[serde(default)]
    pub channel_wise: bool,
}

impl GatedDeltaNetSpec {
    /// How many α a token has.
    pub fn decays(&self, shape: Shape) -> usize {
        if self.channel_wise { shape.dim } else { 1 }
    }
}

/// The initial bias of α: at first a pair loses a twentieth of its weight for each later one.
const BIAS: f32 = 3.0;

weights! {
    /// The network.
    pub struct GatedDeltaNet<D>(config: Configured<GatedDeltaNetSpec>) {
        let Configured { spec, setting: Setting { shape, layout, .. } } = config;
        let GatedDeltaNetSpec { init, step, .. } = spec;
        let [rate_bias, decay_bias] = match init { Init::Random => [0.0, BIAS], Init::Constructed => [OPEN; 2] };
        let (width, gates, activation) = (layout.width(shape), spec.decays(shape), Activation::Sigmoid);
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: 1, activation, bias: rate_bias },
            decay: Gate<D> = GateConfig { symbol: "α", width, gates, activation, bias: decay_bias },
        }
        constants { step: StepSize = step, }
    }
}

impl<D: Device> FastWeightModel<D> for GatedDeltaNet<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let decay = self.decay.of(tokens);
        let memory = self.step.on(self.projections.memory(tokens), self.rate.of(tokens));
        let memory = FastWeights { decay: Decay::Sequence(decay), ..memory };
        let Erase::AlongKey(keys) = memory.erase else { return memory };
        // S diag(α) k: what is taken away is read after the state has faded.
        let faded = match decay.width() {
            1 => keys.times_step_size(VectorScale::Rate, decay),
            _ => keys.times(decay),
        };
        FastWeights { erase: Erase::AlongKey(faded), ..memory }
    }
}

reads_memory!(GatedDeltaNet, GatedDeltaNetSpec, |self, shape| 1 + self.decays(shape));
