//! Every token times the same matrix, and a row added: y_t = x_t W + c, with W (a, b) and c (1, b).

use dfdx::prelude::{HasShape, ReshapeTo, Tape, TryMatMul};
use multiversion::multiversion;

use super::Device;
use super::lanes::{LANES, Lane, ZERO, dot, lanewise, plus_scaled};
use super::outer::add_outer;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// tokens · W, made of dfdx's operations, for any device: (B, T, a) times (a, b).
pub fn project<D: Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    weight: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, width) = *tokens.shape();
    let wide = weight.shape().1;
    let flat = tokens.try_reshape_like(&(batch * length, width))?;
    flat.try_matmul(weight)?.try_reshape_like(&(batch, length, wide))
}

/// Sums that stay in registers at once. They are named one by one below, for a loop over them would be turned around by
/// the compiler: it then gathers the numbers of one lane from all sums.
const TILE: usize = 4;

/// out += x W, with W as wide as `out`.
#[inline(always)]
pub fn add_row_times(x: &[Lane], weight: &[f32], out: &mut [Lane]) {
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

/// Writes x W to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(x: &[Lane], weight: &[f32], (a, b): (usize, usize), out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        out.fill(ZERO);
        add_row_times(x, weight, out);
    }
}

/// Writes x W + c to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward_affine(x: &[Lane], (weight, bias): (&[f32], &[f32]), out: &mut [Lane]) {
    let (a, b) = (weight.len() / bias.len(), bias.len());
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        write_row(bias, out);
        add_row_times(x, weight, out);
    }
}

/// Adds the gradients by x and by W.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    (x, weight): (&[Lane], &[f32]),
    (a, b): (usize, usize),
    grad_out: &[Lane],
    grad_x: &mut [Lane],
    grad_weight: &mut [f32],
) {
    for (grad_x, grad_out) in grad_x.chunks_exact_mut(a).zip(grad_out.chunks_exact(b)) {
        add_times_column(weight, grad_out, grad_x);
    }
    add_outer(x, grad_out, (a, b), grad_weight);
}

/// W V of (a, h) and (h, b).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn chained([first, second]: [&[f32]; 2], [a, h, b]: [usize; 3]) -> Vec<f32> {
    let mut both = vec![0.0; a * b];
    for (row, both) in first.chunks_exact(h).zip(both.chunks_exact_mut(b)) {
        for (w, along) in row.iter().zip(second.chunks_exact(b)) {
            both.iter_mut().zip(along).for_each(|(both, v)| *both += w * v);
        }
    }
    both
}

/// Writes x W V to `out`.
pub fn forward_twice(x: &[Lane], weights: [&[f32]; 2], sizes: [usize; 3], out: &mut [Lane]) {
    forward(x, &chained(weights, sizes), (sizes[0], sizes[2]), out);
}

/// Adds the gradients by x, W and V.
pub fn backward_twice(
    (x, weights): (&[Lane], [&[f32]; 2]),
    sizes: [usize; 3],
    grad_out: &[Lane],
    grad_x: &mut [Lane],
    [grad_first, grad_second]: [&mut [f32]; 2],
) {
    let [a, _, b] = sizes;
    let mut grad_both = vec![0.0; a * b];
    backward((x, &chained(weights, sizes)), (a, b), grad_out, grad_x, &mut grad_both);
    unchain(weights, sizes, &grad_both, [grad_first, grad_second]);
}

/// Adds the gradients by W and V that follow from that by W V.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn unchain(
    weights: [&[f32]; 2],
    [_, h, b]: [usize; 3],
    grad_both: &[f32],
    [grad_first, grad_second]: [&mut [f32]; 2],
) {
    for ((grad_row, row), grad_both) in
        grad_first.chunks_exact_mut(h).zip(weights[0].chunks_exact(h)).zip(grad_both.chunks(b))
    {
        let along = weights[1].chunks_exact(b).zip(grad_second.chunks_exact_mut(b));
        for ((grad_w, w), (v, grad_v)) in grad_row.iter_mut().zip(row).zip(along) {
            *grad_w += dot(grad_both, v);
            grad_v.iter_mut().zip(grad_both).for_each(|(grad_v, grad)| *grad_v += w * grad);
        }
    }
}

/// Of one sequence: adds x W to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward_one(x: &[f32], weight: &[f32], (a, b): (usize, usize), out: &mut [f32]) {
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        for (x, row) in x.iter().zip(weight.chunks_exact(b)) {
            out.iter_mut().zip(row).for_each(|(out, w)| *out += x * w);
        }
    }
}

/// Of one sequence: adds the gradient by x, which does not depend on x.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward_one(grad_out: &[f32], weight: &[f32], (a, b): (usize, usize), grad_x: &mut [f32]) {
    for (grad_out, grad_x) in grad_out.chunks_exact(b).zip(grad_x.chunks_exact_mut(a)) {
        for (grad_x, row) in grad_x.iter_mut().zip(weight.chunks_exact(b)) {
            *grad_x += dot(grad_out, row);
        }
    }
}

/// Of one sequence: adds the gradient by W.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn grad_weight_of_one(x: &[f32], grad_out: &[f32], (a, b): (usize, usize), grad_weight: &mut [f32]) {
    for (x, grad_out) in x.chunks_exact(a).zip(grad_out.chunks_exact(b)) {
        for (x, row) in x.iter().zip(grad_weight.chunks_exact_mut(b)) {
            row.iter_mut().zip(grad_out).for_each(|(sum, grad)| *sum += x * grad);
        }
    }
}
