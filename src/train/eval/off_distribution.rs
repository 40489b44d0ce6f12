//! The present weights on tasks that they were not trained on: whether what holds on the training distribution also
//! holds off it.
//!
//! Defines the shifts of each task. [`super::super::Experiment::measure_shift`] measures one.

use anyhow::{Result, anyhow};

use super::distance::{distances, mean};
use super::{Measurement, ReferenceResult};
use crate::preset::Preset;
use crate::reference::Reference;
use crate::task::{InputDistribution, Linear, Task};

/// The present weights measured on shifted tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// What was changed: "range × 2"; "as trained" for the training tasks.
    pub name: String,
    /// The step of the weights.
    pub step: u64,
    pub loss: f64,
    /// The reference that models are compared with, with the step size that it chose on the training tasks.
    pub reference: Reference,
    /// Its loss on the same tasks.
    pub reference_loss: f64,
    /// The loss of predicting zero on the same tasks, where it is measured.
    pub zero_loss: Option<f64>,
    /// Relative prediction difference between the two.
    pub difference: f64,
    /// The reference with the smallest relative prediction difference. On contexts of another length than in training a
    /// learner whose gain is divided by N is compared twice, [`Reference::Frozen`] with the gain that it had in
    /// training.
    pub nearest: Reference,
    /// Its relative prediction difference.
    pub nearest_distance: f64,
    /// How far the answers moved from those to the same tasks as trained, relative to the true answers' mean norm. Only
    /// where the tasks are the same but for the order of their pairs.
    pub moved: Option<f64>,
}

/// A shift to be measured.
#[derive(Clone, Debug)]
pub struct Shifted {
    pub name: String,
    pub preset: Preset,
}

impl Shift {
    /// # Errors
    /// The reference of the measurement is not among `references`.
    pub fn new(name: String, measurement: Measurement, references: &[ReferenceResult]) -> Result<Self> {
        let Measurement { step, eval_loss, equivalence, .. } = measurement;
        let reference = equivalence.reference;
        let find = |wanted: Reference| references.iter().find(|result| result.tuned.reference == wanted);
        let main = find(reference).ok_or_else(|| anyhow!("{name}: {reference} is not measured"))?;
        Ok(Self {
            name,
            step,
            loss: eval_loss,
            reference,
            reference_loss: main.loss,
            zero_loss: find(Reference::Zero).map(|result| result.loss),
            difference: equivalence.prediction_difference_relative,
            nearest: equivalence.nearest,
            nearest_distance: equivalence.nearest_distance(),
            moved: None,
        })
    }
}

/// The distance between the answers, (B, d_out), to tasks and to the same tasks with their pairs in another order,
/// relative to `scale`.
pub fn moved(answers: &[f32], shuffled: &[f32], outputs: usize, scale: f64) -> f64 {
    mean(&distances(answers, shuffled, outputs)) / scale
}

/// The shifts of a preset's task, the training tasks themselves first. Those that its model cannot read are left out.
pub fn shifts(preset: &Preset) -> Vec<Shifted> {
    let own = Shifted { name: "as trained".to_owned(), preset: preset.clone() };
    let shifted = |Setting { name, key, value }: Setting| {
        Some(Shifted { name, preset: preset.shifted([(key, value.as_str())]).ok()? })
    };
    [own].into_iter().chain(settings(&preset.task).into_iter().filter_map(shifted)).collect()
}

/// One field of a task changed.
#[derive(Clone)]
struct Setting {
    name: String,
    key: &'static str,
    value: String,
}

fn settings(task: &Task) -> Vec<Setting> {
    let times = |name: &str, key, value: f64, factors: &[(f64, &str)]| -> Vec<_> {
        let row = |(factor, text): &(f64, &str)| Setting {
            name: format!("{name} × {text}"),
            key,
            value: (value * factor).to_string(),
        };
        factors.iter().map(row).collect()
    };
    let context = |pairs: usize| {
        let row = |text: &str, pairs: usize| Setting {
            name: format!("N × {text}"),
            key: "task.context",
            value: pairs.to_string(),
        };
        vec![row("½", (pairs / 2).max(1)), row("2", 2 * pairs)]
    };
    let range = [(0.5, "½"), (1.25, "1¼"), (2.0, "2")];
    match task {
        Task::Linear(linear) => {
            let mut rows = times("range", "task.range", linear.range, &range);
            rows.extend(context(linear.context));
            rows.push(noise(linear));
            rows.push(Setting { name: "shuffled pairs".to_owned(), key: "task.shuffled", value: "true".to_owned() });
            let (name, value) = match linear.inputs {
                InputDistribution::Uniform => ("normal inputs", "Normal"),
                InputDistribution::Normal => ("uniform inputs", "Uniform"),
            };
            rows.push(Setting { name: name.to_owned(), key: "task.inputs", value: value.to_owned() });
            rows
        }
        Task::Sine(sine) => [times("range", "task.range", sine.range, &range), context(sine.context)].concat(),
        Task::Classification(classes) => {
            [times("range", "task.range", classes.range, &range), context(classes.context)].concat()
        }
        Task::LinearGrid(grid) => {
            [times("range", "task.range", grid.range, &range), times("length", "task.length", grid.length, &range)]
                .concat()
        }
        Task::Differentiation(signal) => {
            let mut rows = times("frequency", "task.frequency", signal.frequency, &range);
            rows.extend(context(signal.context));
            rows
        }
    }
}

/// Noise of half the standard deviation of a target; no noise for a task that has some.
fn noise(linear: &Linear) -> Setting {
    let target = linear.weight_scale * linear.range * (linear.dim as f64 / 12.0).sqrt();
    let (name, value) = match linear.noise > 0.0 {
        true => ("no noise", "0.0".to_owned()),
        // Two digits, to be read on the screen.
        false => ("noise ½ of y", format!("{:.2e}", 0.5 * target)),
    };
    Setting { name: name.to_owned(), key: "task.noise", value }
}
