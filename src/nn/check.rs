//! What the tests of networks share: random tensors, a comparison, and the portable path on the CPU.

use std::cell::Cell;

use dfdx::tensor::{Cpu, TensorFromVec};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::nn::tensor::{Matrix, Tensor3};
use crate::simd::{LANES, Lane};

pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.0.gen_range(-1.0..1.0)).collect()
    }

    pub fn matrix(&mut self, device: &Cpu, shape: (usize, usize)) -> Matrix<Cpu> {
        device.tensor_from_vec(self.values(shape.0 * shape.1), shape)
    }

    pub fn tensor3(&mut self, device: &Cpu, shape: (usize, usize, usize)) -> Tensor3<Cpu> {
        device.tensor_from_vec(self.values(shape.0 * shape.1 * shape.2), shape)
    }
}

/// Asserts that two lists differ by at most `tolerance` of the greatest magnitude in the second.
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0f32, |m, e| m.max(e.abs())).max(1e-30);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "at {i}: {f} against {e}, scale {scale}");
    }
}

thread_local! {
    static PORTABLE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside of [`on_portable_path`].
pub fn portable_path() -> bool {
    PORTABLE.get()
}

/// Runs `work` with all steps on this thread composed of dfdx's operations, as they are on other devices.
pub fn on_portable_path<R>(work: impl FnOnce() -> R) -> R {
    let before = PORTABLE.replace(true);
    let result = work();
    PORTABLE.set(before);
    result
}

/// As many numbers between −1 and 1, others for each seed.
pub fn numbers(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|i| (seed + 1.7 * i as f32).sin()).collect()
}

/// Numbers as lanes in which all sequences have the same.
pub fn lanes_of(numbers: &[f32]) -> Vec<Lane> {
    numbers.iter().map(|number| [*number; LANES]).collect()
}
