//! Whether a preset's optimiser can solve for the weights of its model.

use anyhow::{Result, ensure};

use super::Preset;
use crate::nn::model::Architecture;
use crate::optim::{MOST_UNKNOWNS, Optimiser};

/// Checks that there is something to solve for, that it is not too much, and that no field is without an effect.
///
/// # Errors
/// Names the field, and what is allowed instead.
pub fn check(preset: &Preset) -> Result<()> {
    match preset.train.optimiser {
        Optimiser::Adam { .. } | Optimiser::Sgd => return Ok(()),
        Optimiser::Solve { .. } => {
            let blocks = preset.model.linear_blocks();
            ensure!(
                !blocks.is_empty(),
                "train.optimiser: Solve needs weights in which the answer is linear, and this model has none: give \
                 Adam, Sgd or LevenbergMarquardt"
            );
        }
        Optimiser::LevenbergMarquardt { .. } => {
            let unknowns = preset.parameters();
            ensure!(
                unknowns <= MOST_UNKNOWNS,
                "train.optimiser: LevenbergMarquardt solves for all weights at once, with a matrix of their number \
                 squared: at most {MOST_UNKNOWNS} weights, and this model has {unknowns}; give Adam, or Solve where \
                 the answer is linear in some weights"
            );
        }
    }
    ensure!(preset.train.clip.is_none(), "train.clip: steps that solve have no gradient to clip: leave it out");
    Ok(())
}
