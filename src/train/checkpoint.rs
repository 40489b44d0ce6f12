//! A run at one step, to save and to continue from.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// A run at one step. With its preset it determines every later step, bit by bit on a CPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub seed: u64,
    /// Steps done.
    pub step: u64,
    /// The factor on the learning rate, set by hand.
    pub lr_factor: f64,
    /// The damping of Levenberg–Marquardt's next step; none of other optimisers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    pub parameters: Vec<SavedParameter>,
}

/// A parameter and the optimiser's moments of it, rows × columns, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedParameter {
    pub name: String,
    pub shape: (usize, usize),
    pub values: Vec<f32>,
    /// Running mean of the gradient; empty if the optimiser has none.
    pub moment1: Vec<f32>,
    /// Running mean of the squared gradient; empty if the optimiser has none.
    pub moment2: Vec<f32>,
}

/// What a learning rate can be multiplied by in all: beyond this it is zero or infinite for every purpose.
pub const LR_FACTORS: RangeInclusive<f64> = 1e-6..=1e6;

impl Checkpoint {
    /// Checks that the checkpoint is of a network with these parameters, by name and shape, and [`check`](Self::check)s
    /// it.
    pub fn fits(&self, parameters: &[(&str, (usize, usize))]) -> Result<()> {
        let found: Vec<_> = self.parameters.iter().map(|p| (p.name.as_str(), p.shape)).collect();
        ensure!(found == parameters, "the saved parameters are {found:?}, but the preset's model has {parameters:?}");
        self.check()
    }

    /// The first numbers that are not finite, in words.
    pub fn not_finite(&self) -> Option<String> {
        let lists = self.parameters.iter().flat_map(|p| {
            [("weights", &p.values), ("first moments", &p.moment1), ("second moments", &p.moment2)]
                .map(|(what, list)| (&p.name, what, list))
        });
        let bad = lists.into_iter().find(|(_, _, list)| list.iter().any(|value| !value.is_finite()));
        bad.map(|(name, what, _)| format!("{what} of {name}"))
    }

    /// Checks that lists have the length of their shape, and that numbers are finite.
    pub fn check(&self) -> Result<()> {
        ensure!(self.lr_factor.is_finite() && self.lr_factor > 0.0, "lr_factor: {} is not a factor", self.lr_factor);
        let damping = self.damping.is_none_or(|damping| damping.is_finite() && damping > 0.0);
        ensure!(damping, "damping: {:?} is not a positive number", self.damping);
        for parameter in &self.parameters {
            let (name, (rows, columns)) = (&parameter.name, parameter.shape);
            let whole =
                |list: &[f32]| rows.checked_mul(columns) == Some(list.len()) && list.iter().all(|v| v.is_finite());
            let none = parameter.moment1.is_empty() && parameter.moment2.is_empty();
            ensure!(whole(&parameter.values), "parameter {name}: values must be {rows} × {columns} finite numbers");
            ensure!(
                none || (whole(&parameter.moment1) && whole(&parameter.moment2)),
                "parameter {name}: moments must be {rows} × {columns} finite numbers, or both empty"
            );
        }
        Ok(())
    }
}
