//! The claims of a preset checked against a measurement.

use serde::{Deserialize, Serialize};

use super::{CellWeights, HeldOut, LinearProbes, Measurement, ReferenceResult};
use crate::nn::model::Architecture;
use crate::nn::{AttentionForm, Cost};
use crate::preset::{Claim, Preset, Quantity};
use crate::reference::Reference;
use crate::task::Shape;

/// A claim, and the measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Verdict")]
pub struct ClaimCheck {
    pub claim: Claim,
    /// NaN if the model or the task has no such quantity.
    pub value: f64,
    pub held: bool,
}

/// What claims are checked against.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    pub preset: &'a Preset,
    pub measurement: &'a Measurement,
    pub held_out: &'a HeldOut,
    /// Where a claim needs them and the network has layers.
    pub probes: Option<&'a LinearProbes>,
    /// Where a claim needs it and the network has it.
    pub attention_form: Option<&'a AttentionForm>,
}

/// What the claims for one step came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimChecks {
    pub checks: Vec<ClaimCheck>,
    /// Of the weights on all held-out tasks; `None` if no claim is about them at this step.
    pub measurement: Option<Measurement>,
}

impl ClaimChecks {
    /// The loss on all held-out tasks, where it was measured.
    pub fn loss(&self) -> Option<f64> {
        self.measurement.as_ref().map(|measurement| measurement.eval_loss)
    }
}

impl ClaimCheck {
    pub fn new(claim: &Claim, measured: Measured<'_>) -> Self {
        let value = value(&claim.measure, measured);
        Self { held: claim.holds(value), claim: claim.clone(), value }
    }
}

/// The measured value of a quantity; NaN if there is none, and for those that need another run.
fn value(quantity: &Quantity, measured: Measured<'_>) -> f64 {
    let Measured { preset, measurement, held_out, probes, attention_form } = measured;
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
        Quantity::ReferenceOperationsOver(one, other) => {
            of(one, |result| result.flops as f64) / of(other, |result| result.flops as f64)
        }
        Quantity::LossOverFir(length) => measurement.eval_loss / held_out.fir_loss(length),
        Quantity::LossOverPreset(_) => f64::NAN,
        Quantity::KeptOver(pairs, others) => cost_ratio(preset, (pairs, others), |cost| cost.kept),
        Quantity::OperationsOver(pairs, others) => cost_ratio(preset, (pairs, others), |cost| cost.flops),
        Quantity::WeightAboveOverBeside => {
            let cells = measurement.cell_weights.as_ref();
            cells.and_then(CellWeights::above_over_beside).unwrap_or(f64::NAN)
        }
        Quantity::LinearProbe { layer, learner } => {
            probes.and_then(|probes| probes.r_squared(layer, learner)).unwrap_or(f64::NAN)
        }
        Quantity::FormDifference => attention_form.map_or(f64::NAN, AttentionForm::difference),
        Quantity::DistanceTo(reference) => equal.distance_to(reference).unwrap_or(f64::NAN),
        Quantity::Nearest(reference) => f64::from(equal.is_nearest(reference)),
        Quantity::NearestNone => f64::from(equal.nearest_within().is_none()),
    }
}

/// What the last token costs with a context of so many pairs, over what it costs with so many others; one token after
/// the other where the model has that form, else all at once.
fn cost_ratio(preset: &Preset, (pairs, others): (usize, usize), number: fn(Cost) -> u64) -> f64 {
    let with = |context: usize| {
        let shape = Shape { context, ..preset.task.shape() };
        let costs = preset.model.costs(shape, preset.layout, preset.layout.tokens(shape));
        costs.step.or(costs.whole).map_or(f64::NAN, |cost| number(cost) as f64)
    };
    with(pairs) / with(others)
}
