//! How inputs are distributed. Knows nothing of what is taught about them.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::random::normal;

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
    /// One coordinate.
    pub fn draw(self, range: f64, rng: &mut impl Rng) -> f32 {
        let range = range as f32;
        match self {
            Self::Uniform => (rng.r#gen::<f32>() - 0.5) * range,
            Self::Normal => normal(rng) * range / 12f32.sqrt(),
        }
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
