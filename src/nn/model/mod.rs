//! The architectures, and the one list of them.

mod gd_ssm;
mod linear_attention;

pub use gd_ssm::GdSsmSpec;
pub use linear_attention::LinearAttentionSpec;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::task::{Layout, Shape};

/// Which architecture, and its sizes, as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ModelSpec {
    GdSsm(GdSsmSpec),
    LinearAttention(LinearAttentionSpec),
}

/// What the weights are before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// Drawn at random, by the run's seed.
    Random,
    /// Written by hand so that the model equals one step of gradient descent.
    Constructed,
}

impl ModelSpec {
    /// Refuses a task or a layout that the model cannot read.
    pub fn check(&self, shape: Shape, layout: Layout) -> Result<()> {
        match self {
            Self::GdSsm(spec) => spec.check(shape, layout),
            Self::LinearAttention(spec) => spec.check(shape, layout),
        }
    }

    /// How many numbers the model learns.
    pub fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.parameters(shape, layout),
            Self::LinearAttention(spec) => spec.parameters(shape, layout),
        }
    }

    /// About how many numbers a forward pass keeps for each sequence.
    pub fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.activations(shape, layout),
            Self::LinearAttention(spec) => spec.activations(shape, layout),
        }
    }
}
