//! Matrix products at the pace of the processor: tiles of four lanes that stay in registers.
//!
//! Four sums are enough to keep the units for multiplication and addition busy, and few enough for every instruction
//! set; compilers turn arrays of more than four lanes into memory. A product and its sum are two roundings everywhere, so
//! results do not depend on the instruction set.

use super::lanes::{LANES, Lane, ZERO};

/// Lanes in a tile.
pub const TILE: usize = 4;

/// sums[i] += Σ_k a_k[i] · b_k.
#[inline(always)]
pub fn add_tile<'a>(sums: &mut [Lane; TILE], terms: impl Iterator<Item = ([f32; TILE], &'a Lane)>) {
    let mut held = *sums;
    for (a, b) in terms {
        let b = *b;
        for i in 0..TILE {
            for l in 0..LANES {
                held[i][l] += a[i] * b[l];
            }
        }
    }
    *sums = held;
}

/// A matrix of plain numbers whose rows lie in fours, so that a tile reads one column of four rows at once. Rows that
/// are missing in the last four are zero.
#[allow(dead_code, reason = "for the recurrent cells")]
pub struct Fours {
    rows: usize,
    columns: usize,
    /// (⌈rows / 4⌉, columns) of four.
    values: Vec<[f32; TILE]>,
}

#[allow(dead_code, reason = "for the recurrent cells")]
impl Fours {
    pub fn new((rows, columns): (usize, usize), at: impl Fn(usize, usize) -> f32) -> Self {
        let tile = |row: usize, column| std::array::from_fn(|i| if row + i < rows { at(row + i, column) } else { 0.0 });
        let tiles = (0..rows).step_by(TILE).flat_map(|row| (0..columns).map(move |column| (row, column)));
        Self { rows, columns, values: tiles.map(|(row, column)| tile(row, column)).collect() }
    }

    /// Mᵀ of a row-major M of (rows, columns): what takes x to x M.
    pub fn transposed(matrix: &[f32], (rows, columns): (usize, usize)) -> Self {
        Self::new((columns, rows), |row, column| matrix[column * columns + row])
    }

    /// A row-major M itself: what takes the gradient by x M to that by x.
    pub fn of(matrix: &[f32], (rows, columns): (usize, usize)) -> Self {
        Self::new((rows, columns), |row, column| matrix[row * columns + column])
    }

    /// out_t += M x_t for every t.
    #[inline(always)]
    pub fn add_times(&self, x: &[Lane], out: &mut [Lane]) {
        for (x, out) in x.chunks_exact(self.columns).zip(out.chunks_exact_mut(self.rows)) {
            for (out, values) in out.chunks_mut(TILE).zip(self.values.chunks_exact(self.columns)) {
                let mut sums = [ZERO; TILE];
                sums.iter_mut().zip(&*out).for_each(|(sum, out)| *sum = *out);
                add_tile(&mut sums, values.iter().copied().zip(x));
                out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum);
            }
        }
    }
}

/// sums[r, c] += Σ_t Σ over all lanes of a_t[r] · b_t[c]: the gradient by a matrix that takes a_t to b_t.
#[allow(dead_code, reason = "for the recurrent cells")]
#[inline(always)]
pub fn add_outer_sums(a: &[Lane], b: &[Lane], (rows, columns): (usize, usize), sums: &mut [f32]) {
    // The side with fewer numbers is turned, sequence by sequence, so that its numbers are what stands side by side.
    if columns <= rows {
        add_turned(a, b, (rows, columns), |r, c, value| sums[r * columns + c] += value);
    } else {
        add_turned(b, a, (columns, rows), |c, r, value| sums[r * columns + c] += value);
    }
}

#[allow(dead_code, reason = "for the recurrent cells")]
#[inline(always)]
fn add_turned(a: &[Lane], b: &[Lane], (rows, columns): (usize, usize), mut add: impl FnMut(usize, usize, f32)) {
    let mut turned = vec![ZERO; b.len() / columns * LANES];
    for first in (0..columns).step_by(LANES) {
        let some = LANES.min(columns - first);
        for (b, turned) in b.chunks_exact(columns).zip(turned.as_chunks_mut().0) {
            let mut square = [ZERO; LANES];
            square[..some].copy_from_slice(&b[first..first + some]);
            *turned = transpose(&square);
        }
        for row in (0..rows).step_by(TILE) {
            let mut tile = [ZERO; TILE];
            for (a, turned) in a.chunks_exact(rows).zip(turned.chunks_exact(LANES)) {
                // Past the last row stands the last one again; its sums are not used.
                let four: [&Lane; TILE] = std::array::from_fn(|i| &a[(row + i).min(rows - 1)]);
                add_tile(&mut tile, turned.iter().enumerate().map(|(l, b)| (four.map(|lane| lane[l]), b)));
            }
            for (i, lane) in tile.iter().enumerate().take(rows - row) {
                lane.iter().enumerate().take(some).for_each(|(c, value)| add(row + i, first + c, *value));
            }
        }
    }
}

/// Rows become columns: four times, every lane of the first half is interleaved with one of the second.
#[inline(always)]
fn transpose(square: &[Lane; LANES]) -> [Lane; LANES] {
    let mut turned = *square;
    for _ in 0..LANES.ilog2() {
        let before = turned;
        let (front, back) = before.split_at(LANES / 2);
        for ((a, b), out) in front.iter().zip(back).zip(turned.as_chunks_mut::<2>().0) {
            for l in 0..LANES {
                out[0][l] = if l % 2 == 0 { a[l / 2] } else { b[l / 2] };
                out[1][l] = if l % 2 == 0 { a[(LANES + l) / 2] } else { b[(LANES + l) / 2] };
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::assert_close;

    fn lanes(count: usize, seed: f32) -> Vec<Lane> {
        (0..count).map(|i| std::array::from_fn(|l| (seed + (i * LANES + l) as f32 * 0.37).sin())).collect()
    }

    #[test]
    fn products_equal_their_definition_at_every_size() {
        for (rows, columns) in [(1, 1), (3, 5), (4, 4), (7, 2), (18, 33)] {
            let matrix: Vec<f32> = (0..rows * columns).map(|i| (i as f32).cos()).collect();
            let x = lanes(2 * columns, 0.1);
            let mut out = lanes(2 * rows, 0.2);
            let mut expected = out.clone();
            for (x, out) in x.chunks(columns).zip(expected.chunks_mut(rows)) {
                for (out, row) in out.iter_mut().zip(matrix.chunks(columns)) {
                    for (x, weight) in x.iter().zip(row) {
                        out.iter_mut().zip(x).for_each(|(out, x)| *out += weight * x);
                    }
                }
            }
            Fours::of(&matrix, (rows, columns)).add_times(&x, &mut out);
            assert_close(out.as_flattened(), expected.as_flattened(), 1e-5);
            let turned: Vec<f32> = (0..rows * columns).map(|i| matrix[i % rows * columns + i / rows]).collect();
            let mut again = lanes(2 * rows, 0.2);
            Fours::transposed(&turned, (columns, rows)).add_times(&x, &mut again);
            assert_eq!(again, out);
        }
    }

    #[test]
    fn outer_sums_equal_their_definition_at_every_size() {
        for (rows, columns) in [(1, 1), (3, 5), (5, 3), (4, 16), (33, 18), (18, 33)] {
            let (a, b) = (lanes(3 * rows, 0.3), lanes(3 * columns, 0.4));
            let mut sums = vec![0.5; rows * columns];
            add_outer_sums(&a, &b, (rows, columns), &mut sums);
            let product = |r: usize, c: usize| -> f32 {
                let lanes = (0..3).flat_map(|t| a[t * rows + r].iter().zip(&b[t * columns + c]));
                0.5 + lanes.map(|(a, b)| a * b).sum::<f32>()
            };
            let expected: Vec<f32> = (0..rows * columns).map(|i| product(i / columns, i % columns)).collect();
            assert_close(&sums, &expected, 1e-5);
        }
    }
}
