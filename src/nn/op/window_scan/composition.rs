//! The window recurrence made of dfdx's operations, for any device. Symbols are those of [`super`].

use dfdx::prelude::*;

use super::WindowScan;
use crate::nn::op::Device;
use crate::nn::op::join::join;
use crate::nn::op::slice::slice;
use crate::nn::{DeviceResult, GradTarget, Input, Matrix, Tensor3};

/// All windows at once, because a card is fast where it is asked
/// seldom, and without the states, because it is slow where it must remember much. With q = X_Nᵀ D,
/// S_N q = Σ_t Σ_a X_t[a] ⊙ Λ^{N−t} (q ⊙ (Q X_t)[a]).
pub fn compose<D: Device, T: Tape<f32, D>>(
    input: Input<D, T>,
    weights: WindowScan<'_, D>,
) -> DeviceResult<Matrix<D, T>, D> {
    let (tokens, tape) = input.tokens.split_tape();
    let (batch, length, dim) = *tokens.shape();
    let count = (length - 1) / 2;
    if count == 0 {
        return Ok(tokens.device().try_zeros_like(&(batch, dim))?.put_tape(tape));
    }
    // Nobody asks for gradients by the tokens in training: then their way into the windows stays off the tape.
    let [windows, last] = match input.grad_target {
        GradTarget::Weights => windows(tokens)?.map(|part| part.retaped::<T>()),
        GradTarget::Query | GradTarget::All => windows(tokens.retaped::<T>())?,
    };
    let pick = weights.pick.retaped::<T>().try_permute::<_, Axes2<1, 0>>()?;
    let query = pick.try_matmul(last)?.try_reshape_like(&(batch, dim))?; // q

    let all = (3 * count, batch, dim);
    let mixed = weights.mix.retaped::<T>().try_matmul(windows.retaped::<T>())?.try_reshape_like(&all)?; // Q X_t
    let asked = mixed.try_mul(query.try_broadcast_like::<_, Axis<0>>(&all)?)?;
    let powers = powers::<D, T>(weights.decay, count)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (3N, d, d)
    let answer = asked.try_matmul(powers)?.try_mul(windows.try_reshape_like(&all)?)?.try_sum::<_, Axis<0>>()?;
    let (answer, answer_tape) = answer.split_tape();
    Ok(answer.put_tape(tape.merge(answer_tape)))
}

/// All x_t, then all y_t, then all x_{t+1}, time before sequences: (3, N·B·d); and the last window: (3, B·d).
fn windows<D: Device, T: Tape<f32, D>>(tokens: Tensor3<D, T>) -> DeviceResult<[Matrix<D, T>; 2], D> {
    let (batch, length, dim) = *tokens.shape();
    let (count, wide) = ((length - 1) / 2, batch * dim);
    let by_time = tokens.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(1, length, wide))?;
    // (x_t, y_t) and (y_t, x_{t+1}), a pair in a row.
    let pairs = |first: usize| {
        let part = slice(by_time.retaped::<T>(), (0..1, first..first + 2 * count, 0..wide))?;
        part.try_reshape_like(&(1, count, 2 * wide))
    };
    let (front, back) = (pairs(0)?, pairs(1)?);
    let half = |pair: &Tensor3<D, T>, first: usize| slice(pair.retaped::<T>(), (0..1, 0..count, first..first + wide));
    let parts = vec![half(&front, 0)?, half(&front, wide)?, half(&back, wide)?];
    let windows = parts.try_stack()?.try_reshape_like(&(3, count * wide))?;
    let windows = join(join(windows, front), back);
    let last = slice(by_time.retaped::<T>(), (0..1, length - 3..length, 0..wide))?.try_reshape_like(&(3, wide))?;
    Ok([join(windows, by_time), last])
}

/// Λ^{N−1}, …, Λ, 1, entry by entry, three times: (3N, d, d).
fn powers<D: Device, T: Tape<f32, D>>(decay: &Matrix<D>, count: usize) -> DeviceResult<Tensor3<D, T>, D> {
    let (dim, _) = *decay.shape();
    let ones: Matrix<D, T> = decay.device().try_ones_like(&(dim, dim))?.retaped::<T>();
    // Each by itself: a card does not wait for the one before.
    let power = |t: usize| decay.retaped::<T>().try_powi(t as i32);
    let powers = (1..count).rev().map(power).chain([Ok(ones)]).collect::<Result<Vec<_>, _>>()?;
    let once = powers.try_stack()?; // (N, d, d)
    // Products with one, because dfdx does not stack a tensor on itself.
    let again = || once.retaped::<T>().try_mul(1.0f32);
    let thrice = vec![again()?, again()?, again()?].try_stack()?;
    Ok(join(thrice.try_reshape_like(&(3 * count, dim, dim))?, once))
}

/// S_N, one window after the other: (B, d, d).
pub fn last_state<D: Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    weights: &WindowScan<'_, D>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (tokens, tape) = tokens.split_tape();
    let (batch, length, dim) = *tokens.shape();
    let mut state: Option<Tensor3<D, T>> = None;
    for t in 0..(length - 1) / 2 {
        let window = slice(tokens.retaped::<T>(), (0..batch, 2 * t..2 * t + 3, 0..dim))?; // (B, 3, d)
        let columns = window.retaped::<T>().try_permute::<_, Axes3<0, 2, 1>>()?; // (B, d, 3)
        // Flat, because dfdx differentiates a product of many matrices with one by one sequence after the other.
        let flat = columns.try_reshape_like(&(batch * dim, 3))?.try_matmul(weights.mix.clone())?;
        let update = flat.try_reshape_like(&(batch, dim, 3))?.try_matmul(window)?; // (B, d, d)
        state = Some(match state {
            None => update,
            Some(state) => {
                let decay = weights.decay.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&(batch, dim, dim))?;
                state.try_mul(decay)?.try_add(update)?
            }
        });
    }
    let state = match state {
        Some(state) => state,
        None => tokens.device().try_zeros_like(&(batch, dim, dim))?.retaped::<T>(),
    };
    let (state, its) = state.split_tape();
    Ok(state.put_tape(tape.merge(its)))
}
