//! Linear self-attention
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Init;
use crate::bounds;
use crate::task::{Layout, Shape};

/// Linear self-attention as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearAttentionSpec {
    pub init: Init,
    /// Attention layers, each added to its input.
    #[serde(default = "one", deserialize_with = "bounds::layers")]
    pub layers: usize,
}

fn one() -> usize {
    1
}

impl LinearAttentionSpec {
    pub(super) fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        ensure!(layout == Layout::Joined, "model: LinearAttention reads pairs [x; y], so layout must be Joined");
        Ok(())
    }

    /// Four square matrices in each layer.
    pub(super) fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        (4 * self.layers) as u128 * (layout.width(shape) as u128).pow(2)
    }

    pub(super) fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        (8 * self.layers * layout.tokens(shape) * layout.width(shape)) as u128
    }
}
