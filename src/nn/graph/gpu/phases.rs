//! Each step as phases of its `.cu` file: the one list that says which functions run, with which sizes, in which order.
//!
//! Between two phases all threads of a block wait for each other, so a phase reads what earlier ones wrote. Calls within
//! one phase do not depend on each other.

use super::program::{CellKind, Derivation, Kernel, Node, NodeId, Program, Size, WeightId, WeightSource};
use crate::nn::Activation;
use crate::nn::graph::Discretization;

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
pub struct Room {
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
    /// A weight that is there transposed as well.
    pub turned: &'a dyn Fn(WeightId) -> Option<String>,
    /// This step's result, what it keeps, and its scratch.
    pub own: String,
    pub kept: String,
    pub scratch: String,
    /// The gradient by this step's result; in the backward pass only.
    pub grad: String,
    /// Where the gradient by a step's result goes, and how.
    pub grad_of: &'a dyn Fn(NodeId) -> (GradMode, String),
    pub grad_weight: &'a dyn Fn(WeightId) -> String,
}

impl Places<'_> {
    fn size(&self, node: NodeId) -> Size {
        self.program.nodes[node].size
    }
}

fn curve(curve: Activation) -> &'static str {
    match curve {
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

fn law(law: Discretization) -> &'static str {
    match law {
        Discretization::Ring => "RING",
        Discretization::ZeroOrderHold => "ZERO_ORDER_HOLD",
    }
}

/// An address `count` numbers of a sequence further on.
fn further(place: &str, count: usize) -> String {
    format!("{place} + {count} * LANES")
}

/// N of a window recurrence over so many tokens.
fn windows(tokens: usize) -> usize {
    (tokens - 1) / 2
}

/// What a step keeps. `by_input`: whether the gradient by its input is needed.
pub fn room(program: &Program, node: &Node, by_input: bool, workers: usize) -> Room {
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
        | Kernel::Reverse(_) => Room::default(),
        Kernel::Normalise { x, .. } => Room { kept: 2 * size(x).length, scratch: 2 * own.width },
        Kernel::SoftmaxAttend { parts, heads } => {
            let matrices = heads * own.length * size(&parts[1]).length;
            Room { kept: matrices, scratch: matrices }
        }
        Kernel::DiagonalScan { x, .. } => {
            let kept = if own.length == 1 { 2 * own.width } else { size(x).count() };
            Room { kept, scratch: 2 * own.width }
        }
        Kernel::SelectiveScan { parts, heads, .. } => {
            let [x, write] = [parts[1], parts[2]].map(|part| size(&part));
            let states = x.count() * write.width;
            let scratch = if *heads > 0 { x.width + x.count() } else { x.width * write.width };
            Room { kept: states, scratch }
        }
        Kernel::WindowScan { x, .. } => {
            let (d, n) = (own.width, windows(size(x).length));
            // ∂S, ∂asked, sums, and what leads to the sums.
            let rest = if by_input { 6 * n * d } else { 9 * d * window_parts(d, workers) };
            Room { kept: 2 * d * d, scratch: d * d + d + 12 + rest }
        }
        Kernel::WindowLayer { x, .. } => {
            let (d, n) = (own.width, windows(size(x).length - 1));
            Room { kept: 2 * d * d, scratch: d * d + (n + 1) * d + 12 + 6 * n * d }
        }
        Kernel::LinearAttend { x, .. } => {
            let parts = own.length * (2 * own.width + size(x).length);
            Room { kept: parts, scratch: parts }
        }
        Kernel::Recurrent { x, cell, .. } => {
            let extra = if *cell == CellKind::Rnn { 0 } else { 1 };
            let each = size(x).length * own.width;
            Room { kept: (cell.gates() + 1 + extra) * each, scratch: own.width }
        }
        Kernel::DecayScan { .. } => Room { kept: own.width, scratch: 0 },
        Kernel::Ridge { dim, .. } => Room { kept: 2 * dim * dim + 2 * dim, scratch: dim + 1 },
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
        | Kernel::Ridge { .. } => true,
    }
}

/// `window_parts` of window_scan.cu.
fn window_parts(d: usize, workers: usize) -> usize {
    d.div_ceil(d.min(16).min((d * d).div_ceil(workers)))
}

/// From the inputs to the result.
pub fn forward(p: &Places<'_>) -> Vec<Phase> {
    let (own, kept, Size { length, width }) = (&p.own, &p.kept, p.node.size);
    let count = length * width;
    let (v, w) = (p.value, p.weight);
    match &p.node.kernel {
        Kernel::Tokens => Vec::new(),
        Kernel::Part { x, first, factor } => {
            let all = p.size(*x).count();
            vec![calls([format!("scale_forward<{count}, {first}, {all}>(id, {}, {factor:?}f, {own})", v(*x))])]
        }
        Kernel::Plus([x, y]) => vec![calls([format!("plus_forward<{count}>(id, {}, {}, {own})", v(*x), v(*y))])],
        Kernel::Times([x, y]) => vec![calls([format!("times_forward<{count}>(id, {}, {}, {own})", v(*x), v(*y))])],
        Kernel::Apply(f, x) => vec![calls([format!("apply_forward<{}, {count}>(id, {}, {own})", curve(*f), v(*x))])],
        Kernel::PlusRow(x, row) => {
            vec![calls([format!("plus_row_forward<{count}, {width}>(id, {}, {}, {own})", v(*x), w(*row))])]
        }
        Kernel::TimesRow(x, row) => {
            vec![calls([format!("times_row_forward<{count}, {width}>(id, {}, {}, {own})", v(*x), w(*row))])]
        }
        Kernel::Project { x, weight, bias } => vec![calls([project(p, *x, *weight, *bias, own)])],
        Kernel::Normalise { x, gain, bias } => vec![calls([format!(
            "norm_forward<{length}, {width}>(id, {}, {}, {}, {kept}, {own})",
            v(*x),
            w(*gain),
            w(*bias)
        )])],
        Kernel::SoftmaxAttend { parts: [q, k, x], heads } => {
            let sizes = format!("{length}, {}, {heads}, {}", p.size(*k).length, width / heads);
            vec![
                calls([format!("attend_scores<{sizes}>(id, {}, {}, {kept})", v(*q), v(*k))]),
                calls([format!("attend_values<{sizes}>(id, {}, {kept}, {own})", v(*x))]),
            ]
        }
        Kernel::Convolve { x, taps, bias } => {
            let sizes = format!("{length}, {width}, {}", p.program.weights[*taps].shape.0);
            vec![calls([format!("convolve_forward<{sizes}>(id, {}, {}, {}, {own})", v(*x), w(*taps), w(*bias))])]
        }
        Kernel::DiagonalScan { x, spectrum } => {
            let (t, n) = (p.size(*x).length, width / 2);
            if length == 1 {
                let call = format!("diagonal_last_forward<{t}, {n}>(id, {}, {}, {kept}, {own})", v(*x), w(*spectrum));
                return vec![calls([call])];
            }
            let sizes = format!("{length}, {t}, {n}");
            vec![calls([format!("diagonal_forward<{sizes}>(id, {}, {}, {kept}, {own})", v(*x), w(*spectrum))])]
        }
        Kernel::SelectiveScan { parts: [step, x, write, read], rate, heads } => {
            let (t, e, n) = (p.size(*x).length, p.size(*x).width, p.size(*write).width);
            let (step, x, write) = (v(*step), v(*x), v(*write));
            vec![
                calls([format!(
                    "selective_states<{t}, {e}, {n}, {heads}>(id, {step}, {x}, {write}, {}, {kept})",
                    w(*rate)
                )]),
                calls([format!("selective_read<{length}, {t}, {e}, {n}>(id, {}, {kept}, {own})", v(*read))]),
            ]
        }
        Kernel::WindowScan { x, weights: [decay, mix, pick] } => {
            let n = windows(p.size(*x).length);
            let last = further(&v(*x), (2 * n - 2) * width);
            let states = format!("window_states<{n}, {width}>(id, {}, {}, {}, {kept})", v(*x), w(*decay), w(*mix));
            let read = format!("window_read<{width}>(id, {last}, {}, {kept}, {own})", w(*pick));
            vec![calls([states]), calls([read])]
        }
        Kernel::WindowLayer { x, weights: [decay, mix, pick] } => {
            let n = windows(length - 1);
            let states = format!("window_states<{n}, {width}>(id, {}, {}, {}, {kept})", v(*x), w(*decay), w(*mix));
            let read = format!("window_answers<{n}, {width}>(id, {}, {}, {kept}, {own})", v(*x), w(*pick));
            vec![calls([states]), calls([read])]
        }
        Kernel::LinearAttend { x, ask, value } => {
            let (m, t) = (length, p.size(*x).length);
            let (x, asking) = (v(*x), further(&v(*x), (t - m) * width));
            let (scores, sums) = (further(kept, m * width), further(kept, m * (width + t)));
            vec![
                calls([format!(
                    "project_forward<{m}, {width}, {width}, false>(id, {asking}, {}, nullptr, {kept})",
                    w(*ask)
                )]),
                calls([format!("linear_scores<{m}, {t}, {width}>(id, {kept}, {x}, {scores})")]),
                calls([format!("linear_sums<{m}, {t}, {width}>(id, {scores}, {x}, {sums})")]),
                calls([format!("linear_answers<{m}, {width}>(id, {asking}, {sums}, {}, {own})", w(*value))]),
            ]
        }
        Kernel::Recurrent { x, cell: kind, gates } => {
            let t = p.size(*x).length;
            let gate = |(g, [weight, _, bias]): (usize, &[WeightId; 3])| {
                project(p, *x, *weight, Some(*bias), &further(kept, g * t * width))
            };
            let (past, h) = (past(p, gates), further(kept, gates.len() * t * width));
            let step = format!("recurrent_forward<{}, {t}, {width}>(id, {past}, {kept}, t)", cell(*kind));
            let mut each = vec![vec![step]];
            if *kind == CellKind::Gru {
                each.push(vec![format!("recurrent_candidate<{t}, {width}>(id, {past}, {kept}, t)")]);
            }
            vec![
                Phase::Calls(gates.iter().enumerate().map(gate).collect()),
                Phase::Over { count: t, last_first: false, phases: each },
                calls([format!(
                    "scale_forward<{count}, {}, {}>(id, {h}, 1.0f, {own})",
                    (t - length) * width,
                    t * width
                )]),
            ]
        }
        Kernel::PlusToken(x, y) => {
            vec![calls([format!("plus_token_forward<{length}, {width}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::SoftmaxTokens(x) => {
            vec![calls([format!("softmax_tokens_forward<{length}, {width}>(id, {}, {own})", v(*x))])]
        }
        Kernel::Contract([x, y]) => {
            let sizes = format!("{}, {}, {}", p.size(*x).length, p.size(*x).width, p.size(*y).width);
            vec![calls([format!("contract_forward<{sizes}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::MatrixTimes([x, y]) => {
            let sizes = format!("{count}, {}", p.size(*y).count());
            vec![calls([format!("matrix_times_forward<{sizes}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::DecayScan { x, decay } => {
            let sizes = format!("{}, {width}", p.size(*x).length);
            vec![calls([format!("decay_scan_forward<{sizes}>(id, {}, {}, {kept}, {own})", v(*x), w(*decay))])]
        }
        Kernel::Reverse(x) => vec![calls([format!("reverse_forward<{length}, {width}>(id, {}, {own})", v(*x))])],
        Kernel::Ridge { x, log, dim, floor } => {
            let Size { length: tokens, width: wide } = p.size(*x);
            let (query, sizes) = (further(&v(*x), (tokens - 1) * wide), format!("{}, {dim}, {count}", tokens - 1));
            let x = v(*x);
            vec![
                calls([format!("ridge_curvature<{sizes}>(id, {x}, {}, {kept}, {floor:?}f)", w(*log))]),
                calls([format!("ridge_invert<{dim}>(id, {})", further(kept, dim * dim))]),
                calls([format!("ridge_start<{dim}>(id, {query}, {kept})")]),
                calls([format!("ridge_refine<{dim}>(id, {query}, {kept})")]),
                calls([format!("ridge_answers<{sizes}>(id, {x}, {kept}, {own})")]),
            ]
        }
    }
}

fn project(p: &Places<'_>, x: NodeId, weight: WeightId, bias: Option<WeightId>, to: &str) -> String {
    let ((inputs, outputs), t) = (p.program.weights[weight].shape, p.size(x).length);
    let (has_bias, bias) = (bias.is_some(), bias.map_or_else(|| "nullptr".to_owned(), p.weight));
    let (x, weight) = ((p.value)(x), (p.weight)(weight));
    format!("project_forward<{t}, {inputs}, {outputs}, {has_bias}>(id, {x}, {weight}, {bias}, {to})")
}

/// The gradient by x from that by x W, of so many tokens.
fn project_grad_x(
    p: &Places<'_>,
    (weight, length): (WeightId, usize),
    grad: &str,
    (mode, to): (GradMode, String),
) -> String {
    let (inputs, outputs) = p.program.weights[weight].shape;
    let (turned, place) = match (p.turned)(weight) {
        Some(turned) => (true, turned),
        None => (false, (p.weight)(weight)),
    };
    let mode = mode.name();
    format!("project_grad_x<{mode}, {length}, {inputs}, {outputs}, {turned}>(id, {place}, {grad}, {to})")
}

/// The gradients by W and c from that by x W + c.
fn project_grads(p: &Places<'_>, x: NodeId, (weight, bias): (WeightId, Option<WeightId>), grad: &str) -> String {
    let ((inputs, outputs), t) = (p.program.weights[weight].shape, p.size(x).length);
    let (has_bias, bias) = (bias.is_some(), bias.map_or_else(|| "nullptr".to_owned(), p.grad_weight));
    let (x, weight) = ((p.value)(x), (p.grad_weight)(weight));
    format!("project_grad_weight<{t}, {inputs}, {outputs}, {has_bias}, 1>(id, {x}, {grad}, {weight}, {bias})")
}

/// The U of every gate, and Uᵀ.
fn past(p: &Places<'_>, gates: &[[WeightId; 3]]) -> String {
    let all: Vec<String> = gates.iter().map(|[_, past, _]| (p.weight)(*past)).collect();
    let turned: Vec<String> = gates.iter().map(|[_, past, _]| (p.turned)(*past).unwrap_or_default()).collect();
    format!("Recurrent{{{{{}}}, {{{}}}}}", all.join(", "), turned.join(", "))
}

/// From the gradient by the result to those by inputs and weights.
pub fn backward(p: &Places<'_>) -> Vec<Phase> {
    let (own, kept, grad, scratch) = (&p.own, &p.kept, &p.grad, &p.scratch);
    let Size { length, width } = p.node.size;
    let count = length * width;
    let (v, w, gw) = (p.value, p.weight, p.grad_weight);
    let by = |node: NodeId| {
        let (mode, place) = (p.grad_of)(node);
        (mode.name(), place)
    };
    match &p.node.kernel {
        Kernel::Tokens => Vec::new(),
        Kernel::Part { x, first, factor } => {
            let ((mode, to), all) = (by(*x), p.size(*x).count());
            vec![calls([format!("scale_backward<{mode}, {count}, {first}, {all}>(id, {grad}, {factor:?}f, {to})")])]
        }
        Kernel::Plus(parts) => {
            let call = |part: &NodeId| {
                let (mode, to) = by(*part);
                format!("scale_backward<{mode}, {count}, 0, {count}>(id, {grad}, 1.0f, {to})")
            };
            vec![Phase::Calls(parts.iter().map(call).collect())]
        }
        Kernel::Times([x, y]) => {
            let call = |part: NodeId, other: NodeId| {
                let (mode, to) = by(part);
                format!("times_backward<{mode}, {count}>(id, {}, {grad}, {to})", v(other))
            };
            vec![calls([call(*x, *y), call(*y, *x)])]
        }
        Kernel::Apply(f, x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("apply_backward<{mode}, {}, {count}>(id, {}, {grad}, {to})", curve(*f), v(*x))])]
        }
        Kernel::PlusRow(x, row) => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("scale_backward<{mode}, {count}, 0, {count}>(id, {grad}, 1.0f, {to})"),
                format!("plus_row_grad_row<{count}, {width}>(id, {grad}, {})", gw(*row)),
            ])]
        }
        Kernel::TimesRow(x, row) => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("times_row_grad_x<{mode}, {count}, {width}>(id, {}, {grad}, {to})", w(*row)),
                format!("times_row_grad_row<{count}, {width}>(id, {}, {grad}, {})", v(*x), gw(*row)),
            ])]
        }
        Kernel::Project { x, weight, bias } => {
            let by_input = project_grad_x(p, (*weight, length), grad, (p.grad_of)(*x));
            let by_weights = project_grads(p, *x, (*weight, *bias), grad);
            // Where ∂x stands in place of x, the weights have to be done with x first.
            match v(*x) == (p.grad_of)(*x).1 {
                true => vec![calls([by_weights]), calls([by_input])],
                false => vec![calls([by_input, by_weights])],
            }
        }
        Kernel::Normalise { x, gain, bias } => {
            let (mode, to) = by(*x);
            vec![
                calls([
                    format!(
                        "norm_grad_x<{mode}, {length}, {width}>(id, {}, {}, {kept}, {grad}, {to})",
                        v(*x),
                        w(*gain)
                    ),
                    format!("norm_grad_parts<{length}, {width}>(id, {}, {kept}, {grad}, {scratch})", v(*x)),
                ]),
                calls([
                    format!("sum_lanes<{width}>(id, {scratch}, {})", gw(*gain)),
                    format!("sum_lanes<{width}>(shifted(id, {width}), {}, {})", further(scratch, width), gw(*bias)),
                ]),
            ]
        }
        Kernel::SoftmaxAttend { parts: [q, k, x], heads } => {
            let sizes = format!("{length}, {}, {heads}, {}", p.size(*k).length, width / heads);
            let [(mode_q, to_q), (mode_k, to_k), (mode_v, to_v)] = [by(*q), by(*k), by(*x)];
            vec![
                calls([
                    format!("attend_grad_scores<{sizes}>(id, {}, {kept}, {grad}, {scratch})", v(*x)),
                    format!("attend_grad_seen<{mode_v}, {sizes}>(id, {kept}, {grad}, {to_v})"),
                ]),
                calls([
                    format!("attend_grad_q<{mode_q}, {sizes}>(id, {}, {scratch}, {to_q})", v(*k)),
                    format!("attend_grad_seen<{mode_k}, {sizes}>(id, {scratch}, {}, {to_k})", v(*q)),
                ]),
            ]
        }
        Kernel::Convolve { x, taps, bias } => {
            let (mode, to) = by(*x);
            let sizes = format!("{length}, {width}, {}", p.program.weights[*taps].shape.0);
            vec![calls([
                format!("convolve_grad_x<{mode}, {sizes}>(id, {}, {grad}, {to})", w(*taps)),
                format!("convolve_grad_weights<{sizes}>(id, {}, {grad}, {}, {})", v(*x), gw(*taps), gw(*bias)),
            ])]
        }
        Kernel::DiagonalScan { x, spectrum } => {
            let (mode, to) = by(*x);
            let (t, n) = (p.size(*x).length, width / 2);
            let back = match length {
                1 => format!(
                    "diagonal_last_backward<{mode}, {t}, {n}>(id, {}, {kept}, {grad}, {to}, {scratch})",
                    w(*spectrum)
                ),
                _ => format!(
                    "diagonal_backward<{mode}, {length}, {t}, {n}>(id, {}, {}, {kept}, {grad}, {to}, {scratch})",
                    v(*x),
                    w(*spectrum)
                ),
            };
            vec![calls([back]), calls([format!("sum_lanes<{}>(id, {scratch}, {})", 2 * width, gw(*spectrum))])]
        }
        Kernel::SelectiveScan { parts, rate, heads } => selective_scan_backward(p, *parts, *rate, *heads),
        Kernel::WindowScan { x, weights } => window_scan_backward(p, *x, *weights),
        Kernel::WindowLayer { x, weights } => window_layer_backward(p, *x, *weights),
        Kernel::LinearAttend { x, ask, value } => linear_attend_backward(p, *x, [*ask, *value]),
        Kernel::Recurrent { x, cell, gates } => recurrent_backward(p, *x, *cell, gates),
        Kernel::PlusToken(x, y) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            vec![calls([
                format!("scale_backward<{mode_x}, {count}, 0, {count}>(id, {grad}, 1.0f, {to_x})"),
                format!("plus_token_grad_y<{mode_y}, {length}, {width}>(id, {grad}, {to_y})"),
            ])]
        }
        Kernel::SoftmaxTokens(x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("softmax_tokens_backward<{mode}, {length}, {width}>(id, {own}, {grad}, {to})")])]
        }
        Kernel::Contract([x, y]) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            let sizes = format!("{}, {}, {}", p.size(*x).length, p.size(*x).width, p.size(*y).width);
            vec![calls([
                format!("contract_grad_x<{mode_x}, {sizes}>(id, {}, {grad}, {to_x})", v(*y)),
                format!("contract_grad_y<{mode_y}, {sizes}>(id, {}, {grad}, {to_y})", v(*x)),
            ])]
        }
        Kernel::MatrixTimes([x, y]) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            let sizes = format!("{count}, {}", p.size(*y).count());
            vec![calls([
                format!("matrix_times_grad_x<{mode_x}, {sizes}>(id, {}, {grad}, {to_x})", v(*y)),
                format!("matrix_times_grad_y<{mode_y}, {sizes}>(id, {}, {grad}, {to_y})", v(*x)),
            ])]
        }
        Kernel::DecayScan { x, decay } => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("decay_scan_grad_x<{mode}, {}, {width}>(id, {}, {grad}, {to})", p.size(*x).length, w(*decay)),
                format!("decay_scan_grad_decay<{width}>(id, {kept}, {grad}, {})", gw(*decay)),
            ])]
        }
        Kernel::Reverse(x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("reverse_backward<{mode}, {length}, {width}>(id, {grad}, {to})")])]
        }
        Kernel::Ridge { x, log, dim, .. } => {
            let sizes = format!("{}, {dim}, {count}", p.size(*x).length - 1);
            vec![
                calls([format!("ridge_grad_solution<{sizes}>(id, {}, {grad}, {scratch})", v(*x))]),
                calls([format!("ridge_grad_log<{dim}>(id, {}, {kept}, {scratch})", w(*log))]),
                calls([format!("sum_lanes<1>(id, {}, {})", further(scratch, *dim), gw(*log))]),
            ]
        }
    }
}

fn selective_scan_backward(p: &Places<'_>, parts: [NodeId; 4], rate: WeightId, heads: usize) -> Vec<Phase> {
    let [step, x, write, read] = parts;
    let (m, t, e, n) = (p.node.size.length, p.size(x).length, p.size(x).width, p.size(write).width);
    let [(mode_step, to_step), (mode_x, to_x), (mode_write, to_write), (mode_read, to_read)] =
        parts.map(|part| (p.grad_of)(part)).map(|(mode, to)| (mode.name(), to));
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let [delta, input, b, c] = [step, x, write, read].map(|part| (p.value)(part));
    let (a, grad_rate) = ((p.weight)(rate), (p.grad_weight)(rate));
    let sums = if heads > 0 {
        calls([
            format!("selective_grad_delta<{mode_step}, {t}, {e}, {heads}>(id, {scratch}, {to_step})"),
            format!("selective_grad_rate<{e}, {heads}>(id, {scratch}, {grad_rate})"),
            format!(
                "selective_grad_write<{mode_write}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {kept}, {to_write})"
            ),
        ])
    } else {
        calls([
            format!("sum_lanes<{}>(id, {scratch}, {grad_rate})", e * n),
            format!(
                "selective_grad_write<{mode_write}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {kept}, {to_write})"
            ),
        ])
    };
    vec![
        calls([format!("selective_grad_read<{mode_read}, {m}, {t}, {e}, {n}>(id, {kept}, {grad}, {to_read})")]),
        calls([format!(
            "selective_grad_states<{mode_step}, {mode_x}, {m}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {b}, {c}, \
             {a}, {kept}, {grad}, {to_step}, {to_x}, {scratch})"
        )]),
        sums,
    ]
}

/// The scratch of a window recurrence: ∂S, then ∂asked, then sums, then what leads to them.
fn window_scan_backward(p: &Places<'_>, x: NodeId, [decay, mix, pick]: [WeightId; 3]) -> Vec<Phase> {
    let (d, n) = (p.node.size.width, windows(p.size(x).length));
    let (kept, grad) = (&p.kept, &p.grad);
    let state = &p.scratch;
    let asked = further(state, d * d);
    let sums = further(state, d * d + d);
    let rest = further(state, d * d + d + 12);
    let left = further(state, d * d + d + 12 + 3 * n * d);
    let (tokens, last) = ((p.value)(x), further(&(p.value)(x), (2 * n - 2) * d));
    let [lambda, q, picks] = [decay, mix, pick].map(|weight| (p.weight)(weight));
    let (mode, to) = (p.grad_of)(x);
    let start = calls([
        format!("window_grad_asked<{d}>(id, {kept}, {grad}, {asked})"),
        format!("window_grad_state<{d}>(id, {last}, {picks}, {grad}, {state})"),
    ]);
    let by_decay = format!("window_grad_decay<{d}>(id, {kept}, {state}, {})", (p.grad_weight)(decay));
    let mut phases = vec![start];
    if mode == GradMode::None {
        phases.push(calls([by_decay, format!("window_grad_mix<{n}, {d}>(id, {tokens}, {lambda}, {state}, {rest})")]));
        phases.push(calls([format!("window_sum_parts<{d}>(id, {last}, {asked}, {rest}, {sums})")]));
    } else {
        phases.push(calls([
            by_decay,
            format!("window_grad_rows<{n}, {d}>(id, {tokens}, {lambda}, {state}, {rest})"),
            format!("window_grad_columns<{n}, {d}>(id, {tokens}, {lambda}, {state}, {left})"),
        ]));
        phases.push(calls([
            format!("window_sum_mix<{n}, {d}>(id, {tokens}, {rest}, {sums})"),
            format!("window_sum_pick<{d}>(id, {last}, {asked}, {})", further(&sums, 9)),
            format!("window_grad_x<{}, {n}, {d}>(id, {q}, {picks}, {rest}, {left}, {asked}, {to})", mode.name()),
        ]));
    }
    phases.push(calls([
        format!("sum_lanes<9>(id, {sums}, {})", (p.grad_weight)(mix)),
        format!("sum_lanes<3>(id, {}, {})", further(&sums, 9), (p.grad_weight)(pick)),
    ]));
    phases
}

fn window_layer_backward(p: &Places<'_>, x: NodeId, [decay, mix, pick]: [WeightId; 3]) -> Vec<Phase> {
    let (d, n) = (p.node.size.width, windows(p.size(x).length - 1));
    let (kept, grad, state) = (&p.kept, &p.grad, &p.scratch);
    let asked = further(state, d * d);
    let sums = further(state, d * d + (n + 1) * d);
    let right = further(state, d * d + (n + 1) * d + 12);
    let left = further(state, d * d + (n + 1) * d + 12 + 3 * n * d);
    let tokens = (p.value)(x);
    let [lambda, q, picks] = [decay, mix, pick].map(|weight| (p.weight)(weight));
    let (mode, to) = (p.grad_of)(x);
    vec![
        calls([
            format!("window_layer_grad_asked<{n}, {d}>(id, {kept}, {grad}, {asked})"),
            format!("window_layer_grad_state<{n}, {d}>(id, {tokens}, {picks}, {grad}, {state})"),
        ]),
        calls([
            format!("window_grad_decay<{d}>(id, {kept}, {state}, {})", (p.grad_weight)(decay)),
            format!("window_grad_rows<{n}, {d}>(id, {tokens}, {lambda}, {state}, {right})"),
            format!("window_grad_columns<{n}, {d}>(id, {tokens}, {lambda}, {state}, {left})"),
        ]),
        calls([
            format!("window_sum_mix<{n}, {d}>(id, {tokens}, {right}, {sums})"),
            format!("window_layer_sum_pick<{n}, {d}>(id, {tokens}, {asked}, {})", further(&sums, 9)),
            format!("window_layer_grad_x<{}, {n}, {d}>(id, {q}, {picks}, {right}, {left}, {asked}, {to})", mode.name()),
        ]),
        calls([
            format!("sum_lanes<9>(id, {sums}, {})", (p.grad_weight)(mix)),
            format!("sum_lanes<3>(id, {}, {})", further(&sums, 9), (p.grad_weight)(pick)),
        ]),
    ]
}

/// Kept: asked, scores, sums; scratch: the gradients by these, in the same order.
fn linear_attend_backward(p: &Places<'_>, x: NodeId, [ask, value]: [WeightId; 2]) -> Vec<Phase> {
    let (m, t, wide) = (p.node.size.length, p.size(x).length, p.node.size.width);
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let (tokens, asking) = ((p.value)(x), further(&(p.value)(x), (t - m) * wide));
    let (scores, sums) = (m * wide, m * (wide + t));
    let (grad_scores, grad_sums) = (further(scratch, scores), further(scratch, sums));
    let (mode, to) = (p.grad_of)(x);
    let square = format!("{m}, {wide}, {wide}");
    vec![
        calls([
            format!("project_grad_x<SET, {square}, false>(id, {}, {grad}, {grad_sums})", (p.weight)(value)),
            format!(
                "project_grad_weight<{square}, false, 1>(id, {}, {grad}, {}, nullptr)",
                further(kept, sums),
                (p.grad_weight)(value)
            ),
        ]),
        calls([format!("linear_scores<{m}, {t}, {wide}>(id, {grad_sums}, {tokens}, {grad_scores})")]),
        calls([format!("linear_sums<{m}, {t}, {wide}>(id, {grad_scores}, {tokens}, {scratch})")]),
        calls([
            format!(
                "project_grad_weight<{square}, false, 1>(id, {asking}, {scratch}, {}, nullptr)",
                (p.grad_weight)(ask)
            ),
            format!(
                "linear_grad_e<{}, {m}, {t}, {wide}>(id, {}, {kept}, {scratch}, {grad}, {to})",
                mode.name(),
                (p.weight)(ask)
            ),
        ]),
    ]
}

fn recurrent_backward(p: &Places<'_>, x: NodeId, kind: CellKind, gates: &[[WeightId; 3]]) -> Vec<Phase> {
    let (m, t, units, wide) = (p.node.size.length, p.size(x).length, p.node.size.width, p.size(x).width);
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let (name, weights, each) = (cell(kind), past(p, gates), t * units);
    let step = format!("recurrent_backward<{name}, {m}, {t}, {units}>(id, {weights}, {kept}, {grad}, {scratch}, t)");
    let mut phases = vec![vec![step]];
    if kind == CellKind::Gru {
        phases.push(vec![format!("recurrent_grad_candidate<{t}, {units}>(id, {weights}, {kept}, {scratch}, t)")]);
    }
    let mut last = Vec::new();
    let (mut mode, to) = (p.grad_of)(x);
    // All gates' weights share the threads: each call begins where the one before ends.
    let (mut shift, calls) = ("0".to_owned(), gates.len() * 2);
    for (g, [weight, u, bias]) in gates.iter().enumerate() {
        let slopes = further(kept, g * each);
        let (tokens, grads) = ((p.value)(x), ((p.grad_weight)(*weight), (p.grad_weight)(*bias)));
        last.push(format!(
            "project_grad_weight<{t}, {wide}, {units}, true, {calls}>(shifted(id, {shift}), {tokens}, {slopes}, {}, {})",
            grads.0, grads.1
        ));
        shift += &format!(" + weight_items({t}, {wide}, {units}, true, {calls})");
        if t > 1 {
            // A gate reads h of the token before; the candidate of a GRU reads r ⊙ h, which stands at its own token.
            let reads_reset = kind == CellKind::Gru && g == 2;
            let read = further(kept, gates.len() * each + if reads_reset { each + units } else { 0 });
            let sizes = format!("{}, {units}, {units}, false, {calls}", t - 1);
            last.push(format!(
                "project_grad_weight<{sizes}>(shifted(id, {shift}), {read}, {}, {}, nullptr)",
                further(&slopes, units),
                (p.grad_weight)(*u)
            ));
            shift += &format!(" + weight_items({sizes})");
        }
        last.push(project_grad_x(p, (*weight, t), &slopes, (mode, to.clone())));
        if mode == GradMode::Set {
            mode = GradMode::Add;
        }
    }
    vec![Phase::Over { count: t, last_first: true, phases }, Phase::Calls(last)]
}

/// A derived weight from those that it is made of; nothing for a parameter.
pub fn derive(program: &Program, weight: WeightId, place: &dyn Fn(WeightId) -> String) -> Option<String> {
    let WeightSource::Derived(derivation) = &program.weights[weight].source else { return None };
    let ((rows, columns), to) = (program.weights[weight].shape, place(weight));
    let shape = |weight: WeightId| program.weights[weight].shape;
    Some(match derivation {
        Derivation::Product { of: [a, b], transposed } => {
            let inner = shape(*a).1;
            format!("product_forward<{rows}, {inner}, {columns}, {transposed}>(id, {}, {}, {to})", place(*a), place(*b))
        }
        Derivation::NegativeExp(a) => format!("negative_exp_forward<{}>(id, {}, {to})", rows * columns, place(*a)),
        Derivation::Repeat(a, each) => format!("repeat_forward<{}, {each}>(id, {}, {to})", columns / each, place(*a)),
        Derivation::Grouped(a, groups) => {
            format!("grouped_forward<{}>(id, {}, {to})", grouped(rows, *groups), place(*a))
        }
        Derivation::Owners { each } => format!("owners_forward<{rows}, {each}, {columns}>(id, {to})"),
        Derivation::Transposed(a) => format!("transposed_forward<{columns}, {rows}>(id, {}, {to})", place(*a)),
        Derivation::Spectrum(kind, [a, b, c]) => {
            let places = [a, b, c].map(|weight| place(*weight)).join(", ");
            format!("spectrum_forward<{}, {columns}>(id, {places}, {to})", law(*kind))
        }
    })
}

/// Real and imaginary parts, groups, and numbers of a group.
fn grouped(rows: usize, groups: usize) -> String {
    format!("2, {groups}, {}", rows / 2 / groups)
}

/// The gradients by what a derived weight is made of.
pub fn derive_backward(
    program: &Program,
    weight: WeightId,
    (place, grad): (&dyn Fn(WeightId) -> String, &dyn Fn(WeightId) -> String),
) -> Option<String> {
    let WeightSource::Derived(derivation) = &program.weights[weight].source else { return None };
    let ((rows, columns), from) = (program.weights[weight].shape, grad(weight));
    let shape = |weight: WeightId| program.weights[weight].shape;
    Some(match derivation {
        Derivation::Product { of: [a, b], transposed } => {
            let sizes = format!("{rows}, {}, {columns}, {transposed}", shape(*a).1);
            format!("product_backward<{sizes}>(id, {}, {}, {from}, {}, {})", place(*a), place(*b), grad(*a), grad(*b))
        }
        Derivation::NegativeExp(a) => {
            format!("negative_exp_backward<{}>(id, {}, {from}, {})", rows * columns, place(weight), grad(*a))
        }
        Derivation::Repeat(a, each) => format!("repeat_backward<{}, {each}>(id, {from}, {})", columns / each, grad(*a)),
        Derivation::Grouped(a, groups) => {
            format!("grouped_backward<{}>(id, {from}, {})", grouped(rows, *groups), grad(*a))
        }
        Derivation::Owners { .. } => return None,
        Derivation::Transposed(a) => format!("transposed_backward<{columns}, {rows}>(id, {from}, {})", grad(*a)),
        Derivation::Spectrum(kind, of) => {
            let (places, grads) = (of.map(place).join(", "), of.map(grad).join(", "));
            format!("spectrum_backward<{}, {columns}>(id, {places}, {}, {from}, {grads})", law(*kind), place(weight))
        }
    })
}
