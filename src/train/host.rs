//! What crosses from the host to a device, and what a device says when it fails.

use anyhow::{Result, anyhow};

use crate::nn::{Device, Tensor3};
use crate::preset::Preset;
use crate::task::Batch;

/// dfdx's errors, told to a person.
pub fn device_error<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("the device could not compute: {error}")
}

/// Tokens of a batch on a device: (B, tokens, width).
pub fn tokens_on<D: Device>(device: &D, preset: &Preset, batch: &Batch) -> Result<Tensor3<D>> {
    let shape = (batch.size, preset.layout.tokens(batch.shape), preset.layout.width(batch.shape));
    device.try_tensor_from_vec(preset.layout.encode(batch), shape).map_err(device_error)
}
