//! The memory of Titans: fast weights that each pair corrects by its own error, with momentum.
//!
//! | here | paper (2501.00663, section 3.1) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | queries, keys, values and the memory ℳ: see [`super::fast_weights`] | |
//! | M | the surprise S: the sum of past changes | (d_out, d) |
//! | `Wβ`, `bβ` | θ = σ(e Wβ + bβ), the step size | (w, 1), (1, 1) |
//! | `Wμ`, `bμ` | η = σ(e Wμ + bμ), the momentum | (w, 1), (1, 1) |
//! | `Wα`, `bα` | 1 − α = σ(e Wα + bα), how much is kept | (w, 1), (1, 1) |
//!
//! M_t = μ_t M_{t−1} + β_t (v_t − S_{t−1} k_t) k_tᵀ, S_t = α_t S_{t−1} + M_t. With constant gates, α = 1 and k = x this
//! is the least-mean-squares algorithm with a heavy ball; with μ = 0 it is DeltaNet, and Gated DeltaNet but for the
//! order in which S fades and is read.
//!
//! Deviations: the memory is linear, the simplest of the paper's, and not a perceptron; there is no attention beside it
//! and no persistent memory; the step is as in [`super::delta_net`]. Errors are those of the S before each pair, as for
//! blocks of one token in the paper's section 3.2.

use anyhow::Result;
use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::delta_net::StepSize;
use super::fast_weights::{self, FastWeightModel, Gate, GateConfig, OPEN, ProjectionConfig, Projections, reads_memory};
use super::{Architecture, Configured, Init, LinearBlock, Setting};
use crate::bounds;
use crate::nn::graph::Sequence;
use crate::nn::step::{Decay, FastWeights};
use crate::nn::weights::weights;
use crate::nn::{Activation, Cost, Costs, Device};
use crate::task::{Layout, Shape};

/// Titans in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TitansSpec {
    /// The construction is normalised least mean squares with a heavy ball and β = 1.
    pub init: Init,
    #[serde(default)]
    pub step: StepSize,
    /// μ at the start.
    #[serde(deserialize_with = "bounds::fraction")]
    pub momentum: f64,
}

/// The initial bias of α.
const BIAS: f32 = 3.0;

/// Gates of a token: β, μ and α.
const GATES: usize = 3;

impl Architecture for TitansSpec {
    type Net<D: Device> = Titans<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        fast_weights::check("Titans", layout)
    }

    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        fast_weights::activations(shape, layout, GATES) + (layout.tokens(shape) * shape.dim) as u128
    }

    fn linear_blocks(&self) -> Vec<LinearBlock> {
        fast_weights::linear_blocks()
    }

    /// Besides S a step keeps M, scales it and adds it to S; all at once it does so with g besides q ([`FastWeights`]).
    fn costs(&self, shape: Shape, _layout: Layout, tokens: usize) -> Costs {
        let costs = fast_weights::costs(shape, tokens, GATES);
        let more = |cost: Cost, numbers: usize| {
            let Cost { kept, flops } = Cost::new(numbers, 2 * numbers);
            Cost { kept: cost.kept + kept, flops: cost.flops + flops }
        };
        Costs {
            step: costs.step.map(|cost| more(cost, shape.dim * shape.outputs)),
            whole: costs.whole.map(|cost| more(cost, shape.dim)),
        }
    }
}

weights! {
    /// The network.
    pub struct Titans<D>(config: Configured<TitansSpec>) {
        let Configured { spec: TitansSpec { init, step, momentum }, setting: Setting { shape, layout, .. } } = config;
        let [rate, keep] = match init { Init::Random => [0.0, BIAS], Init::Constructed => [OPEN; 2] };
        // The inverse of σ.
        let bias = (momentum / (1.0 - momentum)).ln().clamp(-f64::from(OPEN), f64::from(OPEN)) as f32;
        let (width, activation) = (layout.width(shape), Activation::Sigmoid);
        weights {
            projections: Projections<D> = ProjectionConfig::new(init, shape),
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: 1, activation, bias: rate },
            momentum: Gate<D> = GateConfig { symbol: "μ", width, gates: 1, activation, bias },
            keep: Gate<D> = GateConfig { symbol: "α", width, gates: 1, activation, bias: keep },
        }
        constants { step: StepSize = step, }
    }
}

impl<D: Device> FastWeightModel<D> for Titans<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let memory = self.step.on(self.projections.memory(tokens), self.rate.of(tokens));
        let (momentum, decay) = (Some(self.momentum.of(tokens)), Decay::Sequence(self.keep.of(tokens)));
        FastWeights { momentum, decay, ..memory }
    }
}

reads_memory!(Titans);
