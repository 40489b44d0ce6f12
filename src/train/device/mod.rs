//! The device that a run computes on: how one is chosen, its memory, its status, and its failures as errors.

pub mod auto;
mod choice;
#[cfg(feature = "cuda")]
mod cuda_loader;
mod failure;
mod gpu_status;
#[cfg(any(test, feature = "cuda"))]
pub mod nvidia;
#[cfg(any(test, feature = "cuda"))]
mod visible;

pub use choice::{DeviceChoice, OpenDevice, Opened};
#[cfg(feature = "cuda")]
pub use failure::is_out_of_memory;
pub use failure::{catch_panic, device_error, explained};
pub use gpu_status::{Gpu, GpuStatus};
