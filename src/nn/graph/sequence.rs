//! The steps that can be recorded, as methods of the sequence that they start from.

use std::marker::PhantomData;
use std::ops::Range;

use dfdx::prelude::HasShape;
use dfdx::tensor::Tape;

use super::param::{Derived, Groups};
use super::{Discretization, Graph, GraphBuilder, Node, Size};
use crate::nn::step::{
    Activate, Activation, AdditiveAttention, AnyStep, Cell, Combination, Combine, Convolution, DecayScan, DiagonalScan,
    Heads, LayerNormalise, LinearAttention, MatrixVector, Mesa, NodeId, Pad, ParamId, Project, Recurrent,
    RecurrentSizes, Regroup, Reverse, Ridge, Row, RowOperation, ScaleVectors, Slice, SoftmaxAttention, Step,
    VectorScale, Window, WindowLayer, WindowScan, WindowWeights,
};
use crate::nn::tensor::{Backend, Matrix};

/// A sequence that a graph will make: (B, length, width).
pub struct Sequence<'g, D: Backend, T> {
    pub(super) graph: &'g GraphBuilder<D, T>,
    pub(super) node: NodeId,
    pub(super) size: Size,
}

impl<D: Backend, T> Clone for Sequence<'_, D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Backend, T> Copy for Sequence<'_, D, T> {}

impl<'g, D: Backend, T: Tape<f32, D>> Sequence<'g, D, T> {
    pub fn length(self) -> usize {
        self.size.length
    }

    pub fn width(self) -> usize {
        self.size.width
    }

    /// Records a step that makes as many tokens, of this width.
    fn then(self, step: impl Into<AnyStep>, width: usize) -> Self {
        self.graph.record(step, Size { width, ..self.size })
    }

    /// The projection that makes this sequence, if it is one.
    fn projection(self) -> Option<Project> {
        match &self.graph.nodes.borrow()[self.node.0].step {
            Some(AnyStep::Project(step)) => Some(step.clone()),
            Some(_) | None => None,
        }
    }

    /// Some neighbouring tokens. Of a projection, they are the projection of those tokens.
    pub fn slice(self, tokens: Range<usize>) -> Self {
        if tokens == (0..self.size.length) {
            return self;
        }
        match self.projection() {
            Some(Project { x, weight, bias, sizes }) => {
                let few = Sequence { node: x, size: Size { width: sizes.0, ..self.size }, ..self }.copy(tokens);
                few.then(Project { x: few.node, weight, bias, sizes }, sizes.1)
            }
            None => self.copy(tokens),
        }
    }

    fn copy(self, tokens: Range<usize>) -> Self {
        let size = Size { length: tokens.len(), ..self.size };
        let width = self.size.width;
        self.graph.record(Slice { x: self.node, width, tokens, columns: 0..width }, size)
    }

    /// The last tokens, as many.
    pub fn last(self, length: usize) -> Self {
        self.slice(self.size.length - length..self.size.length)
    }

    /// Some neighbouring numbers of every token.
    pub fn columns(self, columns: Range<usize>) -> Self {
        let (wide, tokens) = (columns.len(), 0..self.size.length);
        self.then(Slice { x: self.node, width: self.size.width, tokens, columns }, wide)
    }

    /// The tokens, and after them so many tokens of zeros.
    pub fn pad(self, count: usize) -> Self {
        self.graph.record(Pad { x: self.node, count }, Size { length: self.size.length + count, ..self.size })
    }

    /// The tokens in the opposite order.
    pub fn reverse(self) -> Self {
        self.then(Reverse { x: self.node, width: self.size.width }, self.size.width)
    }

    /// The nodes of these, with a copy in place of one that is there already: a step adds to all their gradients.
    pub(super) fn distinct<const N: usize>(sequences: [Self; N]) -> [NodeId; N] {
        let mut nodes = sequences.map(|sequence| sequence.node);
        for i in 1..N {
            if nodes[..i].contains(&nodes[i]) {
                nodes[i] = sequences[i].copy(0..sequences[i].size.length).node;
            }
        }
        nodes
    }

    fn combine(self, operation: Combination, other: Self) -> Self {
        self.then(Combine { operation, parts: Self::distinct([self, other]) }, self.size.width)
    }

    /// x + y.
    pub fn plus(self, other: Self) -> Self {
        self.combine(Combination::Plus, other)
    }

    /// x − y.
    pub fn minus(self, other: Self) -> Self {
        self.combine(Combination::Minus, other)
    }

    /// x ⊙ y.
    pub fn times(self, other: Self) -> Self {
        self.combine(Combination::Times, other)
    }

    /// f(x), number by number.
    pub fn activate(self, activation: Activation) -> Self {
        self.then(Activate { activation, x: self.node }, self.size.width)
    }

    /// Every token plus a row (1, width).
    pub fn plus_row(self, row: Matrix<D, T>) -> Self {
        let row = self.graph.param(row);
        self.then(Row { operation: RowOperation::Plus, x: self.node, row }, self.size.width)
    }

    /// Every token times a row (1, width), entry by entry.
    pub fn times_row(self, row: Matrix<D, T>) -> Self {
        let row = self.graph.param(row);
        self.then(Row { operation: RowOperation::Times, x: self.node, row }, self.size.width)
    }

    /// Every token times a row of one number for each head, (1, heads): a head's entries are neighbours.
    pub fn times_heads(self, row: Matrix<D, T>) -> Self {
        let heads = row.shape().1;
        let row = self.graph.param(row);
        let groups = Groups { count: heads, each: self.size.width / heads };
        let row = self.graph.derive(Derived::Repeat(row, groups));
        self.then(Row { operation: RowOperation::Times, x: self.node, row }, self.size.width)
    }

    /// x W, with a matrix (width, its columns). Where x is itself a product with a matrix that widens, the two matrices
    /// are multiplied first: they are fewer than the tokens.
    pub fn project(self, weight: Matrix<D, T>) -> Self {
        let sizes = *weight.shape();
        self.project_by(self.graph.param(weight), sizes)
    }

    fn project_by(self, weight: ParamId, sizes: (usize, usize)) -> Self {
        match self.projection() {
            Some(Project { x, weight: first, bias: None, sizes: (inner, middle) }) if inner < middle => {
                let weight = self.graph.product([first, weight], [inner, middle, sizes.1]);
                self.then(Project { x, weight, bias: None, sizes: (inner, sizes.1) }, sizes.1)
            }
            Some(_) | None => self.then(Project { x: self.node, weight, bias: None, sizes }, sizes.1),
        }
    }

    /// x W + c, with a matrix (width, its columns) and a row.
    pub fn affine(self, weight: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let sizes = *weight.shape();
        let [weight, bias] = [weight, bias].map(|weight| self.graph.param(weight));
        self.then(Project { x: self.node, weight, bias: Some(bias), sizes }, sizes.1)
    }

    /// C x of every token, with the last `outputs` rows of a matrix (·, width).
    pub fn read_out(self, weight: Matrix<D, T>, outputs: usize) -> Self {
        let weight = self.graph.transpose(weight, outputs);
        self.then(Project { x: self.node, weight, bias: None, sizes: (self.size.width, outputs) }, outputs)
    }

    /// M v, where every token is a matrix, row by row, and v a vector of its own.
    pub fn times_vector(self, vector: Self) -> Self {
        let [matrix, node] = Self::distinct([self, vector]);
        let dim = vector.size.width;
        self.then(MatrixVector { matrix, vector: node, dim }, self.size.width / dim)
    }

    /// Every token with mean 0 and mean square 1, times a row plus a row (1, width).
    pub fn normalise(self, gain: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let [gain, bias] = [gain, bias].map(|weight| self.graph.param(weight));
        self.then(LayerNormalise { x: self.node, gain, bias }, self.size.width)
    }

    /// What these queries, of the last tokens, take from all: causal attention with softmax, in heads.
    pub fn softmax_attend(self, [keys, values]: [Self; 2], heads: usize) -> Self {
        let parts = Self::distinct([self, keys, values]);
        let heads = Heads { count: heads, units: self.size.width };
        self.then(SoftmaxAttention { parts, heads }, self.size.width)
    }

    /// What this query, one token, takes from all values by additive attention; `score` (width, 1).
    pub fn additive_attend(self, keys: Self, values: Self, score: Matrix<D, T>) -> Self {
        let score = self.graph.param(score);
        let [query, keys_node, values] = Self::distinct([self, keys, values]);
        let (length, units) = (keys.size.length, keys.size.width);
        self.then(AdditiveAttention { query, keys: keys_node, values, score, length, units }, units)
    }

    /// The last tokens, as many as `query_len`, plus what they take from the first `key_len` by attention without
    /// softmax, with Wq, Wk, Wv and Wo, (width, width) each. See [`LinearAttention`].
    pub fn linear_attend(self, [wq, wk, wv, wo]: [Matrix<D, T>; 4], key_len: usize, query_len: usize) -> Self {
        let width = self.size.width;
        let [wq, wv, wo] = [wq, wv, wo].map(|weight| self.graph.param(weight));
        let qk = self.graph.product([wq, self.graph.transpose(wk, width)], [width; 3]);
        let vo = self.graph.product([wv, wo], [width; 3]);
        let size = Size { length: query_len, width };
        self.graph.record(LinearAttention { tokens: self.node, qk, vo, width, key_len, query_len }, size)
    }

    /// A short causal convolution of every channel. See [`Convolution`].
    pub fn convolve(self, taps: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let [taps, bias] = [taps, bias].map(|weight| self.graph.param(weight));
        self.then(Convolution { input: self.node, taps, bias }, self.size.width)
    }

    /// The last states, as many as `last` says, of a diagonal recurrence over complex numbers, with three weights
    /// that determine it, (1, n) each. See [`DiagonalScan`].
    pub fn scan(self, discretization: Discretization, weights: [Matrix<D, T>; 3], last: usize) -> Self {
        let weights = weights.map(|weight| self.graph.param(weight));
        self.scan_by(discretization, weights, last)
    }

    fn scan_by(self, discretization: Discretization, weights: [ParamId; 3], last: usize) -> Self {
        let spectrum = self.graph.derive(Derived::Spectrum(discretization, weights));
        let size = Size { length: last, ..self.size };
        self.graph.record(DiagonalScan { input: self.node, spectrum, last }, size)
    }

    /// One diagonal recurrence for each channel, which all read its number and add up to one number again: the last
    /// tokens, as many as `last` says. See [`ChannelScan`].
    pub fn scan_channels(self, scan: ChannelScan<D, T>, last: usize) -> Self {
        let ChannelScan { discretization, weights: [a, b], step, read } = scan;
        let channels = self.size.width;
        let groups = Groups { count: channels, each: a.shape().1 / channels };
        let [a, b, step, read] = [a, b, step, read].map(|weight| self.graph.param(weight));
        let steps = self.graph.derive(Derived::Repeat(step, groups));
        let states = self.spread(groups.each).scan_by(discretization, [a, b, steps], last);
        let readout = self.graph.derive(Derived::Grouped(read, groups));
        states.project_by(readout, (2 * groups.numbers(), channels))
    }

    /// What the states of such recurrences read: every channel's number as the real part of the input of its states.
    pub fn spread(self, each: usize) -> Self {
        let groups = Groups { count: self.size.width, each };
        self.project_by(self.graph.derive(Derived::Spread(groups)), (groups.count, 2 * groups.numbers()))
    }

    /// The last state of a diagonal recurrence over real numbers, with its decay (1, width).
    pub fn decay_scan(self, decay: Matrix<D, T>) -> Self {
        let decay = self.graph.param(decay);
        let size = Size { length: 1, ..self.size };
        self.graph.record(DecayScan { input: self.node, decay, states: self.size.width }, size)
    }

    /// The last h of a recurrent layer, as many as `last` says, with W, U and b of every gate.
    pub fn recur<C: Cell>(self, gates: Vec<[Matrix<D, T>; 3]>, last: usize) -> Self {
        let units = gates.first().map_or(0, |[_, _, bias]| bias.shape().1);
        let sizes = RecurrentSizes { length: self.size.length, width: self.size.width, units };
        let gates = gates.into_iter().map(|gate| gate.map(|weight| self.graph.param(weight))).collect();
        let step = Recurrent::<C> { inputs: self.node, gates, sizes, last, cell: PhantomData };
        self.graph.record(C::listed(step), Size { length: last, width: units })
    }

    fn window_weights(self, weights: [Matrix<D, T>; 3]) -> WindowWeights {
        let [decay, mix, pick] = weights.map(|weight| self.graph.param(weight));
        WindowWeights { decay, mix, pick }
    }

    /// The last state of a GD-SSM times its query, with Λ, Q and D: one token. See [`WindowScan`].
    pub fn window_scan(self, window: Window, weights: [Matrix<D, T>; 3]) -> Self {
        let (weights, Size { length, width }) = (self.window_weights(weights), self.size);
        let step = WindowScan { tokens: self.node, weights, window, dim: width, windows: window.count(length) };
        self.graph.record(step, Size { length: 1, width })
    }

    /// The last state of a GD-SSM times the query of every window. See [`WindowLayer`].
    pub fn window_layer(self, weights: [Matrix<D, T>; 3]) -> Self {
        let (weights, Size { length, width }) = (self.window_weights(weights), self.size);
        self.then(WindowLayer { tokens: self.node, weights, dim: width, pairs: length / 2 - 1 }, width)
    }

    /// The answer of ridge regression on the pairs [x; y], x of `dim` numbers, to the last x: one token. See [`Ridge`].
    pub fn ridge(self, log_lambda: Matrix<D, T>, dim: usize) -> Self {
        let (log_lambda, outputs) = (self.graph.param(log_lambda), self.size.width - dim);
        let step = Ridge { tokens: self.node, log_lambda, dim, outputs };
        self.graph.record(step, Size { length: 1, width: outputs })
    }

    fn scale(self, scale: VectorScale) -> Self {
        self.then(ScaleVectors { x: self.node, scale, width: self.size.width }, self.size.width)
    }

    /// Every token with length 1.
    pub fn unit_length(self) -> Self {
        self.scale(VectorScale::UnitLength)
    }

    /// Every token times a step size, by a rule and the rates (B, length, 1). See [`ScaleVectors`].
    pub fn times_step_size(self, rule: fn(NodeId) -> VectorScale, rates: Self) -> Self {
        self.scale(rule(rates.node))
    }

    /// All tokens as one: (B, 1, length · width).
    pub fn flatten(self) -> Self {
        let width = self.size.numbers();
        self.graph.record(Regroup { x: self.node, width }, Size { length: 1, width })
    }

    /// Every token as several, of equal width: (B, T · count, width / count).
    pub fn split(self, count: usize) -> Self {
        let Size { length, width } = self.size;
        self.graph.record(
            Regroup { x: self.node, width: width / count },
            Size { length: length * count, width: width / count },
        )
    }

    /// What pairs answer to this query, one token, by ridge regression with a log penalty (1, width), computed by so
    /// many iterations of conjugate gradients. The last key and value, the query's own, are not read. See [`Mesa`].
    pub fn solve(self, [keys, values]: [Self; 2], log_penalty: Matrix<D, T>, steps: usize) -> Self {
        let log_penalty = self.graph.param(log_penalty);
        let (pairs, size) = (keys.size.length - 1, Size { length: 1, width: values.size.width });
        let [query, keys, values] = Self::distinct([self, keys, values]);
        self.graph.record(Mesa { keys, values, query, log_penalty, pairs, steps }, size)
    }

    /// The graph up to here, without the steps that it does not need. Takes it and its weights, which carry their
    /// tapes, from the builder.
    pub fn graph(self) -> Graph<D, T> {
        let mut nodes = self.graph.nodes.take();
        nodes.truncate(self.node.0 + 1);
        let mut needed = vec![false; nodes.len()];
        (needed[0], needed[self.node.0]) = (true, true);
        for (i, node) in nodes.iter_mut().enumerate().rev() {
            if needed[i] {
                node.step.iter().flat_map(Step::reads).for_each(|read| needed[read.0] = true);
            } else {
                *node = Node { step: None, size: Size { length: 0, width: 0 } };
            }
        }
        Graph { nodes, params: self.graph.params.take() }
    }
}

/// The weights of [`Sequence::scan_channels`], with N states in each of H channels.
pub struct ChannelScan<D: Backend, T> {
    pub discretization: Discretization,
    /// The first two weights of the discretization: (1, H·N) each.
    pub weights: [Matrix<D, T>; 2],
    /// The third, one for each channel: (1, H).
    pub step: Matrix<D, T>,
    /// What the real and then the imaginary parts of the states are read with: (2·H·N, 1).
    pub read: Matrix<D, T>,
}
