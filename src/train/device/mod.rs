//! The device that a run computes on: which there are, how one is chosen, and what becomes of its failures.

mod agreement;
mod choice;
#[cfg(feature = "cuda")]
mod cuda_loader;
mod failure;
mod gpu_status;
mod memory;

pub use choice::{DeviceChoice, fits, open, open_shifted};
#[cfg(test)]
pub use failure::Guarded;
pub use failure::device_error;
pub use gpu_status::{Gpu, GpuStatus};
