//! GD-SSM
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Init;
use crate::task::{Layout, Shape};

/// GD-SSM as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmSpec {
    pub init: Init,
}

impl GdSsmSpec {
    pub(super) fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        ensure!(
            layout == Layout::Interleaved,
            "model: GdSsm reads windows (x_t, y_t, x_{{t+1}}), so layout must be Interleaved"
        );
        Ok(())
    }

    /// Λ and C are (d, d), Q is (3, 3), D is (1, 3).
    pub(super) fn parameters(&self, shape: Shape, _layout: Layout) -> u128 {
        2 * (shape.dim as u128).pow(2) + 12
    }

    pub(super) fn activations(&self, shape: Shape, _layout: Layout) -> u128 {
        3 * (shape.dim as u128).pow(2)
    }
}
