//! Networks on dfdx tensors whose sizes are known only at run time.
//!
//! Owns what a parameter, an input and a network are; the operations are in [`op`], the architectures in [`model`].
//! Knows tasks only as sizes and layouts, and nothing of training.

mod cost;
pub mod graph;
mod layer;
pub mod model;
pub mod op;
mod states;
mod weights;

pub use cost::{Cost, Costs};
pub use layer::activation::Activation;
pub use model::canonical::{Canonical, parameter_difference};
pub use op::Device;
pub use states::{LayerStates, StateAt};

use dfdx::shapes::HasShape;
use dfdx::tensor::{HasErr, NoneTape, Tape, Tensor};

use self::model::GdConstants;
pub use self::weights::Weights;
use crate::lanes::Blocks;

/// A tensor of (rows, columns).
pub type Matrix<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;
/// A tensor of (batch, rows, columns).
pub type Tensor3<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;
/// What an operation on a device gives.
pub type DeviceResult<X, D> = Result<X, <D as HasErr>::Err>;

/// A learnable matrix. A vector is a matrix of one row or one column.
#[derive(Clone, Debug)]
pub struct Param<D: Device> {
    /// The symbol in the model's recurrence, with the layer where there are several: "Λ", "1.Wq".
    pub name: String,
    pub value: Matrix<D>,
}

impl<D: Device> Param<D> {
    /// A parameter with these values, row-major.
    pub fn new(device: &D, name: impl Into<String>, shape: (usize, usize), values: Vec<f32>) -> DeviceResult<Self, D> {
        Ok(Self { name: name.into(), value: device.try_tensor_from_vec(values, shape)? })
    }

    /// The value, for one use on a tape.
    pub fn taped<T: Tape<f32, D>>(&self) -> Matrix<D, T> {
        self.value.retaped::<T>()
    }
}

/// A batch of token sequences as a network reads it.
pub struct Input<D: Device, T> {
    /// (batch, tokens, width).
    pub tokens: Tensor3<D, T>,
    pub grad_target: GradTarget,
}

impl<D: Device, T: Tape<f32, D>> Input<D, T> {
    /// The same without the tokens after a place, for a model that reads from front to back and answers there.
    pub fn up_to(self, place: usize) -> DeviceResult<Self, D> {
        let (batch, length, width) = *self.tokens.shape();
        if place + 1 == length {
            return Ok(self);
        }
        Ok(Self { tokens: op::slice(self.tokens, (0..batch, 0..place + 1, 0..width))?, grad_target: self.grad_target })
    }
}

/// The gradients that somebody will ask for. Others may be left out or left incomplete, which saves their cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradTarget {
    /// By the weights: for training.
    Weights,
    /// By the query's token: for sensitivities.
    Query,
    /// By the weights and by every token.
    All,
}

/// A network that answers the query of each sequence.
pub trait Net<D: Device>: Weights<D> {
    /// Answers to the queries: (batch, d_out).
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D>;

    /// Whether [`forward_lanes`](Self::forward_lanes) is less work than [`forward`](Self::forward).
    fn reads_lanes(&self) -> bool {
        false
    }

    /// The same as `forward`, for training, from a batch in the lanes in which it was drawn.
    fn forward_lanes<T: Tape<f32, D>>(&self, device: &D, tokens: &Blocks) -> DeviceResult<Matrix<D, T>, D> {
        self.forward(Input { tokens: op::in_rows(device, tokens)?.retaped::<T>(), grad_target: GradTarget::Weights })
    }

    /// The hidden state of every layer after every step, computed one step at a time: the plain definition of the
    /// model, slow, and independent of the fast forms that `forward` uses.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates>;

    /// The learnt weights beside the values that the construction gives them; empty where there is no construction.
    fn canonical(&self, _gd_constants: GdConstants) -> Vec<Canonical> {
        Vec::new()
    }

    /// The weights, in the order in which checkpoints list them.
    fn params(&self) -> Vec<&Param<D>> {
        let mut params = Vec::new();
        self.list(&mut params);
        params
    }

    /// The same, to be changed.
    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut params = Vec::new();
        self.list_mut(&mut params);
        params
    }
}
