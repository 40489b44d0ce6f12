//! Each step as phases of its `.cu` file: the one list that says which functions run, with which sizes, in which order.
//!
//! Between two phases all threads of a block wait for each other, so a phase reads what earlier ones wrote. Calls
//! within one phase do not depend on each other.

mod backward;
mod composite;
mod derived;
mod forward;

pub use backward::backward;
pub use derived::{derive, derive_backward};
pub use forward::forward;

use super::program::{CellKind, Kernel, Node, NodeId, Program, ScaleRule, WeightId};
use crate::nn::graph::{Discretization, Size};
use crate::nn::step::{Activation, Decay, FastWeights, Window};

/// What a block does before it waits.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Calls that do not depend on each other.
    Calls(Vec<String>),
    /// Such phases for `t` in 0 … count, or from the last to the first.
    Over { count: usize, last_first: bool, phases: Vec<Vec<String>> },
}

fn calls<const N: usize>(calls: [String; N]) -> Phase {
    Phase::Calls(calls.into_iter().filter(|call| !call.is_empty()).collect())
}

/// Numbers of a sequence that a step keeps besides its result.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeMemory {
    /// From the forward to the backward pass.
    pub kept: usize,
    /// Within the backward pass.
    pub scratch: usize,
}

/// What becomes of a gradient by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradMode {
    None,
    Set,
    Add,
}

impl GradMode {
    fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Set => "SET",
            Self::Add => "ADD",
        }
    }
}

/// Where the numbers of one step lie, as expressions of the kernel's text.
pub struct Places<'a> {
    pub program: &'a Program,
    pub node: &'a Node,
    /// The result of a step.
    pub value: &'a dyn Fn(NodeId) -> String,
    pub weight: &'a dyn Fn(WeightId) -> String,
    /// Whether a weight, and its transpose, begin at a multiple of 16 bytes.
    pub is_aligned: &'a dyn Fn(WeightId) -> bool,
    /// A weight that is there transposed as well.
    pub transpose: &'a dyn Fn(WeightId) -> Option<String>,
    /// This step's result, what it keeps, and its scratch.
    pub own: String,
    pub kept: String,
    pub scratch: String,
    /// The gradient by this step's result; in the backward pass only.
    pub grad: String,
    /// Where the gradient by a step's result goes, and how.
    pub grad_of: &'a dyn Fn(NodeId) -> (GradMode, String),
    /// Whether that is where the result lies that the backward pass reads.
    pub grad_replaces: &'a dyn Fn(NodeId) -> bool,
    pub grad_weight: &'a dyn Fn(WeightId) -> String,
    /// How this step's products share the threads of a phase.
    pub beside: Beside,
}

/// Products that are computed in one phase.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The thread of this product, as an expression: each begins where the one before ends.
    pub id: String,
    /// How many products by weights share the threads.
    pub calls: usize,
    /// Where the matrix was copied to that is multiplied by, if it was.
    pub copy: Option<String>,
}

impl Beside {
    /// A step that has a phase to itself.
    pub fn alone() -> Self {
        Self { id: "id".to_owned(), calls: 1, copy: None }
    }

    /// The products of these projections, each with the next threads: forwards.
    pub fn forward(program: &Program, projections: &[NodeId], copies: Vec<Option<String>>) -> Vec<Self> {
        let threads = |node: &NodeId| {
            let Size { length, width } = program.nodes[*node].size;
            format!("product_threads({length}, {width})")
        };
        Self::shared(String::new(), projections.iter().map(threads).collect(), copies)
    }

    /// Backwards: the gradients by the weights, after those by the inputs, all of which the first threads compute.
    pub fn backward(program: &Program, projections: &[NodeId], copies: Vec<Option<String>>) -> Vec<Self> {
        let calls = projections.len();
        let (mut first, mut threads) = (String::new(), Vec::new());
        for node in projections {
            let Kernel::Project { x, weight, bias } = &program.nodes[*node].kernel else {
                return vec![Self::alone(); calls];
            };
            let (length, (inputs, outputs)) = (program.nodes[*x].size.length, program.weights[*weight].shape);
            first = format!("product_threads({length}, {inputs})");
            threads.push(format!("weight_items({length}, {inputs}, {outputs}, {}, {calls})", bias.is_some()));
        }
        Self::shared(first, threads, copies)
    }

    fn shared(first: String, threads: Vec<String>, copies: Vec<Option<String>>) -> Vec<Self> {
        let (calls, mut before) = (threads.len(), first);
        let next = |(threads, copy): (String, Option<String>)| {
            let id = if before.is_empty() { "id".to_owned() } else { format!("shifted(id, {before})") };
            before = if before.is_empty() { threads } else { format!("{before} + {threads}") };
            Self { id, calls, copy }
        };
        threads.into_iter().zip(copies).map(next).collect()
    }
}

impl Places<'_> {
    fn size(&self, node: NodeId) -> Size {
        self.program.nodes[node].size
    }
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "RELU",
        Activation::Tanh => "TANH",
        Activation::Silu => "SILU",
        Activation::Softplus => "SOFTPLUS",
        Activation::Sigmoid => "SIGMOID",
        Activation::Gelu => "GELU",
    }
}

fn cell(cell: CellKind) -> &'static str {
    match cell {
        CellKind::Rnn => "RNN",
        CellKind::Gru => "GRU",
        CellKind::Lstm => "LSTM",
    }
}

fn discretization(kind: Discretization) -> &'static str {
    match kind {
        Discretization::Ring => "RING",
        Discretization::ZeroOrderHold => "ZERO_ORDER_HOLD",
    }
}

/// An address `count` numbers of a sequence further on.
fn further(place: &str, count: usize) -> String {
    format!("{place} + {count} * LANES")
}

/// What a step keeps. `grads_input`: whether the gradient by its input is needed.
pub fn node_memory(program: &Program, node: &Node, grads_input: bool, workers: usize) -> NodeMemory {
    let size = |node: &NodeId| program.nodes[*node].size;
    let own = node.size;
    match &node.kernel {
        Kernel::Tokens
        | Kernel::Part { .. }
        | Kernel::Plus(_)
        | Kernel::Times(_)
        | Kernel::Apply(..)
        | Kernel::PlusRow(..)
        | Kernel::TimesRow(..)
        | Kernel::Project { .. }
        | Kernel::Convolve { .. }
        | Kernel::PlusToken(..)
        | Kernel::SoftmaxTokens(_)
        | Kernel::Contract(_)
        | Kernel::MatrixTimes(_)
        | Kernel::ScaleVectors { .. }
        | Kernel::Reverse(_) => NodeMemory::default(),
        Kernel::FastWeights(parts) => {
            let vectors = parts.pairs.div_ceil(parts.block) * if parts.momentum.is_some() { 2 } else { 1 };
            NodeMemory { kept: vectors * size(&parts.keys).width, scratch: 0 }
        }
        Kernel::Normalise { x, .. } => NodeMemory { kept: 2 * size(x).length, scratch: 2 * own.width },
        Kernel::SoftmaxAttend { parts, heads } => {
            let matrices = heads * own.length * size(&parts[1]).length;
            NodeMemory { kept: matrices, scratch: matrices }
        }
        Kernel::DiagonalScan { x, .. } => {
            let kept = if own.length == 1 { 2 * own.width } else { size(x).numbers() };
            NodeMemory { kept, scratch: 2 * own.width }
        }
        Kernel::SelectiveScan { parts, heads, .. } => {
            let [x, write] = [parts[1], parts[2]].map(|part| size(&part));
            let states = x.numbers() * write.width;
            let scratch = if *heads > 0 { x.width + x.numbers() } else { x.width * write.width };
            NodeMemory { kept: states, scratch }
        }
        Kernel::WindowScan { x, window, .. } => {
            let (d, n, w) = (own.width, window.count(size(x).length), window.rows());
            // ∂S, ∂query, sums, and what leads to the sums.
            let rest = if grads_input { 2 * w * n * d } else { w * w * d * window_parts(d, workers) };
            NodeMemory { kept: 2 * d * d, scratch: d * d + d + w * w + w + rest }
        }
        Kernel::WindowLayer { x, .. } => {
            let (d, n) = (own.width, Window::Three.count(size(x).length - 1));
            NodeMemory { kept: 2 * d * d, scratch: d * d + (n + 1) * d + 12 + 6 * n * d }
        }
        Kernel::LinearAttend { keys, .. } => {
            let parts = own.length * (2 * own.width + keys);
            NodeMemory { kept: parts, scratch: parts }
        }
        Kernel::Recurrent { x, cell, .. } => {
            let extra = if *cell == CellKind::Rnn { 0 } else { 1 };
            let each = size(x).length * own.width;
            NodeMemory { kept: (cell.gates() + 1 + extra) * each, scratch: own.width }
        }
        Kernel::Mesa { parts, .. } => NodeMemory { kept: 0, scratch: size(&parts[0]).width },
        Kernel::DecayScan { .. } => NodeMemory { kept: own.width, scratch: 0 },
        Kernel::Ridge { dim, .. } => NodeMemory { kept: 2 * dim * dim + 2 * dim, scratch: dim + 1 },
    }
}

/// Whether the backward pass of a step reads its inputs.
pub fn reads_inputs_again(node: &Node) -> bool {
    match &node.kernel {
        Kernel::Tokens
        | Kernel::Part { .. }
        | Kernel::Plus(_)
        | Kernel::PlusRow(..)
        | Kernel::PlusToken(..)
        | Kernel::SoftmaxTokens(_)
        | Kernel::DecayScan { .. }
        | Kernel::Reverse(_) => false,
        // Of one state, what is needed is kept.
        Kernel::DiagonalScan { .. } => node.size.length > 1,
        Kernel::Times(_)
        | Kernel::Apply(..)
        | Kernel::TimesRow(..)
        | Kernel::Project { .. }
        | Kernel::Normalise { .. }
        | Kernel::SoftmaxAttend { .. }
        | Kernel::Convolve { .. }
        | Kernel::SelectiveScan { .. }
        | Kernel::WindowScan { .. }
        | Kernel::WindowLayer { .. }
        | Kernel::LinearAttend { .. }
        | Kernel::Recurrent { .. }
        | Kernel::Contract(_)
        | Kernel::MatrixTimes(_)
        | Kernel::ScaleVectors { .. }
        | Kernel::FastWeights(_)
        | Kernel::Mesa { .. }
        | Kernel::Ridge { .. } => true,
    }
}

fn scale(rule: ScaleRule) -> &'static str {
    match rule {
        ScaleRule::Rate => "RATE",
        ScaleRule::Normalised => "NORMALISED",
        ScaleRule::Implicit => "IMPLICIT",
        ScaleRule::UnitLength => "UNIT_LENGTH",
        ScaleRule::Normaliser => "NORMALISER",
    }
}

/// The sizes of fast weights, and the structure of what is written to them.
fn fast_weights(p: &Places<'_>, parts: &FastWeights<NodeId>) -> (String, String) {
    let place = |node: Option<NodeId>| node.map_or_else(|| "nullptr".to_owned(), p.value);
    let (n, m) = (p.size(parts.keys).width, parts.values.map_or(1, |values| p.size(values).width));
    let (decay_width, constant) = match parts.decay {
        Decay::Constant(kept) => (0, kept),
        Decay::Sequence(decay) => (p.size(decay).width, 1.0),
    };
    let [keys, values, _query, e, b, decay, momentum] = parts.sequences();
    let structure = [e, b, values, momentum].map(|part| part.is_some().to_string()).join(", ");
    let sizes = format!("{}, {n}, {m}, {decay_width}, {}, {structure}", parts.pairs, parts.block);
    let given = [keys, values, e, b, decay, momentum].map(place).join(", ");
    (sizes, format!("FastWeights{{{given}, {constant:?}f}}"))
}

/// `window_parts` of window_scan.cu.
fn window_parts(d: usize, workers: usize) -> usize {
    d.div_ceil(d.min(16).min((d * d).div_ceil(workers)))
}

/// How a matrix lies that is read by rows.
fn row_order(p: &Places<'_>, weight: WeightId) -> &'static str {
    if (p.is_aligned)(weight) { "ALIGNED_ROWS" } else { "ROWS" }
}

fn project(
    p: &Places<'_>,
    x: NodeId,
    (weight, bias): (WeightId, Option<WeightId>),
    to: &str,
    beside: &Beside,
) -> String {
    let ((inputs, outputs), t) = (p.program.weights[weight].shape, p.size(x).length);
    let (has_bias, bias) = (bias.is_some(), bias.map_or_else(|| "nullptr".to_owned(), p.weight));
    let x = (p.value)(x);
    let (order, weight) = match &beside.copy {
        Some(copy) => ("COPIED_ROWS", copy.clone()),
        None => (row_order(p, weight), (p.weight)(weight)),
    };
    let id = &beside.id;
    format!("project_forward<{t}, {inputs}, {outputs}, {has_bias}, {order}>({id}, {x}, {weight}, {bias}, {to})")
}

/// The gradient by x from that by x W, of so many tokens.
fn project_grad_x(
    p: &Places<'_>,
    (weight, length): (WeightId, usize),
    grad: &str,
    (mode, to): (GradMode, String),
) -> String {
    let (inputs, outputs) = p.program.weights[weight].shape;
    let (order, place) = match (&p.beside.copy, (p.transpose)(weight)) {
        (Some(copy), _) => ("COPIED_ROWS", copy.clone()),
        (None, Some(transpose)) => (row_order(p, weight), transpose),
        (None, None) => ("COLUMNS_FIRST", (p.weight)(weight)),
    };
    let mode = mode.name();
    format!("project_grad_x<{mode}, {length}, {inputs}, {outputs}, {order}>(id, {place}, {grad}, {to})")
}

/// The gradients by W and c from that by x W + c.
fn project_grads(
    p: &Places<'_>,
    x: NodeId,
    (weight, bias): (WeightId, Option<WeightId>),
    Beside { id, calls, .. }: &Beside,
) -> String {
    let ((inputs, outputs), t) = (p.program.weights[weight].shape, p.size(x).length);
    let (has_bias, bias) = (bias.is_some(), bias.map_or_else(|| "nullptr".to_owned(), p.grad_weight));
    let (x, weight) = ((p.value)(x), (p.grad_weight)(weight));
    let grad = &p.grad;
    format!("project_grad_weight<{t}, {inputs}, {outputs}, {has_bias}, {calls}>({id}, {x}, {grad}, {weight}, {bias})")
}

/// The U of every gate, and Uᵀ.
fn past(p: &Places<'_>, gates: &[[WeightId; 3]]) -> String {
    let all: Vec<String> = gates.iter().map(|[_, past, _]| (p.weight)(*past)).collect();
    let transposes: Vec<String> = gates.iter().map(|[_, past, _]| (p.transpose)(*past).unwrap_or_default()).collect();
    format!("Recurrent{{{{{}}}, {{{}}}}}", all.join(", "), transposes.join(", "))
}
