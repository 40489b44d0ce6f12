//! What a training run came to: one JSON object, or a page for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::VERSION;
use crate::bounds;
use crate::numbers::{cosine, count, duration, percent, rate, significant};
use crate::preset;
use crate::reference::{Reference, Tuned};
use crate::sweep;
use crate::task::Objective;
use crate::train::{
    Equivalence, Experiment, History, LossDifference, Measurement, NEAR, ReferenceResult, Scope, Solved, TrainingTime,
};
use crate::uncertainty::with_error;

/// The JSON object. A number that is not finite is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this program, and its commit; `null` where that is not known.
    version: &'static str,
    commit: Option<&'static str>,
    /// The preset's name.
    preset: String,
    /// What was changed in it, as for `--set`; `null` if there is no preset of that name.
    overrides: Option<Vec<String>>,
    device: String,
    /// Why `auto` chose this device, or why it trains more slowly than it could; `null` if there is nothing to say.
    device_note: Option<String>,
    seed: u64,
    /// Steps done since the run's start.
    steps: u64,
    /// Numbers that the model learns.
    parameters: usize,
    /// Wall-clock time of the training, its measurements included.
    elapsed_s: f64,
    /// Steps done by this command over `elapsed_s`.
    steps_per_s: f64,
    /// What the last step solved for, where the optimiser does.
    #[serde(skip_serializing_if = "Option::is_none")]
    solved: Option<LastSolve>,
    /// Floating-point operations of training since the run's start, about.
    operations: Option<f32>,
    /// The present weights on the batch of the next step.
    train_loss: f32,
    /// What the losses are: "squared-error" or "cross-entropy".
    objective: Objective,
    /// The present weights on the held-out tasks.
    eval_loss: f64,
    eval_loss_standard_error: f64,
    eval_median: f64,
    /// Mean loss after 0, 1, …, N pairs on some of them; empty where the model reads only whole contexts.
    loss_by_pairs: Vec<f64>,
    references: References,
    equivalence: Equal,
    /// Every curve as a list of buckets `[step, least, mean, greatest]`, with `--curves`.
    #[serde(skip_serializing_if = "Option::is_none")]
    curves: Option<serde_json::Value>,
}

/// The weights that a step solved for, and the tasks whose equations it solved.
#[derive(Clone, Debug, Serialize)]
struct LastSolve {
    weights: String,
    tasks: usize,
}

/// The references by name, in the order in which they were measured.
#[derive(Clone, Debug)]
struct References(Vec<(String, Line)>);

/// One reference: its loss on the held-out tasks, its parameters, what a query costs it, and the model's loss minus its
/// own.
#[derive(Clone, Debug, Serialize)]
struct Line {
    loss: f64,
    loss_standard_error: f64,
    median: f64,
    /// By formula, where there is a closed form for the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta: Option<f64>,
    /// The step sizes of descent with a free one for each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    etas: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forgetting: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lambda: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gamma: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<f64>,
    flops: u64,
    /// Mean over the same tasks, with the standard error of the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_difference: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_difference_standard_error: Option<f64>,
    loss_by_pairs: Vec<f64>,
    /// By formula, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_loss_by_pairs: Option<Vec<f64>>,
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
    loss_gap_standard_error: f64,
    /// Of the state as it is; `null` where the model has no such state to compare.
    state_cosine: Option<f64>,
    /// Of a state that is read through learnt weights; `null` where the model has none.
    read_state_cosine: Option<f64>,
    /// Tasks that sensitivities and states were compared on.
    compared_tasks: usize,
    /// `null` where the model has no construction.
    parameter_difference: Option<f64>,
    /// "none" where every reference is farther than 15 % of the true answers' norm.
    nearest: String,
    /// Of the reference with the least distance, even where `nearest` is "none".
    nearest_distance: f64,
    /// References that are as near within twice the paired standard error.
    ties: Vec<String>,
    /// Relative prediction difference to each reference that equals no simpler one.
    distances: Distances,
}

/// Distances by name, the nearest first.
#[derive(Clone, Debug)]
struct Distances(Vec<(String, f64)>);

impl Serialize for Distances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, distance)| (name, distance)))
    }
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

impl Line {
    fn new(result: &ReferenceResult, differences: &[LossDifference]) -> Self {
        let Tuned { reference, eta, etas, momentum, forgetting, lambda, gamma, alpha, .. } = result.tuned;
        let difference = differences.iter().find(|difference| difference.reference == reference);
        Self {
            loss: result.loss,
            loss_standard_error: result.loss_standard_error,
            median: result.median,
            expected_loss: result.expected_loss(),
            eta,
            etas: etas.map(|etas| etas.into_iter().filter(|eta| *eta != 0.0).collect()),
            momentum,
            forgetting,
            lambda,
            gamma,
            alpha,
            flops: result.flops,
            loss_difference: difference.map(|difference| difference.mean),
            loss_difference_standard_error: difference.map(|difference| difference.standard_error),
            loss_by_pairs: result.loss_by_pairs.clone(),
            expected_loss_by_pairs: result.expected_by_pairs.clone(),
        }
    }
}

impl From<&Equivalence> for Equal {
    fn from(equal: &Equivalence) -> Self {
        let mut distances: Vec<_> =
            equal.distances.iter().map(|(name, distance)| (name.to_string(), *distance)).collect();
        distances.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self {
            reference: equal.reference.to_string(),
            prediction_difference: equal.prediction_difference,
            prediction_difference_relative: equal.prediction_difference_relative,
            sensitivity_cosine: equal.sensitivity_cosine,
            sensitivity_difference: equal.sensitivity_difference,
            loss_gap: equal.loss_gap,
            loss_gap_standard_error: equal.loss_gap_standard_error,
            state_cosine: equal.state_cosine,
            read_state_cosine: equal.read_state_cosine,
            compared_tasks: equal.compared_tasks,
            parameter_difference: equal.parameter_difference,
            nearest: equal.nearest_within().map_or_else(|| "none".to_owned(), |nearest| nearest.to_string()),
            nearest_distance: equal.nearest_distance(),
            ties: equal.ties.iter().map(ToString::to_string).collect(),
            distances: Distances(distances),
        }
    }
}

impl Report {
    /// Measures the present weights on all held-out tasks, and gathers all.
    pub fn of(experiment: &mut Experiment, trained: u64, elapsed: Duration) -> Result<Self> {
        let measurement = experiment.measure(Scope::All)?;
        let Measurement { eval_loss, eval_loss_standard_error, eval_median, .. } = measurement;
        let line = |result: &ReferenceResult| {
            (result.tuned.reference.to_string(), Line::new(result, &measurement.loss_differences))
        };
        let elapsed_s = elapsed.as_secs_f64();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            preset: experiment.name.clone(),
            overrides: preset::overridden(&experiment.name, &experiment.preset),
            device: experiment.device().to_owned(),
            device_note: experiment.device_note().map(str::to_owned),
            seed: experiment.seed(),
            steps: experiment.step(),
            parameters: experiment.preset.parameters(),
            elapsed_s,
            steps_per_s: if trained == 0 { 0.0 } else { trained as f64 / elapsed_s.max(1e-9) },
            solved: experiment.solved().map(|Solved { weights, tasks }| LastSolve { weights, tasks }),
            operations: experiment.history.operations.last().map(|(_, operations)| operations),
            train_loss: experiment.batch_loss()?,
            objective: experiment.preset.task.objective(),
            eval_loss,
            eval_loss_standard_error,
            eval_median,
            references: References(experiment.references().iter().map(line).collect()),
            equivalence: Equal::from(&measurement.equivalence),
            loss_by_pairs: measurement.loss_by_pairs,
            curves: None,
        })
    }

    /// The same with the curves of a run.
    pub fn with_curves(self, history: &History, time: &TrainingTime) -> Self {
        Self { curves: Some(sweep::curves(history, time)), ..self }
    }

    /// One JSON object and the end of the line.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// The same as a value.
    pub fn value(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.json()?)?)
    }

    /// A page for people.
    pub fn page(&self, saved: Option<&Path>) -> String {
        let Self { preset, device, seed, steps, parameters, elapsed_s, steps_per_s, train_loss, .. } = self;
        let equal = &self.equivalence;
        let eval_loss = with_error(self.eval_loss, self.eval_loss_standard_error);
        // What is only measured took no time to train here.
        let speed = match *steps_per_s > 0.0 {
            true => format!(", {}, {}", duration(*elapsed_s), rate(*steps_per_s)),
            false => String::new(),
        };
        let mut text = format!(
            "{preset} on {device}, seed {seed}, {} parameters\n\
             trained        {} steps{speed}\n\
             loss           held out {eval_loss}, next batch {} ({})\n",
            count(*parameters as u64),
            count(*steps),
            significant(f64::from(*train_loss), 4),
            self.objective.name()
        );
        if let Some(changed) = self.overrides.as_ref().filter(|changed| !changed.is_empty()) {
            let _ = writeln!(text, "changed        {}", changed.join(", "));
        }
        for (i, (name, line)) in self.references.0.iter().enumerate() {
            let head = if i == 0 { "references" } else { "" };
            let loss = with_error(line.loss, line.loss_standard_error);
            let parameters: String = line.parameters().iter().map(|parameter| format!(", {parameter}")).collect();
            let _ = writeln!(text, "{head:14} {name} {loss}{parameters}");
        }
        let _ = write!(
            text,
            "against {:6} predictions differ by {}\n\
             {:14} sensitivities: cosine {}, on {} tasks\n\
             {:14} loss gap {} %\n",
            equal.reference,
            percent(equal.prediction_difference_relative),
            "",
            cosine(equal.sensitivity_cosine),
            count(equal.compared_tasks as u64),
            "",
            with_error(100.0 * equal.loss_gap, 100.0 * equal.loss_gap_standard_error)
        );
        if let Some(value) = equal.state_cosine {
            let _ = writeln!(text, "{:14} state and Σ y xᵀ: cosine {}", "", cosine(value));
        }
        if let Some(value) = equal.read_state_cosine {
            let _ = writeln!(text, "{:14} state as read and Σ y xᵀ: cosine {}", "", cosine(value));
        }
        if let Some(difference) = equal.parameter_difference {
            let _ = writeln!(text, "{:14} weights and construction: differ by {}", "", percent(difference));
        }
        let _ = writeln!(text, "nearest        {}", equal.nearest_line());
        if let Some(file) = saved {
            let _ = writeln!(text, "saved          {}", bounds::line(&file.display().to_string()));
        }
        text
    }
}

impl Line {
    /// "η 6.061", "forgetting 0.944".
    fn parameters(&self) -> Vec<String> {
        let rounded = |value: f64| format!("{}", (value * 1e4).round() / 1e4);
        let etas =
            self.etas.as_ref().map(|etas| etas.iter().map(|eta| rounded(*eta)).collect::<Vec<_>>().join(" and "));
        let named = [
            ("η", self.eta.map(rounded)),
            ("η", etas),
            ("momentum", self.momentum.map(rounded)),
            ("forgetting", self.forgetting.map(rounded)),
            ("λ", self.lambda.map(rounded)),
            ("γ", self.gamma.map(rounded)),
            ("α", self.alpha.map(rounded)),
        ];
        named.into_iter().filter_map(|(symbol, value)| Some(format!("{symbol} {}", value?))).collect()
    }
}

impl Equal {
    /// "gd-10 9.7 %, tied with gd-5", "none within 15 %: zero 28 %".
    fn nearest_line(&self) -> String {
        let distance = percent(self.nearest_distance);
        if self.nearest == "none" {
            let closest = self.distances.0.first().map_or("", |(name, _)| name.as_str());
            return format!("none within {:.0} %: {closest} {distance}", 100.0 * NEAR);
        }
        let ties = if self.ties.is_empty() { String::new() } else { format!(", tied with {}", self.ties.join(", ")) };
        format!("{} {distance}{ties}", self.nearest)
    }
}

/// The parameters of a learner under the names of the JSON, without those that it does not have.
pub fn named_parameters(tuned: &Tuned) -> serde_json::Map<String, serde_json::Value> {
    let Tuned { eta, etas, momentum, forgetting, lambda, gamma, alpha, .. } = *tuned;
    let etas = etas.map(|etas| etas.into_iter().filter(|eta| *eta != 0.0).collect::<Vec<_>>());
    let one = |name: &str, value: Option<f64>| Some((name.to_owned(), serde_json::Value::from(value?)));
    let numbers = [
        one("eta", eta),
        etas.map(|etas| ("etas".to_owned(), serde_json::Value::from(etas))),
        one("momentum", momentum),
        one("forgetting", forgetting),
        one("lambda", lambda),
        one("gamma", gamma),
        one("alpha", alpha),
    ];
    numbers.into_iter().flatten().collect()
}

/// The commit of this program, from [`VERSION`].
fn commit() -> Option<&'static str> {
    VERSION.split_once('(').map(|(_, rest)| rest.trim_end_matches(')'))
}

/// The loss of one step of gradient descent, where the task has it.
pub fn descent_loss(experiment: &Experiment) -> Option<f64> {
    let descent = |result: &&ReferenceResult| result.tuned.reference == Reference::Gd(1);
    experiment.references().iter().find(descent).map(|result| result.loss)
}
