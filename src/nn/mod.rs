//! Networks on dfdx tensors whose sizes are known only at run time.
//!
//! A network ([`Net`]; the architectures are in [`model`]) writes down a graph ([`graph`]) of steps ([`step`]) over the
//! tokens that it reads, and a device ([`Device`]) runs it. This folder knows tasks only as sizes and layouts, and
//! nothing of training.

mod attention_form;
#[cfg(test)]
pub(crate) mod check;
mod complex;
mod cost;
mod device;
pub mod graph;
mod layer;
pub mod model;
mod states;
pub mod step;
mod tensor;
mod weights;

pub use attention_form::{AttentionForm, TokenWeights};
pub use cost::{Cost, Costs};
pub(crate) use device::portable_path;
pub use device::{Device, evaluate};
pub use model::canonical::{Canonical, parameter_difference};
pub use states::{Latent, LayerStates, StateAt};
pub use step::Activation;
pub use tensor::{DeviceResult, GradTarget, Input, Matrix, Param, Scalar, Tensor3, numbers, squares};
pub use weights::Weights;

use dfdx::tensor::Tape;

use self::graph::{GraphBuilder, Sequence};
use self::model::GdConstants;

/// A network that answers the query of each sequence.
pub trait Net<D: Device>: Weights<D> {
    /// Records the steps from the tokens to the answer to the query, whose numbers are those of the last token.
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T>;

    /// Answers to the queries: (batch, d_out).
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let builder = GraphBuilder::new(&input);
        self.record(builder.tokens()).answer(input)
    }

    /// The hidden state of every layer after every step, computed one step at a time: the plain definition of the
    /// model, slow, and independent of the fast forms that `forward` uses.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates>;

    /// The query's token before the first layer and after each; empty for networks without layers.
    ///
    /// # Errors
    /// The device failed.
    fn latents(&self, _tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
        Ok(Vec::new())
    }

    /// The answers by a matrix of weights between tokens, beside those from the state; `None` for a network that has no
    /// such form.
    ///
    /// # Errors
    /// The device failed.
    fn attention_form(&self, _tokens: &Tensor3<D>) -> DeviceResult<Option<AttentionForm>, D> {
        Ok(None)
    }

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
