//! Every token times the same matrix: y_t = x_t W, with W (a, b).

use dfdx::prelude::{HasShape, ReshapeTo, Tape, TryMatMul};
use multiversion::multiversion;

use super::Device;
use super::lanes::{Lane, ZERO, fused_product, fused_scaled, total};
use crate::nn::{Cube, Matrix, Outcome};

/// tokens · W, made of dfdx's operations, for any device: (B, T, a) times (a, b).
pub fn project<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, weight: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let (batch, length, width) = *tokens.shape();
    let wide = weight.shape().1;
    let flat = tokens.try_reshape_like(&(batch * length, width))?;
    flat.try_matmul(weight)?.try_reshape_like(&(batch, length, wide))
}

/// How a matrix lies in memory: the way from one row to the next, and from one column to the next.
#[derive(Clone, Copy)]
struct Strides(usize, usize);

/// Sums that stay in registers at once.
const TILE: usize = 8;

/// J neighbouring entries of x W.
#[inline(always)]
fn entries<const J: usize>(x: &[Lane], weight: &[f32], Strides(down, along): Strides) -> [Lane; J] {
    let mut sums = [ZERO; J];
    for (a, x) in x.iter().enumerate() {
        let row = &weight[a * down..][..(J - 1) * along + 1];
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = fused_scaled(sum, row[j * along], x);
        }
    }
    sums
}

/// out += x W.
#[inline(always)]
fn add_vector_times(x: &[Lane], weight: &[f32], strides: Strides, out: &mut [Lane]) {
    let along = strides.1;
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    for (i, tile) in tiles.iter_mut().enumerate() {
        let sums = entries::<TILE>(x, &weight[i * TILE * along..], strides);
        tile.iter_mut().zip(&sums).for_each(|(out, sum)| (0..sum.len()).for_each(|l| out[l] += sum[l]));
    }
    let done = tiles.len() * TILE;
    for (i, out) in rest.iter_mut().enumerate() {
        let [sum] = entries::<1>(x, &weight[(done + i) * along..], strides);
        (0..sum.len()).for_each(|l| out[l] += sum[l]);
    }
}

/// Adds x W to `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn forward(x: &[Lane], weight: &[f32], (a, b): (usize, usize), out: &mut [Lane]) {
    for (x, out) in x.chunks_exact(a).zip(out.chunks_exact_mut(b)) {
        add_vector_times(x, weight, Strides(b, 1), out);
    }
}

/// Adds the gradients by x and by W.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn backward(
    (x, weight): (&[Lane], &[f32]),
    (a, b): (usize, usize),
    by_out: &[Lane],
    by_x: &mut [Lane],
    by_weight: &mut [f32],
) {
    for (by_x, by_out) in by_x.chunks_exact_mut(a).zip(by_out.chunks_exact(b)) {
        add_vector_times(by_out, weight, Strides(1, b), by_x);
    }
    for row in 0..a {
        let mut column = 0;
        while column < b {
            match b - column {
                TILE.. => column += add_outer_entries::<TILE>((x, by_out), (a, b), (row, column), by_weight),
                2.. => column += add_outer_entries::<2>((x, by_out), (a, b), (row, column), by_weight),
                _ => column += add_outer_entries::<1>((x, by_out), (a, b), (row, column), by_weight),
            }
        }
    }
}

/// Adds J neighbouring entries of Σ_t x_tᵀ ∂y_t, and says how many they were.
#[inline(always)]
fn add_outer_entries<const J: usize>(
    (x, by_out): (&[Lane], &[Lane]),
    (a, b): (usize, usize),
    (row, column): (usize, usize),
    by_weight: &mut [f32],
) -> usize {
    let mut sums = [ZERO; J];
    for (x, by_out) in x.chunks_exact(a).zip(by_out.chunks_exact(b)) {
        let by_out = &by_out[column..][..J];
        for (sum, by_out) in sums.iter_mut().zip(by_out) {
            *sum = fused_product(sum, &x[row], by_out);
        }
    }
    for (slope, sum) in by_weight[row * b + column..][..J].iter_mut().zip(&sums) {
        *slope += total(sum);
    }
    J
}
