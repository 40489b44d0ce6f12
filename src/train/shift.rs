//! The present weights on tasks that they were not trained on: does what holds on the training distribution hold
//! beside it?
//!
//! Owns which shifts are worth a look for each task. How one is measured is [`Experiment::shifted`]'s.

use anyhow::{Result, anyhow};

use super::{Experiment, Measurement, Scope};
use crate::preset::Preset;
use crate::reference::Reference;
use crate::task::{InputDistribution, Linear, Task};

/// What the weights were worth on shifted tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// What was changed: "range × 2"; "as trained" where nothing was.
    pub name: String,
    /// The step of the weights.
    pub step: u64,
    pub loss: f64,
    /// The reference that models are held against, with the step size that it chose on the tasks of the training.
    pub reference: Reference,
    /// Its loss on the same tasks.
    pub reference_loss: f64,
    /// Relative prediction difference between the two.
    pub difference: f64,
    /// The reference with the least of them.
    pub nearest: Reference,
}

/// A shift to be measured.
#[derive(Clone, Debug)]
pub struct Shifted {
    name: String,
    preset: Preset,
}

impl Experiment {
    /// The shifts that tell something about the task, the training's own first. Those that the model cannot read are
    /// left out.
    pub fn shifts(&self) -> Vec<Shifted> {
        let own = Shifted { name: "as trained".to_owned(), preset: (*self.preset).clone() };
        let shifted = |(name, key, value): (String, &str, String)| {
            let preset = self.preset.shifted([(key, value.as_str())]).ok()?;
            Some(Shifted { name, preset })
        };
        [own].into_iter().chain(settings(&self.preset.task).into_iter().filter_map(shifted)).collect()
    }

    /// Measures the present weights on shifted tasks.
    pub fn measure_shift(&self, shift: Shifted) -> Result<Shift> {
        let mut there = self.shifted(shift.preset)?;
        let Measurement { step, eval_loss, equivalence, .. } = there.measure_unrecorded(Scope::Glance)?;
        let reference = equivalence.reference;
        let theirs = there.references().iter().find(|result| result.tuned.reference == reference);
        let theirs = theirs.ok_or_else(|| anyhow!("{}: {reference} is not measured", shift.name))?;
        Ok(Shift {
            name: shift.name,
            step,
            loss: eval_loss,
            reference,
            reference_loss: theirs.loss,
            difference: equivalence.prediction_difference_relative,
            nearest: equivalence.nearest,
        })
    }
}

/// In words, the field, and its value.
fn settings(task: &Task) -> Vec<(String, &'static str, String)> {
    let times = |name: &str, key, value: f64, factors: &[(f64, &str)]| -> Vec<_> {
        let row = |(factor, text): &(f64, &str)| (format!("{name} × {text}"), key, (value * factor).to_string());
        factors.iter().map(row).collect()
    };
    let context = |pairs: usize| {
        let row = |text: &str, pairs: usize| (format!("N × {text}"), "task.context", pairs.to_string());
        vec![row("½", (pairs / 2).max(1)), row("2", 2 * pairs)]
    };
    let range = [(0.5, "½"), (1.25, "1¼"), (2.0, "2")];
    match task {
        Task::Linear(linear) => {
            let mut rows = times("range", "task.range", linear.range, &range);
            rows.extend(context(linear.context));
            rows.push(noise(linear));
            rows.push(match linear.inputs {
                InputDistribution::Uniform => ("normal inputs".to_owned(), "task.inputs", "Normal".to_owned()),
                InputDistribution::Normal => ("uniform inputs".to_owned(), "task.inputs", "Uniform".to_owned()),
            });
            rows
        }
        Task::Sine(sine) => [times("range", "task.range", sine.range, &range), context(sine.context)].concat(),
        Task::Classification(classes) => {
            [times("range", "task.range", classes.range, &range), context(classes.context)].concat()
        }
        Task::Differentiation(signal) => {
            let mut rows = times("frequency", "task.frequency", signal.frequency, &range);
            rows.extend(context(signal.context));
            rows
        }
    }
}

/// Noise of half the standard deviation of a target, or none where there was some.
fn noise(linear: &Linear) -> (String, &'static str, String) {
    if linear.noise > 0.0 {
        return ("no noise".to_owned(), "task.noise", "0.0".to_owned());
    }
    let target = linear.weight_scale * linear.range * (linear.dim as f64 / 12.0).sqrt();
    // Two digits are enough, and read better.
    ("noise ½ of y".to_owned(), "task.noise", format!("{:.2e}", 0.5 * target))
}
