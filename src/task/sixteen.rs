//! The generators of sixteen tasks side by side, a lane each: the same words as sixteen times [`rng`](super::rng).
//!
//! ChaCha8 is additions, exclusive ors and rotations of sixteen words: exactly what vector units do to sixteen lanes at
//! once. Bernstein 2008, "ChaCha, a variant of Salsa20".

use multiversion::multiversion;

use super::random::{Place, key};
use super::variates;
use crate::lanes::{LANES, Lane, ZERO, lanewise};

/// One random word of each task.
pub type Words = [u32; LANES];

/// Words in a block of ChaCha.
const BLOCK: usize = 16;

/// At least `count` words of each of the sixteen tasks from the task `first` on.
pub fn words(place: Place, first: u64, count: usize) -> Vec<Words> {
    let mut words = vec![[0; LANES]; count.next_multiple_of(BLOCK)];
    fill(&start(place, first), &mut words);
    words
}

/// The state that ChaCha begins with: four constants, the key, the number of the block, and no nonce.
fn start(place: Place, first: u64) -> [Words; BLOCK] {
    let mut state = [[0; LANES]; BLOCK];
    for (row, constant) in state.iter_mut().zip(b"expand 32-byte k".chunks(4)) {
        *row = [word(constant); LANES];
    }
    for l in 0..LANES {
        let key = key(place, first + l as u64);
        for (row, bytes) in state[4..12].iter_mut().zip(key.chunks(4)) {
            row[l] = word(bytes);
        }
    }
    state
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn fill(start: &[Words; BLOCK], words: &mut [Words]) {
    let mut start = *start;
    for block in words.chunks_exact_mut(BLOCK) {
        let mut state = start;
        for _ in 0..4 {
            for i in 0..4 {
                quarter(&mut state, [i, i + 4, i + 8, i + 12]);
            }
            for i in 0..4 {
                quarter(&mut state, [i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12]);
            }
        }
        for ((out, state), start) in block.iter_mut().zip(&state).zip(&start) {
            lanewise();
            *out = std::array::from_fn(|l| state[l].wrapping_add(start[l]));
        }
        // Of 64 bits, but 2³² blocks are more than a task has numbers.
        start[12] = start[12].map(|number| number.wrapping_add(1));
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "a lane is of several rows at once")]
fn quarter(state: &mut [Words; BLOCK], places: [usize; 4]) {
    lanewise();
    // Taken out and put back, so that the compiler sees four vectors and not sixty-four words.
    let [mut a, mut b, mut c, mut d] = places.map(|place| state[place]);
    for l in 0..LANES {
        a[l] = a[l].wrapping_add(b[l]);
        d[l] = (d[l] ^ a[l]).rotate_left(16);
        c[l] = c[l].wrapping_add(d[l]);
        b[l] = (b[l] ^ c[l]).rotate_left(12);
        a[l] = a[l].wrapping_add(b[l]);
        d[l] = (d[l] ^ a[l]).rotate_left(8);
        c[l] = c[l].wrapping_add(d[l]);
        b[l] = (b[l] ^ c[l]).rotate_left(7);
    }
    for (place, words) in places.into_iter().zip([a, b, c, d]) {
        state[place] = words;
    }
}

/// Draws from N(0, spread²) for each task: two of every two words, as [`variates::fill_normal`] does.
pub fn normals(words: &[Words], spread: f32, count: usize) -> Vec<Lane> {
    let mut values = vec![ZERO; count.next_multiple_of(2)];
    fill_normals(words, spread, &mut values);
    values.truncate(count);
    values
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn fill_normals(words: &[Words], spread: f32, values: &mut [Lane]) {
    for (words, values) in words.chunks_exact(2).zip(values.chunks_exact_mut(2)) {
        lanewise();
        for l in 0..LANES {
            let [x, y] = variates::normals([words[0][l], words[1][l]]);
            values[0][l] = spread * x;
            values[1][l] = spread * y;
        }
    }
}

/// Draws from U(−range/2, range/2) for each task, one of every word.
pub fn uniforms(words: &[Words], range: f32, count: usize) -> Vec<Lane> {
    let mut values = vec![ZERO; count];
    fill_uniforms(words, range, &mut values);
    values
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn fill_uniforms(words: &[Words], range: f32, values: &mut [Lane]) {
    for (words, value) in words.iter().zip(values) {
        lanewise();
        *value = std::array::from_fn(|l| range * variates::uniform(words[l]));
    }
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;
    use crate::task::{Stream, rng};

    #[test]
    fn every_lane_has_the_words_of_its_own_generator() {
        let place = Place { seed: 1 << 40 | 3, stream: Stream::HeldOut, step: 7 };
        let words = words(place, u64::from(u32::MAX) - 5, 100);
        assert_eq!(words.len(), 112);
        for l in 0..LANES {
            let mut rng = rng(place.seed, place.stream, place.step, u64::from(u32::MAX) - 5 + l as u64);
            for (i, words) in words.iter().enumerate() {
                assert_eq!(words[l], rng.next_u32(), "task {l}, word {i}");
            }
        }
    }
}
