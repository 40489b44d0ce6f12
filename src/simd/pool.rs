//! Memory for lanes that is used again and again.
//!
//! A training step needs the same sizes as the one before. Fresh memory costs more than the arithmetic in it (the
//! system hands it out page by page), so a dropped buffer goes back to a pool. A lane's address is a multiple of its
//! size, because a vector that straddles two cache lines takes twice as long to read.
//!
//! The pool is bounded. Where it is full, the memory that was put there first is freed: sizes of a run that is over.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::lane::{LANES, Lane};

/// Numbers that the pool holds at most: 256 MiB.
const MOST_IDLE: usize = 1 << 26;

/// Bytes that a lane's address is a multiple of.
const ALIGNMENT: usize = size_of::<Lane>();

/// Memory that is not in use.
#[derive(Default)]
struct Pool {
    /// By its length, and with the turn in which it was put there; the latest is at the back.
    idle: BTreeMap<usize, VecDeque<(u64, Vec<f32>)>>,
    numbers: usize,
    turn: u64,
}

impl Pool {
    /// Of this length, the one used last, which may still be in the cache.
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let (_, numbers) = self.idle.get_mut(&length)?.pop_back()?;
        self.numbers -= length;
        Some(numbers)
    }

    fn put(&mut self, numbers: Vec<f32>, most: usize) {
        self.turn += 1;
        self.numbers += numbers.len();
        self.idle.entry(numbers.len()).or_default().push_back((self.turn, numbers));
        while self.numbers > most {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.idle.values_mut().min_by_key(|same| same.front().map_or(u64::MAX, |(turn, _)| *turn));
        self.numbers -= oldest.and_then(VecDeque::pop_front).map_or(self.numbers, |(_, numbers)| numbers.len());
    }
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives back the memory that is kept for later.
pub fn release() {
    *pool() = Pool::default();
}

/// Lanes whose memory goes back to the pool when they are dropped.
pub struct Buffer {
    numbers: Vec<f32>,
    /// Where the first lane begins.
    start: usize,
}

impl Buffer {
    /// So many lanes of zeros.
    pub fn zeros(lanes: usize) -> Self {
        let mut buffer = Self::uninit(lanes);
        buffer.numbers.fill(0.0);
        buffer
    }

    /// So many lanes with the numbers that were in this memory before, for a caller that writes all of them.
    pub fn uninit(lanes: usize) -> Self {
        let length = lanes * LANES + LANES - 1;
        let used = pool().take(length);
        #[cfg_attr(not(test), allow(unused_mut))]
        let mut numbers = used.unwrap_or_else(|| vec![0.0; length]);
        // So that a test fails where a number is read that was never written.
        #[cfg(test)]
        numbers.fill(f32::NAN);
        let start = numbers.as_ptr().align_offset(ALIGNMENT).min(LANES - 1);
        Self { numbers, start }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        pool().put(std::mem::take(&mut self.numbers), MOST_IDLE);
    }
}

impl Deref for Buffer {
    type Target = [Lane];

    fn deref(&self) -> &[Lane] {
        self.numbers[self.start..].as_chunks().0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Lane] {
        self.numbers[self.start..].as_chunks_mut().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_empty_also_when_it_was_used_before() {
        for lanes in [0, 1, 5, 1000, 5, 5] {
            let mut buffer = Buffer::zeros(lanes);
            assert_eq!(buffer.len(), lanes);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buffer.iter().flatten().all(|number| *number == 0.0));
            buffer.iter_mut().flatten().for_each(|number| *number = 7.0);
        }
    }

    #[test]
    fn a_full_pool_frees_what_was_put_there_first() {
        let mut pool = Pool::default();
        for length in [3, 2, 2, 4] {
            pool.put(vec![0.0; length], 7);
        }
        // 3 + 2 + 2 fit; the 4 took the place of the 3 and of one 2.
        assert_eq!(pool.numbers, 6);
        assert_eq!([3, 2, 2, 4].map(|length| pool.take(length).is_some()), [false, true, false, true]);
        assert_eq!(pool.numbers, 0);
        pool.put(vec![0.0; 9], 7);
        assert!(pool.take(9).is_none());
    }
}
