//! Fast weights S that pairs of a key and a value are written to, read by one query: S_N q.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | what is written: + v kᵀ; without values every v is 1 | (B, ≥ N, n), (B, ≥ N, m) |
//! | `erase` e, b | what is taken away: − (S e) bᵀ; b = k in the delta rule | (B, ≥ N, n) |
//! | `decay` a | how much is kept: a constant, or of each token one number or one a column | (B, ≥ N, 1 or n) |
//! | `momentum` μ | how much of the last change is repeated; nothing where it is not there | (B, ≥ N, 1) |
//! | `query` q | what S is multiplied by | (B, 1, n) |
//! | S, M | the fast weights, and their last change | (m, n) |
//!
//! S_t = S_{t−1} (diag(a_t) − e_t b_tᵀ) + v_t k_tᵀ, from S_0 = 0; tokens after the first N are not read. In blocks of
//! several tokens what is taken away is computed with the state before the block: S ← S (diag(a) − Σ e bᵀ) + Σ v kᵀ.
//! With momentum M ← μ M + Σ (v kᵀ − (S e) bᵀ) from M_0 = 0, and S ← S diag(a) + M.
//!
//! Two forms. The definition, and the form for any device, goes from the first pair to the last with S. The kernel goes
//! from the last pair to the first with q alone: S_t q = S_{t−1} (a_t ⊙ q − e_t (b_t · q)) + v_t (k_t · q), so that the
//! answer is Σ v_t (k_t · q_t), the attention form of 2406.06484, and a pair costs n + m operations in place of n m.
//! With momentum a pair is read by g_t = q_t + μ_{t+1} g_{t+1}, because M_t is a part of all later changes, too:
//! q_{t−1} = a_t ⊙ q_t − e_t (b_t · g_t), and the answer is Σ v_t (k_t · g_t).

mod by_token;
mod kernel;
mod parallel;

use std::convert::Infallible;

use dfdx::prelude::*;

use self::by_token::MemoryState;
use self::kernel::{backward, forward};
use super::{Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, join, slice};
use crate::simd::Lane;

/// Fast weights and their query, made of sequences `S`: nodes of a graph, or what they hold.
#[derive(Clone, Copy, Debug)]
pub struct FastWeights<S = Vectors> {
    pub keys: S,
    /// Without them every value is the number 1.
    pub values: Option<S>,
    pub query: S,
    pub erase: Erase<S>,
    pub decay: Decay<S>,
    pub momentum: Option<S>,
    /// N.
    pub pairs: usize,
    /// Pairs of a block; of their decays and momenta the first is taken.
    pub block: usize,
}

/// What is taken away when a pair is written.
#[derive(Clone, Copy, Debug)]
pub enum Erase<S> {
    Nothing,
    /// − (S e) kᵀ.
    AlongKey(S),
    /// − (S e) bᵀ.
    Along {
        e: S,
        b: S,
    },
}

/// How much of the state is kept when a pair is written.
#[derive(Clone, Copy, Debug)]
pub enum Decay<S> {
    Constant(f32),
    /// One number a token, or n.
    Sequence(S),
}

/// A sequence of vectors: its node, or its numbers row by row; and the width of a vector.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<S = NodeId> {
    pub of: S,
    pub width: usize,
}

impl<'a, X> Vectors<&'a [X]> {
    #[inline(always)]
    fn row(&self, t: usize) -> &'a [X] {
        &self.of[t * self.width..][..self.width]
    }
}

impl<S> FastWeights<S> {
    /// The same of other sequences, in the order of [`sequences`](Self::sequences). Returns the first error of `f`.
    pub fn try_map<'s, R, E>(&'s self, mut f: impl FnMut(&'s S) -> Result<R, E>) -> Result<FastWeights<R>, E> {
        Ok(FastWeights {
            keys: f(&self.keys)?,
            values: self.values.as_ref().map(&mut f).transpose()?,
            query: f(&self.query)?,
            erase: match &self.erase {
                Erase::Nothing => Erase::Nothing,
                Erase::AlongKey(e) => Erase::AlongKey(f(e)?),
                Erase::Along { e, b } => Erase::Along { e: f(e)?, b: f(b)? },
            },
            decay: match &self.decay {
                Decay::Constant(kept) => Decay::Constant(*kept),
                Decay::Sequence(kept) => Decay::Sequence(f(kept)?),
            },
            momentum: self.momentum.as_ref().map(&mut f).transpose()?,
            pairs: self.pairs,
            block: self.block,
        })
    }

    /// The same of other sequences.
    pub fn map<'s, R>(&'s self, mut f: impl FnMut(&'s S) -> R) -> FastWeights<R> {
        let Ok(mapped) = self.try_map(|sequence| Ok::<R, Infallible>(f(sequence)));
        mapped
    }
}

impl<S: Copy> FastWeights<S> {
    /// Keys, values, query, e, b, decay and momentum.
    pub fn sequences(&self) -> [Option<S>; 7] {
        let [e, b] = match self.erase {
            Erase::Nothing => [None; 2],
            Erase::AlongKey(e) => [Some(e), None],
            Erase::Along { e, b } => [e, b].map(Some),
        };
        let decay = match self.decay {
            Decay::Constant(_) => None,
            Decay::Sequence(decay) => Some(decay),
        };
        [Some(self.keys), self.values, Some(self.query), e, b, decay, self.momentum]
    }

    /// e and b.
    fn erased(&self) -> Option<[S; 2]> {
        match self.erase {
            Erase::Nothing => None,
            Erase::AlongKey(e) => Some([e, self.keys]),
            Erase::Along { e, b } => Some([e, b]),
        }
    }
}

/// The definition: S after each pair, (m, n). The query is not read.
pub fn fast_weight_states(given: &FastWeights<Vectors<&[f32]>>) -> Vec<Vec<f32>> {
    let (m, n) = (given.values.map_or(1, |values| values.width), given.keys.width);
    let mut state = vec![0.0; m * n];
    let (mut before, mut change, mut history) = (state.clone(), state.clone(), Vec::new());
    for t in 0..given.pairs {
        if t.is_multiple_of(given.block) {
            before.clone_from(&state);
            let momentum = given.momentum.map_or(0.0, |momentum| momentum.row(t)[0]);
            for (i, (s, change)) in state.iter_mut().zip(&mut change).enumerate() {
                *s *= match given.decay {
                    Decay::Constant(kept) => kept,
                    Decay::Sequence(decay) => decay.row(t)[i % n % decay.width],
                };
                *change *= momentum;
                *s += *change;
            }
        }
        let key = given.keys.row(t);
        for r in 0..m {
            let value = given.values.map_or(1.0, |values| values.row(t)[r]);
            let mut written: Vec<f32> = key.iter().map(|k| value * k).collect();
            if let Some([e, b]) = given.erased() {
                let removed: f32 = before[r * n..].iter().zip(e.row(t)).map(|(s, e)| s * e).sum();
                written.iter_mut().zip(b.row(t)).for_each(|(written, b)| *written -= removed * b);
            }
            for (i, written) in written.into_iter().enumerate() {
                state[r * n + i] += written;
                change[r * n + i] += written;
            }
        }
        history.push(state.clone());
    }
    history
}

impl FastWeights {
    fn values<'a>(&self, given: &Values<'a>) -> FastWeights<Vectors<&'a [Lane]>> {
        self.map(|vectors| Vectors { of: given.of(vectors.of), width: vectors.width })
    }

    fn nodes(&self) -> [Option<NodeId>; 7] {
        self.sequences().map(|sequence| sequence.map(|vectors| vectors.of))
    }

    /// State, (B, m, n), times what of it is kept at a token.
    fn keep<D: Backend, T: Tape<f32, D>>(
        &self,
        state: Tensor3<D, T>,
        given: &Tensors<'_, D>,
        t: usize,
    ) -> DeviceResult<Tensor3<D, T>, D> {
        match self.decay {
            Decay::Constant(kept) => state.try_mul(kept),
            Decay::Sequence(decay) => times_token(state, given.of(decay.of), decay.width, t),
        }
    }
}

/// Matrices (B, m, n) times token `t` of a sequence: one number, or one for each column.
fn times_token<D: Backend, T: Tape<f32, D>>(
    matrices: Tensor3<D, T>,
    sequence: Tensor3<D, T>,
    width: usize,
    t: usize,
) -> DeviceResult<Tensor3<D, T>, D> {
    let shape = *matrices.shape();
    let token = slice(sequence, (0..shape.0, t..t + 1, 0..width))?;
    let factors = match width {
        1 => token.try_reshape_like(&(shape.0,))?.try_broadcast_like::<_, Axes2<1, 2>>(&shape)?,
        _ => token.try_reshape_like(&(shape.0, width))?.try_broadcast_like::<_, Axis<1>>(&shape)?,
    };
    matrices.try_mul(factors)
}

impl Step for FastWeights {
    fn reads(&self) -> Vec<NodeId> {
        self.nodes().into_iter().flatten().collect()
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let query = given.of::<T>(self.query.of);
        let (batch, n) = (query.shape().0, self.query.width);
        let m = self.values.map_or(1, |values| values.width);
        // Of one token: a row (B, 1, ·) or a column (B, ·, 1).
        let row = |all: Vectors, t: usize| slice(given.of::<T>(all.of), (0..batch, t..t + 1, 0..all.width));
        let column = |all: Vectors, t: usize| row(all, t)?.try_reshape_like(&(batch, all.width, 1));
        let [mut state, mut last_change]: [Option<Tensor3<D, T>>; 2] = [None, None];
        for first in (0..self.pairs).step_by(self.block) {
            let before = state;
            let mut change = match (last_change, self.momentum) {
                (Some(change), Some(momentum)) => Some(times_token(change, given.of(momentum.of), 1, first)?),
                (_, _) => None,
            };
            for t in first..self.pairs.min(first + self.block) {
                let key = row(self.keys, t)?;
                let written = match self.values {
                    Some(values) => column(values, t)?.try_matmul(key)?,
                    None => key,
                };
                let written = match (&before, self.erased()) {
                    (Some(before), Some([e, b])) => {
                        let seen = before.retaped::<T>().try_matmul(column(e, t)?)?;
                        written.try_sub(seen.try_matmul(row(b, t)?)?)?
                    }
                    (_, _) => written,
                };
                change = Some(match change {
                    Some(change) => change.try_add(written)?,
                    None => written,
                });
            }
            // The tape of the change goes on with the next change, or with the state.
            let (next, change) = match (change, self.momentum) {
                (Some(change), Some(_)) => (Some(change.retaped::<T>()), Some(change)),
                (change, _) => (change, None),
            };
            // The tape of the state before goes on with the next one.
            state = match (next, before) {
                (Some(next), Some(before)) => {
                    let kept = self.keep(before.retaped::<T>(), given, first)?;
                    Some(join(kept.try_add(next)?, before))
                }
                (next, _) => next,
            };
            last_change = change;
        }
        let answer = match state {
            Some(state) => {
                state.try_matmul(query.try_reshape_like(&(batch, n, 1))?)?.try_reshape_like(&(batch, 1, m))?
            }
            None => query.device().try_zeros_like(&(batch, 1, m))?.retaped::<T>(),
        };
        let inputs = self.reads().into_iter().map(|node| given.of::<T>(node));
        Ok(inputs.chain(last_change).fold(answer, join))
    }

    /// q before each block, from the first block to the last; with momentum g after them.
    fn saved(&self) -> usize {
        self.pairs.div_ceil(self.block) * self.keys.width * if self.momentum.is_some() { 2 } else { 1 }
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        forward(&self.values(&given), saved, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        backward(&self.values(&given), saved, grad_out, grads.of_some(self.nodes()));
    }

    /// In blocks of several tokens what is taken away follows from the state before the block: such a form is not here.
    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        (self.block == 1).then(|| Box::new(MemoryState::new(*self)) as Box<dyn TokenReader>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};
    use crate::simd::ZERO;

    /// S q for S_t = S_{t−1} (diag(a) − e bᵀ) + v kᵀ, with whole matrices in double precision.
    fn by_matrices(given: &FastWeights<Vectors<&[f32]>>) -> Vec<f32> {
        use nalgebra::{DMatrix, DVector};
        let (m, n) = (given.values.map_or(1, |values| values.width), given.keys.width);
        let vector = |all: Vectors<&[f32]>, t: usize| {
            DVector::from_iterator(all.width, all.row(t).iter().map(|x| f64::from(*x)))
        };
        let (mut state, mut change) = (DMatrix::<f64>::zeros(m, n), DMatrix::<f64>::zeros(m, n));
        for first in (0..given.pairs).step_by(given.block) {
            let kept = match given.decay {
                Decay::Constant(kept) => DVector::from_element(n, f64::from(kept)),
                Decay::Sequence(decay) => DVector::from_fn(n, |i, _| vector(decay, first)[i % decay.width]),
            };
            let mut removed = DMatrix::<f64>::zeros(n, n);
            let mut written = DMatrix::<f64>::zeros(m, n);
            for t in first..given.pairs.min(first + given.block) {
                if let Some([e, b]) = given.erased() {
                    removed += vector(e, t) * vector(b, t).transpose();
                }
                let value = given.values.map_or(DVector::from_element(1, 1.0), |values| vector(values, t));
                written += value * vector(given.keys, t).transpose();
            }
            let momentum = given.momentum.map_or(0.0, |momentum| vector(momentum, first)[0]);
            change = momentum * change + written - &state * removed;
            state = state * DMatrix::from_diagonal(&kept) + &change;
        }
        (state * vector(given.query, 0)).iter().map(|x| *x as f32).collect()
    }

    #[test]
    fn the_kernel_and_the_definition_equal_the_products_of_matrices() {
        let (pairs, n) = (7, 3);
        let made = |width: usize, seed: f32| Vectors { of: numbers(pairs * width, seed), width };
        let (keys, constant) = (made(n, 0.1), Decay::Constant(0.8));
        let query = Vectors { of: numbers(n, 0.3), width: n };
        let along_key = || Erase::AlongKey(made(n, 0.4));
        let along = || Erase::Along { e: made(n, 0.4), b: made(n, 0.5) };
        let decay = |width: usize| Decay::Sequence(made(width, 0.6));
        let cases = [
            (Erase::Nothing, decay(n), 2),
            (Erase::Nothing, constant.clone(), 1),
            (Erase::Nothing, decay(1), 1),
            (Erase::Nothing, decay(n), 1),
            (along_key(), constant.clone(), 1),
            (along_key(), decay(n), 1),
            (along(), decay(1), 1),
            (along_key(), constant.clone(), 3),
            (along(), constant, 7),
        ];
        let kinds = [(Some(2), false), (None, false), (Some(2), true)];
        for ((erase, decay, block), (values, momentum)) in
            cases.into_iter().flat_map(|case| kinds.map(|kind| (case.clone(), kind)))
        {
            let values = values.map(|width| made(width, 0.2));
            let momentum = momentum.then(|| made(1, 0.7));
            let (keys, query) = (keys.clone(), query.clone());
            let all = FastWeights { keys, values, query, erase, decay, momentum, pairs, block };
            let plain = all.map(|all| Vectors { of: &all.of[..], width: all.width });
            let expected = by_matrices(&plain);
            let state = fast_weight_states(&plain).pop().unwrap();
            let product = |row: &[f32]| row.iter().zip(plain.query.of).map(|(s, q)| s * q).sum::<f32>();
            assert_close(&state.chunks(n).map(product).collect::<Vec<_>>(), &expected, 1e-5);
            let lanes = all.map(|all| Vectors { of: lanes_of(&all.of), width: all.width });
            let lanes = lanes.map(|all| Vectors { of: &all.of[..], width: all.width });
            let (mut saved, mut out) = (vec![ZERO; 2 * pairs.div_ceil(block) * n], vec![ZERO; expected.len()]);
            forward(&lanes, &mut saved, &mut out);
            assert_close(&out.iter().map(|lane| lane[11]).collect::<Vec<_>>(), &expected, 1e-5);
        }
    }
}
