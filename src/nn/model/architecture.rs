//! What an architecture declares: the part of a model's file that [`super::ModelSpec`] needs.

use anyhow::Result;
use dfdx::prelude::Cpu;
use rand::RngCore;

use super::LinearBlock;
use crate::nn::weights::{Initialiser, Weights, count};
use crate::nn::{Costs, Device, DeviceResult, Net};
use crate::task::{Layout, Shape};

/// The constants of the task's gradient descent, which a construction needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GdConstants {
    /// η/N, for as many steps of gradient descent as the construction takes.
    pub step_size: f64,
    /// λ of ridge regression.
    pub lambda: f64,
}

/// The task that a model is built for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub shape: Shape,
    /// How pairs become tokens.
    pub layout: Layout,
    pub gd_constants: GdConstants,
}

/// A spec and the task that its model is built for.
#[derive(Clone, Debug)]
pub struct Configured<S> {
    pub spec: S,
    pub setting: Setting,
}

/// The spec of an architecture: its sizes, as in a preset.
pub trait Architecture: Clone {
    type Net<D: Device>: Net<D> + Weights<D, Config: From<Configured<Self>>>;

    /// Returns an error if the model cannot read the task or the layout, or if its sizes contradict each other.
    fn check(&self, shape: Shape, layout: Layout) -> Result<()>;

    /// How many numbers the model learns.
    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let setting = Setting { shape, layout, gd_constants: GdConstants::default() };
        count::<Cpu, Self::Net<Cpu>>(self.configured::<<Self::Net<Cpu> as Weights<Cpu>>::Config>(setting))
    }

    /// About how many numbers a forward pass keeps for each sequence.
    fn activations(&self, shape: Shape, layout: Layout) -> u128;

    /// Memory and operations for token number `tokens`.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs;

    /// The blocks of weights in which the answers are affine, in the order in which they are solved for; empty where
    /// there is none.
    fn linear_blocks(&self) -> Vec<LinearBlock>;

    /// The steps of gradient descent that the construction takes.
    fn descent_steps(&self) -> u32 {
        1
    }

    /// Whether a model that is built for contexts of `context` pairs can read one of only `pairs`.
    fn reads(&self, _pairs: usize, _context: usize) -> bool {
        true
    }

    /// The network with its initial weights. Returns an error if the device cannot hold them.
    fn build<D: Device>(&self, device: &D, setting: Setting, rng: &mut dyn RngCore) -> DeviceResult<Self::Net<D>, D> {
        Initialiser::new(device, rng).part(self.configured::<<Self::Net<D> as Weights<D>>::Config>(setting))
    }

    /// What the network of this spec is built from.
    fn configured<C: From<Configured<Self>>>(&self, setting: Setting) -> C {
        Configured { spec: self.clone(), setting }.into()
    }
}
