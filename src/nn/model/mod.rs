//! The architectures, and the one list of them.
//!
//! An architecture is a file here, with its spec, its recurrence and its construction, and a variant in the two enums.

mod gd_ssm;
mod gru;
mod hippo;
mod linear_attention;
mod lru;
mod lstm;
mod mamba;
mod mamba2;
mod mixing;
mod mlp;
mod recurrent;
mod ridge_layer;
mod rnn;
mod s4d;
mod s5;
mod stack;
mod transformer;

pub use gd_ssm::GdSsmSpec;
pub use linear_attention::LinearAttentionSpec;
pub use lru::LruSpec;
pub use mamba::MambaSpec;
pub use mamba2::{Form, Mamba2Spec};
pub use mixing::Block;
pub use mlp::MlpSpec;
pub use recurrent::RecurrentSpec;
pub use ridge_layer::RidgeLayerSpec;
pub use s4d::S4dSpec;
pub use s5::S5Spec;
pub use transformer::TransformerSpec;

use anyhow::Result;
use dfdx::tensor::Tape;
use rand::Rng;
use serde::{Deserialize, Serialize};

use self::gd_ssm::GdSsm;
use self::gru::Gru;
use self::linear_attention::LinearAttention;
use self::lru::LruLayer;
use self::lstm::Lstm;
use self::mamba::MambaLayer;
use self::mamba2::Mamba2Layer;
use self::mlp::Mlp;
use self::recurrent::Recurrent;
use self::ridge_layer::RidgeLayer;
use self::rnn::Rnn;
use self::s4d::S4dLayer;
use self::s5::S5Layer;
use self::stack::Stack;
use self::transformer::Transformer;
use super::init::normals;
use super::{Cube, Device, Input, LayerStates, Matrix, Net, Outcome, Param};
use crate::task::{Layout, Shape};

/// Which architecture, and its sizes, as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ModelSpec {
    GdSsm(GdSsmSpec),
    LinearAttention(LinearAttentionSpec),
    Lru(LruSpec),
    Mamba(MambaSpec),
    Mamba2(Mamba2Spec),
    S4d(S4dSpec),
    S5(S5Spec),
    Transformer(TransformerSpec),
    Rnn(RecurrentSpec),
    Gru(RecurrentSpec),
    Lstm(RecurrentSpec),
    Mlp(MlpSpec),
    RidgeLayer(RidgeLayerSpec),
}

/// What the weights are before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// Drawn at random, by the run's seed.
    Random,
    /// Written by hand so that the model equals one step of gradient descent.
    Constructed,
}

impl ModelSpec {
    /// Refuses a task or a layout that the model cannot read.
    pub fn check(&self, shape: Shape, layout: Layout) -> Result<()> {
        match self {
            Self::GdSsm(spec) => spec.check(shape, layout),
            Self::LinearAttention(spec) => spec.check(shape, layout),
            Self::Lru(spec) => spec.check(shape, layout),
            Self::Mamba(spec) => spec.check(shape, layout),
            Self::Mamba2(spec) => spec.check(shape, layout),
            Self::S4d(spec) => spec.check(shape, layout),
            Self::S5(spec) => spec.check(shape, layout),
            Self::Transformer(spec) => spec.check(shape, layout),
            Self::Rnn(spec) | Self::Gru(spec) | Self::Lstm(spec) => spec.check(shape, layout),
            Self::Mlp(spec) => spec.check(shape, layout),
            Self::RidgeLayer(spec) => spec.check(shape, layout),
        }
    }

    /// Whether a model that is built for contexts of `context` pairs can read one of `pairs`.
    pub fn reads(&self, pairs: usize, context: usize) -> bool {
        match self {
            // It has a weight for every place.
            Self::Mlp(_) => pairs == context,
            // The query is read with the pair before it.
            Self::GdSsm(_) => pairs > 0,
            _ => true,
        }
    }

    /// How many numbers the model learns.
    pub fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.parameters(shape, layout),
            Self::LinearAttention(spec) => spec.parameters(shape, layout),
            Self::Lru(spec) => spec.parameters(shape, layout),
            Self::Mamba(spec) => spec.parameters(shape, layout),
            Self::Mamba2(spec) => spec.parameters(shape, layout),
            Self::S4d(spec) => spec.parameters(shape, layout),
            Self::S5(spec) => spec.parameters(shape, layout),
            Self::Transformer(spec) => spec.parameters(shape, layout),
            Self::Rnn(spec) => spec.parameters::<Rnn>(shape, layout),
            Self::Gru(spec) => spec.parameters::<Gru>(shape, layout),
            Self::Lstm(spec) => spec.parameters::<Lstm>(shape, layout),
            Self::Mlp(spec) => spec.parameters(shape, layout),
            Self::RidgeLayer(spec) => spec.parameters(shape, layout),
        }
    }

    /// About how many numbers a forward pass keeps for each sequence.
    pub fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.activations(shape, layout),
            Self::LinearAttention(spec) => spec.activations(shape, layout),
            Self::Lru(spec) => spec.activations(shape, layout),
            Self::Mamba(spec) => spec.activations(shape, layout),
            Self::Mamba2(spec) => spec.activations(shape, layout),
            Self::S4d(spec) => spec.activations(shape, layout),
            Self::S5(spec) => spec.activations(shape, layout),
            Self::Transformer(spec) => spec.activations(shape, layout),
            Self::Rnn(spec) => spec.activations::<Rnn>(shape, layout),
            Self::Gru(spec) => spec.activations::<Gru>(shape, layout),
            Self::Lstm(spec) => spec.activations::<Lstm>(shape, layout),
            Self::Mlp(spec) => spec.activations(shape, layout),
            Self::RidgeLayer(spec) => spec.activations(shape, layout),
        }
    }
}

impl ModelSpec {
    /// Builds the network for a task's sizes. `step_size` is η/N, for constructions.
    pub fn build<D: Device>(
        &self,
        device: &D,
        sizes: (Shape, Layout),
        step_size: f64,
        rng: &mut impl Rng,
    ) -> Outcome<Model<D>, D> {
        Ok(match self {
            Self::GdSsm(spec) => Model::GdSsm(spec.build(device, sizes, step_size, rng)?),
            Self::LinearAttention(spec) => Model::LinearAttention(spec.build(device, sizes, step_size, rng)?),
            Self::Lru(spec) => Model::Lru(spec.build(device, sizes, rng)?),
            Self::Mamba(spec) => Model::Mamba(spec.build(device, sizes, rng)?),
            Self::Mamba2(spec) => Model::Mamba2(spec.build(device, sizes, rng)?),
            Self::S4d(spec) => Model::S4d(spec.build(device, sizes, rng)?),
            Self::S5(spec) => Model::S5(spec.build(device, sizes, rng)?),
            Self::Transformer(spec) => Model::Transformer(spec.build(device, sizes, rng)?),
            Self::Rnn(spec) => Model::Rnn(spec.build(device, sizes, rng)?),
            Self::Gru(spec) => Model::Gru(spec.build(device, sizes, rng)?),
            Self::Lstm(spec) => Model::Lstm(spec.build(device, sizes, rng)?),
            Self::Mlp(spec) => Model::Mlp(spec.build(device, sizes, rng)?),
            Self::RidgeLayer(spec) => Model::RidgeLayer(spec.build(device, sizes.0)?),
        })
    }
}

/// A network of any architecture.
#[derive(Clone, Debug)]
pub enum Model<D: Device> {
    GdSsm(GdSsm<D>),
    LinearAttention(LinearAttention<D>),
    Lru(Stack<D, LruLayer<D>>),
    Mamba(Stack<D, MambaLayer<D>>),
    Mamba2(Stack<D, Mamba2Layer<D>>),
    S4d(Stack<D, S4dLayer<D>>),
    S5(Stack<D, S5Layer<D>>),
    Transformer(Transformer<D>),
    Rnn(Recurrent<D, Rnn>),
    Gru(Recurrent<D, Gru>),
    Lstm(Recurrent<D, Lstm>),
    Mlp(Mlp<D>),
    RidgeLayer(RidgeLayer<D>),
}

/// Does the same to whichever network it is.
macro_rules! each {
    ($model:expr, $net:ident => $body:expr) => {
        match $model {
            Model::GdSsm($net) => $body,
            Model::LinearAttention($net) => $body,
            Model::Lru($net) => $body,
            Model::Mamba($net) => $body,
            Model::Mamba2($net) => $body,
            Model::S4d($net) => $body,
            Model::S5($net) => $body,
            Model::Transformer($net) => $body,
            Model::Rnn($net) => $body,
            Model::Gru($net) => $body,
            Model::Lstm($net) => $body,
            Model::Mlp($net) => $body,
            Model::RidgeLayer($net) => $body,
        }
    };
}

impl<D: Device> Net<D> for Model<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> Outcome<Matrix<D, T>, D> {
        each!(self, net => net.forward(input))
    }

    fn states(&self, tokens: &Cube<D>) -> Vec<LayerStates> {
        each!(self, net => net.states(tokens))
    }

    fn params(&self) -> Vec<&Param<D>> {
        each!(self, net => net.params())
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        each!(self, net => net.params_mut())
    }
}

/// Draws from U(−most, most).
fn uniforms(rng: &mut impl Rng, count: usize, most: f32) -> Vec<f32> {
    (0..count).map(|_| rng.gen_range(-most..most)).collect()
}

/// Logarithms of draws that are log-uniform between two bounds: how Δ starts in S4D, S5 and Mamba.
fn log_uniforms(rng: &mut impl Rng, count: usize, least: f64, most: f64) -> Vec<f32> {
    (0..count).map(|_| rng.gen_range(least.ln()..most.ln()) as f32).collect()
}

mod tests;
