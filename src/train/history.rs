//! What a run has shown so far: its curves, its latest measurement, and when somebody turned the learning rate.
//!
//! The worker and the lab each fold the same reports into one of these; a session keeps it.

use serde::{Deserialize, Serialize};

use crate::reference::Reference;
use crate::series::Series;

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Loss of this step's batch, before its update.
    pub loss: f32,
    /// Learning rate that the step used.
    pub lr: f64,
}

/// How equal the model is to gradient descent and its kin, over the held-out tasks, after a number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    pub step: u64,
    /// Held-out loss of the model.
    pub eval_loss: f64,
    /// The loss in the middle of the held-out tasks.
    #[serde(default = "nan")]
    pub eval_median: f64,
    /// Mean loss after 0, 1, …, N pairs, over the same tasks as [`super::ReferenceResult::running`]. NaN after as many
    /// pairs as the model cannot read; empty where it can read only N, or contexts are too long.
    #[serde(default)]
    #[serde(alias = "running")]
    pub loss_by_pairs: Vec<f64>,
    pub equivalence: Equivalence,
}

/// Sessions of the first versions lack it.
fn nan() -> f64 {
    f64::NAN
}

/// The distance between a model f and a reference g, averaged over the held-out tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivalence {
    /// g.
    pub reference: Reference,
    /// mean ‖f(x_q) − g(x_q)‖₂.
    pub prediction_difference: f64,
    /// The same, divided by mean ‖g(x_q)‖₂.
    pub prediction_difference_relative: f64,
    /// mean cosine between ∂f/∂x_q and ∂g/∂x_q, output by output.
    pub sensitivity_cosine: f64,
    /// mean ‖∂f/∂x_q − ∂g/∂x_q‖₂ (Frobenius, over all outputs).
    pub sensitivity_difference: f64,
    /// loss(f) / loss(g) − 1.
    pub loss_gap: f64,
    /// mean |cosine| between the hidden state and Σ y xᵀ over tasks and tokens; none where a model has no such state.
    pub state_cosine: Option<f64>,
    /// How far the weights are from the construction's, relative, once their symmetries are divided out: see
    /// [`crate::nn::parameter_difference`]; none where there is no construction.
    #[serde(default)]
    pub parameter_difference: Option<f64>,
    /// The reference with the least relative prediction difference.
    pub nearest: Reference,
    /// Relative prediction difference to every reference that applies.
    pub distances: Vec<(Reference, f64)>,
}

/// The learning rate was multiplied by hand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrChange {
    pub step: u64,
    /// The factor on the schedule from this step on.
    pub factor: f64,
}

/// Everything a run has reported, in bounded memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    pub train_loss: Series,
    pub eval_loss: Series,
    /// Relative prediction difference.
    pub prediction_difference: Series,
    /// 1 − sensitivity cosine.
    pub sensitivity_angle: Series,
    /// |loss gap|.
    pub loss_gap: Series,
    /// 1 − state cosine.
    pub state_angle: Series,
    pub latest: Option<Measurement>,
    pub lr_changes: Vec<LrChange>,
}

impl History {
    pub fn record_step(&mut self, report: &StepReport) {
        self.train_loss.push(report.step, report.loss);
    }

    pub fn record_measurement(&mut self, measurement: &Measurement) {
        let (step, equal) = (measurement.step, &measurement.equivalence);
        self.eval_loss.push(step, measurement.eval_loss as f32);
        self.prediction_difference.push(step, equal.prediction_difference_relative as f32);
        self.sensitivity_angle.push(step, (1.0 - equal.sensitivity_cosine) as f32);
        self.loss_gap.push(step, equal.loss_gap.abs() as f32);
        if let Some(cosine) = equal.state_cosine {
            self.state_angle.push(step, (1.0 - cosine) as f32);
        }
        self.latest = Some(measurement.clone());
    }
}
