//! Batches packed for SIMD, and the way between packed and row-major numbers.

use rayon::prelude::*;

use super::lane::{LANES, Lane};
use super::pool::Buffer;

/// A batch of token sequences, packed: a buffer of (tokens · width) lanes for each block of sixteen sequences. Where
/// the batch is no multiple of sixteen, the last lanes of the last block belong to no sequence.
pub struct PackedBatch {
    pub sequences: usize,
    /// Tokens of a sequence, and their width.
    pub grid: (usize, usize),
    pub blocks: Vec<Buffer>,
}

impl PackedBatch {
    /// Packs sequences of (tokens, width) each, row-major.
    pub fn of_rows(rows: &[f32], grid: (usize, usize)) -> Self {
        let length = grid.0 * grid.1;
        let blocks = rows.par_chunks((LANES * length).max(1)).map(|rows| Buffer::packed(rows, length)).collect();
        Self { sequences: rows.len() / length.max(1), grid, blocks }
    }

    /// (sequences, tokens, width), row-major.
    pub fn rows(&self) -> Vec<f32> {
        let length = self.grid.0 * self.grid.1;
        let mut rows = vec![0.0; self.sequences * length];
        let parts = rows.par_chunks_mut((LANES * length).max(1)).zip(&self.blocks);
        parts.for_each(|(rows, lanes)| unpack(lanes, rows));
        rows
    }
}

impl Buffer {
    /// A block of up to sixteen rows, each of `width` numbers, packed. Lanes without a row are zero.
    pub fn packed(rows: &[f32], width: usize) -> Self {
        let is_whole = rows.len() == LANES * width;
        let mut lanes = if is_whole { Self::uninit(width) } else { Self::zeros(width) };
        let sequences = (rows.len() / width.max(1)).min(LANES);
        for (k, lane) in lanes.iter_mut().enumerate() {
            for (l, value) in lane.iter_mut().enumerate().take(sequences) {
                *value = rows[l * width + k];
            }
        }
        lanes
    }
}

/// Writes lanes as rows, as many as there are.
pub fn unpack(lanes: &[Lane], rows: &mut [f32]) {
    each_in_rows(lanes, rows, |place, value| *place = value);
}

/// Adds lanes to rows, as many as there are.
pub fn unpack_add(lanes: &[Lane], rows: &mut [f32]) {
    each_in_rows(lanes, rows, |place, value| *place += value);
}

#[inline(always)]
fn each_in_rows(lanes: &[Lane], rows: &mut [f32], put: impl Fn(&mut f32, f32)) {
    for (l, row) in rows.chunks_exact_mut(lanes.len().max(1)).take(LANES).enumerate() {
        for (place, lane) in row.iter_mut().zip(lanes) {
            put(place, lane[l]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_packed_and_unpacked_also_where_a_block_is_not_full() {
        for sequences in [LANES, 3, 2 * LANES + 5] {
            let rows: Vec<f32> = (0..sequences * 6).map(|i| i as f32).collect();
            let packed = PackedBatch::of_rows(&rows, (3, 2));
            assert_eq!(packed.sequences, sequences);
            assert_eq!(packed.blocks[0][4][2], rows[2 * 6 + 4]);
            assert_eq!(packed.rows(), rows);
        }
    }
}
