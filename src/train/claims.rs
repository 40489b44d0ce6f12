//! Claims of a preset against a run.

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::{Experiment, Measurement, ReferenceResult, Scope};
use crate::preset::{Claim, Quantity};
use crate::reference::Reference;

/// A claim with what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCheck {
    pub claim: Claim,
    /// NaN where the model or the task has no such quantity.
    pub value: f64,
    pub held: bool,
}

impl Experiment {
    /// Steps to the next one that a claim is about; none where no claim lies ahead.
    pub fn to_next_claim(&self) -> Option<u64> {
        let ahead = self.preset.claims.iter().filter_map(|claim| claim.after.checked_sub(self.step()));
        ahead.filter(|steps| *steps > 0).min()
    }

    /// Measures the present weights on all held-out tasks and holds the claims for this step against them, those of
    /// the same shift off the training distribution together. The run's history takes no note: it must not depend on
    /// whether somebody asked.
    pub fn verdicts(&mut self) -> Result<Vec<ClaimCheck>> {
        let (step, preset) = (self.step(), self.preset.clone());
        let due = || preset.claims.iter().filter(|claim| claim.after == step);
        let mut verdicts = Vec::new();
        let mut shifts: Vec<&Vec<(String, String)>> = Vec::new();
        for claim in due() {
            if !shifts.contains(&&claim.set) {
                shifts.push(&claim.set);
            }
        }
        for set in shifts {
            let mut judge = |measurement: &Measurement, references: &[ReferenceResult]| {
                verdicts.extend(due().filter(|claim| claim.set == *set).map(|claim| {
                    let value = value(claim.measure, measurement, references);
                    ClaimCheck { held: claim.holds(value), claim: claim.clone(), value }
                }));
            };
            if set.is_empty() {
                let measurement = self.measure_unrecorded(Scope::Whole)?;
                judge(&measurement, self.references());
            } else {
                let settings = set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let preset = self.preset.shifted(settings).map_err(|error| anyhow!("claims: {error}"))?;
                let mut there = self.shifted(preset)?;
                let measurement = there.measure(Scope::Whole)?;
                judge(&measurement, there.references());
            }
        }
        Ok(verdicts)
    }
}

/// A quantity, as measured; NaN where there is none.
fn value(quantity: Quantity, measurement: &Measurement, references: &[ReferenceResult]) -> f64 {
    let equal = &measurement.equivalence;
    let of = |reference: Reference, pick: fn(&ReferenceResult) -> f64| {
        references.iter().find(|result| result.tuned.reference == reference).map_or(f64::NAN, pick)
    };
    match quantity {
        Quantity::LossGap => equal.loss_gap,
        Quantity::PredictionDifference => equal.prediction_difference_relative,
        Quantity::SensitivityCosine => equal.sensitivity_cosine,
        Quantity::StateCosine => equal.state_cosine.unwrap_or(f64::NAN),
        Quantity::ParameterDifference => equal.parameter_difference.unwrap_or(f64::NAN),
        Quantity::LossOver(reference) => measurement.eval_loss / of(reference, |result| result.loss),
        Quantity::MedianOver(reference) => measurement.eval_median / of(reference, |result| result.median),
        Quantity::ReferenceLossOver(one, other) => of(one, |result| result.loss) / of(other, |result| result.loss),
        Quantity::DistanceTo(reference) => {
            equal.distances.iter().find(|(other, _)| *other == reference).map_or(f64::NAN, |(_, distance)| *distance)
        }
        Quantity::Nearest(reference) => f64::from(equal.nearest == reference),
    }
}
