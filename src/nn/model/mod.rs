//! The architectures, and the one list of them.
//!
//! An architecture is a file here, with its spec, its recurrence and its construction, and a variant in the two enums.

mod gd_ssm;
mod linear_attention;

pub use gd_ssm::GdSsmSpec;
pub use linear_attention::LinearAttentionSpec;

use anyhow::Result;
use dfdx::tensor::Tape;
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use self::gd_ssm::GdSsm;
use self::linear_attention::LinearAttention;
use super::{Cube, Device, Input, LayerStates, Matrix, Net, Outcome, Param};
use crate::task::{Layout, Shape};

/// Which architecture, and its sizes, as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ModelSpec {
    GdSsm(GdSsmSpec),
    LinearAttention(LinearAttentionSpec),
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
        }
    }

    /// How many numbers the model learns.
    pub fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.parameters(shape, layout),
            Self::LinearAttention(spec) => spec.parameters(shape, layout),
        }
    }

    /// About how many numbers a forward pass keeps for each sequence.
    pub fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        match self {
            Self::GdSsm(spec) => spec.activations(shape, layout),
            Self::LinearAttention(spec) => spec.activations(shape, layout),
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
        })
    }
}

/// A network of any architecture.
#[derive(Clone, Debug)]
pub enum Model<D: Device> {
    GdSsm(GdSsm<D>),
    LinearAttention(LinearAttention<D>),
}

/// Does the same to whichever network it is.
macro_rules! each {
    ($model:expr, $net:ident => $body:expr) => {
        match $model {
            Model::GdSsm($net) => $body,
            Model::LinearAttention($net) => $body,
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

/// Draws of N(0, spread²).
fn normals(rng: &mut impl Rng, count: usize, spread: f32) -> Vec<f32> {
    (0..count).map(|_| spread * rng.sample::<f32, _>(StandardNormal)).collect()
}
