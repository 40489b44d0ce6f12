//! A scan whose recurrence depends on the token, in its forms.

use dfdx::tensor::Tape;

use super::param::Derived;
use super::{Sequence, Size};
use crate::nn::step::{AnyStep, HeadScan, MaskedAttention, Scan, SelectiveScan};
use crate::nn::tensor::{Backend, Matrix};

/// Δ, x, B, C and log(−A) of a scan whose recurrence depends on the token. Answers come as many as C has tokens.
pub struct Selection<'g, D: Backend, T> {
    pub delta: Sequence<'g, D, T>,
    pub x: Sequence<'g, D, T>,
    pub b: Sequence<'g, D, T>,
    pub c: Sequence<'g, D, T>,
    pub log_a: Matrix<D, T>,
}

impl<'g, D: Backend, T: Tape<f32, D>> Selection<'g, D, T> {
    fn record<S: Into<AnyStep>>(self, step: fn(Scan) -> S) -> Sequence<'g, D, T> {
        let Self { delta, x, b, c, log_a } = self;
        let (graph, states) = (delta.graph, b.size.width);
        let size = Size { length: c.size.length, width: x.size.width };
        let [delta, x, b, c] = Sequence::distinct([delta, x, b, c]);
        let a = graph.derive(Derived::NegativeExp(graph.param(log_a)));
        graph.record(step(Scan { delta, x, b, c, a, states }), size)
    }

    /// One A for each channel and state.
    pub fn by_channel(self) -> Sequence<'g, D, T> {
        self.record(SelectiveScan)
    }

    /// One Δ and one A for each head, one token after the other.
    pub fn by_head(self) -> Sequence<'g, D, T> {
        self.record(HeadScan)
    }

    /// One Δ and one A for each head, all tokens at once.
    pub fn by_matrix(self) -> Sequence<'g, D, T> {
        self.record(MaskedAttention)
    }
}
