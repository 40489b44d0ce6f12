//! Differentiation in context: inputs are samples of a smooth random signal, targets its slope at the same moment.
//!
//! Each of the d channels is a signal of its own, a sum of K waves,
//!
//! u(t) = s/√K Σₖ [ aₖ cos ωₖ t + bₖ sin ωₖ t ],   aₖ, bₖ ~ N(0, 1),   ωₖ ~ U(0, Ω),
//!
//! so that E u² = s² and E (du/dt)² = s² Ω²/3 at every moment. It is sampled at t = 0, 1, …, N, one sample being the unit
//! of time: the pairs are (u(t), du/dt(t)) for t < N, and the query is u(N). Nothing has to be multiplied here. A linear
//! filter over what came before finds the slope, while no function of the query alone does: u and du/dt are uncorrelated.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Shape;
use super::variates::fill_normal;
use crate::bounds;

/// Fresh signals for every sequence. d_out = d.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differentiation {
    /// d, the channels.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// N, the samples before the query.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// K, the waves that a channel is the sum of.
    #[serde(default = "three", deserialize_with = "bounds::channels")]
    pub waves: usize,
    /// Ω, the greatest frequency, in radians from one sample to the next.
    #[serde(default = "one", deserialize_with = "bounds::frequency")]
    pub frequency: f64,
    /// s, the standard deviation of a sample.
    #[serde(default = "one", deserialize_with = "bounds::scale")]
    pub scale: f64,
}

fn three() -> usize {
    3
}

fn one() -> f64 {
    1.0
}

impl Differentiation {
    pub fn shape(&self) -> Shape {
        Shape { dim: self.dim, outputs: self.dim, context: self.context }
    }

    pub fn describe(&self) -> String {
        let Self { dim, context, waves, frequency, scale } = self;
        format!("differentiation  d {dim}  N {context}  {waves} waves  Ω {frequency}  s {scale}")
    }

    /// Draws one task into row-major slices: x (N, d), y (N, d), query (d), target (d).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let dim = query.len();
        let size = (self.scale / (self.waves as f64).sqrt()) as f32;
        for channel in 0..dim {
            let wave = |_| {
                let mut heights = [0.0; 2];
                fill_normal(rng, size, &mut heights);
                [self.frequency as f32 * rng.r#gen::<f32>(), heights[0], heights[1]]
            };
            let waves: Vec<[f32; 3]> = (0..self.waves).map(wave).collect();
            let samples = x.chunks_mut(dim).zip(y.chunks_mut(dim)).chain([(&mut *query, &mut *target)]);
            for (time, (value, slope)) in samples.enumerate() {
                (value[channel], slope[channel]) = at(&waves, time as f32);
            }
        }
    }
}

/// u and du/dt at a moment, from (ω, a, b) of each wave.
fn at(waves: &[[f32; 3]], time: f32) -> (f32, f32) {
    let wave = |&[omega, a, b]: &[f32; 3]| {
        let (sin, cos) = (omega * time).sin_cos();
        (a * cos + b * sin, omega * (b * cos - a * sin))
    };
    waves.iter().map(wave).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
