//! The steps that a network's graph is made of, and the one list of them.
//!
//! A step makes one sequence out of others, with weights that all sequences of the batch share. It is a file here, with
//! its definition in plain loops, its composition of dfdx's operations for any device ([`Step::portable`]), its kernels
//! for the CPU ([`Step::forward`], [`Step::backward`]), and their tests; and a line in the list below.
//! The kernels work on one block of sixteen packed sequences (see `src/simd`).

mod activation;
mod additive_attention;
mod combine;
mod convolution;
mod decay_scan;
mod diagonal_scan;
mod fast_weights;
mod layer_norm;
mod linear_attention;
mod masked_attention;
mod matrix_vector;
mod mesa;
mod pad;
mod project;
mod recurrent;
mod regroup;
mod reverse;
mod ridge;
mod row;
mod scale_vectors;
mod selective_scan;
mod slice;
mod softmax_attention;
mod window_layer;
mod window_scan;

pub use activation::{Activate, Activation};
pub use additive_attention::AdditiveAttention;
pub use combine::{Combination, Combine};
pub use convolution::Convolution;
pub use decay_scan::DecayScan;
pub use diagonal_scan::{DiagonalScan, diagonal_states};
pub use fast_weights::{Decay, Erase, FastWeights, Vectors, fast_weight_states};
pub use layer_norm::{LayerNormalise, normalise_row};
pub use linear_attention::LinearAttention;
pub use masked_attention::MaskedAttention;
pub use matrix_vector::MatrixVector;
pub use mesa::Mesa;
pub use pad::Pad;
pub use project::Project;
pub use recurrent::{Cell, CellState, Gru, Lstm, Recurrent, RecurrentSizes, Rnn};
pub use regroup::Regroup;
pub use reverse::Reverse;
pub use ridge::{FLOOR, Ridge, lambda};
pub use row::{Row, RowOperation};
pub use scale_vectors::{ScaleVectors, VectorScale};
pub use selective_scan::{HeadScan, Scan, SelectiveScan, head_expansion, selective_states};
pub use slice::Slice;
pub use softmax_attention::{Heads, SoftmaxAttention, attention_matrix};
pub use window_layer::{WindowLayer, window_answers};
pub use window_scan::{Window, WindowScan, WindowWeights, window_states};

use std::fmt::Debug;
use std::ops::Range;

use dfdx::tensor::Tape;

use super::tensor::{Backend, DeviceResult, GradTarget, Matrix, Tensor3};
use crate::simd::Lane;

/// A sequence of a graph, by the number of the node that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(pub usize);

/// A weight of a graph, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(pub usize);

/// The node that holds what the graph reads.
pub const TOKENS: NodeId = NodeId(0);

/// A step in all its forms. The fields of the struct that implements it say which sequences and weights it reads.
pub trait Step: Clone + Debug + Send + Sync + 'static {
    /// The sequences that it reads.
    fn reads(&self) -> Vec<NodeId>;

    /// Made of dfdx's operations, for any device: (B, length, width) of the sequence that it makes.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D>;

    /// Lanes that the forward pass of a block leaves for its backward pass, besides the sequences.
    fn saved(&self) -> usize {
        0
    }

    /// Writes the sequence of one block, (length · width) lanes, to `out`; all of it, for it holds old numbers before.
    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]);

    /// Adds the gradients of one block that follow from ∂out to `grads`. `saved` is not read afterwards.
    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>);

    /// Lanes in which the backward passes of several blocks may add up gradients by the weights, the sequences still
    /// apart: a sum over lanes costs more than a product of lanes. They are [`Grads::sums`], zeros at first.
    fn sums(&self) -> usize {
        0
    }

    /// Adds the gradients by the weights that these sums come to.
    fn finish(&self, _sums: &[Lane], _grads: &mut [Vec<f32>]) {}

    /// Whether the backward pass accepts an empty gradient by the tokens where it is not needed, and saves its cost.
    fn leaves_out_unneeded(&self) -> bool {
        false
    }

    /// The form on one sequence, where the step is linear in what it reads; `None` if it is not.
    fn linear(&self) -> Option<&dyn LinearStep> {
        None
    }

    /// The form that reads one token after the other, where `length` gives the tokens of a node's sequence; `None`
    /// where a later token changes what is made of earlier ones, and where there is no such form here.
    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        None
    }
}

/// A step that reads one token after the other, and keeps what it needs for the next: a state, or all tokens so far.
pub trait TokenReader: Send {
    /// Reads a token, of which `given` holds what each node made of it, and writes what the step makes of it to `out`:
    /// the last token of the sequence that the step makes of all tokens so far.
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]);
}

/// Of a step that makes one token of each, from nothing but that token.
struct EachToken<S>(S);

impl<S: Step> TokenReader for EachToken<S> {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        self.0.forward(given, &mut [], out);
    }
}

/// A step that is linear in what it reads, on one sequence at a time. See [`super::graph`]'s form as one matrix.
pub trait LinearStep {
    /// Floating-point operations on one sequence, where `numbers` gives the numbers of a node's sequence and `out` is
    /// how many the step makes.
    fn flops(&self, numbers: &dyn Fn(NodeId) -> usize, out: usize) -> usize;

    /// Adds the sequence to `out`, which holds zeros.
    fn forward_one(&self, given: Values<'_, f32>, out: &mut [f32]);

    /// Adds the gradients by the sequences that it reads, which depend on no sequence.
    fn grad_x_one(&self, params: &[Vec<f32>], grad_out: &[f32], grads: &mut Grads<'_, f32>);

    /// Adds the gradients by the weights.
    fn grad_weight_one(&self, given: Values<'_, f32>, grad_out: &[f32], grad_params: &mut [Vec<f32>]);
}

/// The sequences and weights that a composition reads.
pub struct Tensors<'a, D: Backend> {
    pub values: &'a [Tensor3<D>],
    pub params: &'a [Matrix<D>],
}

impl<D: Backend> Tensors<'_, D> {
    pub fn of<T: Tape<f32, D>>(&self, node: NodeId) -> Tensor3<D, T> {
        self.values[node.0].retaped::<T>()
    }

    pub fn param<T: Tape<f32, D>>(&self, param: ParamId) -> Matrix<D, T> {
        self.params[param.0].retaped::<T>()
    }
}

/// The sequences of one block and the weights, as kernels read them. With `X = f32`, those of one sequence.
#[derive(Clone, Copy)]
pub struct Values<'a, X = Lane> {
    /// What the graph reads.
    pub tokens: &'a [X],
    /// The sequences of all other nodes.
    pub memory: &'a [X],
    /// Where each of them lies.
    pub places: &'a [Range<usize>],
    pub params: &'a [Vec<f32>],
    /// The gradients that a backward pass will need; `None` if there will be none.
    pub grad_target: Option<GradTarget>,
}

impl<'a, X> Values<'a, X> {
    #[inline(always)]
    pub fn of(&self, node: NodeId) -> &'a [X] {
        if node == TOKENS { self.tokens } else { &self.memory[self.places[node.0].clone()] }
    }

    pub fn all<const N: usize>(&self, nodes: [NodeId; N]) -> [&'a [X]; N] {
        nodes.map(|node| self.of(node))
    }

    #[inline(always)]
    pub fn param(&self, param: ParamId) -> &'a [f32] {
        &self.params[param.0]
    }
}

/// Where kernels add the gradients of one block, by sequences and by weights.
pub struct Grads<'a, X = Lane> {
    pub memory: &'a mut [X],
    pub places: &'a [Range<usize>],
    pub params: &'a mut [Vec<f32>],
    /// See [`Step::sums`].
    pub sums: &'a mut [X],
}

impl<X> Grads<'_, X> {
    /// A graph gives a step no sequence and no weight twice, so the parts are disjoint. An empty part is not needed:
    /// see [`Step::leaves_out_unneeded`].
    pub fn of<const N: usize, const M: usize>(
        &mut self,
        nodes: [NodeId; N],
        params: [ParamId; M],
    ) -> ([&mut [X]; N], [&mut [f32]; M]) {
        let memory = self.memory.get_disjoint_mut(nodes.map(|node| self.places[node.0].clone()));
        let params = self.params.get_disjoint_mut(params.map(|param| param.0));
        debug_assert!(memory.is_ok() && params.is_ok(), "a step reads a sequence or a weight twice");
        (
            memory.unwrap_or_else(|_| [(); N].map(|()| &mut [][..])),
            params.map_or_else(|_| [(); M].map(|()| &mut [][..]), |params| params.map(Vec::as_mut_slice)),
        )
    }

    /// The same for sequences of which some are not there: those are empty.
    pub fn of_some<const N: usize>(&mut self, nodes: [Option<NodeId>; N]) -> [&mut [X]; N] {
        let places = nodes.map(|node| node.map_or(0..0, |node| self.places[node.0].clone()));
        let memory = self.memory.get_disjoint_mut(places);
        debug_assert!(memory.is_ok(), "a step reads a sequence twice");
        memory.unwrap_or_else(|_| [(); N].map(|()| &mut [][..]))
    }
}

/// Makes the enum of all steps from one list, and implements [`Step`] for it by delegating to the variant.
macro_rules! steps {
    ($($name:ident($step:ty),)*) => {
        /// A step of a graph.
        #[derive(Clone, Debug)]
        pub enum AnyStep {
            $($name($step),)*
        }

        $(impl From<$step> for AnyStep {
            fn from(step: $step) -> Self {
                Self::$name(step)
            }
        })*

        impl Step for AnyStep {
            fn reads(&self) -> Vec<NodeId> {
                match self { $(Self::$name(step) => step.reads(),)* }
            }

            fn portable<D: Backend, T: Tape<f32, D>>(
                &self,
                given: &Tensors<'_, D>,
            ) -> DeviceResult<Tensor3<D, T>, D> {
                match self { $(Self::$name(step) => step.portable(given),)* }
            }

            fn saved(&self) -> usize {
                match self { $(Self::$name(step) => step.saved(),)* }
            }

            fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
                match self { $(Self::$name(step) => step.forward(given, saved, out),)* }
            }

            fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
                match self { $(Self::$name(step) => step.backward(given, saved, grad_out, grads),)* }
            }

            fn sums(&self) -> usize {
                match self { $(Self::$name(step) => step.sums(),)* }
            }

            fn finish(&self, sums: &[Lane], grads: &mut [Vec<f32>]) {
                match self { $(Self::$name(step) => step.finish(sums, grads),)* }
            }

            fn leaves_out_unneeded(&self) -> bool {
                match self { $(Self::$name(step) => step.leaves_out_unneeded(),)* }
            }

            fn linear(&self) -> Option<&dyn LinearStep> {
                match self { $(Self::$name(step) => step.linear(),)* }
            }

            fn token_reader(&self, length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
                match self { $(Self::$name(step) => step.token_reader(length),)* }
            }
        }
    };
}

steps! {
    Slice(Slice),
    Pad(Pad),
    Reverse(Reverse),
    Combine(Combine),
    Row(Row),
    Activate(Activate),
    Project(Project),
    MatrixVector(MatrixVector),
    LayerNormalise(LayerNormalise),
    Convolution(Convolution),
    DecayScan(DecayScan),
    DiagonalScan(DiagonalScan),
    SelectiveScan(SelectiveScan),
    HeadScan(HeadScan),
    MaskedAttention(MaskedAttention),
    SoftmaxAttention(SoftmaxAttention),
    AdditiveAttention(AdditiveAttention),
    LinearAttention(LinearAttention),
    Rnn(Recurrent<Rnn>),
    Gru(Recurrent<Gru>),
    Lstm(Recurrent<Lstm>),
    WindowScan(WindowScan),
    WindowLayer(WindowLayer),
    Ridge(Ridge),
    FastWeights(FastWeights),
    ScaleVectors(ScaleVectors),
    Regroup(Regroup),
    Mesa(Mesa),
}
