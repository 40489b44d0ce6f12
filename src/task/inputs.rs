//! The distribution of inputs.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::variates::{sample_normal, sample_uniform};

/// The distribution of one coordinate of an input with the range r; both have variance r²/12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputDistribution {
    /// U(−r/2, r/2).
    #[default]
    Uniform,
    /// N(0, r²/12).
    Normal,
}

impl InputDistribution {
    /// Samples every entry of `inputs` independently.
    pub fn sample(self, rng: &mut impl Rng, range: f64, inputs: &mut [f32]) {
        match self {
            Self::Uniform => sample_uniform(rng, range as f32, inputs),
            Self::Normal => sample_normal(rng, Self::std(range), inputs),
        }
    }

    /// The standard deviation of normal inputs with the range r.
    pub fn std(range: f64) -> f32 {
        (range / 12f64.sqrt()) as f32
    }

    /// (E x², E x⁴) of one coordinate.
    pub fn moments(self, range: f64) -> (f64, f64) {
        let s2 = range.powi(2) / 12.0;
        let m4 = match self {
            Self::Uniform => range.powi(4) / 80.0,
            Self::Normal => 3.0 * s2 * s2,
        };
        (s2, m4)
    }
}
