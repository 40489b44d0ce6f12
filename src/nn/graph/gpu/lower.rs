//! A network's graph as a [`Program`]: each step becomes the kernels that compute it.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use dfdx::prelude::{Cpu, NoneTape};

use super::program::{CellKind, Derivation, Kernel, NodeId, Program, ScaleRule, WeightId};
use crate::nn::graph::param::{Derived, ParamSource};
use crate::nn::graph::{Graph, Size};
use crate::nn::step::{
    self, Activation, AdditiveAttention, AnyStep, Cell, Combination, Combine, FLOOR, HeadScan, MaskedAttention,
    ParamId, Project, Recurrent, Row, RowOperation, Scan, Slice, Step, VectorScale, WindowWeights,
};
use crate::nn::tensor::Matrix;

/// The program of a graph whose weights are parameters of a network, of these shapes. `parameter` says which of them
/// a weight of the graph is. Returns an error if a step has no kernel.
pub fn lower(
    graph: &Graph<Cpu, NoneTape>,
    shapes: &[(usize, usize)],
    parameter: impl Fn(&Matrix<Cpu>) -> usize,
) -> Result<Program> {
    let tokens = graph.nodes.first().map_or(Size { length: 0, width: 0 }, |node| node.size);
    let mut program = Program::new(tokens);
    shapes.iter().for_each(|shape| {
        program.parameter(*shape);
    });
    let sources = graph.params.iter().map(|source| match source {
        ParamSource::Given(weight) => Source::Parameter(parameter(weight)),
        ParamSource::Derived(derived) => Source::Derived(derived.clone()),
    });
    let (sources, biases) = (sources.collect(), biases(graph));
    let mut lowering = Lowering { program, sources, weights: HashMap::new(), nodes: vec![0], biases };
    for node in &graph.nodes[1..] {
        let lowered = match &node.step {
            Some(step) => lowering.step(graph, step, node.size)?,
            // No other node needs it.
            None => 0,
        };
        lowering.nodes.push(lowered);
    }
    Ok(lowering.program)
}

/// For each node: the row that is added to it, if it is a product with a matrix that nothing else reads. Both are one
/// kernel.
fn biases(graph: &Graph<Cpu, NoneTape>) -> Vec<Option<ParamId>> {
    let mut readers = vec![0; graph.nodes.len()];
    let steps = || graph.nodes.iter().filter_map(|node| node.step.as_ref());
    steps().flat_map(Step::reads).for_each(|read| readers[read.0] += 1);
    let mut biases = vec![None; graph.nodes.len()];
    for step in steps() {
        if let AnyStep::Row(Row { operation: RowOperation::Plus, x, row }) = step
            && let Some(AnyStep::Project(Project { bias: None, .. })) = graph.nodes[x.0].step
            && readers[x.0] == 1
        {
            biases[x.0] = Some(*row);
        }
    }
    biases
}

enum Source {
    Parameter(WeightId),
    Derived(Derived),
}

struct Lowering {
    program: Program,
    sources: Vec<Source>,
    /// The program's weights of the graph's weights so far.
    weights: HashMap<usize, WeightId>,
    /// The program's node of each of the graph's nodes so far.
    nodes: Vec<NodeId>,
    /// See [`biases`].
    biases: Vec<Option<ParamId>>,
}

impl Lowering {
    fn node(&self, node: step::NodeId) -> NodeId {
        self.nodes[node.0]
    }

    fn push(&mut self, kernel: Kernel, size: Size) -> NodeId {
        self.program.push(kernel, size)
    }

    /// A copy of numbers of x, one after the other.
    fn part(&mut self, x: NodeId, first: usize, size: Size) -> NodeId {
        self.push(Kernel::Part { x, first, factor: 1.0 }, size)
    }

    fn weight(&mut self, param: ParamId) -> WeightId {
        if let Some(weight) = self.weights.get(&param.0) {
            return *weight;
        }
        let weight = match &self.sources[param.0] {
            Source::Parameter(weight) => *weight,
            Source::Derived(derived) => {
                let derived = derived.clone();
                self.derive(&derived)
            }
        };
        self.weights.insert(param.0, weight);
        weight
    }

    fn derive(&mut self, derived: &Derived) -> WeightId {
        let (derivation, shape) = match derived {
            Derived::Product([a, b], [rows, _, columns]) => {
                let (b, transposed) = match &self.sources[b.0] {
                    // A whole matrix that is transposed only for this product.
                    Source::Derived(Derived::Transpose(of, sizes)) if sizes.last == *columns => (*of, true),
                    Source::Derived(_) | Source::Parameter(_) => (*b, false),
                };
                let of = [*a, b].map(|param| self.weight(param));
                (Derivation::Product { of, transposed }, (*rows, *columns))
            }
            Derived::Transpose(of, sizes) => (Derivation::Transposed(self.weight(*of)), (sizes.columns, sizes.last)),
            Derived::Spectrum(discretization, of) => {
                let of = of.map(|param| self.weight(param));
                (Derivation::Spectrum(*discretization, of), (4, self.program.weights[of[0]].shape.1))
            }
            Derived::NegativeExp(of) => {
                let of = self.weight(*of);
                (Derivation::NegativeExp(of), self.program.weights[of].shape)
            }
            Derived::Repeat(row, groups) => (Derivation::Repeat(self.weight(*row), groups.each), (1, groups.numbers())),
            Derived::Grouped(column, groups) => {
                let shape = (2 * groups.numbers(), groups.count);
                (Derivation::Grouped(self.weight(*column), groups.count), shape)
            }
            Derived::Spread(groups) => (Derivation::Spread { each: groups.each }, (groups.count, 2 * groups.numbers())),
        };
        self.program.derive(derivation, shape)
    }

    fn window(&mut self, weights: &WindowWeights) -> [WeightId; 3] {
        weights.all().map(|param| self.weight(param))
    }

    fn scan(&mut self, scan: &Scan, heads: usize, size: Size) -> NodeId {
        let parts = scan.nodes().map(|node| self.node(node));
        let rate = self.weight(scan.a);
        self.push(Kernel::SelectiveScan { parts, rate, heads }, size)
    }

    fn recurrent<C: Cell>(&mut self, cell: CellKind, layer: &Recurrent<C>, size: Size) -> NodeId {
        let gates = layer.gates.iter().map(|gate| gate.map(|param| self.weight(param))).collect();
        self.push(Kernel::Recurrent { x: self.node(layer.inputs), cell, gates }, size)
    }

    fn project(&mut self, step: &Project, size: Size) -> NodeId {
        let weight = self.weight(step.weight);
        // The number of this node is that of those before it.
        let bias = step.bias.or(self.biases[self.nodes.len()]).map(|bias| self.weight(bias));
        self.push(Kernel::Project { x: self.node(step.x), weight, bias }, size)
    }

    /// Σ_t softmax_t(v · tanh(k_t + q)) h_t, as five kernels.
    fn additive_attention(&mut self, step: &AdditiveAttention, size: Size) -> NodeId {
        let AdditiveAttention { query, keys, values, score, length, units } = step;
        let (wide, narrow) = (Size { length: *length, width: *units }, Size { length: *length, width: 1 });
        let sums = self.push(Kernel::PlusToken(self.node(*keys), self.node(*query)), wide);
        let activated = self.push(Kernel::Apply(Activation::Tanh, sums), wide);
        let weight = self.weight(*score);
        let scores = self.push(Kernel::Project { x: activated, weight, bias: None }, narrow);
        let attention = self.push(Kernel::SoftmaxTokens(scores), narrow);
        self.push(Kernel::Contract([attention, self.node(*values)]), size)
    }

    fn step(&mut self, graph: &Graph<Cpu, NoneTape>, step: &AnyStep, size: Size) -> Result<NodeId> {
        Ok(match step {
            AnyStep::Slice(Slice { x, width, tokens, columns }) => {
                ensure!(columns.len() == *width || tokens.len() == 1, "columns of several tokens have no GPU kernel");
                self.part(self.node(*x), tokens.start * width + columns.start, size)
            }
            // What is read beyond the end is zero.
            AnyStep::Pad(step) => self.part(self.node(step.x), 0, size),
            AnyStep::Regroup(step) => self.part(self.node(step.x), 0, size),
            AnyStep::Reverse(step) => self.push(Kernel::Reverse(self.node(step.x)), size),
            AnyStep::Combine(Combine { operation, parts }) => {
                let [x, y] = parts.map(|part| self.node(part));
                match operation {
                    Combination::Plus => self.push(Kernel::Plus([x, y]), size),
                    Combination::Times => self.push(Kernel::Times([x, y]), size),
                    Combination::Minus => {
                        let negative = self.push(Kernel::Part { x: y, first: 0, factor: -1.0 }, size);
                        self.push(Kernel::Plus([x, negative]), size)
                    }
                }
            }
            AnyStep::Row(Row { operation: RowOperation::Plus, x, .. }) if self.biases[x.0].is_some() => self.node(*x),
            AnyStep::Row(Row { operation, x, row }) => {
                let (x, row) = (self.node(*x), self.weight(*row));
                let kernel = match operation {
                    RowOperation::Plus => Kernel::PlusRow(x, row),
                    RowOperation::Times => Kernel::TimesRow(x, row),
                };
                self.push(kernel, size)
            }
            AnyStep::Activate(step) => self.push(Kernel::Apply(step.activation, self.node(step.x)), size),
            AnyStep::Project(step) => self.project(step, size),
            AnyStep::MatrixVector(step) => {
                self.push(Kernel::MatrixTimes([step.matrix, step.vector].map(|part| self.node(part))), size)
            }
            AnyStep::LayerNormalise(step) => {
                let [gain, bias] = [step.gain, step.bias].map(|param| self.weight(param));
                self.push(Kernel::Normalise { x: self.node(step.x), gain, bias }, size)
            }
            AnyStep::Convolution(step) => {
                let [taps, bias] = [step.taps, step.bias].map(|param| self.weight(param));
                self.push(Kernel::Convolve { x: self.node(step.input), taps, bias }, size)
            }
            AnyStep::DecayScan(step) => {
                let decay = self.weight(step.decay);
                self.push(Kernel::DecayScan { x: self.node(step.input), decay }, size)
            }
            AnyStep::DiagonalScan(step) => {
                let spectrum = self.weight(step.spectrum);
                self.push(Kernel::DiagonalScan { x: self.node(step.input), spectrum }, size)
            }
            AnyStep::SelectiveScan(step) => self.scan(&step.0, 0, size),
            // Both forms give the same numbers.
            AnyStep::HeadScan(HeadScan(scan)) | AnyStep::MaskedAttention(MaskedAttention(scan)) => {
                self.scan(scan, graph.nodes[scan.delta.0].size.width, size)
            }
            AnyStep::SoftmaxAttention(step) => {
                let parts = step.parts.map(|part| self.node(part));
                self.push(Kernel::SoftmaxAttend { parts, heads: step.heads.count }, size)
            }
            AnyStep::AdditiveAttention(step) => self.additive_attention(step, size),
            AnyStep::LinearAttention(step) => {
                let [qk, vo] = [step.qk, step.vo].map(|param| self.weight(param));
                self.push(Kernel::LinearAttend { x: self.node(step.tokens), keys: step.key_len, qk, vo }, size)
            }
            AnyStep::Rnn(step) => self.recurrent(CellKind::Rnn, step, size),
            AnyStep::Gru(step) => self.recurrent(CellKind::Gru, step, size),
            AnyStep::Lstm(step) => self.recurrent(CellKind::Lstm, step, size),
            AnyStep::WindowScan(step) => {
                let weights = self.window(&step.weights);
                self.push(Kernel::WindowScan { x: self.node(step.tokens), window: step.window, weights }, size)
            }
            AnyStep::WindowLayer(step) => {
                let weights = self.window(&step.weights);
                self.push(Kernel::WindowLayer { x: self.node(step.tokens), weights }, size)
            }
            AnyStep::Ridge(step) => {
                let log = self.weight(step.log_lambda);
                self.push(Kernel::Ridge { x: self.node(step.tokens), log, dim: step.dim, floor: FLOOR }, size)
            }
            AnyStep::FastWeights(step) => {
                let parts = step.map(|vectors| self.node(vectors.of));
                self.push(Kernel::FastWeights(parts), size)
            }
            AnyStep::ScaleVectors(step) => {
                let (rule, rates) = match step.scale {
                    VectorScale::Rate(rates) => (ScaleRule::Rate, Some(rates)),
                    VectorScale::Normalised(rates) => (ScaleRule::Normalised, Some(rates)),
                    VectorScale::Implicit(rates) => (ScaleRule::Implicit, Some(rates)),
                    VectorScale::UnitLength => (ScaleRule::UnitLength, None),
                    VectorScale::Normaliser(rates) => (ScaleRule::Normaliser, Some(rates)),
                };
                let rates = rates.map(|rates| self.node(rates));
                self.push(Kernel::ScaleVectors { x: self.node(step.x), rates, rule }, size)
            }
            AnyStep::Mesa(step) => {
                let parts = [step.keys, step.values, step.query].map(|part| self.node(part));
                let log = self.weight(step.log_penalty);
                self.push(Kernel::Mesa { parts, log, steps: step.steps, floor: FLOOR }, size)
            }
        })
    }
}
