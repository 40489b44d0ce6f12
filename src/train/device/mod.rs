//! The device that a run computes on: how one is chosen, its memory, its status, and its failures as errors.

pub mod auto;
mod choice;
#[cfg(feature = "cuda")]
pub mod cuda_loader;
mod failure;
mod gpu_status;

pub use choice::{DeviceChoice, OpenDevice};
pub use failure::{catch_panic, device_error, explained};
pub use gpu_status::{Gpu, GpuStatus};
