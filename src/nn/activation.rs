//! Functions that are applied number by number.

use dfdx::prelude::Tape;
use serde::{Deserialize, Serialize};

use super::{Device, Matrix, Outcome};

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
    pub fn apply<D: Device, T: Tape<f32, D>>(self, rows: Matrix<D, T>) -> Outcome<Matrix<D, T>, D> {
        match self {
            Self::Relu => rows.try_relu(),
            Self::Gelu => rows.try_fast_gelu(),
            Self::Tanh => rows.try_tanh(),
        }
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
