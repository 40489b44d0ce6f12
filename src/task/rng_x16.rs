//! The generators of sixteen tasks at once, one SIMD lane each: the same words as sixteen times [`rng`](super::rng).
//!
//! ChaCha8 consists of additions, exclusive ors and rotations, which vector units compute for all lanes at once.
//! Bernstein 2008, "ChaCha, a variant of Salsa20".

use std::cell::RefCell;

use multiversion::multiversion;

use super::random::{StreamKey, chacha_key};
use super::variates;
use crate::simd::{LANES, Lane, each, lanewise};

/// One random word of each task.
pub type Words = [u32; LANES];

/// Words in a block of ChaCha.
const BLOCK: usize = 16;

thread_local! {
    /// Memory that every batch reuses.
    static WORDS: RefCell<Vec<Words>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with at least `count` words of each of the sixteen tasks from index `first` on.
pub fn with_words<R>(key: StreamKey, first: u64, count: usize, work: impl FnOnce(&[Words]) -> R) -> R {
    WORDS.with_borrow_mut(|words| {
        words.resize(count.next_multiple_of(BLOCK), [0; LANES]);
        generate(&initial_state(key, first), words);
        work(words)
    })
}

/// ChaCha's initial state: four constants, the key, the block's number, and a nonce of zeros.
fn initial_state(key: StreamKey, first: u64) -> [Words; BLOCK] {
    let mut state = [[0; LANES]; BLOCK];
    for (row, constant) in state.iter_mut().zip(b"expand 32-byte k".chunks(4)) {
        *row = [word(constant); LANES];
    }
    for l in 0..LANES {
        let key = chacha_key(key, first + l as u64);
        for (row, bytes) in state[4..12].iter_mut().zip(key.chunks(4)) {
            row[l] = word(bytes);
        }
    }
    state
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// The loop over tasks is outside, so that the compiler keeps the state of all sixteen in vector registers. With
/// sixteen tasks in each line it writes the state to memory and reads it again, which is three times slower.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn generate(start: &[Words; BLOCK], words: &mut [Words]) {
    // ChaCha counts blocks with 64 bits; 32 are enough for one task.
    for (number, block) in (0..).zip(words.as_chunks_mut::<BLOCK>().0) {
        for l in 0..LANES {
            let mut first = [0; BLOCK];
            for (word, row) in first.iter_mut().zip(start) {
                *word = row[l];
            }
            first[12] = number;
            let mut state = first;
            // Unrolled by hand: a loop here prevents the vectorisation of the loop over tasks.
            double_round(&mut state);
            double_round(&mut state);
            double_round(&mut state);
            double_round(&mut state);
            for (i, (state, first)) in state.iter().zip(first).enumerate() {
                block[i][l] = state.wrapping_add(first);
            }
        }
    }
}

/// Four column rounds, then four diagonal rounds.
#[inline(always)]
fn double_round(state: &mut [u32; BLOCK]) {
    quarter(state, [0, 4, 8, 12]);
    quarter(state, [1, 5, 9, 13]);
    quarter(state, [2, 6, 10, 14]);
    quarter(state, [3, 7, 11, 15]);
    quarter(state, [0, 5, 10, 15]);
    quarter(state, [1, 6, 11, 12]);
    quarter(state, [2, 7, 8, 13]);
    quarter(state, [3, 4, 9, 14]);
}

#[inline(always)]
fn quarter(state: &mut [u32; BLOCK], [a, b, c, d]: [usize; 4]) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

/// Samples N(0, std²) for each task: two numbers from every two words, as [`variates::sample_normal`].
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn sample_normal(words: &[Words], std: f32, values: &mut [Lane]) {
    let (pairs, last) = values.as_chunks_mut::<2>();
    for (words, values) in words.as_chunks::<2>().0.iter().zip(pairs) {
        lanewise();
        for l in 0..LANES {
            let [x, y] = variates::box_muller([words[0][l], words[1][l]]);
            values[0][l] = std * x;
            values[1][l] = std * y;
        }
    }
    for (words, value) in words.as_chunks::<2>().0.iter().rev().zip(last) {
        *value = each(|l| std * variates::box_muller([words[0][l], words[1][l]])[0]);
    }
}

/// Samples U(−range/2, range/2) for each task, one number from every word.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn sample_uniform(words: &[Words], range: f32, values: &mut [Lane]) {
    for (words, value) in words.iter().zip(values) {
        lanewise();
        *value = each(|l| range * variates::uniform(words[l]));
    }
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;
    use crate::task::{Stream, rng};

    #[test]
    fn every_lane_has_the_words_of_its_generator() {
        let key = StreamKey { seed: 1 << 40 | 3, stream: Stream::HeldOut, step: 7 };
        let words = with_words(key, u64::from(u32::MAX) - 5, 100, <[Words]>::to_vec);
        assert_eq!(words.len(), 112);
        for l in 0..LANES {
            let mut rng = rng(key.seed, key.stream, key.step, u64::from(u32::MAX) - 5 + l as u64);
            for (i, words) in words.iter().enumerate() {
                assert_eq!(words[l], rng.next_u32(), "task {l}, word {i}");
            }
        }
    }
}
