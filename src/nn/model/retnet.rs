//! RetNet and gated linear attention: a sum of v kᵀ whose old terms fade.
//!
//! | here | paper (2307.08621, equation 3; GLA: 2312.06635, equation 3) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | Q, K, V and S: see [`super::fast_weights`] | |
//! | `decay` α | γ, a constant; in GLA σ(e Wα + bα), one for each column | (w, d), (1, d) |
//!
//! S_t = S_{t−1} diag(α_t) + v_t k_tᵀ: Hebb's rule with forgetting. With k = x and v = (η/N) y it is one step of
//! gradient descent in which a pair counts α times less for each later one.
//!
//! Deviations: no rotation of keys and queries by their position and no group norm; GLA's σ without its root of order
//! 16, for which a larger initial bias stands.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::fast_weights::{FastWeightModel, Gate, GateConfig, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::bounds;
use crate::nn::graph::Sequence;
use crate::nn::step::{Decay, FastWeights};
use crate::nn::weights::weights;
use crate::nn::{Activation, Device};
use crate::task::Shape;

/// RetNet in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetNetSpec {
    /// The construction is a step of gradient descent.
    pub init: Init,
    pub decay: Retention,
}

/// How much of the state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Retention {
    /// α, the same for all tokens: RetNet.
    Fixed(#[serde(deserialize_with = "bounds::modulus")] f64),
    /// By a gate for each column: gated linear attention.
    Gated,
}

impl RetNetSpec {
    /// How many gates a token has.
    pub fn gates(&self, shape: Shape) -> usize {
        match self.decay {
            Retention::Fixed(_) => 0,
            Retention::Gated => shape.dim,
        }
    }
}

/// The initial bias of the gates.
const BIAS: f32 = 3.0;

weights! {
    /// The network.
    pub struct RetNet<D>(config: Configured<RetNetSpec>) {
        let Configured { spec, setting: Setting { shape, layout, gd_constants } } = config;
        let projections = ProjectionConfig { value: gd_constants.step_size, ..ProjectionConfig::new(spec.init, shape) };
        let (width, gates, activation) = (layout.width(shape), spec.gates(shape), Activation::Sigmoid);
        let gate = GateConfig { symbol: "α", width, gates, activation, bias: BIAS };
        weights {
            projections: Projections<D> = projections,
            gate: Option<Gate<D>> = (gates > 0).then_some(gate),
        }
        constants {
            kept: f32 = match spec.decay { Retention::Fixed(kept) => kept as f32, Retention::Gated => 1.0 },
        }
    }
}

impl<D: Device> FastWeightModel<D> for RetNet<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let decay = match &self.gate {
            Some(gate) => Decay::Sequence(gate.of(tokens)),
            None => Decay::Constant(self.kept),
        };
        FastWeights { decay, ..self.projections.memory(tokens) }
    }
}

reads_memory!(RetNet, RetNetSpec, |self, shape| self.gates(shape));
