//! Activation functions.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use crate::nn::Device;
use crate::nn::op::{Function, Sequence};

/// The activation function of a layer, applied to every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// x Φ(x) by its tanh approximation: Hendrycks & Gimpel 2016 (1606.08415). dfdx 0.13 also has an exact form, but
    /// its gradient lacks a factor of 1/√2.
    Gelu,
    Tanh,
}

impl Activation {
    /// Applied to every entry of every token of a graph.
    pub fn on<'p, D: Device, T: Tape<f32, D>>(self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.apply(match self {
            Self::Relu => Function::Relu,
            Self::Gelu => Function::Gelu,
            Self::Tanh => Function::Tanh,
        })
    }

    /// The definition, for one number.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Gelu => 0.5 * x * (1.0 + (std::f32::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
            Self::Tanh => x.tanh(),
        }
    }
}
