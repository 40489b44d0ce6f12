//! The window scan made of dfdx's operations, for any device. Symbols are those of [`super`].

use dfdx::prelude::*;

use super::Window;
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, slice};

/// All windows at once and without the states, because a GPU is fast where few large operations need little memory.
/// With q = X_Nᵀ D, S_N q = Σ_t Σ_a X_t[a] ⊙ Λ^{N−t} (q ⊙ (Q X_t)[a]).
pub fn answer<D: Backend, T: Tape<f32, D>>(
    window: Window,
    tokens: Tensor3<D, T>,
    [decay, mix, pick]: [Matrix<D, T>; 3],
) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, dim) = *tokens.shape();
    let (count, w) = (window.count(length), window.rows());
    if count == 0 {
        return Ok(tokens.device().try_zeros_like(&(batch, 1, dim))?.retaped::<T>());
    }
    let [windows, last] = match window {
        Window::One | Window::Two => windows_of_neighbours(w, tokens)?,
        Window::Three => windows_of_pairs(tokens)?,
    };
    let pick = pick.try_permute::<_, Axes2<1, 0>>()?;
    let query = pick.try_matmul(last)?.try_reshape_like(&(batch, dim))?; // q

    let all = (w * count, batch, dim);
    let mixed = mix.try_matmul(windows.retaped::<T>())?.try_reshape_like(&all)?; // Q X_t
    let products = mixed.try_mul(query.try_broadcast_like::<_, Axis<0>>(&all)?)?;
    let powers = powers(&decay, count, w)?.try_permute::<_, Axes3<0, 2, 1>>()?; // (wN, d, d)
    let answer = products.try_matmul(powers)?.try_mul(windows.try_reshape_like(&all)?)?;
    join(answer.try_sum::<(usize, usize), Axis<0>>()?, decay).try_reshape_like(&(batch, 1, dim))
}

/// All x_t, then all y_t, then all x_{t+1}, time before sequences: (3, N·B·d); and the last window: (3, B·d).
fn windows_of_pairs<D: Backend, T: Tape<f32, D>>(tokens: Tensor3<D, T>) -> DeviceResult<[Matrix<D, T>; 2], D> {
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

/// The same of windows of w tokens at every token: (w, N·B·d), and the last window (w, B·d).
fn windows_of_neighbours<D: Backend, T: Tape<f32, D>>(
    w: usize,
    tokens: Tensor3<D, T>,
) -> DeviceResult<[Matrix<D, T>; 2], D> {
    let (batch, length, dim) = *tokens.shape();
    let (count, wide) = (length + 1 - w, batch * dim);
    let by_time = tokens.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(1, length, wide))?;
    let row = |first: usize| slice(by_time.retaped::<T>(), (0..1, first..first + count, 0..wide));
    let windows = (0..w).map(row).collect::<Result<Vec<_>, _>>()?.try_stack()?.try_reshape_like(&(w, count * wide))?;
    let last = slice(by_time.retaped::<T>(), (0..1, length - w..length, 0..wide))?.try_reshape_like(&(w, wide))?;
    Ok([join(windows, by_time), last])
}

/// Λ^{N−1}, …, Λ, 1, entry by entry, w times: (wN, d, d).
fn powers<D: Backend, T: Tape<f32, D>>(decay: &Matrix<D, T>, count: usize, w: usize) -> DeviceResult<Tensor3<D, T>, D> {
    let (dim, _) = *decay.shape();
    let ones: Matrix<D, T> = decay.device().try_ones_like(&(dim, dim))?.retaped::<T>();
    // Each by itself, so that none waits for the one before.
    let power = |t: usize| decay.retaped::<T>().try_powi(t as i32);
    let powers = (1..count).rev().map(power).chain([Ok(ones)]).collect::<Result<Vec<_>, _>>()?;
    let once = powers.try_stack()?; // (N, d, d)
    // Products with one, because dfdx does not stack a tensor on itself.
    let again = || once.retaped::<T>().try_mul(1.0f32);
    let repeated = (0..w).map(|_| again()).collect::<Result<Vec<_>, _>>()?.try_stack()?;
    Ok(join(repeated.try_reshape_like(&(w * count, dim, dim))?, once))
}

/// S_N, one window after the other: (B, d, d).
pub fn last_state<D: Backend, T: Tape<f32, D>>(
    tokens: &Tensor3<D, T>,
    decay: &Matrix<D, T>,
    mix: &Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, dim) = *tokens.shape();
    let mut state: Option<Tensor3<D, T>> = None;
    for t in 0..(length - 1) / 2 {
        let window = slice(tokens.retaped::<T>(), (0..batch, 2 * t..2 * t + 3, 0..dim))?; // (B, 3, d)
        let columns = window.retaped::<T>().try_permute::<_, Axes3<0, 2, 1>>()?; // (B, d, 3)
        // Flat, because dfdx differentiates a product of many matrices with one by one sequence after the other.
        let flat = columns.try_reshape_like(&(batch * dim, 3))?.try_matmul(mix.retaped::<T>())?;
        let update = flat.try_reshape_like(&(batch, dim, 3))?.try_matmul(window)?; // (B, d, d)
        state = Some(match state {
            None => update,
            Some(state) => {
                let decay = decay.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&(batch, dim, dim))?;
                state.try_mul(decay)?.try_add(update)?
            }
        });
    }
    match state {
        Some(state) => Ok(state),
        None => Ok(tokens.device().try_zeros_like(&(batch, dim, dim))?.retaped::<T>()),
    }
}
