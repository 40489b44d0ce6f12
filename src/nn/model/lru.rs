//! LRU: the linear recurrent unit, a diagonal complex recurrence with eigenvalues in the unit disc.
//!
//! | here | paper (2303.06349, sec. 3 and appendix A) | shape |
//! |---|---|---|
//! | ν, θ | ν^log, θ^log: λ = exp(−exp(ν) + i exp(θ)) | (1, n) |
//! | γ | γ^log: the input of a state is scaled by exp(γ) | (1, n) |
//! | B, C, D | as in [`crate::nn::layer::diagonal`] | |
//!
//! h_t = λ ⊙ h_{t−1} + e^γ ⊙ (B u_t); y_t = Re(C h_t) + D ⊙ u_t.
//!
//! Initialised as in the paper: λ uniform on the ring r_min ≤ |λ| ≤ r_max with phases up to `max_phase`, e^γ = √(1 −
//! |λ|²). Deviations: see [`super::stack`] and [`crate::nn::layer::glu`]; the default `max_phase` is π/10, which the
//! paper uses for tasks with long memory, and with which the initial answers are small.

use anyhow::{Result, ensure};
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use super::stack::LayerSpec;
use crate::bounds;
use crate::nn::graph::Discretization;
use crate::nn::layer::diagonal::{DiagonalConfig, DiagonalLayer, DiagonalSizes};
use crate::nn::layer::glu::ChannelMixing;
use crate::nn::weights::JointWeights;
use crate::nn::{Costs, Device};

/// The LRU in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LruSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the number of complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: ChannelMixing,
    /// The least initial |λ|.
    #[serde(default, deserialize_with = "bounds::modulus")]
    pub r_min: f64,
    /// The greatest initial |λ|.
    #[serde(default = "bounds::one", deserialize_with = "bounds::modulus")]
    pub r_max: f64,
    /// The greatest initial phase.
    #[serde(default = "small", deserialize_with = "bounds::scale")]
    pub max_phase: f64,
}

fn small() -> f64 {
    std::f64::consts::PI / 10.0
}

impl LruSpec {
    fn sizes(&self) -> DiagonalSizes {
        DiagonalSizes { width: self.width, states: self.states, mixing: self.block }
    }
}

impl LayerSpec for LruSpec {
    type Layer<D: Device> = DiagonalLayer<D>;
    type Config = DiagonalConfig;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.r_min < self.r_max, "model.r_min: {} must be less than r_max, {}", self.r_min, self.r_max);
        Ok(())
    }

    fn layer_activations(&self, _tokens: usize) -> usize {
        self.sizes().activations()
    }

    fn layer_costs(&self, tokens: usize) -> Costs {
        self.sizes().costs(tokens)
    }

    fn config(&self) -> DiagonalConfig {
        let (n, r_min, r_max, max_phase) = (self.states, self.r_min, self.r_max, self.max_phase);
        let start = move |rng: &mut dyn RngCore| {
            // |λ|² is uniform between the squares of the radii, so λ is uniform on the area of the ring. Not 0 and 1,
            // because ν is a logarithm of a logarithm.
            let mut square = || {
                let share = rng.gen_range(1e-6..1.0 - 1e-6);
                r_min.powi(2) + share * (r_max.powi(2) - r_min.powi(2))
            };
            let squares: Vec<f64> = (0..n).map(|_| square()).collect();
            let theta = (0..n).map(|_| (max_phase * rng.gen_range(1e-6..1.0)).ln() as f32).collect();
            let nu = squares.iter().map(|square| (-0.5 * square.ln()).ln() as f32).collect();
            let gamma = squares.iter().map(|square| (1.0 - square).sqrt().ln() as f32).collect();
            [nu, theta, gamma]
        };
        DiagonalConfig {
            sizes: self.sizes(),
            discretization: Discretization::Ring,
            recurrence: JointWeights { symbols: ["ν", "θ", "γ"], shape: (1, n), start: Box::new(start) },
        }
    }
}
