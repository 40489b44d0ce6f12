//! Sequences that write pairs to fast weights, and the query that reads them.

use dfdx::tensor::Tape;

use super::{Sequence, Size};
use crate::nn::step::{Decay, Erase, FastWeights};
use crate::nn::tensor::Backend;

/// The sequences of a memory of pairs, and its query of one token. See [`FastWeights`].
pub struct Memory<'g, D: Backend, T> {
    pub keys: Sequence<'g, D, T>,
    /// Without them every value is the number 1.
    pub values: Option<Sequence<'g, D, T>>,
    pub query: Sequence<'g, D, T>,
    pub erase: Erased<'g, D, T>,
    pub decay: Kept<'g, D, T>,
    /// How much of the last change is repeated: (B, ·, 1).
    pub momentum: Option<Sequence<'g, D, T>>,
    /// N: tokens after the first N are not read.
    pub pairs: usize,
    /// Pairs of a block.
    pub block: usize,
}

impl<D: Backend, T> Clone for Memory<'_, D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Backend, T> Copy for Memory<'_, D, T> {}

/// What is taken away when a pair is written.
pub enum Erased<'g, D: Backend, T> {
    Nothing,
    /// − (S e) kᵀ.
    WithKeys(Sequence<'g, D, T>),
    /// − (S e) bᵀ: e, then b.
    Apart([Sequence<'g, D, T>; 2]),
}

impl<D: Backend, T> Clone for Erased<'_, D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Backend, T> Copy for Erased<'_, D, T> {}

/// How much is kept when a pair is written.
pub enum Kept<'g, D: Backend, T> {
    Constant(f32),
    /// As wide as one number or as a key.
    Sequence(Sequence<'g, D, T>),
}

impl<D: Backend, T> Clone for Kept<'_, D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Backend, T> Copy for Kept<'_, D, T> {}

impl<'g, D: Backend, T: Tape<f32, D>> Memory<'g, D, T> {
    /// What the memory answers to the query: one token.
    pub fn read(self) -> Sequence<'g, D, T> {
        let Self { keys, values, query, erase, decay, momentum, pairs, block } = self;
        let (graph, width) = (keys.graph, keys.size.width);
        let size = Size { length: 1, width: values.map_or(1, |values| values.size.width) };
        let erase = match erase {
            Erased::Nothing => Erase::Nothing,
            Erased::WithKeys(e) => Erase::WithKeys(e.node),
            Erased::Apart(parts) => Erase::Apart(parts.map(|part| part.node)),
        };
        let decay = match decay {
            Kept::Constant(kept) => Decay::Constant(kept),
            Kept::Sequence(kept) => Decay::Sequence(kept.node, kept.size.width),
        };
        let [values, momentum] = [values, momentum].map(|sequence| sequence.map(|sequence| sequence.node));
        let (keys, query) = (keys.node, query.node);
        graph.record(FastWeights { keys, values, query, erase, decay, momentum, pairs, width, block }, size)
    }
}
