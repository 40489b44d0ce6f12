//! Randomness as a function of where it is used.
//!
//! A generator is named by (seed, stream, step, index) and never stored, so a session that is resumed draws exactly
//! what it would have drawn, and a batch may be drawn on any number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for. Streams never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Training batches; the step is the training step.
    Train = 1,
    /// Initial weights; the index is the parameter's place.
    Init = 2,
    /// The held-out tasks that every run of a task is measured on, whatever its seed.
    HeldOut = 3,
    /// Tasks on which references choose their step sizes.
    Tune = 4,
}

/// A batch in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKey {
    pub seed: u64,
    pub stream: Stream,
    pub step: u64,
}

/// The generator of one place in one run. ChaCha is a function of its key: distinct places are independent.
pub fn rng(seed: u64, stream: Stream, step: u64, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(StreamKey { seed, stream, step }, index))
}

/// The key of the generator of one task in a batch.
pub(super) fn key(StreamKey { seed, stream, step }: StreamKey, index: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (slot, word) in key.chunks_mut(8).zip([seed, stream as u64, step, index]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    key
}
