//! Claims of a preset against a run.

use anyhow::Result;

use super::{Experiment, Measurement, ReferenceResult, Scope};
use crate::preset::{Claim, Quantity};

/// A claim with what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub claim: Claim,
    /// NaN where the model or the task has no such quantity.
    pub value: f64,
    pub held: bool,
}

impl Experiment {
    /// Measures the present weights on all held-out tasks and holds the claims for this step against them.
    pub fn verdicts(&mut self) -> Result<Vec<Verdict>> {
        let step = self.step();
        let due: Vec<Claim> = self.preset.claims.iter().filter(|claim| claim.after == step).cloned().collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let measurement = self.measure(Scope::Whole)?;
        let verdict = |claim: Claim| {
            let value = value(claim.measure, &measurement, self.references());
            Verdict { held: claim.holds(value), claim, value }
        };
        Ok(due.into_iter().map(verdict).collect())
    }
}

/// A quantity, as measured; NaN where there is none.
fn value(quantity: Quantity, measurement: &Measurement, references: &[ReferenceResult]) -> f64 {
    let equal = &measurement.equivalence;
    match quantity {
        Quantity::LossGap => equal.loss_gap,
        Quantity::PredictionDifference => equal.prediction_difference_relative,
        Quantity::SensitivityCosine => equal.sensitivity_cosine,
        Quantity::StateCosine => equal.state_cosine.unwrap_or(f64::NAN),
        Quantity::ParameterDifference => equal.parameter_difference.unwrap_or(f64::NAN),
        Quantity::LossOver(reference) => {
            let theirs = references.iter().find(|result| result.tuned.reference == reference);
            theirs.map_or(f64::NAN, |result| measurement.eval_loss / result.loss)
        }
        Quantity::DistanceTo(reference) => {
            equal.distances.iter().find(|(other, _)| *other == reference).map_or(f64::NAN, |(_, distance)| *distance)
        }
        Quantity::Nearest(reference) => f64::from(equal.nearest == reference),
    }
}
