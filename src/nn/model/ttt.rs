//! TTT-Linear: a memory that is trained at test time, by gradient steps on blocks of pairs.
//!
//! | here | paper (2407.04620, sections 2.3 and 2.4) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | θ_Q, θ_K, θ_V and W: see [`super::fast_weights`] | |
//! | `Wβ`, `bβ` | η = σ(e Wβ + bβ), the learning rate of a pair | (w, 1), (1, 1) |
//! | `block` b | the mini-batch | |
//!
//! After each block S ← S − Σ η_t (S k_t − v_t) k_tᵀ, with the S from before the block. With b = 1 it is DeltaNet, the
//! least-mean-squares algorithm; with b = N and S = 0 one step of gradient descent on the whole context.
//!
//! Deviations: the inner model is S k, without the layer norm and the residual connection that the paper adds; the step
//! may be divided by ‖k‖² (see [`super::StepSize`]).

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::delta_net::StepSize;
use super::fast_weights::{FastWeightModel, Gate, GateConfig, ProjectionConfig, Projections, reads_memory};
use super::{Configured, Init, Setting};
use crate::bounds;
use crate::nn::graph::Sequence;
use crate::nn::step::FastWeights;
use crate::nn::weights::weights;
use crate::nn::{Activation, Device};

/// TTT-Linear in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TttSpec {
    /// The construction has the step size η/N of gradient descent.
    pub init: Init,
    /// b: pairs of a block.
    #[serde(deserialize_with = "bounds::block")]
    pub block: usize,
    #[serde(default = "plain")]
    pub step: StepSize,
}

fn plain() -> StepSize {
    StepSize::Plain
}

weights! {
    /// The network.
    pub struct Ttt<D>(config: Configured<TttSpec>) {
        let Configured { spec, setting: Setting { shape, layout, gd_constants } } = config;
        let TttSpec { init, block, step } = spec;
        let rate = gd_constants.step_size;
        // The inverse of σ.
        let bias = match init { Init::Random => 0.0, Init::Constructed => (rate / (1.0 - rate)).ln() as f32 };
        let (width, activation) = (layout.width(shape), Activation::Sigmoid);
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: 1, activation, bias },
        }
        constants {
            step: StepSize = step,
            block: usize = block,
        }
    }
}

impl<D: Device> FastWeightModel<D> for Ttt<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let memory = self.step.on(self.projections.memory(tokens), self.rate.of(tokens));
        FastWeights { block: self.block, ..memory }
    }
}

reads_memory!(Ttt, TttSpec, |self, _shape| 1);
