//! What a network does, as the GPU's kernels know it: steps on sequences of known sizes, and weights, some of which are
//! made of others.

use crate::nn::graph::{Discretization, Size};
use crate::nn::step::{Activation, FastWeights, Window};

/// A step, by its number.
pub type NodeId = usize;
/// A weight, by its number.
pub type WeightId = usize;

/// The recurrent cells, as `recurrent.cu` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    Rnn,
    Gru,
    Lstm,
}

impl CellKind {
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// What is done to which sequences, with which weights. A step never reads the same sequence twice.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// What the network is given.
    Tokens,
    /// The numbers of x from `first` on, times `factor`: (length, width) of them, one after the other.
    Part {
        x: NodeId,
        first: usize,
        factor: f32,
    },
    Plus([NodeId; 2]),
    Times([NodeId; 2]),
    Apply(Activation, NodeId),
    PlusRow(NodeId, WeightId),
    TimesRow(NodeId, WeightId),
    Project {
        x: NodeId,
        weight: WeightId,
        bias: Option<WeightId>,
    },
    Normalise {
        x: NodeId,
        gain: WeightId,
        bias: WeightId,
    },
    /// Queries, keys and values.
    SoftmaxAttend {
        parts: [NodeId; 3],
        heads: usize,
    },
    Convolve {
        x: NodeId,
        taps: WeightId,
        bias: WeightId,
    },
    DiagonalScan {
        x: NodeId,
        spectrum: WeightId,
    },
    /// Δ, x, B and C; `heads` is zero where every channel has a Δ of its own.
    SelectiveScan {
        parts: [NodeId; 4],
        rate: WeightId,
        heads: usize,
    },
    /// Λ, Q and the pick; S_N read at the last window.
    WindowScan {
        x: NodeId,
        window: Window,
        weights: [WeightId; 3],
    },
    /// The same with windows of three, read at every window.
    WindowLayer {
        x: NodeId,
        weights: [WeightId; 3],
    },
    /// With Wq Wkᵀ, and Wv Wo.
    LinearAttend {
        x: NodeId,
        /// The first tokens, which are summed over.
        keys: usize,
        qk: WeightId,
        vo: WeightId,
    },
    /// W, U and c of each gate.
    Recurrent {
        x: NodeId,
        cell: CellKind,
        gates: Vec<[WeightId; 3]>,
    },
    /// A sequence plus one token.
    PlusToken(NodeId, NodeId),
    SoftmaxTokens(NodeId),
    /// Σ_t x_t y_tᵀ.
    Contract([NodeId; 2]),
    /// A matrix (length, columns) of one sequence times a vector.
    MatrixTimes([NodeId; 2]),
    /// The last state of s_t = Λ ⊙ s_{t−1} + x_t.
    DecayScan {
        x: NodeId,
        decay: WeightId,
    },
    Reverse(NodeId),
    /// The answer of ridge regression at the last token, from log λ.
    Ridge {
        x: NodeId,
        log: WeightId,
        dim: usize,
        floor: f32,
    },
    /// Every token times a factor, with the rates of the rule where it has them.
    ScaleVectors {
        x: NodeId,
        rates: Option<NodeId>,
        rule: ScaleRule,
    },
    FastWeights(FastWeights<NodeId>),
    /// Keys, values and query of the mesa layer, and its log penalty.
    Mesa {
        parts: [NodeId; 3],
        log: WeightId,
        steps: usize,
        floor: f32,
    },
}

/// The rules of `scale_vectors.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleRule {
    Rate,
    Normalised,
    Implicit,
    UnitLength,
    Normaliser,
}

impl Kernel {
    /// The sequences that it reads.
    pub fn reads(&self) -> Vec<NodeId> {
        match self {
            Self::Tokens => Vec::new(),
            Self::Part { x, .. }
            | Self::Apply(_, x)
            | Self::PlusRow(x, _)
            | Self::TimesRow(x, _)
            | Self::Project { x, .. }
            | Self::Normalise { x, .. }
            | Self::Convolve { x, .. }
            | Self::DiagonalScan { x, .. }
            | Self::WindowScan { x, .. }
            | Self::WindowLayer { x, .. }
            | Self::LinearAttend { x, .. }
            | Self::Recurrent { x, .. }
            | Self::SoftmaxTokens(x)
            | Self::DecayScan { x, .. }
            | Self::Reverse(x)
            | Self::Ridge { x, .. } => vec![*x],
            Self::Plus(parts) | Self::Times(parts) | Self::Contract(parts) | Self::MatrixTimes(parts) => parts.to_vec(),
            Self::PlusToken(x, y) => vec![*x, *y],
            Self::SoftmaxAttend { parts, .. } => parts.to_vec(),
            Self::SelectiveScan { parts, .. } => parts.to_vec(),
            Self::ScaleVectors { x, rates, .. } => [*x].into_iter().chain(*rates).collect(),
            Self::FastWeights(parts) => parts.sequences().into_iter().flatten().collect(),
            Self::Mesa { parts, .. } => parts.to_vec(),
        }
    }

    /// Whether it has weights, and so has to be gone back through whatever its inputs are.
    pub fn has_weights(&self) -> bool {
        match self {
            Self::Tokens
            | Self::Part { .. }
            | Self::Plus(_)
            | Self::Times(_)
            | Self::Apply(..)
            | Self::SoftmaxAttend { .. }
            | Self::PlusToken(..)
            | Self::SoftmaxTokens(_)
            | Self::Contract(_)
            | Self::MatrixTimes(_)
            | Self::ScaleVectors { .. }
            | Self::FastWeights(_)
            | Self::Reverse(_) => false,
            Self::PlusRow(..)
            | Self::TimesRow(..)
            | Self::Project { .. }
            | Self::Normalise { .. }
            | Self::Convolve { .. }
            | Self::DiagonalScan { .. }
            | Self::SelectiveScan { .. }
            | Self::WindowScan { .. }
            | Self::WindowLayer { .. }
            | Self::LinearAttend { .. }
            | Self::Recurrent { .. }
            | Self::DecayScan { .. }
            | Self::Mesa { .. }
            | Self::Ridge { .. } => true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub kernel: Kernel,
    pub size: Size,
}

/// How a weight is made of others.
#[derive(Clone, Debug)]
pub enum Derivation {
    /// a b, or a bᵀ.
    Product {
        of: [WeightId; 2],
        transposed: bool,
    },
    NegativeExp(WeightId),
    /// Each number of a row, so many times.
    Repeat(WeightId, usize),
    /// A column as a block matrix, of so many groups.
    Grouped(WeightId, usize),
    /// Zeros and ones: number c of the first groups · each columns belongs to group c / each.
    Spread {
        each: usize,
    },
    /// Of the last rows, as many as the result has columns.
    Transposed(WeightId),
    Spectrum(Discretization, [WeightId; 3]),
}

impl Derivation {
    /// The weights that it reads.
    pub fn sources(&self) -> Vec<WeightId> {
        match self {
            Self::Product { of, .. } => of.to_vec(),
            Self::NegativeExp(a) | Self::Repeat(a, _) | Self::Grouped(a, _) | Self::Transposed(a) => vec![*a],
            Self::Spread { .. } => Vec::new(),
            Self::Spectrum(_, of) => of.to_vec(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum WeightSource {
    /// One that is learnt.
    Parameter,
    Derived(Derivation),
}

/// (rows, columns).
#[derive(Clone, Debug)]
pub struct WeightNode {
    pub shape: (usize, usize),
    pub source: WeightSource,
}

impl WeightNode {
    pub fn count(&self) -> usize {
        self.shape.0 * self.shape.1
    }
}

/// A network over sequences. The answer is the last token's last numbers of the last node, as many as there are
/// outputs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub nodes: Vec<Node>,
    /// Parameters first, in the network's order.
    pub weights: Vec<WeightNode>,
}

impl Program {
    /// A program that is given tokens of this size.
    pub fn new(size: Size) -> Self {
        let tokens = Node { kernel: Kernel::Tokens, size };
        Self { nodes: vec![tokens], weights: Vec::new() }
    }

    /// Adds a step that makes a sequence of this size.
    pub fn push(&mut self, kernel: Kernel, size: Size) -> NodeId {
        self.nodes.push(Node { kernel, size });
        self.nodes.len() - 1
    }

    /// Adds a weight that is learnt.
    pub fn parameter(&mut self, shape: (usize, usize)) -> WeightId {
        self.weights.push(WeightNode { shape, source: WeightSource::Parameter });
        self.weights.len() - 1
    }

    /// Adds a weight that is made of others.
    pub fn derive(&mut self, derivation: Derivation, shape: (usize, usize)) -> WeightId {
        self.weights.push(WeightNode { shape, source: WeightSource::Derived(derivation) });
        self.weights.len() - 1
    }

    /// Numbers that are learnt.
    pub fn parameters(&self) -> usize {
        self.weights.iter().filter(|w| matches!(w.source, WeightSource::Parameter)).map(WeightNode::count).sum()
    }
}
