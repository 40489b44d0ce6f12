//! Sines in context: y = a sin(x + φ), with d = d_out = 1.
//!
//! Amplitude and phase are independent: a ~ U(a_min, a_max) and φ ~ U(0, π), as in Finn et al. (1703.03400), with the
//! amplitudes of 2212.07677. A function that is linear in x fits it poorly.

use std::f32::consts::PI;

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Shape;
use super::variates::sample_uniform;
use crate::bounds;

/// A new sine for every sequence. d = d_out = 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sine {
    /// N, the number of pairs in a context.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// r: x ~ U(−r/2, r/2).
    #[serde(default = "ten", deserialize_with = "bounds::scale")]
    pub range: f64,
    /// a_min, the least amplitude.
    #[serde(default = "tenth", deserialize_with = "bounds::scale")]
    pub a_min: f64,
    /// a_max, the greatest amplitude.
    #[serde(default = "half", deserialize_with = "bounds::scale")]
    pub a_max: f64,
}

fn ten() -> f64 {
    10.0
}

fn tenth() -> f64 {
    0.1
}

fn half() -> f64 {
    0.5
}

impl Sine {
    pub fn shape(&self) -> Shape {
        Shape { dim: 1, outputs: 1, context: self.context }
    }

    /// Returns an error if the fields contradict each other.
    pub fn check(&self) -> Result<()> {
        ensure!(self.a_min <= self.a_max, "task.a_min: {} must be at most a_max, {}", self.a_min, self.a_max);
        Ok(())
    }

    pub fn describe(&self) -> String {
        format!("sines  N {}  r {}  a {} to {}", self.context, self.range, self.a_min, self.a_max)
    }

    /// Samples one task into row-major slices: x (N, 1), y (N, 1), query (1), target (1).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let amplitude = self.a_min as f32 + (self.a_max - self.a_min) as f32 * rng.r#gen::<f32>();
        let phase = PI * rng.r#gen::<f32>();
        sample_uniform(rng, self.range as f32, x);
        sample_uniform(rng, self.range as f32, query);
        for (x, y) in x.iter().zip(y).chain(query.iter().zip(target)) {
            *y = amplitude * (x + phase).sin();
        }
    }
}
