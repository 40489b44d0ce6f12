//! Training by whole steps on a GPU: so many at a time, in one launch of one kernel.
//!
//! The engine then has the newest weights and moments. The network's tensors get them when they are asked for: to
//! measure, to look at hidden states, and to save.
//!
//! All of it is compiled for tests, too: kernels run on the host there, and the driver is imitated.
#![cfg(any(test, feature = "cuda"))]

mod driver;
mod engine;
mod kernel_cache;
mod network;
mod nvrtc;
mod plan;
#[cfg(test)]
mod tests;
mod whole_steps;

pub use engine::Engine;
pub use whole_steps::{Parameters, StepRates, WholeStepEngine, WholeSteps};
