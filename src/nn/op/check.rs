//! What the tests of operations share: random tensors, a comparison, and a CPU that computes as a card does.

use std::cell::Cell;

use dfdx::tensor::{Cpu, TensorFromVec};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::nn::{Matrix, Tensor3};

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
    static AS_A_CARD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside of [`on_portable_path`].
pub fn portable_path() -> bool {
    AS_A_CARD.get()
}

/// Does something with all operations of this thread composed of dfdx's, as they are on a card.
pub fn on_portable_path<R>(work: impl FnOnce() -> R) -> R {
    let before = AS_A_CARD.replace(true);
    let result = work();
    AS_A_CARD.set(before);
    result
}
