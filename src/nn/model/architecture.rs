//! What an architecture says of itself: the part of a model's file that [`super::ModelSpec`] asks.

use anyhow::Result;
use rand::Rng;

use crate::nn::{Costs, Device, DeviceResult, Net};
use crate::task::{Layout, Shape};

/// The numbers that a construction needs: what the theory says of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GdConstants {
    /// η/N of gradient descent, in as many steps as the construction takes.
    pub step_size: f64,
    /// λ of ridge regression.
    pub lambda: f64,
}

/// The spec of an architecture: its sizes, as a preset gives them.
pub trait Architecture {
    type Net<D: Device>: Net<D>;

    /// Refuses a task or a layout that the model cannot read, and sizes that do not go together.
    fn check(&self, shape: Shape, layout: Layout) -> Result<()>;

    /// How many numbers the model learns.
    fn parameters(&self, shape: Shape, layout: Layout) -> u128;

    /// About how many numbers a forward pass keeps for each sequence.
    fn activations(&self, shape: Shape, layout: Layout) -> u128;

    /// What token number `tokens` costs.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs;

    /// The steps of gradient descent that the construction takes.
    fn descent_steps(&self) -> u32 {
        1
    }

    /// Whether a model that is built for contexts of `context` pairs can read one of only `pairs`.
    fn reads(&self, _pairs: usize, _context: usize) -> bool {
        true
    }

    /// The network at its start.
    fn build<D: Device>(
        &self,
        device: &D,
        sizes: (Shape, Layout),
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D>;
}
