//! S5: a state-space layer with many inputs and outputs around one diagonal recurrence.
//!
//! | here | paper (2208.04933, sec. 3 and 4) | shape |
//! |---|---|---|
//! | a, b | Λ = −exp(a) + ib, the eigenvalues | (1, n) |
//! | log Δ | one for each state | (1, n) |
//! | B, C, D | B̃, 2 C̃ and D, as in [`super::diagonal_layer`] | |
//!
//! h_t = Λ̄ ⊙ h_{t−1} + (Λ̄ − 1)/Λ ⊙ (B̃ u_t) with Λ̄ = exp(ΔΛ); y_t = 2 Re(C̃ h_t) + D ⊙ u_t. The 2 stands for the
//! conjugate half of the spectrum, which is not stored; it is inside C.
//!
//! Initialised as in the paper: Λ are the eigenvalues of HiPPO-N of size 2n, Δ is log-uniform in [dt_min, dt_max].
//! Deviations: B̃ = V⁻¹B and C̃ = CV are drawn as complex Gaussians of the variance of B (1/H) and C (1/2n) instead of
//! being multiplied out: V is unitary, so it turns one Gaussian into the other. The paper leaves Re Λ free and
//! clips it; here it is −exp(a), as in S4D, which cannot become positive. See also [`super::stack`] and [`super::mixing`].

use anyhow::Result;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::diagonal_layer::{DiagonalLayer, DiagonalSizes};
use super::mixing::Block;
use super::stack::{LayerSpec, Sizes};
use super::{hippo, step_size};
use crate::bounds;
use crate::nn::op::Discretization;
use crate::nn::{Costs, Device, DeviceResult};

/// S5 as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S5Spec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: Block,
    /// The least Δ of a start.
    #[serde(default = "step_size::least", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest Δ of a start.
    #[serde(default = "step_size::greatest", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

impl S5Spec {
    fn sizes(&self) -> DiagonalSizes {
        DiagonalSizes { width: self.width, states: self.states, block: self.block }
    }
}

impl LayerSpec for S5Spec {
    type Layer<D: Device> = DiagonalLayer<D>;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        step_size::check(self.dt_min, self.dt_max)
    }

    fn layer_parameters(&self) -> u128 {
        self.sizes().parameters()
    }

    fn layer_activations(&self, _tokens: usize) -> usize {
        self.sizes().activations()
    }

    fn layer_costs(&self, tokens: usize) -> Costs {
        self.sizes().costs(tokens)
    }

    fn layer<D: Device>(
        &self,
        device: &D,
        at: (Sizes, usize),
        rng: &mut impl Rng,
    ) -> DeviceResult<DiagonalLayer<D>, D> {
        let n = self.states;
        let frequency = hippo::frequencies(n).into_iter().map(|w| w as f32).collect();
        let step = step_size::logarithms(rng, n, (self.dt_min, self.dt_max));
        let weights = [("a", vec![0.5f32.ln(); n]), ("b", frequency), ("log Δ", step)];
        self.sizes().layer(device, at, (Discretization::ZeroOrderHold, weights), rng)
    }
}
