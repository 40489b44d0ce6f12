//! The GD-SSM as attention without softmax: what is read of its state as a sum over tokens.
//!
//! With q_t = X_tᵀ D, row i of the state is read as (S_t q_t)_i = Σ_{s≤t} Σ_a X_s[a, i] w[s, a], and
//! w[s, a] = Σ_j Λ[i, j]^{t−s} q_t[j] (Q X_s)[a, j]: the token in row a of window s is a value, and its weight is the
//! product of the query with the keys (Q X_s)[a], under a decay. Symbols and shapes are those of [`super`].

use crate::nn::step::{Window, window_states};

/// One sequence, and the weights of the scan.
pub struct Windows<'a> {
    pub window: Window,
    /// (tokens, d).
    pub tokens: &'a [f32],
    pub dim: usize,
    pub decay: &'a [f32],
    pub mix: &'a [f32],
    pub pick: &'a [f32],
}

impl Windows<'_> {
    /// X_t.
    fn rows(&self, t: usize) -> &[f32] {
        &self.tokens[self.window.stride() * t * self.dim..][..self.window.rows() * self.dim]
    }

    /// q_t.
    fn query(&self, t: usize) -> Vec<f32> {
        let rows = self.rows(t);
        (0..self.dim).map(|j| self.pick.iter().enumerate().map(|(a, d)| d * rows[a * self.dim + j]).sum()).collect()
    }

    /// The weight of every token for what window `t` reads of a row of the state: of a token in several windows, their
    /// sum.
    pub fn weights(&self, row: usize, t: usize) -> Vec<f32> {
        let (dim, w, query) = (self.dim, self.window.rows(), self.query(t));
        let mut weights = vec![0.0; self.tokens.len() / dim];
        for s in 0..=t {
            let keys = self.rows(s);
            for a in 0..w {
                let key = |j: usize| (0..w).map(|b| self.mix[a * w + b] * keys[b * dim + j]).sum::<f32>();
                let decayed = |j: usize| self.decay[row * dim + j].powi((t - s) as i32);
                weights[self.window.stride() * s + a] += (0..dim).map(|j| decayed(j) * query[j] * key(j)).sum::<f32>();
            }
        }
        weights
    }

    /// S_t q_t as sums over tokens.
    pub fn read_by_weights(&self, t: usize) -> Vec<f32> {
        let read = |row: usize| {
            let values = self.tokens.iter().skip(row).step_by(self.dim);
            self.weights(row, t).iter().zip(values).map(|(weight, value)| weight * value).sum()
        };
        (0..self.dim).map(read).collect()
    }

    /// S_t q_t from the state, one window after the other.
    pub fn read_by_state(&self, t: usize) -> Vec<f32> {
        let (states, query) = (window_states(self.window, self.tokens, self.dim, self.decay, self.mix), self.query(t));
        let rows = states.get(t).map_or(&[][..], Vec::as_slice).chunks(self.dim);
        rows.map(|row| row.iter().zip(&query).map(|(s, q)| s * q).sum()).collect()
    }
}
