//! A memory S that pairs of a key and a value are written to, read by one query: S_N q.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | what is written: + v kᵀ; without values every v is 1 | (B, ≥ N, n), (B, ≥ N, m) |
//! | `erase` e, b | what is taken away: − (S e) bᵀ; b = k in the delta rule | (B, ≥ N, n) |
//! | `decay` a | how much is kept: a constant, or of each token one number or one a column | (B, ≥ N, 1 or n) |
//! | `momentum` μ | how much of the last change is repeated; nothing where it is not there | (B, ≥ N, 1) |
//! | `query` q | what is asked | (B, 1, n) |
//! | S, M | the fast weights, and their last change | (m, n) |
//!
//! S_t = S_{t−1} (diag(a_t) − e_t b_tᵀ) + v_t k_tᵀ, from S_0 = 0; tokens after the first N are not read. In blocks of
//! several tokens what is taken away is computed with the state before the block: S ← S (diag(a) − Σ e bᵀ) + Σ v kᵀ.
//! With momentum M ← μ M + Σ (v kᵀ − (S e) bᵀ) from M_0 = 0, and S ← S diag(a) + M.
//!
//! Two forms. The definition, and the form for any device, goes from the first pair to the last with S. The kernel goes
//! from the last pair to the first with q alone: S_t q = S_{t−1} (a_t ⊙ q − e_t (b_t · q)) + v_t (k_t · q), so that the
//! answer is Σ v_t (k_t · q_t), the attention form of 2406.06484, and a pair costs n + m operations in place of n m.
//! With momentum the pair is asked g_t = q_t + μ_{t+1} g_{t+1}, because M_t is a part of all later changes, too:
//! q_{t−1} = a_t ⊙ q_t − e_t (b_t · g_t), and the answer is Σ v_t (k_t · g_t).

mod by_token;
mod kernel;
mod parallel;

use dfdx::prelude::*;

use self::by_token::MemoryState;
use self::kernel::{backward, forward};
use super::{Grads, NodeId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, join, slice};
use crate::simd::Lane;

#[derive(Clone, Debug)]
pub struct FastWeights {
    pub keys: NodeId,
    pub values: Option<NodeId>,
    pub query: NodeId,
    pub erase: Erase,
    pub decay: Decay,
    pub momentum: Option<NodeId>,
    /// N.
    pub pairs: usize,
    /// n.
    pub width: usize,
    /// Pairs of a block; of their decays and momenta the first is taken.
    pub block: usize,
}

/// What is taken away when a pair is written.
#[derive(Clone, Copy, Debug)]
pub enum Erase {
    Nothing,
    /// − (S e) kᵀ.
    WithKeys(NodeId),
    /// − (S e) bᵀ: e, then b.
    Apart([NodeId; 2]),
}

/// How much of the state is kept when a pair is written.
#[derive(Clone, Copy, Debug)]
pub enum Decay {
    Constant(f32),
    /// By a sequence of this width: 1 or n.
    Sequence(NodeId, usize),
}

impl Decay {
    fn node(self) -> Option<NodeId> {
        match self {
            Self::Constant(_) => None,
            Self::Sequence(kept, _) => Some(kept),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Sequence(_, width) => width,
        }
    }

    fn constant(self) -> f32 {
        match self {
            Self::Constant(kept) => kept,
            Self::Sequence(..) => 1.0,
        }
    }
}

impl Erase {
    fn nodes(self) -> [Option<NodeId>; 2] {
        match self {
            Self::Nothing => [None, None],
            Self::WithKeys(e) => [Some(e), None],
            Self::Apart([e, b]) => [Some(e), Some(b)],
        }
    }
}

/// What is read of one sequence, row by row; empty where it is not there.
pub struct Pairs<'a, X = f32> {
    pub keys: &'a [X],
    pub values: &'a [X],
    pub erase: [&'a [X]; 2],
    pub decay: &'a [X],
    /// What is kept where `decay` is empty.
    pub constant: f32,
    pub momentum: &'a [X],
    /// m, n, and the width of the decay.
    pub sizes: [usize; 3],
    pub pairs: usize,
    pub block: usize,
}

/// The definition: S after each pair, (m, n).
pub fn fast_weight_states(pairs: &Pairs<'_>) -> Vec<Vec<f32>> {
    let ([m, n, decay_width], [erase, beside]) = (pairs.sizes, pairs.erase);
    let mut state = vec![0.0; m * n];
    let (mut before, mut change, mut history) = (state.clone(), state.clone(), Vec::new());
    for t in 0..pairs.pairs {
        if t.is_multiple_of(pairs.block) {
            before.clone_from(&state);
            let momentum = pairs.momentum.get(t).unwrap_or(&0.0);
            for (i, (s, change)) in state.iter_mut().zip(&mut change).enumerate() {
                *s *= pairs.decay.get(t * decay_width + i % n % decay_width.max(1)).unwrap_or(&pairs.constant);
                *change *= momentum;
                *s += *change;
            }
        }
        let keys = &pairs.keys[t * n..][..n];
        for r in 0..m {
            let removed: f32 = (0..n).map(|i| before[r * n + i] * erase.get(t * n + i).unwrap_or(&0.0)).sum();
            for i in 0..n {
                let written = pairs.values.get(t * m + r).unwrap_or(&1.0) * keys[i];
                let written = written - removed * beside.get(t * n + i).unwrap_or(&keys[i]);
                state[r * n + i] += written;
                change[r * n + i] += written;
            }
        }
        history.push(state.clone());
    }
    history
}

impl FastWeights {
    /// Keys, values, query, e, b, decay and momentum.
    fn nodes(&self) -> [Option<NodeId>; 7] {
        let [e, b] = self.erase.nodes();
        [Some(self.keys), self.values, Some(self.query), e, b, self.decay.node(), self.momentum]
    }

    fn pairs<'a>(&self, given: &Values<'a>, outputs: usize) -> Pairs<'a, Lane> {
        let of = |node: Option<NodeId>| node.map_or(&[][..], |node| given.of(node));
        Pairs {
            keys: given.of(self.keys),
            values: of(self.values),
            erase: self.erase.nodes().map(of),
            decay: of(self.decay.node()),
            constant: self.decay.constant(),
            momentum: of(self.momentum),
            sizes: [outputs, self.width, self.decay.width()],
            pairs: self.pairs,
            block: self.block,
        }
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
            Decay::Sequence(node, width) => times_token(state, given.of(node), width, t),
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
        let query = given.of::<T>(self.query);
        let (batch, n) = (query.shape().0, self.width);
        let m = self.values.map_or(1, |values| given.of::<T>(values).shape().2);
        // Of one token: a row (B, 1, ·) or a column (B, ·, 1).
        let row = |node: NodeId, t: usize| {
            let all = given.of::<T>(node);
            let width = all.shape().2;
            slice(all, (0..batch, t..t + 1, 0..width))
        };
        let column = |node: NodeId, t: usize| {
            let row = row(node, t)?;
            let width = row.shape().2;
            row.try_reshape_like(&(batch, width, 1))
        };
        let [mut state, mut last_change]: [Option<Tensor3<D, T>>; 2] = [None, None];
        for first in (0..self.pairs).step_by(self.block) {
            let before = state;
            let mut change = match (last_change, self.momentum) {
                (Some(change), Some(node)) => Some(times_token(change, given.of(node), 1, first)?),
                (_, _) => None,
            };
            for t in first..self.pairs.min(first + self.block) {
                let key = row(self.keys, t)?;
                let written = match self.values {
                    Some(values) => column(values, t)?.try_matmul(key)?,
                    None => key,
                };
                let written = match (&before, self.erase.nodes()) {
                    (Some(before), [Some(e), b]) => {
                        let seen = before.retaped::<T>().try_matmul(column(e, t)?)?;
                        written.try_sub(seen.try_matmul(row(b.unwrap_or(self.keys), t)?)?)?
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
        self.pairs.div_ceil(self.block) * self.width * if self.momentum.is_some() { 2 } else { 1 }
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        forward(&self.pairs(&given, out.len()), given.of(self.query), saved, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        backward(&self.pairs(&given, grad_out.len()), saved, grad_out, grads.of_some(self.nodes()));
    }

    /// In blocks of several tokens what is taken away follows from the state before the block: such a form is not here.
    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        (self.block == 1).then(|| Box::new(MemoryState::new(self.clone())) as Box<dyn TokenReader>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of};
    use crate::simd::ZERO;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (seed + 1.7 * i as f32).sin()).collect()
    }

    /// S q for S_t = S_{t−1} (diag(a) − e bᵀ) + v kᵀ, with whole matrices in double precision.
    fn by_matrices(p: &Pairs<'_>, query: &[f32]) -> Vec<f32> {
        use nalgebra::{DMatrix, DVector};
        let [m, n, decay_width] = p.sizes;
        let vector = |all: &[f32], t: usize, width: usize| {
            DVector::from_iterator(width, all[t * width..][..width].iter().map(|x| f64::from(*x)))
        };
        let (mut state, mut change) = (DMatrix::<f64>::zeros(m, n), DMatrix::<f64>::zeros(m, n));
        for first in (0..p.pairs).step_by(p.block) {
            let kept = |i: usize| match decay_width {
                0 => f64::from(p.constant),
                width => f64::from(p.decay[first * width + i % width]),
            };
            let transition = DMatrix::from_diagonal(&DVector::from_fn(n, |i, _| kept(i)));
            let mut removed = DMatrix::<f64>::zeros(n, n);
            let mut written = DMatrix::<f64>::zeros(m, n);
            for t in first..p.pairs.min(first + p.block) {
                let key = vector(p.keys, t, n);
                if !p.erase[0].is_empty() {
                    let beside = if p.erase[1].is_empty() { key.clone() } else { vector(p.erase[1], t, n) };
                    removed += vector(p.erase[0], t, n) * beside.transpose();
                }
                let ones = DVector::from_element(1, 1.0);
                written += if p.values.is_empty() { ones } else { vector(p.values, t, m) } * key.transpose();
            }
            let momentum = p.momentum.get(first).map_or(0.0, |momentum| f64::from(*momentum));
            change = momentum * change + written - &state * removed;
            state = state * transition + &change;
        }
        (state * vector(query, 0, n)).iter().map(|x| *x as f32).collect()
    }

    #[test]
    fn the_kernel_and_the_definition_equal_the_products_of_matrices() {
        let (pairs, n) = (7, 3);
        let (keys, values, query) = (numbers(pairs * n, 0.1), numbers(pairs * 2, 0.2), numbers(n, 0.3));
        let (e, b, decay) = (numbers(pairs * n, 0.4), numbers(pairs * n, 0.5), numbers(pairs * n, 0.6));
        let momentum = numbers(pairs, 0.7);
        let none: &[f32] = &[];
        let cases: [([&[f32]; 2], usize, usize); 9] = [
            ([none, none], n, 2),
            ([none, none], 0, 1),
            ([none, none], 1, 1),
            ([none, none], n, 1),
            ([&e, none], 0, 1),
            ([&e, none], n, 1),
            ([&e, &b], 1, 1),
            ([&e, none], 0, 3),
            ([&e, &b], 0, 7),
        ];
        let kinds = [(true, none), (false, none), (true, &momentum)];
        for ((erase, decay_width, block), (has_values, momentum)) in
            cases.into_iter().flat_map(|case| kinds.map(|kind| (case, kind)))
        {
            let (decay, constant) = (&decay[..pairs * decay_width], 0.8);
            let (m, values) = if has_values { (2, &values[..]) } else { (1, none) };
            let sizes = [m, n, decay_width];
            let plain = Pairs { keys: &keys, values, erase, decay, constant, momentum, sizes, pairs, block };
            let expected = by_matrices(&plain, &query);
            let state = fast_weight_states(&plain).pop().unwrap();
            let defined: Vec<f32> =
                state.chunks(n).map(|row| row.iter().zip(&query).map(|(s, q)| s * q).sum()).collect();
            assert_close(&defined, &expected, 1e-5);
            let lanes = [&keys[..], values, erase[0], erase[1], decay, momentum].map(lanes_of);
            let [keys, values, e, b, decay, momentum] = lanes.each_ref().map(|lanes| &lanes[..]);
            let packed = Pairs { keys, values, erase: [e, b], decay, constant, momentum, sizes, pairs, block };
            let (mut saved, mut out) = (vec![ZERO; 2 * pairs.div_ceil(block) * n], vec![ZERO; m]);
            forward(&packed, &lanes_of(&query), &mut saved, &mut out);
            assert_close(&out.iter().map(|lane| lane[11]).collect::<Vec<_>>(), &expected, 1e-5);
        }
    }
}
