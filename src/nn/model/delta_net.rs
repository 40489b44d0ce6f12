//! DeltaNet: fast weights that each pair corrects by its own error.
//!
//! | here | paper (2102.11174, equations 23 to 25; 2406.06484, section 2) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | queries, keys, values and fast weights: see [`super::fast_weights`] | |
//! | `Wβ`, `bβ` | β = σ(e Wβ + bβ), the step size | (w, 1), (1, 1) |
//!
//! S_t = S_{t−1} + β_t (v_t − S_{t−1} k_t) k_tᵀ: one gradient step on ½ ‖S k_t − v_t‖² for each pair, in order. With
//! constant β and k = x this is the least-mean-squares algorithm of Widrow and Hoff.
//!
//! The papers give keys and queries the length 1 ([`StepSize::UnitKeys`]). Values keep their length, so a regression on
//! them loses the length of x: no rate makes it normalised least mean squares. Deviation, as the default: the step is
//! divided by ‖k‖² instead ([`StepSize::Normalised`]), which is the same where keys have length 1, and with β = 1, k =
//! q = x and v = y it is normalised least mean squares. Another deviation: β has a bias, because it does not depend on
//! the sign of a token in these tasks.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::fast_weights::{FastWeightModel, Gate, GateConfig, OPEN, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::nn::graph::Sequence;
use crate::nn::step::{Erase, FastWeights, VectorScale};
use crate::nn::weights::weights;
use crate::nn::{Activation, Device};

/// DeltaNet in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaNetSpec {
    /// The construction is normalised least mean squares with β = 1.
    pub init: Init,
    #[serde(default)]
    pub step: StepSize,
}

/// What a rate β makes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepSize {
    /// β/‖k‖².
    #[default]
    Normalised,
    /// β, and keys and queries have length 1.
    UnitKeys,
    /// β.
    Plain,
}

impl StepSize {
    /// The memory with such steps.
    pub fn on<'p, D: Device, T: Tape<f32, D>>(
        self,
        memory: FastWeights<Sequence<'p, D, T>>,
        rates: Sequence<'p, D, T>,
    ) -> FastWeights<Sequence<'p, D, T>> {
        let (rule, memory): (fn(_) -> VectorScale, _) = match self {
            Self::Normalised => (VectorScale::Normalised, memory),
            Self::Plain => (VectorScale::Rate, memory),
            Self::UnitKeys => {
                let [keys, query] = [memory.keys, memory.query].map(Sequence::unit_length);
                (VectorScale::Rate, FastWeights { keys, query, ..memory })
            }
        };
        FastWeights { keys: memory.keys.times_step_size(rule, rates), erase: Erase::AlongKey(memory.keys), ..memory }
    }
}

weights! {
    /// The network.
    pub struct DeltaNet<D>(config: Configured<DeltaNetSpec>) {
        let Configured { spec: DeltaNetSpec { init, step }, setting: Setting { shape, layout, .. } } = config;
        let bias = match init { Init::Random => 0.0, Init::Constructed => OPEN };
        let (width, activation) = (layout.width(shape), Activation::Sigmoid);
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: 1, activation, bias },
        }
        constants { step: StepSize = step, }
    }
}

impl<D: Device> FastWeightModel<D> for DeltaNet<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        self.step.on(self.projections.memory(tokens), self.rate.of(tokens))
    }
}

reads_memory!(DeltaNet, DeltaNetSpec, |self, _shape| 1);
