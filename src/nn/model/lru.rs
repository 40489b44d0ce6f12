//! LRU: the linear recurrent unit, a diagonal recurrence over complex numbers whose eigenvalues stay in the unit disc.
//!
//! | here | paper (2303.06349, sec. 3 and appendix A) | shape |
//! |---|---|---|
//! | ν, θ | ν^log, θ^log: λ = exp(−exp(ν) + i exp(θ)) | (1, n) |
//! | γ | γ^log: the input of a state is scaled by exp(γ) | (1, n) |
//! | B, C, D | as in [`super::diagonal_layer`] | |
//!
//! h_t = λ ⊙ h_{t−1} + e^γ ⊙ (B u_t); y_t = Re(C h_t) + D ⊙ u_t.
//!
//! Initialised as in the paper: λ uniform on the ring r_min ≤ |λ| ≤ r_max with phases up to `max_phase`, e^γ = √(1 − |λ|²).
//! Deviations: see [`super::stack`] and [`super::mixing`]; the default `max_phase` is π/10, which the paper uses where long
//! memory matters, and which keeps the answers of a random start small.

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::diagonal_layer::{DiagonalLayer, DiagonalSizes};
use super::mixing::Block;
use super::stack::{LayerSpec, Sizes};
use crate::bounds;
use crate::nn::op::Discretization;
use crate::nn::{Costs, Device, DeviceResult};

/// The LRU as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LruSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: Block,
    /// The least |λ| of a start.
    #[serde(default, deserialize_with = "bounds::modulus")]
    pub r_min: f64,
    /// The greatest |λ| of a start.
    #[serde(default = "one", deserialize_with = "bounds::modulus")]
    pub r_max: f64,
    /// The greatest phase of a start.
    #[serde(default = "small", deserialize_with = "bounds::scale")]
    pub max_phase: f64,
}

fn one() -> f64 {
    1.0
}

fn small() -> f64 {
    std::f64::consts::PI / 10.0
}

impl LruSpec {
    fn sizes(&self) -> DiagonalSizes {
        DiagonalSizes { width: self.width, states: self.states, block: self.block }
    }
}

impl LayerSpec for LruSpec {
    type Layer<D: Device> = DiagonalLayer<D>;

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
        // |λ|² is uniform between the squares of the radii: uniform on the ring's area. The ends would have no logarithm.
        let squares: Vec<f64> = (0..n)
            .map(|_| {
                let share = rng.gen_range(1e-6..1.0 - 1e-6);
                self.r_min.powi(2) + share * (self.r_max.powi(2) - self.r_min.powi(2))
            })
            .collect();
        let size = squares.iter().map(|square| (-0.5 * square.ln()).ln() as f32).collect();
        let gamma = squares.iter().map(|square| (1.0 - square).sqrt().ln() as f32).collect();
        let phase = (0..n).map(|_| (self.max_phase * rng.gen_range(1e-6..1.0)).ln() as f32).collect();
        self.sizes().layer(device, at, (Discretization::Ring, [("ν", size), ("θ", phase), ("γ", gamma)]), rng)
    }
}
