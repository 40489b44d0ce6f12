//! What follows a linear recurrence within a layer: the feedthrough, and the gated linear unit that mixes channels.
//!
//! | here | papers | shape |
//! |---|---|---|
//! | `feedthrough` D | y_t gets D ⊙ u_t | (1, H) |
//! | `value`, `gate` W₁, W₂ | GLU: (g W₁) ⊙ σ(g W₂) with g = GELU(y) | (H, H) |
//!
//! S4D and LRU end their layers with a GLU, S5 with g ⊙ σ(g W); here all three use the first, so that they differ only
//! in the recurrence. Deviations: no dropout and no normalisation (see `model/stack.rs`); GELU is its tanh
//! approximation, where the papers' code has the exact form (see [`Activation::Gelu`]).

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::init::normal;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::weights::{weight, weights};
use crate::nn::{Activation, Device, Param};

/// What follows the recurrence of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelMixing {
    /// The feedthrough alone: the whole network is linear in its tokens.
    Bare,
    /// The feedthrough, GELU and a gated linear unit, as in the papers.
    Gated,
}

impl ChannelMixing {
    /// Operations on one token of `width` channels.
    pub fn flops(self, width: usize) -> usize {
        match self {
            Self::Bare => 2 * width,
            Self::Gated => 2 * width + 2 * matvec(width, width) + 10 * width,
        }
    }
}

/// What a [`GluBlock`] is built from.
#[derive(Clone, Copy, Debug)]
pub struct GluConfig {
    /// H.
    pub width: usize,
    pub mixing: ChannelMixing,
}

weights! {
    /// The part of a layer after its recurrence.
    pub struct GluBlock<D>(config: GluConfig) {
        let GluConfig { width, mixing } = config;
        weights {
            feedthrough: Param<D> = weight("D", (1, width), normal(1.0)),
            glu: Option<Glu<D>> = match mixing {
                ChannelMixing::Bare => None,
                ChannelMixing::Gated => Some(width),
            },
        }
    }
}

weights! {
    /// The gated linear unit.
    struct Glu<D>(width: usize) {
        let std = (1.0 / width as f32).sqrt();
        weights {
            value: Param<D> = weight("W₁", (width, width), normal(std)),
            gate: Param<D> = weight("W₂", (width, width), normal(std)),
        }
    }
}

impl<D: Device> GluBlock<D> {
    /// The layer's update, (B, last, H), from the recurrence's y, (B, last, H), and the layer's input u, (B, T, H).
    pub fn finish<'p, T: Tape<f32, D>>(&self, y: Sequence<'p, D, T>, u: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        let y = y.plus(u.last(y.length()).times_row(self.feedthrough.taped()));
        let Some(Glu { value, gate }) = &self.glu else { return y };
        let g = y.activate(Activation::Gelu);
        g.project(value.taped()).times(g.project(gate.taped()).activate(Activation::Sigmoid))
    }
}
