//! Networks as graphs of steps.

#[cfg(any(test, feature = "cuda"))]
pub mod gpu;
