//! The claims of a preset checked against a measurement.

use serde::{Deserialize, Serialize};

use super::{HeldOut, Measurement, ReferenceResult};
use crate::preset::{Claim, Quantity};
use crate::reference::Reference;

/// A claim, and the measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Verdict")]
pub struct ClaimCheck {
    pub claim: Claim,
    /// NaN if the model or the task has no such quantity.
    pub value: f64,
    pub held: bool,
}

/// What the claims for one step came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimChecks {
    pub checks: Vec<ClaimCheck>,
    /// The loss on all held-out tasks; `None` if no claim is about them at this step.
    pub loss: Option<f64>,
}

impl ClaimCheck {
    pub fn new(claim: &Claim, measurement: &Measurement, held_out: &HeldOut) -> Self {
        let value = value(&claim.measure, measurement, held_out);
        Self { held: claim.holds(value), claim: claim.clone(), value }
    }
}

/// The measured value of a quantity; NaN if there is none, and for those that need another run.
fn value(quantity: &Quantity, measurement: &Measurement, held_out: &HeldOut) -> f64 {
    let equal = &measurement.equivalence;
    let of = |reference: Reference, pick: fn(&ReferenceResult) -> f64| {
        held_out.references().iter().find(|result| result.tuned.reference == reference).map_or(f64::NAN, pick)
    };
    match *quantity {
        Quantity::LossGap => equal.loss_gap,
        Quantity::PredictionDifference => equal.prediction_difference_relative,
        Quantity::SensitivityCosine => equal.sensitivity_cosine,
        Quantity::StateCosine => equal.state_cosine.unwrap_or(f64::NAN),
        Quantity::ReadStateCosine => equal.read_state_cosine.unwrap_or(f64::NAN),
        Quantity::ParameterDifference => equal.parameter_difference.unwrap_or(f64::NAN),
        Quantity::LossOver(reference) => measurement.eval_loss / of(reference, |result| result.loss),
        Quantity::MedianOver(reference) => measurement.eval_median / of(reference, |result| result.median),
        Quantity::ReferenceLossOver(one, other) => of(one, |result| result.loss) / of(other, |result| result.loss),
        Quantity::LossOverFir(length) => measurement.eval_loss / held_out.fir_loss(length),
        Quantity::LossOverPreset(_) => f64::NAN,
        Quantity::DistanceTo(reference) => equal.distance_to(reference).unwrap_or(f64::NAN),
        Quantity::Nearest(reference) => f64::from(equal.is_nearest(reference)),
        Quantity::NearestNone => f64::from(equal.nearest_within().is_none()),
    }
}
