//! What an optimiser needs of a device: clipping, and Adam's update.

use dfdx::tensor::Cpu;

use super::adam::{self, AdamStep, Moments};
use super::clip;
use crate::nn::{Device, DeviceResult, Matrix, portable_path};

/// A device that moves parameters. The defaults are compositions of dfdx's operations, which run on any device.
pub trait OptimDevice: Device {
    /// Scales a gradient, in all its parts, down to the norm `most` where it is longer.
    fn clip(&self, gradient: &mut [Matrix<Self>], most: f32) -> DeviceResult<(), Self> {
        clip::portable(gradient, most)
    }

    /// Moves a parameter and its moments. See [`AdamStep`].
    fn adam(
        &self,
        param: &mut Matrix<Self>,
        moments: &mut Moments<Self>,
        gradient: Matrix<Self>,
        step: AdamStep,
    ) -> DeviceResult<(), Self> {
        adam::portable(param, moments, gradient, step)
    }
}

impl OptimDevice for Cpu {
    fn clip(&self, gradient: &mut [Matrix<Self>], most: f32) -> DeviceResult<(), Self> {
        if portable_path() { clip::portable(gradient, most) } else { clip::fused(gradient, most) }
    }

    fn adam(
        &self,
        param: &mut Matrix<Self>,
        moments: &mut Moments<Self>,
        gradient: Matrix<Self>,
        step: AdamStep,
    ) -> DeviceResult<(), Self> {
        if portable_path() {
            return adam::portable(param, moments, gradient, step);
        }
        adam::fused(param, moments, &gradient, step)
    }
}

#[cfg(feature = "cuda")]
impl OptimDevice for dfdx::tensor::Cuda {}
