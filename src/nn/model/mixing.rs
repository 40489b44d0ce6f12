//! What follows a linear recurrence within a layer: the feedthrough, and the gated linear unit that mixes channels.
//!
//! | here | papers | shape |
//! |---|---|---|
//! | `feedthrough` D | y_t gets D ⊙ u_t | (1, H) |
//! | `value`, `gate` W₁, W₂ | GLU: (g W₁) ⊙ σ(g W₂) with g = GELU(y) | (H, H) |
//!
//! S4D and LRU end their layers with a GLU, S5 with g ⊙ σ(g W); all three get the first here, so that what differs
//! between them is the recurrence. Deviation: no dropout and no normalisation (see [`super::stack`]).

use dfdx::prelude::Tape;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::normals;
use super::stack::Sizes;
use crate::nn::cost::matvec;
use crate::nn::op::{Function, Sequence};
use crate::nn::{Device, DeviceResult, Param};

/// What a layer is besides its recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Block {
    /// The recurrence and its feedthrough alone: the whole network is linear in its tokens.
    Bare,
    /// GELU and a gated linear unit after it, as in the papers.
    Gated,
}

impl Block {
    /// Parameters of a layer's mixing.
    pub fn parameters(self, width: usize) -> u128 {
        let wide = width as u128;
        match self {
            Self::Bare => wide,
            Self::Gated => wide + 2 * wide * wide,
        }
    }

    /// Operations of a layer's mixing on one token.
    pub fn flops(self, width: usize) -> usize {
        match self {
            Self::Bare => 2 * width,
            Self::Gated => 2 * width + 2 * matvec(width, width) + 10 * width,
        }
    }
}

/// The part of a layer after its recurrence.
#[derive(Clone, Debug)]
pub struct Mixing<D: Device> {
    feedthrough: Param<D>,
    glu: Option<[Param<D>; 2]>,
}

impl<D: Device> Mixing<D> {
    /// D ~ N(0, 1), W₁ and W₂ ~ N(0, 1/H).
    pub fn new(device: &D, (sizes, layer): (Sizes, usize), block: Block, rng: &mut impl Rng) -> DeviceResult<Self, D> {
        let wide = sizes.width;
        let feedthrough = Param::new(device, sizes.name(layer, "D"), (1, wide), normals(rng, wide, 1.0))?;
        let mut dense = |symbol: &str| {
            let values = normals(rng, wide * wide, (1.0 / wide as f32).sqrt());
            Param::new(device, sizes.name(layer, symbol), (wide, wide), values)
        };
        let glu = match block {
            Block::Bare => None,
            Block::Gated => Some([dense("W₁")?, dense("W₂")?]),
        };
        Ok(Self { feedthrough, glu })
    }

    /// From the recurrence's y, (B, asked, H), and the layer's input u, (B, T, H), the layer's update.
    pub fn finish<'p, T: Tape<f32, D>>(&self, y: Sequence<'p, D, T>, u: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        let y = y.plus(u.last(y.length()).times_row(self.feedthrough.taped()));
        let Some([value, gate]) = &self.glu else { return y };
        let g = y.apply(Function::Gelu);
        g.project(value.taped()).times(g.project(gate.taped()).apply(Function::Sigmoid))
    }

    pub fn params(&self) -> impl Iterator<Item = &Param<D>> {
        [&self.feedthrough].into_iter().chain(self.glu.iter().flatten())
    }

    pub fn params_mut(&mut self) -> impl Iterator<Item = &mut Param<D>> {
        [&mut self.feedthrough].into_iter().chain(self.glu.iter_mut().flatten())
    }
}
