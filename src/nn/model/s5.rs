//! S5: a state-space layer with many inputs and outputs and one diagonal recurrence.
//!
//! | here | paper (2208.04933, sec. 3 and 4) | shape |
//! |---|---|---|
//! | a, b | Λ = −exp(a) + ib, the eigenvalues | (1, n) |
//! | log Δ | one for each state | (1, n) |
//! | B, C, D | B̃, 2 C̃ and D, as in [`crate::nn::layer::diagonal`] | |
//!
//! h_t = Λ̄ ⊙ h_{t−1} + (Λ̄ − 1)/Λ ⊙ (B̃ u_t) with Λ̄ = exp(ΔΛ); y_t = 2 Re(C̃ h_t) + D ⊙ u_t. The 2 accounts for
//! the conjugate half of the spectrum, which is not stored; it is included in C.
//!
//! Initialised as in the paper: Λ are the eigenvalues of HiPPO-N of size 2n, Δ is log-uniform in [dt_min, dt_max].
//! Deviations: B̃ = V⁻¹B and C̃ = CV are sampled as complex Gaussians with the variances of B (1/H) and C (1/2n), which
//! is the same distribution, because V is unitary. The paper clips Re Λ; here it is −exp(a), as in S4D, which is always
//! negative. See also [`super::stack`] and [`crate::nn::layer::glu`].

use anyhow::Result;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::stack::LayerSpec;
use crate::bounds;
use crate::nn::graph::Discretization;
use crate::nn::layer::diagonal::{DiagonalConfig, DiagonalLayer, DiagonalSizes};
use crate::nn::layer::discretization::{self, log_step};
use crate::nn::layer::glu::ChannelMixing;
use crate::nn::layer::hippo;
use crate::nn::weights::JointWeights;
use crate::nn::{Costs, Device};

/// S5 in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S5Spec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the number of complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: ChannelMixing,
    /// The least initial Δ.
    #[serde(default = "discretization::default_dt_min", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest initial Δ.
    #[serde(default = "discretization::default_dt_max", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

impl S5Spec {
    fn sizes(&self) -> DiagonalSizes {
        DiagonalSizes { width: self.width, states: self.states, mixing: self.block }
    }
}

impl LayerSpec for S5Spec {
    type Layer<D: Device> = DiagonalLayer<D>;
    type Config = DiagonalConfig;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        discretization::check(self.dt_min, self.dt_max)
    }

    fn layer_activations(&self, _tokens: usize) -> usize {
        self.sizes().activations()
    }

    fn layer_costs(&self, tokens: usize) -> Costs {
        self.sizes().costs(tokens)
    }

    fn config(&self) -> DiagonalConfig {
        let (n, dt_min, dt_max) = (self.states, self.dt_min, self.dt_max);
        let start = move |rng: &mut dyn RngCore| {
            let frequencies = hippo::frequencies(n).into_iter().map(|w| w as f32).collect();
            [vec![0.5f32.ln(); n], frequencies, log_step(dt_min, dt_max).values(rng, (1, n))]
        };
        DiagonalConfig {
            sizes: self.sizes(),
            discretization: Discretization::ZeroOrderHold,
            recurrence: JointWeights { symbols: ["a", "b", "log Δ"], shape: (1, n), start: Box::new(start) },
        }
    }
}
