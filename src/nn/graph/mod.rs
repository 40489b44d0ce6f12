//! A network over token sequences, written down first and run afterwards as one operation.
//!
//! A model writes `tokens.project(w).convolve(taps, bias).activate(Activation::Silu)` and so on on a
//! [`GraphBuilder`]; each call only records a step. [`Sequence::answer`] then runs all of them: on the CPU by the one
//! driver ([`cpu`]), in which each block of sixteen sequences goes through the whole graph while its numbers are in
//! the cache, and back again; on other devices as a composition of dfdx's operations ([`portable`]). A graph that is
//! linear in its tokens may be run as one matrix (`linear.rs`), and most graphs read one token after the other, too
//! (`recurrence.rs`).

pub mod cpu;
mod fast_weights;
#[cfg(any(test, feature = "cuda"))]
pub mod gpu;
mod linear;
mod param;
pub mod portable;
mod recurrence;
mod selection;
mod sequence;
mod spectrum;
#[cfg(test)]
mod tests;

pub use param::Groups;
pub use recurrence::Recurrence;
pub use selection::Selection;
pub use sequence::{ChannelScan, Sequence};
pub use spectrum::Discretization;

use std::cell::RefCell;
use std::ops::Range;

use dfdx::prelude::HasShape;
use dfdx::tensor::Tape;

use self::param::{Derived, ParamSource, TransposeSizes};
use super::step::{AnyStep, NodeId, ParamId, TOKENS};
use super::tensor::{Backend, Input, Matrix};

/// Tokens of a sequence, and numbers of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub length: usize,
    pub width: usize,
}

impl Size {
    pub fn numbers(self) -> usize {
        self.length * self.width
    }
}

/// What makes a sequence of a graph.
#[derive(Clone, Debug)]
struct Node {
    /// `None` of the tokens, and of what no other node needs.
    step: Option<AnyStep>,
    size: Size,
}

/// The steps recorded so far.
pub struct GraphBuilder<D: Backend, T> {
    nodes: RefCell<Vec<Node>>,
    params: RefCell<Vec<ParamSource<D, T>>>,
}

impl<D: Backend, T: Tape<f32, D>> GraphBuilder<D, T> {
    /// A graph that reads tokens like these: (B, length, width).
    pub fn new(input: &Input<D, T>) -> Self {
        let (_, length, width) = input.shape();
        Self::of(Size { length, width })
    }

    /// A graph that reads tokens of this size.
    pub fn of(size: Size) -> Self {
        Self { nodes: RefCell::new(vec![Node { step: None, size }]), params: RefCell::default() }
    }

    /// What the graph reads.
    pub fn tokens(&self) -> Sequence<'_, D, T> {
        let size = self.nodes.borrow()[TOKENS.0].size;
        Sequence { graph: self, node: TOKENS, size }
    }

    fn record(&self, step: impl Into<AnyStep>, size: Size) -> Sequence<'_, D, T> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { step: Some(step.into()), size });
        Sequence { graph: self, node: NodeId(nodes.len() - 1), size }
    }

    fn param(&self, value: Matrix<D, T>) -> ParamId {
        self.source(ParamSource::Given(value))
    }

    /// The product of two weights, made once for all sequences: (a, h) times (h, b).
    fn product(&self, factors: [ParamId; 2], sizes: [usize; 3]) -> ParamId {
        self.derive(Derived::Product(factors, sizes))
    }

    /// The transpose of the last rows of a weight, as many, made once for all sequences.
    fn transpose(&self, weight: Matrix<D, T>, last: usize) -> ParamId {
        let columns = weight.shape().1;
        let weight = self.param(weight);
        self.derive(Derived::Transpose(weight, TransposeSizes { last, columns }))
    }

    fn derive(&self, derived: Derived) -> ParamId {
        self.source(ParamSource::Derived(derived))
    }

    fn source(&self, source: ParamSource<D, T>) -> ParamId {
        let mut params = self.params.borrow_mut();
        params.push(source);
        ParamId(params.len() - 1)
    }
}

/// A graph that is to be run; the result is the sequence of its last node.
pub struct Graph<D: Backend, T> {
    nodes: Vec<Node>,
    params: Vec<ParamSource<D, T>>,
}

impl<D: Backend, T> Graph<D, T> {
    /// The size of the result.
    fn size(&self) -> Size {
        self.nodes.last().map_or(Size { length: 0, width: 0 }, |node| node.size)
    }
}

/// Where the sequence of each node lies in memory, one after the other, when each needs so many numbers.
fn places(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |size| {
        let start = end;
        end += size;
        start..end
    };
    sizes.map(place).collect()
}
