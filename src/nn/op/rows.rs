//! What is done to every token of a sequence alike: products with a matrix or a row, and a row added.

use dfdx::prelude::{Axes2, BroadcastTo, HasShape, ReshapeTo, Tape, TryAdd, TryMul};

use super::{Affine, Device};
use crate::nn::{Cube, Matrix, Outcome};

/// tokens · W: (B, T, a) times (a, b).
pub fn project<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, weight: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let (batch, length, width) = *tokens.shape();
    let wide = weight.shape().1;
    let device = tokens.device().clone();
    let rows = tokens.try_reshape_like(&(batch * length, width))?;
    let affine = Affine { rows, weight, bias: None, bend: None, by_rows: true };
    device.affine(affine)?.try_reshape_like(&(batch, length, wide))
}

/// Every token times a row, entry by entry: (B, T, a) ⊙ (1, a).
pub fn times_row<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_mul(row)
}

/// Every token plus a row: (B, T, a) + (1, a).
pub fn plus_row<D: Device, T: Tape<f32, D>>(tokens: Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let row = row_like(&tokens, row)?;
    tokens.try_add(row)
}

fn row_like<D: Device, T: Tape<f32, D>>(tokens: &Cube<D, T>, row: Matrix<D, T>) -> Outcome<Cube<D, T>, D> {
    let shape = *tokens.shape();
    row.try_reshape_like(&(shape.2,))?.try_broadcast_like::<_, Axes2<0, 1>>(&shape)
}
