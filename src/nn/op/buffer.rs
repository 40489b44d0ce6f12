//! Memory for lanes that is used again and again.
//!
//! A training step asks for the same sizes as the one before. Fresh memory costs more than the arithmetic in it (the
//! system hands it out page by page), so a buffer goes back to a shelf when it is dropped. Lanes begin where a vector
//! register's worth of memory does, for a vector that straddles two cache lines takes twice as long to read.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::lanes::{LANES, Lane, gather_into};

/// Numbers that the shelf holds at most: 64 MiB.
const MOST_IDLE: usize = 1 << 24;

/// Bytes that a lane's address is a multiple of.
const ALIGNMENT: usize = size_of::<Lane>();

/// Buffers that nobody uses now, by their length.
#[derive(Default)]
struct Shelf {
    idle: HashMap<usize, Vec<Vec<f32>>>,
    numbers: usize,
}

static SHELF: LazyLock<Mutex<Shelf>> = LazyLock::new(Mutex::default);

/// Lanes that belong to whoever holds them, and go back to the shelf afterwards.
pub struct Buffer {
    numbers: Vec<f32>,
    /// Where the first lane begins.
    start: usize,
}

impl Buffer {
    /// So many lanes of zeros.
    pub fn zeros(lanes: usize) -> Self {
        let mut buffer = Self::stale(lanes);
        buffer.numbers.fill(0.0);
        buffer
    }

    /// So many zeros that are no lanes, and as many more as fill the last one.
    pub fn room(numbers: usize) -> Self {
        Self::zeros(numbers.div_ceil(LANES))
    }

    /// A block of rows, each of `width` numbers, in lanes. Missing sequences are zero.
    pub fn gathered(rows: &[f32], width: usize) -> Self {
        let is_whole = rows.len() == LANES * width;
        let mut lanes = if is_whole { Self::stale(width) } else { Self::zeros(width) };
        gather_into(rows, &mut lanes);
        lanes
    }

    /// So many lanes with whatever was in them, for whoever writes all of them.
    pub fn stale(lanes: usize) -> Self {
        let length = lanes * LANES + LANES - 1;
        let used = {
            let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
            let used = shelf.idle.get_mut(&length).and_then(Vec::pop);
            shelf.numbers -= used.as_ref().map_or(0, Vec::len);
            used
        };
        let numbers = used.unwrap_or_else(|| vec![0.0; length]);
        let start = numbers.as_ptr().align_offset(ALIGNMENT).min(LANES - 1);
        Self { numbers, start }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.numbers + numbers.len() <= MOST_IDLE {
            shelf.numbers += numbers.len();
            shelf.idle.entry(numbers.len()).or_default().push(numbers);
        }
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
    use crate::lanes::gather;

    #[test]
    fn rows_are_gathered_into_used_memory_as_into_fresh() {
        for sequences in [LANES, 3, LANES] {
            let rows: Vec<f32> = (0..sequences * 5).map(|i| i as f32).collect();
            let mut buffer = Buffer::gathered(&rows, 5);
            assert_eq!(buffer[..], gather(&rows, 5));
            buffer.as_flattened_mut().fill(7.0);
        }
    }

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
}
