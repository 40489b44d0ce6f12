//! Products with matrices that all sequences share, and sums of products over all sequences of a block: the gradient by
//! such a matrix.

use multiversion::multiversion;

use super::lane::{LANES, Lane, ZERO, dot, each, lanewise, plus_scaled};
use super::pool::Buffer;

/// Sums that stay in registers at once. They are named one by one below, for a loop over them would be turned
/// around by the compiler: it then gathers the numbers of one lane from all sums.
const TILE: usize = 4;

/// Tokens whose numbers are read again and again before those of the next: they stay in the cache.
const TOKENS: usize = 64;

/// out += x W, with W as wide as `out`.
#[inline(always)]
pub fn add_row_times(x: &[Lane], weight: &[f32], out: &mut [Lane]) {
    if let [out] = out {
        return add_dot(x, weight, out);
    }
    let width = out.len();
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    let done = tiles.len() * TILE;
    for (i, tile) in tiles.iter_mut().enumerate() {
        let [mut a, mut b, mut c, mut d] = *tile;
        for (x, row) in x.iter().zip(weight.chunks_exact(width)) {
            let row = &row[i * TILE..][..TILE];
            a = plus_scaled(&a, row[0], x);
            b = plus_scaled(&b, row[1], x);
            c = plus_scaled(&c, row[2], x);
            d = plus_scaled(&d, row[3], x);
        }
        *tile = [a, b, c, d];
    }
    for (i, out) in rest.iter_mut().enumerate() {
        let mut sum = *out;
        for (x, row) in x.iter().zip(weight.chunks_exact(width)) {
            lanewise();
            sum = plus_scaled(&sum, row[done + i], x);
        }
        *out = sum;
    }
}

/// out += Σ x_i w_i, in four sums, so that none waits for the one before.
#[inline(always)]
fn add_dot(x: &[Lane], weight: &[f32], out: &mut Lane) {
    let ((fours, rest), (weights, last)) = (x.as_chunks::<TILE>(), weight.as_chunks::<TILE>());
    let [mut a, mut b, mut c, mut d] = [*out, ZERO, ZERO, ZERO];
    for (x, w) in fours.iter().zip(weights) {
        a = plus_scaled(&a, w[0], &x[0]);
        b = plus_scaled(&b, w[1], &x[1]);
        c = plus_scaled(&c, w[2], &x[2]);
        d = plus_scaled(&d, w[3], &x[3]);
    }
    for (x, w) in rest.iter().zip(last) {
        a = plus_scaled(&a, *w, x);
    }
    *out = each(|l| (a[l] + b[l]) + (c[l] + d[l]));
}

/// out += W x, with W as wide as x.
#[inline(always)]
pub fn add_times_column(weight: &[f32], x: &[Lane], out: &mut [Lane]) {
    let width = x.len();
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    let (tiled, single) = weight.split_at(tiles.len() * TILE * width);
    for (tile, rows) in tiles.iter_mut().zip(tiled.chunks_exact(TILE * width)) {
        let (front, back) = rows.split_at(2 * width);
        let ((p, q), (r, s)) = (front.split_at(width), back.split_at(width));
        let [mut a, mut b, mut c, mut d] = *tile;
        for ((((x, p), q), r), s) in x.iter().zip(p).zip(q).zip(r).zip(s) {
            a = plus_scaled(&a, *p, x);
            b = plus_scaled(&b, *q, x);
            c = plus_scaled(&c, *r, x);
            d = plus_scaled(&d, *s, x);
        }
        *tile = [a, b, c, d];
    }
    for (out, row) in rest.iter_mut().zip(single.chunks_exact(width)) {
        let mut sum = *out;
        for (x, w) in x.iter().zip(row) {
            lanewise();
            sum = plus_scaled(&sum, *w, x);
        }
        *out = sum;
    }
}

/// Every lane becomes its number of the row.
#[inline(always)]
pub fn write_row(row: &[f32], out: &mut [Lane]) {
    for (out, number) in out.iter_mut().zip(row) {
        lanewise();
        *out = [*number; LANES];
    }
}

/// sums[r, c] += Σ_t Σ over all lanes of x_t[r] · y_t[c]: the gradient by a matrix (rows, columns) that takes x_t to
/// what has the gradient y_t.
///
/// A sum over lanes costs more than the product before it. So one side is turned: its numbers of one sequence stand
/// side by side, are multiplied by one number of the other side, and summed over sequences as they are.
#[inline(always)]
pub fn add_outer(x: &[Lane], y: &[Lane], (rows, columns): (usize, usize), sums: &mut [f32]) {
    for (x, y) in x.chunks(TOKENS * rows).zip(y.chunks(TOKENS * columns)) {
        add_outer_of_some(x, y, (rows, columns), sums);
    }
}

#[inline(always)]
fn add_outer_of_some(x: &[Lane], y: &[Lane], (rows, columns): (usize, usize), sums: &mut [f32]) {
    let tokens = x.len() / rows;
    // Sums of a column are far from each other and added one by one.
    let added = 2 * rows * columns;
    if tokens * turning(columns, rows) <= tokens * turning(rows, columns) + added {
        turn(x, y, (rows, columns), |r, c, values| {
            let sums = &mut sums[r * columns..][..columns][c..];
            match sums.first_chunk_mut::<LANES>() {
                Some(sums) => *sums = std::array::from_fn(|l| sums[l] + values[l]),
                None => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
            }
        });
    } else {
        turn(y, x, (columns, rows), |c, r, values| {
            let sums = sums[r * columns..].chunks_mut(columns);
            sums.zip(values).for_each(|(sums, value)| sums[c] += value);
        });
    }
}

/// What it costs for each token to turn a side of so many numbers and multiply it with the other, in products of lanes.
fn turning(turned: usize, other: usize) -> usize {
    turned.div_ceil(LANES) * (other.next_multiple_of(TILE) + LANES) * LANES
}

/// Gives the sums of a row, sixteen columns at once or as many as are left, to `add`.
#[inline(always)]
fn turn(x: &[Lane], y: &[Lane], (rows, columns): (usize, usize), mut add: impl FnMut(usize, usize, &Lane)) {
    let mut turned = Buffer::uninit(y.len() / columns * LANES);
    for first in (0..columns).step_by(LANES) {
        for (y, turned) in y.chunks_exact(columns).zip(turned.as_chunks_mut().0) {
            match y[first..].first_chunk() {
                Some(square) => transpose(square, turned),
                None => transpose(&squared(&y[first..]), turned),
            }
        }
        for row in (0..rows).step_by(TILE) {
            let [mut a, mut b, mut c, mut d] = [ZERO; TILE];
            // In place of rows past the last one stands the last one again; its sums are not used.
            let at: [usize; TILE] = std::array::from_fn(|i| (row + i).min(rows - 1));
            for (x, turned) in x.chunks_exact(rows).zip(turned.as_chunks::<LANES>().0) {
                let four = at.map(|row| &x[row]);
                for (l, y) in turned.iter().enumerate() {
                    a = plus_scaled(&a, four[0][l], y);
                    b = plus_scaled(&b, four[1][l], y);
                    c = plus_scaled(&c, four[2][l], y);
                    d = plus_scaled(&d, four[3][l], y);
                }
            }
            for (i, sums) in [a, b, c, d].iter().enumerate().take(rows - row) {
                add(row + i, first, sums);
            }
        }
    }
}

/// So many lanes and zeros below them.
#[inline(always)]
fn squared(lanes: &[Lane]) -> [Lane; LANES] {
    let mut square = [ZERO; LANES];
    square[..lanes.len()].copy_from_slice(lanes);
    square
}

/// Rows become columns, four by four.
#[inline(always)]
fn transpose(square: &[Lane; LANES], turned: &mut [Lane; LANES]) {
    for (i, four) in square.as_chunks::<4>().0.iter().enumerate() {
        for (j, to) in turned.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            lanewise();
            let [a, b, c, d] = four.each_ref().map(|lane| lane.as_chunks::<4>().0[j]);
            for (k, to) in to.iter_mut().enumerate() {
                to.as_chunks_mut::<4>().0[i] = [a[k], b[k], c[k], d[k]];
            }
        }
    }
}

/// W V of (a, h) and (h, b).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn matrix_product([first, second]: [&[f32]; 2], [a, h, b]: [usize; 3]) -> Vec<f32> {
    let mut product = vec![0.0; a * b];
    for (row, sums) in first.chunks_exact(h).zip(product.chunks_exact_mut(b)) {
        for (w, along) in row.iter().zip(second.chunks_exact(b)) {
            sums.iter_mut().zip(along).for_each(|(sum, v)| *sum += w * v);
        }
    }
    product
}

/// Adds the gradients by W and V that follow from that by W V.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn matrix_product_backward(
    weights: [&[f32]; 2],
    [_, h, b]: [usize; 3],
    grad_product: &[f32],
    [grad_first, grad_second]: [&mut [f32]; 2],
) {
    for ((grad_row, row), grad_product) in
        grad_first.chunks_exact_mut(h).zip(weights[0].chunks_exact(h)).zip(grad_product.chunks(b))
    {
        let along = weights[1].chunks_exact(b).zip(grad_second.chunks_exact_mut(b));
        for ((grad_w, w), (v, grad_v)) in grad_row.iter_mut().zip(row).zip(along) {
            *grad_w += dot(grad_product, v);
            grad_v.iter_mut().zip(grad_product).for_each(|(grad_v, grad)| *grad_v += w * grad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::assert_close;

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
