//! Everything that the next step of a run depends on.

use serde::{Deserialize, Serialize};

/// A run at one step. Together with its preset it determines every later step, to the last bit on a CPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub seed: u64,
    /// Steps done.
    pub step: u64,
    /// What the person at the keys has multiplied the learning rate by.
    pub lr_factor: f64,
    pub parameters: Vec<SavedParameter>,
}

/// A parameter and the optimiser's running means for it, rows × columns, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedParameter {
    pub name: String,
    pub shape: (usize, usize),
    pub values: Vec<f32>,
    /// Running mean of the gradient; empty where the optimiser keeps none.
    pub moment1: Vec<f32>,
    /// Running mean of the squared gradient; empty where the optimiser keeps none.
    pub moment2: Vec<f32>,
}
