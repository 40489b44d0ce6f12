//! The architectures, and the one list of them.
//!
//! An architecture is a file here with its spec, its table of weights, its forward pass and its construction, and a
//! line in the list below.

mod architecture;
mod bidirectional_gd_ssm;
pub(super) mod canonical;
mod delta_net;
mod delta_product;
mod fast_weights;
mod gated_delta_net;
mod gd_ssm;
mod gd_ssm_mlp;
mod gd_ssm_stack;
mod grid_ssm;
mod gru_attention;
mod linear_attention;
mod linear_block;
mod longhorn;
mod lru;
mod mamba;
mod mamba2;
mod mesa;
mod mlp;
mod mlstm;
mod product_ssm;
mod recurrent;
mod retnet;
mod ridge_layer;
mod rwkv7;
mod s4d;
mod s5;
pub(super) mod stack;
mod titans;
mod transformer;
mod ttt;

pub use super::layer::glu::ChannelMixing;
pub use architecture::{Architecture, Configured, GdConstants, Setting};
pub use bidirectional_gd_ssm::BidirectionalGdSsmSpec;
pub use delta_net::{DeltaNetSpec, StepSize};
pub use delta_product::DeltaProductSpec;
pub use gated_delta_net::GatedDeltaNetSpec;
pub use gd_ssm::GdSsmSpec;
pub use gd_ssm_mlp::GdSsmMlpSpec;
pub use gd_ssm_stack::GdSsmStackSpec;
pub use grid_ssm::{GridSsmSpec, ScanOrder};
pub use gru_attention::GruAttentionSpec;
pub use linear_attention::LinearAttentionSpec;
pub use linear_block::LinearBlock;
pub use longhorn::LonghornSpec;
pub use lru::LruSpec;
pub use mamba::MambaSpec;
pub use mamba2::{Mamba2Spec, ScanForm};
pub use mesa::MesaSpec;
pub use mlp::MlpSpec;
pub use mlstm::MLstmSpec;
pub use product_ssm::ProductSsmSpec;
pub use recurrent::RecurrentSpec;
pub use retnet::{RetNetSpec, Retention};
pub use ridge_layer::RidgeLayerSpec;
pub use rwkv7::Rwkv7Spec;
pub use s4d::S4dSpec;
pub use s5::S5Spec;
pub use titans::TitansSpec;
pub use transformer::TransformerSpec;
pub use ttt::TttSpec;

use anyhow::Result;
use dfdx::tensor::Tape;
use serde::{Deserialize, Serialize};

use self::canonical::Canonical;
use super::layer::init::Start;
use super::weights::{Initialiser, Weights};
use super::{AttentionForm, Costs, Device, DeviceResult, Latent, LayerStates, Net, Param, Tensor3};

use crate::nn::graph::Sequence;
use crate::nn::step::{Gru, Lstm, Rnn};
use crate::task::{Layout, Shape};

/// The weights before the first training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// Sampled, by the run's seed.
    Random,
    /// Set so that the model equals gradient descent, one step per layer.
    Constructed,
}

impl Init {
    /// One of two initial values.
    fn start(self, random: Start, constructed: Start) -> Start {
        match self {
            Self::Random => random,
            Self::Constructed => constructed,
        }
    }
}

/// Makes the enum of specs and the enum of networks from one list, and implements [`Architecture`], [`Weights`] and
/// [`Net`] for them.
macro_rules! architectures {
    ($($name:ident($spec:ty),)*) => {
        /// Which architecture, and its sizes, as in a preset.
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

            fn activations(&self, shape: Shape, layout: Layout) -> u128 {
                match self { $(Self::$name(spec) => spec.activations(shape, layout),)* }
            }

            fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
                match self { $(Self::$name(spec) => spec.costs(shape, layout, tokens),)* }
            }

            fn linear_blocks(&self) -> Vec<LinearBlock> {
                match self { $(Self::$name(spec) => spec.linear_blocks(),)* }
            }

            fn descent_steps(&self) -> u32 {
                match self { $(Self::$name(spec) => spec.descent_steps(),)* }
            }

            fn reads(&self, pairs: usize, context: usize) -> bool {
                match self { $(Self::$name(spec) => spec.reads(pairs, context),)* }
            }
        }

        impl<D: Device> Weights<D> for Model<D> {
            type Config = Configured<ModelSpec>;

            fn count(Configured { spec, setting }: Self::Config) -> u128 {
                match spec { $(ModelSpec::$name(spec) => spec.parameters(setting.shape, setting.layout),)* }
            }

            fn start(config: Self::Config, with: &mut Initialiser<'_, D>) -> DeviceResult<Self, D> {
                let Configured { spec, setting } = config;
                Ok(match spec {
                    $(ModelSpec::$name(spec) => Self::$name(Weights::start(spec.configured(setting), with)?),)*
                })
            }

            fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>) {
                match self { $(Self::$name(net) => net.list(into),)* }
            }

            fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>) {
                match self { $(Self::$name(net) => net.list_mut(into),)* }
            }
        }

        impl<D: Device> Net<D> for Model<D> {
            fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
                match self { $(Self::$name(net) => net.record(tokens),)* }
            }

            fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
                match self { $(Self::$name(net) => net.states(tokens),)* }
            }

            fn latents(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
                match self { $(Self::$name(net) => net.latents(tokens),)* }
            }

            fn attention_form(&self, tokens: &Tensor3<D>) -> DeviceResult<Option<AttentionForm>, D> {
                match self { $(Self::$name(net) => net.attention_form(tokens),)* }
            }

            fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
                match self { $(Self::$name(net) => net.canonical(gd_constants),)* }
            }
        }
    };
}

architectures! {
    GdSsm(GdSsmSpec),
    GdSsmStack(GdSsmStackSpec),
    GdSsmMlp(GdSsmMlpSpec),
    BidirectionalGdSsm(BidirectionalGdSsmSpec),
    GridSsm(GridSsmSpec),
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
    DeltaNet(DeltaNetSpec),
    GatedDeltaNet(GatedDeltaNetSpec),
    DeltaProduct(DeltaProductSpec),
    Longhorn(LonghornSpec),
    Mesa(MesaSpec),
    MLstm(MLstmSpec),
    RetNet(RetNetSpec),
    Rwkv7(Rwkv7Spec),
    Titans(TitansSpec),
    Ttt(TttSpec),
}

#[cfg(test)]
mod tests;
