//! Training by whole steps on a GPU: so many at a time, in one launch of one kernel.
//!
//! The engine then has the newest weights and moments. The network's tensors get them when they are asked for: to measure,
//! to look at hidden states, and to save.

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(any(test, feature = "cuda"))]
mod networks;
#[cfg(any(test, feature = "cuda"))]
mod plan;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "cuda"))]
pub use whole_steps::{Parameters, StepRates, WholeStepEngine, WholeSteps};

#[cfg(any(test, feature = "cuda"))]
mod whole_steps;
