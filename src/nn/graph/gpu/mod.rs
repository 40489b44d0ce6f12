//! Whole training steps on a GPU: sampling, both passes, and the optimiser in one kernel of our own.

mod buffers;
mod lower;
pub mod memory;
pub mod orders;
pub mod phases;
pub mod program;
pub mod sampling;
pub mod source;

pub use lower::lower;
