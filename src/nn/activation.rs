//! Functions that are applied number by number.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::Device;
use super::op::{Function, Sequence};

/// What bends a layer.
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
    /// Of every number of a program's tokens.
    pub fn on<'p, D: Device, T: Tape<f32, D>>(self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.apply(match self {
            Self::Relu => Function::Relu,
            Self::Gelu => Function::Gelu,
            Self::Tanh => Function::Tanh,
        })
    }

    /// The definition, of one number.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Gelu => 0.5 * x * (1.0 + (std::f32::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
            Self::Tanh => x.tanh(),
        }
    }
}
