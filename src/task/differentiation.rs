//! Differentiation in context: inputs are samples of a smooth random signal, targets its derivative at the same time.
//!
//! Each of the d channels is an independent signal, a sum of K waves,
//!
//! u(t) = s/√K Σₖ [ aₖ cos ωₖ t + bₖ sin ωₖ t ],   aₖ, bₖ ~ N(0, 1),   ωₖ ~ U(0, Ω),
//!
//! so that E u² = s² and E (du/dt)² = s² Ω²/3 at every t. It is sampled at t = 0, 1, …, N: the pairs are (u(t),
//! du/dt(t)) for t < N, and the query is u(N). No products of inputs are needed: a linear filter of the earlier samples
//! estimates the derivative. No function of the query alone does, because u and du/dt are uncorrelated.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Shape;
use super::variates::sample_normal;
use crate::bounds;

/// New signals for every sequence. d_out = d.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differentiation {
    /// d, the number of channels.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// N, the number of samples before the query.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// K, the number of waves in a channel.
    #[serde(default = "three", deserialize_with = "bounds::channels")]
    pub waves: usize,
    /// Ω, the greatest frequency, in radians per sample.
    #[serde(default = "bounds::one", deserialize_with = "bounds::frequency")]
    pub frequency: f64,
    /// s, the standard deviation of a sample.
    #[serde(default = "bounds::one", deserialize_with = "bounds::scale")]
    pub scale: f64,
}

fn three() -> usize {
    3
}

impl Differentiation {
    pub fn shape(&self) -> Shape {
        Shape { dim: self.dim, outputs: self.dim, context: self.context }
    }

    pub fn describe(&self) -> String {
        let Self { dim, context, waves, frequency, scale } = self;
        format!("differentiation  d {dim}  N {context}  {waves} waves  Ω {frequency}  s {scale}")
    }

    /// Samples one task into row-major slices: x (N, d), y (N, d), query (d), target (d).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let dim = query.len();
        let std = (self.scale / (self.waves as f64).sqrt()) as f32;
        for channel in 0..dim {
            let wave = |_| {
                let mut amplitudes = [0.0; 2];
                sample_normal(rng, std, &mut amplitudes);
                [self.frequency as f32 * rng.r#gen::<f32>(), amplitudes[0], amplitudes[1]]
            };
            let waves: Vec<[f32; 3]> = (0..self.waves).map(wave).collect();
            let samples = x.chunks_mut(dim).zip(y.chunks_mut(dim)).chain([(&mut *query, &mut *target)]);
            for (time, (value, derivative)) in samples.enumerate() {
                (value[channel], derivative[channel]) = at(&waves, time as f32);
            }
        }
    }
}

/// u and du/dt at a time, from (ω, a, b) of each wave.
fn at(waves: &[[f32; 3]], time: f32) -> (f32, f32) {
    let wave = |&[omega, a, b]: &[f32; 3]| {
        let (sin, cos) = (omega * time).sin_cos();
        (a * cos + b * sin, omega * (b * cos - a * sin))
    };
    waves.iter().map(wave).fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
}
