//! Each architecture as a [`Program`], with its parameters in the network's order.

use crate::nn::Activation;
use crate::nn::graph::Discretization;
use crate::nn::graph::gpu::program::{CellKind, Derivation, Kernel, NodeId, Program, Size, WeightId};
use crate::nn::model::{GdSsmMlpSpec, LinearAttentionSpec, MlpSpec, ModelSpec, TransformerSpec};
use crate::nn::step::Window;
use crate::task::{Layout, Shape};

/// Taps of the short convolutions.
const TAPS: usize = 4;
/// How many times wider a transformer's perceptron is than a token.
const WIDER: usize = 4;
/// The least λ of the ridge layer.
const FLOOR: f32 = 1e-6;

mod fast_weights;
mod stack;

use self::stack::Layer;

/// The program of an architecture. The answer is the last numbers of its last node, as many as there are outputs.
pub fn program(spec: &ModelSpec, shape: Shape, layout: Layout) -> Program {
    let (length, width) = (layout.tokens(shape), layout.width(shape));
    let query = layout.query_place(shape);
    let mut b = Builder { program: Program::new(length, width) };
    match spec {
        ModelSpec::GdSsm(spec) => {
            b.gd_ssm(0, spec.window(), width);
        }
        ModelSpec::GdSsmStack(spec) => b.gd_ssm_stack(spec.layers, length, width),
        ModelSpec::GdSsmMlp(spec) => b.gd_ssm_mlp(spec, shape),
        ModelSpec::BidirectionalGdSsm(_) => b.bidirectional(query, length, width),
        ModelSpec::ProductSsm(_) => b.product_ssm(shape, length, width),
        ModelSpec::LinearAttention(spec) => b.linear_attention(spec, length, width),
        ModelSpec::Lru(spec) => {
            let layer = Layer::Diagonal { law: Discretization::Ring, states: spec.states, block: spec.block };
            b.stack(query, shape.outputs, spec.width, &vec![layer; spec.layers]);
        }
        ModelSpec::S5(spec) => {
            let layer = Layer::Diagonal { law: Discretization::ZeroOrderHold, states: spec.states, block: spec.block };
            b.stack(query, shape.outputs, spec.width, &vec![layer; spec.layers]);
        }
        ModelSpec::S4d(spec) => {
            let layer = Layer::S4d { states: spec.states, block: spec.block };
            b.stack(query, shape.outputs, spec.width, &vec![layer; spec.layers]);
        }
        ModelSpec::Mamba(spec) => {
            b.stack(query, shape.outputs, spec.width, &vec![Layer::Mamba(spec.clone()); spec.layers]);
        }
        ModelSpec::Mamba2(spec) => {
            b.stack(query, shape.outputs, spec.width, &vec![Layer::Mamba2(spec.clone()); spec.layers]);
        }
        ModelSpec::Transformer(spec) => b.transformer(spec, query, shape.outputs),
        ModelSpec::Rnn(spec) => b.recurrent(CellKind::Rnn, (spec.units, spec.layers), query, shape.outputs),
        ModelSpec::Gru(spec) => b.recurrent(CellKind::Gru, (spec.units, spec.layers), query, shape.outputs),
        ModelSpec::Lstm(spec) => b.recurrent(CellKind::Lstm, (spec.units, spec.layers), query, shape.outputs),
        ModelSpec::GruAttention(spec) => b.gru_attention(spec.units, query, shape.outputs),
        ModelSpec::Mlp(spec) => b.mlp(spec, shape.outputs),
        ModelSpec::DeltaNet(spec) => b.delta_net(spec, shape),
        ModelSpec::GatedDeltaNet(spec) => b.gated_delta_net(spec, shape),
        ModelSpec::DeltaProduct(spec) => b.delta_product(spec, shape),
        ModelSpec::Longhorn(_) => b.longhorn(shape),
        ModelSpec::Mesa(spec) => b.mesa(spec, shape),
        ModelSpec::MLstm(_) => b.mlstm(shape),
        ModelSpec::RetNet(spec) => b.retnet(spec, shape),
        ModelSpec::Rwkv7(_) => b.rwkv7(shape),
        ModelSpec::Ttt(spec) => b.ttt(spec, shape),
        ModelSpec::RidgeLayer(_) => {
            let log = b.param(1, 1);
            b.push(Kernel::Ridge { x: 0, log, dim: shape.dim, floor: FLOOR }, 1, shape.outputs);
        }
    }
    b.program
}

struct Builder {
    program: Program,
}

impl Builder {
    fn push(&mut self, kernel: Kernel, length: usize, width: usize) -> NodeId {
        self.program.push(kernel, length, width)
    }

    fn param(&mut self, rows: usize, columns: usize) -> WeightId {
        self.program.parameter((rows, columns))
    }

    fn size(&self, node: NodeId) -> Size {
        self.program.nodes[node].size
    }

    fn shape(&self, weight: WeightId) -> (usize, usize) {
        self.program.weights[weight].shape
    }

    /// The last tokens; of a product, the product of the last tokens.
    fn last(&mut self, x: NodeId, length: usize) -> NodeId {
        let size = self.size(x);
        if length == size.length {
            return x;
        }
        if let Kernel::Project { x: from, weight, bias } = self.program.nodes[x].kernel {
            let few = self.last(from, length);
            return self.push(Kernel::Project { x: few, weight, bias }, length, size.width);
        }
        let first = (size.length - length) * size.width;
        self.push(Kernel::Part { x, first, factor: 1.0 }, length, size.width)
    }

    /// The first tokens.
    fn until(&mut self, x: NodeId, length: usize) -> NodeId {
        let size = self.size(x);
        if length == size.length { x } else { self.push(Kernel::Part { x, first: 0, factor: 1.0 }, length, size.width) }
    }

    /// x W. Of a product with a matrix that widens, the two matrices are multiplied first: they are fewer than the
    /// tokens.
    fn project(&mut self, x: NodeId, weight: WeightId) -> NodeId {
        let (length, (_, columns)) = (self.size(x).length, self.shape(weight));
        if let Kernel::Project { x: from, weight: first, bias: None } = self.program.nodes[x].kernel {
            let (inner, middle) = self.shape(first);
            if inner < middle {
                let both = Derivation::Product { of: [first, weight], transposed: false };
                let weight = self.program.derive(both, (inner, columns));
                return self.push(Kernel::Project { x: from, weight, bias: None }, length, columns);
            }
        }
        self.push(Kernel::Project { x, weight, bias: None }, length, columns)
    }

    fn affine(&mut self, x: NodeId, [weight, bias]: [WeightId; 2]) -> NodeId {
        let (length, columns) = (self.size(x).length, self.shape(weight).1);
        self.push(Kernel::Project { x, weight, bias: Some(bias) }, length, columns)
    }

    fn same(&mut self, kernel: Kernel, like: NodeId) -> NodeId {
        let Size { length, width } = self.size(like);
        self.push(kernel, length, width)
    }

    fn plus(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.same(Kernel::Plus([x, y]), x)
    }

    fn times(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.same(Kernel::Times([x, y]), x)
    }

    fn apply(&mut self, curve: Activation, x: NodeId) -> NodeId {
        self.same(Kernel::Apply(curve, x), x)
    }

    /// W and b.
    fn linear(&mut self, inputs: usize, outputs: usize) -> [WeightId; 2] {
        [self.param(inputs, outputs), self.param(1, outputs)]
    }

    /// Reads x with Λ, Q, the pick and C, new parameters: (1, d).
    fn gd_ssm(&mut self, x: NodeId, window: Window, d: usize) -> NodeId {
        let [decay, mix, pick, read] = self.window_weights(window, d);
        let gathered = self.push(Kernel::WindowScan { x, window, weights: [decay, mix, pick] }, 1, d);
        let turned = self.program.derive(Derivation::Transposed(read), (d, d));
        self.push(Kernel::Project { x: gathered, weight: turned, bias: None }, 1, d)
    }

    /// Λ, Q, the pick and C.
    fn window_weights(&mut self, window: Window, d: usize) -> [WeightId; 4] {
        let w = window.rows();
        [self.param(d, d), self.param(w, w), self.param(w, 1), self.param(d, d)]
    }

    fn gd_ssm_stack(&mut self, layers: usize, length: usize, d: usize) {
        let mut tokens = self.push(Kernel::Part { x: 0, first: 0, factor: 1.0 }, length + 1, d);
        for _ in 0..layers {
            let [decay, mix, pick, read] = self.window_weights(Window::Three, d);
            let answers = self.push(Kernel::WindowLayer { x: tokens, weights: [decay, mix, pick] }, length + 1, d);
            let turned = self.program.derive(Derivation::Transposed(read), (d, d));
            let read = self.push(Kernel::Project { x: answers, weight: turned, bias: None }, length + 1, d);
            let negative = self.push(Kernel::Part { x: read, first: 0, factor: -1.0 }, length + 1, d);
            tokens = self.plus(tokens, negative);
        }
        self.push(Kernel::Part { x: tokens, first: length * d, factor: -1.0 }, 1, d);
    }

    fn gd_ssm_mlp(&mut self, spec: &GdSsmMlpSpec, shape: Shape) {
        let (m, n, width) = (spec.features, spec.units, self.size(0).width);
        let (bend, embed) = (self.linear(width, n), self.linear(n, m));
        let bent = self.affine(0, bend);
        let bent = self.apply(Activation::Tanh, bent);
        let embedded = self.affine(bent, embed);
        let said = self.gd_ssm(embedded, Window::Three, m);
        let (value, gate, decode) = (self.linear(m, n), self.linear(m, n), self.linear(n, shape.outputs));
        let gate = self.affine(said, gate);
        let gate = self.apply(Activation::Gelu, gate);
        let value = self.affine(said, value);
        let product = self.times(value, gate);
        self.affine(product, decode);
    }

    fn bidirectional(&mut self, query: usize, length: usize, d: usize) {
        let ways = [0..query + 1, query..length];
        let mut answers = Vec::new();
        for (places, backwards) in ways.into_iter().zip([false, true]) {
            if places.len() < 3 {
                // Parameters that nothing reads.
                self.window_weights(Window::Three, d);
                continue;
            }
            let part = Kernel::Part { x: 0, first: places.start * d, factor: 1.0 };
            let mut tokens = self.push(part, places.len(), d);
            if backwards {
                tokens = self.push(Kernel::Reverse(tokens), places.len(), d);
            }
            answers.push(self.gd_ssm(tokens, Window::Three, d));
        }
        if let [x, y] = answers[..] {
            self.plus(x, y);
        }
    }

    fn product_ssm(&mut self, shape: Shape, length: usize, width: usize) {
        let states = shape.outputs * shape.dim;
        let (decay, write) = (self.param(1, states), self.param(width, states));
        let (read, pick) = (self.param(states, states), self.param(width, shape.dim));
        let last = self.last(0, 1);
        let written = self.project(0, write);
        let state = self.push(Kernel::DecayScan { x: written, decay }, 1, states);
        let _ = length;
        let map = self.project(state, read);
        let asked = self.project(last, pick);
        self.push(Kernel::MatrixTimes([map, asked]), 1, shape.outputs);
    }

    fn linear_attention(&mut self, spec: &LinearAttentionSpec, length: usize, width: usize) {
        let mut tokens = 0;
        for layer in 0..spec.layers {
            let [q, k, v, o] = [(); 4].map(|()| self.param(width, width));
            let ask = self.program.derive(Derivation::Product { of: [q, k], transposed: true }, (width, width));
            let value = self.program.derive(Derivation::Product { of: [v, o], transposed: false }, (width, width));
            let asking = if layer + 1 == spec.layers { 1 } else { length };
            tokens =
                self.push(Kernel::LinearAttend { x: tokens, keys: spec.key_len(length), ask, value }, asking, width);
        }
    }

    fn norm(&mut self, x: NodeId, [gain, bias]: [WeightId; 2]) -> NodeId {
        self.same(Kernel::Normalise { x, gain, bias }, x)
    }

    fn transformer(&mut self, spec: &TransformerSpec, query: usize, outputs: usize) {
        let n = spec.units;
        let embedding = self.linear(self.size(0).width, n);
        let tokens = self.until(0, query + 1);
        let mut tokens = self.affine(tokens, embedding);
        for layer in 0..spec.layers {
            let asked = if layer + 1 == spec.layers { 1 } else { query + 1 };
            let before = [self.param(1, n), self.param(1, n)];
            let [q, k, v, project] = [(); 4].map(|()| self.linear(n, n));
            let after = [self.param(1, n), self.param(1, n)];
            let (widen, narrow) = (self.linear(n, WIDER * n), self.linear(WIDER * n, n));
            let normal = self.norm(tokens, before);
            let (k, v) = (self.affine(normal, k), self.affine(normal, v));
            let few = self.last(normal, asked);
            let q = self.affine(few, q);
            let attended = self.push(Kernel::SoftmaxAttend { parts: [q, k, v], heads: spec.heads }, asked, n);
            let update = self.affine(attended, project);
            let last = self.last(tokens, asked);
            let middle = self.plus(last, update);
            let normal = self.norm(middle, after);
            let wide = self.affine(normal, widen);
            let wide = self.apply(spec.activation, wide);
            let update = self.affine(wide, narrow);
            tokens = self.plus(middle, update);
        }
        let norm = [self.param(1, n), self.param(1, n)];
        let last = self.last(tokens, 1);
        let normal = self.norm(last, norm);
        let decode = self.linear(n, outputs);
        self.affine(normal, decode);
    }

    /// Layers of a cell over the first tokens; the last `asked` h of the last.
    fn hidden(&mut self, cell: CellKind, (units, layers): (usize, usize), length: usize, asked: usize) -> NodeId {
        let mut tokens = self.until(0, length);
        for layer in 0..layers {
            let width = self.size(tokens).width;
            let mut gates = Vec::new();
            for _ in 0..cell.gates() {
                let [weight, bias] = self.linear(width, units);
                let past = self.param(units, units);
                gates.push([weight, past, bias]);
            }
            let last = if layer + 1 == layers { asked } else { length };
            tokens = self.push(Kernel::Recurrent { x: tokens, cell, gates }, last, units);
        }
        tokens
    }

    fn recurrent(&mut self, cell: CellKind, (units, layers): (usize, usize), query: usize, outputs: usize) {
        let h = self.hidden(cell, (units, layers), query + 1, 1);
        let decode = self.linear(units, outputs);
        self.affine(h, decode);
    }

    fn gru_attention(&mut self, n: usize, query: usize, outputs: usize) {
        let length = self.size(0).length;
        let hidden = self.hidden(CellKind::Gru, (n, 1), length, length);
        let (decode, ask) = (self.linear(n, outputs), self.linear(n, n));
        let (asked, score, read) = (self.param(n, n), self.param(n, 1), self.param(n, outputs));
        let asks = self.push(Kernel::Part { x: hidden, first: query * n, factor: 1.0 }, 1, n);
        let ask = self.affine(asks, ask);
        let sums = self.project(hidden, asked);
        let sums = self.same(Kernel::PlusToken(sums, ask), sums);
        let bent = self.apply(Activation::Tanh, sums);
        let scores = self.project(bent, score);
        let attention = self.same(Kernel::SoftmaxTokens(scores), scores);
        let context = self.push(Kernel::Contract([attention, hidden]), 1, n);
        let of_context = self.project(context, read);
        let of_query = self.affine(asks, decode);
        self.plus(of_query, of_context);
    }

    fn mlp(&mut self, spec: &MlpSpec, outputs: usize) {
        let all = self.size(0).count();
        let mut units = self.push(Kernel::Part { x: 0, first: 0, factor: 1.0 }, 1, all);
        for _ in 0..spec.layers {
            let layer = self.linear(self.size(units).width, spec.units);
            units = self.affine(units, layer);
            units = self.apply(spec.activation, units);
        }
        let decode = self.linear(spec.units, outputs);
        self.affine(units, decode);
    }
}
