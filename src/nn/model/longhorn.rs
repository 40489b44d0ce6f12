//! Longhorn: fast weights that each pair moves by an implicit step, which takes the error after the step.
//!
//! | here | paper (2407.14207, equations 4 to 6) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | queries, keys, values and fast weights: see [`super::fast_weights`] | |
//! | `Wβ`, `bβ` | β = softplus(e Wβ + bβ), how much the pair counts against the state | (w, 1), (1, 1) |
//!
//! S_t = argmin ‖S − S_{t−1}‖² + β_t ‖S k_t − v_t‖² = S_{t−1} + β_t/(1 + β_t ‖k_t‖²) (v_t − S_{t−1} k_t) k_tᵀ. It is
//! stable for any β. For k = x, v = y and β = s_w²/σ² the first pair is read as by a Kalman filter, which is ridge
//! regression; later ones are not, because the filter's covariance shrinks and this one stays I. Where β → ∞ it is
//! normalised least mean squares.
//!
//! Deviations: one β a token and not one for each value, and k kᵀ as it is, where the paper's network keeps its
//! diagonal so that all tokens can be scanned at once; β is positive without a bound, where the paper's σ keeps it
//! below 1.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::fast_weights::{FastWeightModel, Gate, GateConfig, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::nn::graph::Sequence;
use crate::nn::step::{Erase, FastWeights, VectorScale};
use crate::nn::weights::weights;
use crate::nn::{Activation, Device};

/// Longhorn in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LonghornSpec {
    /// In the construction β = s_w²/σ².
    pub init: Init,
}

/// β of the construction where there is no noise.
const WITHOUT_NOISE: f64 = 1e6;

weights! {
    /// The network.
    pub struct Longhorn<D>(config: Configured<LonghornSpec>) {
        let Configured { spec: LonghornSpec { init }, setting: Setting { shape, layout, gd_constants } } = config;
        let rate = gd_constants.lambda.recip().min(WITHOUT_NOISE);
        // The inverse of softplus: ln(e^β − 1).
        let bias = match init { Init::Random => 1.0, Init::Constructed => (rate + (-(-rate).exp()).ln_1p()) as f32 };
        let (width, activation) = (layout.width(shape), Activation::Softplus);
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: 1, activation, bias },
        }
    }
}

impl<D: Device> FastWeightModel<D> for Longhorn<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let memory = self.projections.memory(tokens);
        let keys = memory.keys.times_step_size(VectorScale::Implicit, self.rate.of(tokens));
        FastWeights { keys, erase: Erase::AlongKey(memory.keys), ..memory }
    }
}

reads_memory!(Longhorn, LonghornSpec, |self, _shape| 1);
