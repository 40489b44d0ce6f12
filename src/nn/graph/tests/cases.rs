//! A graph for each step, and a few of several steps.

use dfdx::prelude::{Cpu, OwnedTape};

use super::super::*;
use crate::nn::step::{Activation, Cell, Gru, Lstm, Rnn, Window};

pub type Owned = OwnedTape<f32, Cpu>;
pub type WeightOf<'a> = &'a dyn Fn(usize) -> Matrix<Cpu, Owned>;
pub type Record = for<'p> fn(Sequence<'p, Cpu, Owned>, WeightOf<'_>) -> Sequence<'p, Cpu, Owned>;
pub type Form = fn(Input<Cpu, Owned>, Graph<Cpu, Owned>) -> Matrix<Cpu, Owned>;

/// A graph of one step or a few, the shapes of its weights, and its tokens' (length, width).
pub struct Case {
    pub name: &'static str,
    pub tokens: (usize, usize),
    pub weights: &'static [(usize, usize)],
    pub record: Record,
}

/// Δ of two entries, x of six, B and C of three, all made of tokens of four, C only of the last two.
pub fn selection<'p>(tokens: Sequence<'p, Cpu, Owned>, weight: WeightOf<'_>) -> Selection<'p, Cpu, Owned> {
    Selection {
        delta: tokens.project(weight(0)).activate(Activation::Softplus),
        x: tokens.project(weight(1)),
        b: tokens.project(weight(2)),
        c: tokens.last(2).project(weight(3)),
        log_a: weight(4),
    }
}

pub fn attend<'p>(
    queries: Sequence<'p, Cpu, Owned>,
    all: Sequence<'p, Cpu, Owned>,
    weight: WeightOf<'_>,
) -> Sequence<'p, Cpu, Owned> {
    queries.softmax_attend([weight(0), weight(1)].map(|weight| all.project(weight)), 2)
}

/// A diagonal scan by the weights from this number on.
pub fn spectrum<'p>(
    x: Sequence<'p, Cpu, Owned>,
    weight: WeightOf<'_>,
    first: usize,
    last: usize,
) -> Sequence<'p, Cpu, Owned> {
    x.scan(Discretization::ZeroOrderHold, [0, 1, 2].map(|i| weight(first + i)), last)
}

/// A scan with Λ, Q and D.
pub fn windows<'p>(window: Window, x: Sequence<'p, Cpu, Owned>, weight: WeightOf<'_>) -> Sequence<'p, Cpu, Owned> {
    x.window_scan(window, [0, 1, 2].map(weight))
}

/// Two layers of a recurrent cell with three units, of which the second shows the last two h.
pub fn recur<'p, C: Cell>(x: Sequence<'p, Cpu, Owned>, weight: WeightOf<'_>) -> Sequence<'p, Cpu, Owned> {
    let gates = |first: usize| (0..C::GATES.len()).map(|g| [0, 1, 2].map(|i| weight(first + 3 * g + i))).collect();
    x.recur::<C>(gates(0), x.length()).recur::<C>(gates(3 * C::GATES.len()), 2)
}

/// A bare layer of a state-space model with a skip, between an encoder and a decoder, read at so many last tokens.
pub fn layer<'p>(x: Sequence<'p, Cpu, Owned>, weight: WeightOf<'_>, last: usize) -> Sequence<'p, Cpu, Owned> {
    let tokens = x.project(weight(0));
    let states = spectrum(tokens.project(weight(1)), weight, 2, last).project(weight(5));
    let update = states.plus(tokens.last(last).times_row(weight(6)));
    tokens.last(last).plus(update).project(weight(7))
}

pub const LAYER: &[(usize, usize)] = &[(3, 4), (4, 10), (1, 5), (1, 5), (1, 5), (10, 4), (1, 4), (4, 2)];
pub const WINDOW: &[(usize, usize)] = &[(7, 7), (3, 3), (3, 1)];
pub const WINDOW_OF_TWO: &[(usize, usize)] = &[(7, 7), (2, 2), (2, 1)];
pub const WINDOW_OF_ONE: &[(usize, usize)] = &[(7, 7), (1, 1), (1, 1)];
pub const GATE: [(usize, usize); 3] = [(3, 3), (3, 3), (1, 3)];
pub const RNN: &[(usize, usize)] = [GATE; 2].as_flattened();
pub const GRU: &[(usize, usize)] = [GATE; 6].as_flattened();
pub const LSTM: &[(usize, usize)] = [GATE; 8].as_flattened();
pub const SELECTIVE: &[(usize, usize)] = &[(4, 6), (4, 6), (4, 3), (4, 3), (6, 3)];
pub const HEADS: &[(usize, usize)] = &[(4, 2), (4, 6), (4, 3), (4, 3), (1, 2)];

pub const CASES: [Case; 43] = [
    Case { name: "last", tokens: (5, 3), weights: &[], record: |x, _| x.last(2) },
    Case { name: "plus", tokens: (3, 2), weights: &[], record: |x, _| x.plus(x).plus(x) },
    Case { name: "times", tokens: (3, 2), weights: &[], record: |x, _| x.times(x).times(x) },
    Case { name: "plus_row", tokens: (3, 2), weights: &[(1, 2)], record: |x, w| x.plus_row(w(0)).times(x) },
    Case { name: "times_heads", tokens: (3, 6), weights: &[(1, 2)], record: |x, w| x.times_heads(w(0)) },
    Case {
        name: "scan_channels",
        tokens: (3, 2),
        weights: &[(1, 6), (1, 6), (1, 2), (12, 1)],
        record: |x, w| {
            let discretization = Discretization::ZeroOrderHold;
            x.scan_channels(ChannelScan { discretization, weights: [w(0), w(1)], step: w(2), read: w(3) }, 2)
        },
    },
    Case { name: "flatten", tokens: (3, 2), weights: &[(6, 2)], record: |x, w| x.flatten().project(w(0)) },
    Case { name: "times_row", tokens: (3, 2), weights: &[(1, 2)], record: |x, w| x.times_row(w(0)) },
    Case { name: "silu", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Silu) },
    Case { name: "softplus", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Softplus) },
    Case { name: "sigmoid", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Sigmoid) },
    Case { name: "gelu", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Gelu) },
    Case {
        name: "project",
        tokens: (3, 5),
        weights: &[(5, 19), (19, 3)],
        record: |x, w| x.project(w(0)).project(w(1)),
    },
    Case { name: "relu", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Relu) },
    Case { name: "tanh", tokens: (2, 2), weights: &[], record: |x, _| x.activate(Activation::Tanh) },
    Case { name: "affine", tokens: (3, 5), weights: &[(5, 19), (1, 19)], record: |x, w| x.affine(w(0), w(1)) },
    Case { name: "normalise", tokens: (3, 5), weights: &[(1, 5); 2], record: |x, w| x.normalise(w(0), w(1)) },
    Case { name: "attend", tokens: (5, 6), weights: &[(6, 6); 2], record: |x, w| attend(x, x, w) },
    Case { name: "attend last", tokens: (5, 6), weights: &[(6, 6); 2], record: |x, w| attend(x.last(2), x, w) },
    Case {
        name: "project twice",
        tokens: (5, 2),
        weights: &[(2, 5), (5, 7)],
        record: |x, w| x.project(w(0)).project(w(1)),
    },
    Case {
        name: "last of a product, and steps that no other reads",
        tokens: (5, 2),
        weights: &[(2, 6), (6, 3)],
        record: |x, w| {
            let wide = x.project(w(0));
            let _unused = wide.times(wide);
            wide.last(2).project(w(1))
        },
    },
    Case { name: "scan", tokens: (5, 6), weights: &[(1, 3); 3], record: |x, w| spectrum(x, w, 0, 5) },
    Case { name: "last state", tokens: (5, 6), weights: &[(1, 3); 3], record: |x, w| spectrum(x, w, 0, 1) },
    Case {
        name: "ring",
        tokens: (5, 6),
        weights: &[(1, 3); 3],
        record: |x, w| x.scan(Discretization::Ring, [0, 1, 2].map(w), 2),
    },
    Case { name: "slice", tokens: (5, 4), weights: &[], record: |x, _| x.slice(1..4).columns(2..3) },
    Case { name: "pad", tokens: (3, 2), weights: &[], record: |x, _| x.pad(2).times(x.pad(2)) },
    Case { name: "reverse", tokens: (4, 3), weights: &[], record: |x, _| x.reverse().times(x) },
    Case { name: "minus", tokens: (3, 2), weights: &[(2, 2)], record: |x, w| x.project(w(0)).minus(x) },
    Case { name: "read out", tokens: (3, 5), weights: &[(7, 5)], record: |x, w| x.read_out(w(0), 6) },
    Case { name: "vector", tokens: (3, 6), weights: &[(6, 2)], record: |x, w| x.times_vector(x.project(w(0))) },
    Case { name: "decay scan", tokens: (5, 3), weights: &[(1, 3)], record: |x, w| x.decay_scan(w(0)) },
    Case {
        name: "additive attention",
        tokens: (5, 3),
        weights: &[(3, 3), (3, 1)],
        record: |x, w| x.slice(1..2).additive_attend(x.project(w(0)), x, w(1)),
    },
    Case {
        name: "linear attention",
        tokens: (5, 3),
        weights: &[(3, 3); 8],
        record: |x, w| x.linear_attend([0, 1, 2, 3].map(w), 5, 5).linear_attend([4, 5, 6, 7].map(w), 4, 1),
    },
    Case { name: "rnn", tokens: (4, 3), weights: RNN, record: recur::<Rnn> },
    Case { name: "gru", tokens: (4, 3), weights: GRU, record: recur::<Gru> },
    Case { name: "lstm", tokens: (4, 3), weights: LSTM, record: recur::<Lstm> },
    Case { name: "window scan", tokens: (9, 7), weights: WINDOW, record: |x, w| windows(Window::Three, x, w) },
    Case { name: "windows of two", tokens: (9, 7), weights: WINDOW_OF_TWO, record: |x, w| windows(Window::Two, x, w) },
    Case { name: "windows of one", tokens: (9, 7), weights: WINDOW_OF_ONE, record: |x, w| windows(Window::One, x, w) },
    Case { name: "window layer", tokens: (8, 7), weights: WINDOW, record: |x, w| x.window_layer([0, 1, 2].map(w)) },
    Case { name: "ridge", tokens: (6, 5), weights: &[(1, 1)], record: |x, w| x.ridge(w(0), 3) },
    Case { name: "convolve", tokens: (6, 3), weights: &[(4, 3), (1, 3)], record: |x, w| x.convolve(w(0), w(1)) },
    Case { name: "convolve few", tokens: (2, 3), weights: &[(4, 3), (1, 3)], record: |x, w| x.convolve(w(0), w(1)) },
];
