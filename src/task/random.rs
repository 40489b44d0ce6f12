//! Random generators as a function of (seed, stream, step, index).
//!
//! No generator is stored: a resumed session samples exactly what it would have sampled without the interruption, and a
//! batch can be sampled on any number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are used for. Streams are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Training batches; the step is the training step.
    Train = 1,
    /// Initial weights.
    Init = 2,
    /// The held-out tasks on which every run is measured, the same for all seeds.
    HeldOut = 3,
    /// Tasks on which references tune their step sizes.
    Tune = 4,
}

/// Identifies the random numbers of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKey {
    pub seed: u64,
    pub stream: Stream,
    pub step: u64,
}

/// The generator of one index, such as a task of a batch. ChaCha is keyed by all four: distinct ones are independent.
pub fn rng(seed: u64, stream: Stream, step: u64, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(chacha_key(StreamKey { seed, stream, step }, index))
}

/// The ChaCha key of one task in a batch.
pub(super) fn chacha_key(StreamKey { seed, stream, step }: StreamKey, index: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (slot, word) in key.chunks_mut(8).zip([seed, stream as u64, step, index]) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    key
}
