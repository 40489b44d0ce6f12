//! Training up to a step without progress and without saves, for commands that only want the trained weights.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::exit::Stopped;
use super::stop::StopSignal;
use crate::train::{Divergence, Experiment};

/// How training ended.
pub enum End {
    /// At the step that was asked for, after so long.
    Reached(Duration),
    /// The run diverged before.
    Diverged(Divergence),
}

/// Trains until so many steps are done since the run's start.
///
/// # Errors
/// The device failed, or a signal ended the command.
pub fn run_to(experiment: &mut Experiment, last: u64, stop: &StopSignal) -> Result<End> {
    let began = Instant::now();
    while experiment.step() < last {
        if let Some((signal, word)) = stop.signal() {
            return Err(Stopped { signal, message: format!("stopped by {word}") }.into());
        }
        if let Some(divergence) = experiment.advance(last - experiment.step())?.diverged {
            return Ok(End::Diverged(divergence));
        }
    }
    Ok(End::Reached(began.elapsed()))
}
