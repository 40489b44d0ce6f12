//! A memory S that pairs of a key and a value are written to, read by one query: S_N q.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `keys` k, `values` v | what is written: + v kᵀ; without values every v is 1 | (B, ≥ N, n), (B, ≥ N, m) |
//! | `erase` e, b | what is taken away: − (S e) bᵀ; b = k in the delta rule | (B, ≥ N, n) |
//! | `decay` a | how much is kept: a constant, or of each token one number or one a column | (B, ≥ N, 1 or n) |
//! | `query` q | what is asked | (B, 1, n) |
//! | S | the fast weights | (m, n) |
//!
//! S_t = S_{t−1} (diag(a_t) − e_t b_tᵀ) + v_t k_tᵀ, from S_0 = 0; tokens after the first N are not read. In blocks of
//! several tokens what is taken away is computed with the state before the block: S ← S (diag(a) − Σ e bᵀ) + Σ v kᵀ.
//!
//! Two forms. The definition, and the form for any device, goes from the first pair to the last with S. The kernel goes
//! from the last pair to the first with q alone: S_t q = S_{t−1} (a_t ⊙ q − e_t (b_t · q)) + v_t (k_t · q), so that the
//! answer is Σ v_t (k_t · q_t), the attention form of 2406.06484, and a pair costs n + m operations in place of n m.

mod kernel;
mod parallel;

use dfdx::prelude::*;

use self::kernel::{backward, forward};
use super::{Grads, NodeId, Step, Tensors, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, join, slice};
use crate::simd::Lane;

#[derive(Clone, Debug)]
pub struct FastWeights {
    pub keys: NodeId,
    pub values: Option<NodeId>,
    pub query: NodeId,
    pub erase: Erase,
    pub decay: Decay,
    /// N.
    pub pairs: usize,
    /// n.
    pub width: usize,
    /// Pairs of a block; of their decays the first is taken.
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
    /// m, n, and the width of the decay.
    pub sizes: [usize; 3],
    pub pairs: usize,
    pub block: usize,
}

/// The definition: S after each pair, (m, n).
pub fn fast_weight_states(pairs: &Pairs<'_>) -> Vec<Vec<f32>> {
    let ([m, n, decay_width], [erase, beside]) = (pairs.sizes, pairs.erase);
    let mut state = vec![0.0; m * n];
    let (mut before, mut history) = (state.clone(), Vec::new());
    for t in 0..pairs.pairs {
        if t.is_multiple_of(pairs.block) {
            before.clone_from(&state);
            for (i, s) in state.iter_mut().enumerate() {
                *s *= pairs.decay.get(t * decay_width + i % n % decay_width.max(1)).unwrap_or(&pairs.constant);
            }
        }
        let keys = &pairs.keys[t * n..][..n];
        for (r, row) in state.chunks_mut(n).enumerate() {
            let removed: f32 = (0..n).map(|i| before[r * n + i] * erase.get(t * n + i).unwrap_or(&0.0)).sum();
            for (i, s) in row.iter_mut().enumerate() {
                let written = pairs.values.get(t * m + r).unwrap_or(&1.0) * keys[i];
                *s += written - removed * beside.get(t * n + i).unwrap_or(&keys[i]);
            }
        }
        history.push(state.clone());
    }
    history
}

impl FastWeights {
    /// Keys, values, query, e, b and decay.
    fn nodes(&self) -> [Option<NodeId>; 6] {
        let [e, b] = self.erase.nodes();
        [Some(self.keys), self.values, Some(self.query), e, b, self.decay.node()]
    }

    fn pairs<'a>(&self, given: &Values<'a>, outputs: usize) -> Pairs<'a, Lane> {
        let of = |node: Option<NodeId>| node.map_or(&[][..], |node| given.of(node));
        Pairs {
            keys: given.of(self.keys),
            values: of(self.values),
            erase: self.erase.nodes().map(of),
            decay: of(self.decay.node()),
            constant: self.decay.constant(),
            sizes: [outputs, self.width, self.decay.width()],
            pairs: self.pairs,
            block: self.block,
        }
    }

    /// State times what of it is kept at a token: (B, m, n).
    fn keep<D: Backend, T: Tape<f32, D>>(
        &self,
        state: Tensor3<D, T>,
        given: &Tensors<'_, D>,
        t: usize,
    ) -> DeviceResult<Tensor3<D, T>, D> {
        let shape = *state.shape();
        match self.decay {
            Decay::Constant(kept) => state.try_mul(kept),
            Decay::Sequence(node, width) => {
                let kept = slice(given.of::<T>(node), (0..shape.0, t..t + 1, 0..width))?;
                let kept = match width {
                    1 => kept.try_reshape_like(&(shape.0,))?.try_broadcast_like::<_, Axes2<1, 2>>(&shape)?,
                    _ => kept.try_reshape_like(&(shape.0, width))?.try_broadcast_like::<_, Axis<1>>(&shape)?,
                };
                state.try_mul(kept)
            }
        }
    }
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
        let mut state: Option<Tensor3<D, T>> = None;
        for first in (0..self.pairs).step_by(self.block) {
            let before = state;
            let mut next = match &before {
                Some(before) => Some(self.keep(before.retaped::<T>(), given, first)?),
                None => None,
            };
            for t in first..self.pairs.min(first + self.block) {
                let key = row(self.keys, t)?;
                let written = match self.values {
                    Some(values) => column(values, t)?.try_matmul(key)?,
                    None => key,
                };
                let change = match (&before, self.erase.nodes()) {
                    (Some(before), [Some(e), b]) => {
                        let seen = before.retaped::<T>().try_matmul(column(e, t)?)?;
                        written.try_sub(seen.try_matmul(row(b.unwrap_or(self.keys), t)?)?)?
                    }
                    (_, _) => written,
                };
                next = Some(match next {
                    Some(next) => next.try_add(change)?,
                    None => change,
                });
            }
            // The tape of the state before goes on with the next one.
            state = match (next, before) {
                (Some(next), Some(before)) => Some(join(next, before)),
                (next, _) => next,
            };
        }
        let answer = match state {
            Some(state) => {
                state.try_matmul(query.try_reshape_like(&(batch, n, 1))?)?.try_reshape_like(&(batch, 1, m))?
            }
            None => query.device().try_zeros_like(&(batch, 1, m))?.retaped::<T>(),
        };
        let inputs = self.reads().into_iter().map(|node| given.of::<T>(node));
        Ok(inputs.fold(answer, join))
    }

    /// q before each block, from the first block to the last.
    fn saved(&self) -> usize {
        self.pairs.div_ceil(self.block) * self.width
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        forward(&self.pairs(&given, out.len()), given.of(self.query), saved, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        backward(&self.pairs(&given, grad_out.len()), saved, grad_out, grads.of_some(self.nodes()));
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
        let mut state = DMatrix::<f64>::zeros(m, n);
        for first in (0..p.pairs).step_by(p.block) {
            let kept = |i: usize| match decay_width {
                0 => f64::from(p.constant),
                width => f64::from(p.decay[first * width + i % width]),
            };
            let mut transition = DMatrix::from_diagonal(&DVector::from_fn(n, |i, _| kept(i)));
            let mut written = DMatrix::<f64>::zeros(m, n);
            for t in first..p.pairs.min(first + p.block) {
                let key = vector(p.keys, t, n);
                if !p.erase[0].is_empty() {
                    let beside = if p.erase[1].is_empty() { key.clone() } else { vector(p.erase[1], t, n) };
                    transition -= vector(p.erase[0], t, n) * beside.transpose();
                }
                let ones = DVector::from_element(1, 1.0);
                written += if p.values.is_empty() { ones } else { vector(p.values, t, m) } * key.transpose();
            }
            state = state * transition + written;
        }
        (state * vector(query, 0, n)).iter().map(|x| *x as f32).collect()
    }

    #[test]
    fn the_kernel_and_the_definition_equal_the_products_of_matrices() {
        let (pairs, n) = (7, 3);
        let (keys, values, query) = (numbers(pairs * n, 0.1), numbers(pairs * 2, 0.2), numbers(n, 0.3));
        let (e, b, decay) = (numbers(pairs * n, 0.4), numbers(pairs * n, 0.5), numbers(pairs * n, 0.6));
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
        for ((erase, decay_width, block), has_values) in
            cases.into_iter().flat_map(|case| [(case, true), (case, false)])
        {
            let (decay, constant) = (&decay[..pairs * decay_width], 0.8);
            let (m, values) = if has_values { (2, &values[..]) } else { (1, none) };
            let sizes = [m, n, decay_width];
            let plain = Pairs { keys: &keys, values, erase, decay, constant, sizes, pairs, block };
            let expected = by_matrices(&plain, &query);
            let state = fast_weight_states(&plain).pop().unwrap();
            let defined: Vec<f32> =
                state.chunks(n).map(|row| row.iter().zip(&query).map(|(s, q)| s * q).sum()).collect();
            assert_close(&defined, &expected, 1e-5);
            let lanes = [&keys[..], values, erase[0], erase[1], decay].map(lanes_of);
            let [keys, values, e, b, decay] = lanes.each_ref().map(|lanes| &lanes[..]);
            let packed = Pairs { keys, values, erase: [e, b], decay, constant, sizes, pairs, block };
            let (mut saved, mut out) = (vec![ZERO; pairs.div_ceil(block) * n], vec![ZERO; m]);
            forward(&packed, &lanes_of(&query), &mut saved, &mut out);
            assert_close(&out.iter().map(|lane| lane[11]).collect::<Vec<_>>(), &expected, 1e-5);
        }
    }
}
