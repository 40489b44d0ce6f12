//! When a run has diverged: the loss of a batch is not finite or far above that at the start, or the state has numbers
//! that are not finite and so cannot be saved ([`Checkpoint::not_finite`](super::Checkpoint::not_finite)).
//! [`Experiment`](super::Experiment) checks this after each step, and goes back to the last good state.

use std::fmt;

/// A state is kept only while a batch's loss is at most this many times the loss at the start.
const GOOD: f32 = 10.0;
/// A run has diverged when a batch's loss is more than this many times the loss at the start.
const DIVERGED: f32 = 1e4;

/// Whether a batch's loss says that the run has diverged; `first` is the loss at the start.
pub fn has_diverged(loss: f32, first: f32) -> bool {
    !loss.is_finite() || loss > DIVERGED * first
}

/// Whether a state with this loss of a batch may be gone back to.
pub fn is_good(loss: f32, first: f32) -> bool {
    loss <= GOOD * first
}

/// A state from which a run cannot continue.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// The step after which it was found.
    pub step: u64,
    pub cause: DivergenceCause,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DivergenceCause {
    /// The loss of a batch is not finite, or many times the loss at the start.
    Loss,
    /// Which numbers are not finite: "second moments of Q". Such a state cannot be saved, whatever the loss is.
    State(String),
}

impl fmt::Display for DivergenceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss => f.write_str("the loss is not finite or far above that at the start"),
            Self::State(numbers) => write!(f, "{numbers} are not finite"),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at step {}: {}", self.step, self.cause)
    }
}
