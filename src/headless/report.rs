//! What a training run came to: one JSON object, or a page for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::bounds;
use crate::reference::{Reference, Tuned};
use crate::task::Objective;
use crate::train::{Equivalence, Experiment, Measurement, ReferenceResult, Scope};

/// The JSON object. A number that is not finite is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The preset's name.
    preset: String,
    device: String,
    seed: u64,
    /// Steps done since the run's start.
    steps: u64,
    /// Numbers that the model learns.
    parameters: usize,
    /// Wall-clock time of the training, its measurements included.
    elapsed_s: f64,
    /// Steps done by this command over `elapsed_s`.
    steps_per_s: f64,
    /// The present weights on the batch of the next step.
    train_loss: f32,
    /// What the losses are: "squared-error" or "cross-entropy".
    objective: Objective,
    /// The present weights on the held-out tasks.
    eval_loss: f64,
    eval_median: f64,
    /// Mean loss after 0, 1, …, N pairs on some of them; empty where the model reads only whole contexts.
    loss_by_pairs: Vec<f64>,
    references: References,
    equivalence: Equal,
}

/// The references by name, in the order in which they were measured.
#[derive(Clone, Debug)]
struct References(Vec<(String, Line)>);

/// One reference: its loss on the held-out tasks, what was searched, and what a query costs it.
#[derive(Clone, Debug, Serialize)]
struct Line {
    loss: f64,
    median: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lambda: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gamma: Option<f64>,
    flops: u64,
    loss_by_pairs: Vec<f64>,
}

/// How equal the model is to `reference`.
#[derive(Clone, Debug, Serialize)]
struct Equal {
    reference: String,
    prediction_difference: f64,
    prediction_difference_relative: f64,
    sensitivity_cosine: f64,
    sensitivity_difference: f64,
    loss_gap: f64,
    /// `null` where the model has no state to compare.
    state_cosine: Option<f64>,
    /// `null` where the model has no construction.
    parameter_difference: Option<f64>,
    nearest: String,
}

impl Serialize for References {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, line) in &self.0 {
            map.serialize_entry(name, line)?;
        }
        map.end()
    }
}

impl From<&ReferenceResult> for Line {
    fn from(result: &ReferenceResult) -> Self {
        let Tuned { eta, lambda, gamma, .. } = result.tuned;
        let ReferenceResult { loss, median, ref loss_by_pairs, flops, .. } = *result;
        Self { loss, median, eta, lambda, gamma, flops, loss_by_pairs: loss_by_pairs.clone() }
    }
}

impl From<&Equivalence> for Equal {
    fn from(equal: &Equivalence) -> Self {
        Self {
            reference: equal.reference.to_string(),
            prediction_difference: equal.prediction_difference,
            prediction_difference_relative: equal.prediction_difference_relative,
            sensitivity_cosine: equal.sensitivity_cosine,
            sensitivity_difference: equal.sensitivity_difference,
            loss_gap: equal.loss_gap,
            state_cosine: equal.state_cosine,
            parameter_difference: equal.parameter_difference,
            nearest: equal.nearest.to_string(),
        }
    }
}

impl Report {
    /// Measures the present weights on all held-out tasks, and gathers all.
    pub fn of(experiment: &mut Experiment, trained: u64, elapsed: Duration) -> Result<Self> {
        let Measurement { eval_loss, eval_median, loss_by_pairs, equivalence, .. } = experiment.measure(Scope::All)?;
        let line = |result: &ReferenceResult| (result.tuned.reference.to_string(), Line::from(result));
        let elapsed_s = elapsed.as_secs_f64();
        Ok(Self {
            preset: experiment.name.clone(),
            device: experiment.device().to_owned(),
            seed: experiment.seed(),
            steps: experiment.step(),
            parameters: experiment.preset.parameters(),
            elapsed_s,
            steps_per_s: if trained == 0 { 0.0 } else { trained as f64 / elapsed_s.max(1e-9) },
            train_loss: experiment.batch_loss()?,
            objective: experiment.preset.task.objective(),
            eval_loss,
            eval_median,
            loss_by_pairs,
            references: References(experiment.references().iter().map(line).collect()),
            equivalence: Equal::from(&equivalence),
        })
    }

    /// One JSON object and the end of the line.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// A page for people.
    pub fn page(&self, saved: Option<&Path>) -> String {
        let Self { preset, device, seed, steps, parameters, elapsed_s, steps_per_s, train_loss, eval_loss, .. } = self;
        let equal = &self.equivalence;
        let mut text = format!(
            "{preset} on {device}, seed {seed}, {parameters} parameters\n\
             trained        {steps} steps, {elapsed_s:.1} s, {steps_per_s:.0} steps/s\n\
             loss           held out {eval_loss:.6}, next batch {train_loss:.6} ({})\n",
            self.objective.name()
        );
        for (i, (name, line)) in self.references.0.iter().enumerate() {
            let head = if i == 0 { "references" } else { "" };
            let _ = write!(text, "{head:14} {name} {:.6}", line.loss);
            for (symbol, value) in [("η", line.eta), ("λ", line.lambda), ("γ", line.gamma)] {
                let _ = value.map(|value| write!(text, ", {symbol} {}", (value * 1e4).round() / 1e4));
            }
            text.push('\n');
        }
        let _ = write!(
            text,
            "against {:6} predictions differ by {:.2e}, relative {:.2e}\n\
             {:14} sensitivities: cosine {:.6}, differ by {:.2e}\n\
             {:14} loss gap {:+.3} %\n",
            equal.reference,
            equal.prediction_difference,
            equal.prediction_difference_relative,
            "",
            equal.sensitivity_cosine,
            equal.sensitivity_difference,
            "",
            100.0 * equal.loss_gap
        );
        if let Some(cosine) = equal.state_cosine {
            let _ = writeln!(text, "{:14} state and Σ y xᵀ: cosine {cosine:.6}", "");
        }
        if let Some(difference) = equal.parameter_difference {
            let _ = writeln!(text, "{:14} weights and construction: differ by {difference:.2e}, relative", "");
        }
        let _ = writeln!(text, "nearest        {}", equal.nearest);
        if let Some(file) = saved {
            let _ = writeln!(text, "saved          {}", bounds::line(&file.display().to_string()));
        }
        text
    }
}

/// The loss of one step of gradient descent, where the task has it.
pub fn descent_loss(experiment: &Experiment) -> Option<f64> {
    let descent = |result: &&ReferenceResult| result.tuned.reference == Reference::Gd(1);
    experiment.references().iter().find(descent).map(|result| result.loss)
}
