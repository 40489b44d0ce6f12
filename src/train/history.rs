//! What a run has reported so far: its curves, its latest measurement, and what was changed by hand.
//!
//! The worker and the lab each fold the same reports into one of these; a session stores it.

use serde::{Deserialize, Serialize};

use super::{Measurement, StepReport};
use crate::series::Series;

/// The learning rate was multiplied by hand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrChange {
    pub step: u64,
    /// The factor on the schedule from this step on.
    pub factor: f64,
}

/// The run went on from here with other fields of its preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    pub step: u64,
    /// The fields that changed, as for `--set`: "train.seed=3".
    pub changes: Vec<String>,
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
    /// Floating-point operations of training since the run's start, about; empty in sessions that were saved before
    /// this was kept.
    #[serde(default)]
    pub operations: Series,
    pub latest: Option<Measurement>,
    pub lr_changes: Vec<LrChange>,
    /// None in sessions that were saved before this was kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<Fork>,
}

impl History {
    /// Every curve that has a point, under its name in reports and exported files.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Series)> {
        let named = [
            ("train_loss", &self.train_loss),
            ("eval_loss", &self.eval_loss),
            ("prediction_difference_relative", &self.prediction_difference),
            ("sensitivity_angle", &self.sensitivity_angle),
            ("loss_gap", &self.loss_gap),
            ("state_angle", &self.state_angle),
            ("operations", &self.operations),
        ];
        named.into_iter().filter(|(_, series)| !series.is_empty())
    }

    /// Whether something was changed while the run trained: then its preset and its seed do not reproduce it.
    pub fn was_changed(&self) -> bool {
        !self.lr_changes.is_empty() || !self.forks.is_empty()
    }

    pub fn record_step(&mut self, report: &StepReport) {
        self.train_loss.push(report.step, report.loss);
    }

    /// Changes at one step are one change.
    pub fn record_lr_change(&mut self, change: LrChange) {
        match self.lr_changes.last_mut() {
            Some(last) if last.step == change.step => *last = change,
            Some(_) | None => self.lr_changes.push(change),
        }
    }

    pub fn record_measurement(&mut self, measurement: &Measurement) {
        let (step, equal) = (measurement.step, &measurement.equivalence);
        self.eval_loss.push(step, measurement.eval_loss as f32);
        self.prediction_difference.push(step, equal.prediction_difference_relative as f32);
        self.sensitivity_angle.push(step, (1.0 - equal.sensitivity_cosine) as f32);
        self.loss_gap.push(step, equal.loss_gap.abs() as f32);
        if let Some(cosine) = equal.state_cosine.or(equal.read_state_cosine) {
            self.state_angle.push(step, (1.0 - cosine) as f32);
        }
        self.latest = Some(measurement.clone());
    }
}
