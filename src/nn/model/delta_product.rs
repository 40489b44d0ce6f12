//! DeltaProduct: several delta-rule steps for each token.
//!
//! | here | paper (2502.10297, equations 5 and 6) | shape |
//! |---|---|---|
//! | `Wq`, `Wk`, `Wv`, S | queries, P keys and values a token, and H: see [`super::fast_weights`] | |
//! | `Wβ`, `bβ` | β = σ(e Wβ + bβ), the step size of each | (w, P), (1, P) |
//!
//! For j = 1 … P in turn S ← S + β_j (v_j − S k_j) k_jᵀ/‖k_j‖². The state's transition is a product of P generalised
//! Householder matrices. With P = 1 it is DeltaNet.
//!
//! Deviations as in [`super::delta_net`]; β stays below 1, where the paper allows 2.

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

/// DeltaProduct in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaProductSpec {
    /// P: steps for each token.
    #[serde(deserialize_with = "bounds::layers")]
    pub products: usize,
    #[serde(default)]
    pub step: StepSize,
}

weights! {
    /// The network.
    pub struct DeltaProduct<D>(config: Configured<DeltaProductSpec>) {
        let Configured { spec: DeltaProductSpec { products, step }, setting: Setting { shape, layout, .. } } = config;
        let (width, activation) = (layout.width(shape), Activation::Sigmoid);
        weights {
            projections: Projections<D> = ProjectionConfig { products, ..ProjectionConfig::new(Init::Random, shape) },
            rate: Gate<D> = GateConfig { symbol: "β", width, gates: products, activation, bias: 0.0 },
        }
        constants { step: StepSize = step, }
    }
}

impl<D: Device> FastWeightModel<D> for DeltaProduct<D> {
    fn projections(&self) -> &Projections<D> {
        &self.projections
    }

    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let rates = self.projections.split(self.rate.of(tokens));
        self.step.on(self.projections.memory(tokens), rates)
    }
}

reads_memory!(DeltaProduct, DeltaProductSpec, |self, shape| self.products * (1 + 2 * shape.dim));
