//! When a run has diverged: its loss ran away, or its state cannot be saved.

use std::fmt;

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
            Self::Loss => f.write_str("the loss ran away"),
            Self::State(numbers) => write!(f, "{numbers} are not finite"),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at step {}: {}", self.step, self.cause)
    }
}
