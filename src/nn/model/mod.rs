//! The architectures, and the one list of them.
//!
//! An architecture is a file here, with its spec, its recurrence and its construction, and a line in the list below.

mod architecture;
mod bidirectional_gd_ssm;
mod diagonal_layer;
mod gd_ssm;
mod gd_ssm_mlp;
mod gd_ssm_stack;
mod gru;
mod gru_attention;
mod hippo;
mod linear_attention;
mod lru;
mod lstm;
mod mamba;
mod mamba2;
mod mixing;
mod mlp;
mod product_ssm;
mod recurrent;
mod ridge_layer;
mod rnn;
mod s4d;
mod s5;
mod stack;
mod step_size;
mod transformer;

pub use architecture::{Architecture, GdConstants};
pub use bidirectional_gd_ssm::BidirectionalGdSsmSpec;
pub use gd_ssm::GdSsmSpec;
pub use gd_ssm_mlp::GdSsmMlpSpec;
pub use gd_ssm_stack::GdSsmStackSpec;
pub use gru::Gru;
pub use gru_attention::GruAttentionSpec;
pub use linear_attention::LinearAttentionSpec;
pub use lru::LruSpec;
pub use lstm::Lstm;
pub use mamba::MambaSpec;
pub use mamba2::{Form, Mamba2Spec};
pub use mixing::Block;
pub use mlp::MlpSpec;
pub use product_ssm::ProductSsmSpec;
pub use recurrent::RecurrentSpec;
pub use ridge_layer::RidgeLayerSpec;
pub use rnn::Rnn;
pub use s4d::S4dSpec;
pub use s5::S5Spec;
pub use transformer::TransformerSpec;

use anyhow::Result;
use dfdx::tensor::Tape;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::init::normals;
use super::{Canonical, Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, Tensor3};
use crate::lanes::Blocks;
use crate::task::{Layout, Shape};

/// What the weights are before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// TrainBatch at random, by the run's seed.
    Random,
    /// Written by hand so that the model equals gradient descent, a step a layer.
    Constructed,
}

/// Makes the enum of specs and the enum of networks from one list, and hands every question on to the variant.
macro_rules! architectures {
    ($($name:ident($spec:ty),)*) => {
        /// Which architecture, and its sizes, as a preset says it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum ModelSpec {
            $($name($spec),)*
        }

        /// A network of any architecture.
        #[derive(Clone, Debug)]
        pub enum Model<D: Device> {
            $($name(<$spec as Architecture>::Net<D>),)*
        }

        impl Architecture for ModelSpec {
            type Net<D: Device> = Model<D>;

            fn check(&self, shape: Shape, layout: Layout) -> Result<()> {
                match self { $(Self::$name(spec) => spec.check(shape, layout),)* }
            }

            fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
                match self { $(Self::$name(spec) => spec.parameters(shape, layout),)* }
            }

            fn activations(&self, shape: Shape, layout: Layout) -> u128 {
                match self { $(Self::$name(spec) => spec.activations(shape, layout),)* }
            }

            fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
                match self { $(Self::$name(spec) => spec.costs(shape, layout, tokens),)* }
            }

            fn descent_steps(&self) -> u32 {
                match self { $(Self::$name(spec) => spec.descent_steps(),)* }
            }

            fn reads(&self, pairs: usize, context: usize) -> bool {
                match self { $(Self::$name(spec) => spec.reads(pairs, context),)* }
            }

            fn build<D: Device>(
                &self,
                device: &D,
                sizes: (Shape, Layout),
                gd_constants: GdConstants,
                rng: &mut impl Rng,
            ) -> DeviceResult<Model<D>, D> {
                Ok(match self { $(Self::$name(spec) => Model::$name(spec.build(device, sizes, gd_constants, rng)?),)* })
            }
        }

        impl<D: Device> Net<D> for Model<D> {
            fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
                match self { $(Self::$name(net) => net.forward(input),)* }
            }

            fn reads_lanes(&self) -> bool {
                match self { $(Self::$name(net) => net.reads_lanes(),)* }
            }

            fn forward_lanes<T: Tape<f32, D>>(&self, device: &D, tokens: &Blocks) -> DeviceResult<Matrix<D, T>, D> {
                match self { $(Self::$name(net) => net.forward_lanes(device, tokens),)* }
            }

            fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
                match self { $(Self::$name(net) => net.states(tokens),)* }
            }

            fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
                match self { $(Self::$name(net) => net.canonical(gd_constants),)* }
            }

            fn params(&self) -> Vec<&Param<D>> {
                match self { $(Self::$name(net) => net.params(),)* }
            }

            fn params_mut(&mut self) -> Vec<&mut Param<D>> {
                match self { $(Self::$name(net) => net.params_mut(),)* }
            }
        }
    };
}

architectures! {
    GdSsm(GdSsmSpec),
    GdSsmStack(GdSsmStackSpec),
    GdSsmMlp(GdSsmMlpSpec),
    BidirectionalGdSsm(BidirectionalGdSsmSpec),
    ProductSsm(ProductSsmSpec),
    LinearAttention(LinearAttentionSpec),
    Lru(LruSpec),
    Mamba(MambaSpec),
    Mamba2(Mamba2Spec),
    S4d(S4dSpec),
    S5(S5Spec),
    Transformer(TransformerSpec),
    Rnn(RecurrentSpec<Rnn>),
    Gru(RecurrentSpec<Gru>),
    GruAttention(GruAttentionSpec),
    Lstm(RecurrentSpec<Lstm>),
    Mlp(MlpSpec),
    RidgeLayer(RidgeLayerSpec),
}

/// Draws from U(−most, most).
fn uniforms(rng: &mut impl Rng, count: usize, most: f32) -> Vec<f32> {
    (0..count).map(|_| rng.gen_range(-most..most)).collect()
}

#[cfg(test)]
mod tests;
