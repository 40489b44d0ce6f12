//! Sums of products over all sequences of a block: the gradient by a matrix.

use super::buffer::Buffer;
use super::lanes::{LANES, Lane, ZERO, plus_scaled};

/// Rows whose sums stay in registers at once. They are named one by one below, for a loop over them would be turned
/// around by the compiler: it then gathers the numbers of one lane from all sums.
const TILE: usize = 4;

/// sums[r, c] += Σ_t Σ over all lanes of x_t[r] · y_t[c]: the gradient by a matrix (rows, columns) that takes x_t to what
/// has the gradient y_t.
///
/// A sum over lanes costs more than the product before it. So one side is turned: its numbers of one sequence stand side
/// by side, are multiplied by one number of the other side, and summed over sequences as they are.
#[inline(always)]
pub fn add_outer(x: &[Lane], y: &[Lane], (rows, columns): (usize, usize), sums: &mut [f32]) {
    if turning(columns, rows) <= turning(rows, columns) {
        turn(x, y, (rows, columns), |r, c, value| sums[r * columns + c] += value);
    } else {
        turn(y, x, (columns, rows), |c, r, value| sums[r * columns + c] += value);
    }
}

/// What it costs for each token to turn a side of so many numbers and multiply it with the other, in products of lanes.
fn turning(turned: usize, other: usize) -> usize {
    turned.div_ceil(LANES) * (other.next_multiple_of(TILE) + 3 * TILE) * LANES
}

#[inline(always)]
fn turn(x: &[Lane], y: &[Lane], (rows, columns): (usize, usize), mut add: impl FnMut(usize, usize, f32)) {
    let mut turned = Buffer::zeros(y.len() / columns * LANES);
    for first in (0..columns).step_by(LANES) {
        let some = LANES.min(columns - first);
        for (y, turned) in y.chunks_exact(columns).zip(turned.as_chunks_mut().0) {
            let mut square = [ZERO; LANES];
            square[..some].copy_from_slice(&y[first..first + some]);
            transpose(&square, turned);
        }
        for row in (0..rows).step_by(TILE) {
            let [mut a, mut b, mut c, mut d] = [ZERO; TILE];
            for (x, turned) in x.chunks_exact(rows).zip(turned.as_chunks::<LANES>().0) {
                // Past the last row stands the last one again; its sums are not used.
                let four: [&Lane; TILE] = std::array::from_fn(|i| &x[(row + i).min(rows - 1)]);
                for (l, y) in turned.iter().enumerate() {
                    a = plus_scaled(&a, four[0][l], y);
                    b = plus_scaled(&b, four[1][l], y);
                    c = plus_scaled(&c, four[2][l], y);
                    d = plus_scaled(&d, four[3][l], y);
                }
            }
            for (i, sum) in [a, b, c, d].iter().enumerate().take(rows - row) {
                sum.iter().enumerate().take(some).for_each(|(column, value)| add(row + i, first + column, *value));
            }
        }
    }
}

/// Rows become columns.
#[inline(always)]
fn transpose(square: &[Lane; LANES], turned: &mut [Lane; LANES]) {
    let mut between = [ZERO; LANES];
    interleave(square, turned);
    interleave(turned, &mut between);
    interleave(&between, turned);
    interleave(turned, &mut between);
    *turned = between;
}

/// Every lane of the first half between the numbers of one of the second; four times over, that transposes.
#[inline(always)]
fn interleave(from: &[Lane; LANES], to: &mut [Lane; LANES]) {
    const HALF: usize = LANES / 2;
    let (front, back) = from.split_at(HALF);
    for ((a, b), to) in front.iter().zip(back).zip(to.as_chunks_mut::<2>().0) {
        to[0] = std::array::from_fn(|l| if l % 2 == 0 { a[l / 2] } else { b[l / 2] });
        to[1] = std::array::from_fn(|l| if l % 2 == 0 { a[HALF + l / 2] } else { b[HALF + l / 2] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::assert_close;

    fn lanes(count: usize, seed: f32) -> Vec<Lane> {
        (0..count).map(|i| std::array::from_fn(|l| (seed + (i * LANES + l) as f32 * 0.37).sin())).collect()
    }

    #[test]
    fn sums_equal_their_definition_at_every_size() {
        for (rows, columns) in [(1, 1), (3, 5), (5, 3), (4, 16), (33, 18), (18, 33)] {
            let (x, y) = (lanes(3 * rows, 0.3), lanes(3 * columns, 0.4));
            let mut sums = vec![0.5; rows * columns];
            add_outer(&x, &y, (rows, columns), &mut sums);
            let product = |r: usize, c: usize| -> f32 {
                let lanes = (0..3).flat_map(|t| x[t * rows + r].iter().zip(&y[t * columns + c]));
                0.5 + lanes.map(|(x, y)| x * y).sum::<f32>()
            };
            let expected: Vec<f32> = (0..rows * columns).map(|i| product(i / columns, i % columns)).collect();
            assert_close(&sums, &expected, 1e-5);
        }
    }
}
