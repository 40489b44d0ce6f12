//! Whole training steps on a GPU: sampling, both passes, and the optimiser in one kernel of our own.

pub mod memory;
pub mod networks;
pub mod orders;
pub mod phases;
pub mod program;
pub mod sampling;
pub mod source;

#[cfg(test)]
pub mod host;
