//! Runs on one task side by side: the rows of the table that `innerloop compare` prints and the lab shows.
//!
//! Knows nothing of where the runs come from and of how the table is shown.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::bounds;
use crate::numbers::{count, percent, significant};
use crate::preset::{self, Preset};
use crate::reference::Reference;
use crate::train::{History, Measurement, TrainingTime, best_learner};

/// How far above a level a loss may be that counts as having reached it.
const WITHIN: f64 = 0.01;

/// A run that is to be compared.
pub struct Compared<'a> {
    pub file: Option<&'a Path>,
    /// The preset's name.
    pub name: &'a str,
    pub preset: &'a Preset,
    /// What was changed in the preset; `None` if there is no preset of that name.
    pub overrides: Option<Vec<String>>,
    pub seed: u64,
    pub history: &'a History,
    pub time: &'a TrainingTime,
    pub measured: Measured,
}

/// What the weights at one step came to on the held-out tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub step: u64,
    pub eval_loss: Option<f64>,
    /// The loss of one step of gradient descent.
    pub descent_loss: Option<f64>,
    /// "none" where no reference is near.
    pub nearest: String,
    pub nearest_distance: Option<f64>,
    pub map: MapPlace,
}

/// Where a run lies on the map of learners.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapPlace {
    /// Relative distance from GD-1.
    pub gd_1_distance: Option<f64>,
    /// The best learner for the task.
    pub best_learner: Option<String>,
    /// Relative distance from it.
    pub best_distance: Option<f64>,
}

impl MapPlace {
    fn of(distances: &[(Reference, f64)]) -> Self {
        let best = best_learner(distances.iter().map(|(reference, _)| *reference));
        let to =
            |name: Reference| distances.iter().find(|(reference, _)| *reference == name).map(|(_, distance)| *distance);
        Self {
            gd_1_distance: to(Reference::Gd(1)),
            best_learner: best.map(|best| best.to_string()),
            best_distance: best.and_then(to),
        }
    }

    /// From the object that `innerloop train --json` prints.
    fn of_report(report: &Value) -> Self {
        let distance = |reference: Reference| report.pointer(&format!("/equivalence/distances/{reference}"))?.as_f64();
        let known = Reference::ALL.into_iter().filter_map(|reference| Some((reference, distance(reference)?)));
        Self::of(&known.collect::<Vec<_>>())
    }
}

impl Measured {
    /// From the object that `innerloop train --json` prints.
    pub fn of_report(report: &Value) -> Self {
        let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
        Self {
            step: report.get("steps").and_then(Value::as_u64).unwrap_or(0),
            eval_loss: number("/eval_loss"),
            descent_loss: number("/references/gd-1/loss"),
            nearest: report.pointer("/equivalence/nearest").and_then(Value::as_str).unwrap_or("none").to_owned(),
            nearest_distance: number("/equivalence/nearest_distance"),
            map: MapPlace::of_report(report),
        }
    }

    /// From a measurement during training, which has the same losses and distances as the report at its step.
    pub fn of(measurement: &Measurement, descent_loss: Option<f64>) -> Self {
        let equal = &measurement.equivalence;
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        Self {
            step: measurement.step,
            eval_loss: finite(measurement.eval_loss),
            descent_loss,
            nearest: equal.nearest_within().map_or_else(|| "none".to_owned(), |nearest| nearest.to_string()),
            nearest_distance: finite(equal.nearest_distance()),
            map: MapPlace::of(&equal.distances),
        }
    }
}

/// One run of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub file: Option<String>,
    pub title: String,
    pub preset: String,
    pub seed: u64,
    /// What was changed in the preset; `null` if there is no preset of that name.
    pub overrides: Option<Vec<String>>,
    pub step: u64,
    pub eval_loss: Option<f64>,
    pub loss_over_gd_1: Option<f64>,
    pub nearest: String,
    pub nearest_distance: Option<f64>,
    /// The first measured step with a held-out loss within 1 % of the level or below; `null` if there is none.
    pub steps_to_level: Option<u64>,
    /// Seconds of training up to that step; `null` if they were not kept.
    pub seconds_to_level: Option<f64>,
    pub parameters: usize,
    /// `null` if they are not known.
    pub flops_per_query: Option<u64>,
    /// Relative distance of the answers from those of GD-1.
    pub gd_1_distance: Option<f64>,
    /// The best learner for the task, and the relative distance from it.
    pub best_learner: Option<String>,
    pub best_distance: Option<f64>,
}

impl Row {
    /// The row of a run; `level` is the loss whose reaching is timed.
    pub fn of(run: &Compared<'_>, level: f64) -> Self {
        let Measured { step, eval_loss, descent_loss, nearest, nearest_distance, map } = run.measured.clone();
        let MapPlace { gd_1_distance, best_learner, best_distance } = map;
        let mut buckets = run.history.eval_loss.buckets().iter();
        let steps_to_level =
            buckets.find(|bucket| f64::from(bucket.mean) <= level * (1.0 + WITHIN)).map(|bucket| bucket.step);
        Self {
            file: run.file.map(|file| bounds::line(&file.display().to_string())),
            title: run.preset.title.clone(),
            preset: run.name.to_owned(),
            seed: run.seed,
            overrides: run.overrides.clone(),
            step,
            eval_loss,
            loss_over_gd_1: eval_loss.zip(descent_loss).map(|(loss, descent)| loss / descent),
            nearest,
            nearest_distance,
            steps_to_level,
            seconds_to_level: steps_to_level.and_then(|step| run.time.until(step)),
            parameters: run.preset.parameters(),
            flops_per_query: run.preset.query_flops(),
            gd_1_distance,
            best_learner,
            best_distance,
        }
    }

    /// The cells under [`head`].
    fn cells(&self) -> Vec<String> {
        let none = || "–".to_owned();
        let changed = match self.overrides.as_deref() {
            None | Some([]) => none(),
            Some(changed) => bounds::shortened(&changed.join(", "), 60),
        };
        let distance = self.nearest_distance.map_or_else(String::new, |distance| format!(" {}", percent(distance)));
        vec![
            bounds::line(&self.preset),
            self.seed.to_string(),
            bounds::line(&changed),
            count(self.step),
            self.eval_loss.map_or_else(none, |loss| significant(loss, 4)),
            self.loss_over_gd_1.map_or_else(none, |over| significant(over, 4)),
            format!("{}{distance}", self.nearest),
            self.steps_to_level.map_or_else(|| "not reached".to_owned(), count),
            self.seconds_to_level.map_or_else(none, |seconds| significant(seconds, 3)),
            count(self.parameters as u64),
            self.flops_per_query.map_or_else(none, count),
            self.gd_1_distance.map_or_else(none, percent),
            self.best_distance.map_or_else(none, percent),
        ]
    }
}

/// The names of the columns; `level` is what the loss is to reach: a reference or a number. `best` is the best learner.
fn head(level: &str, best: &str) -> Vec<String> {
    let (steps, seconds) = (format!("steps to {level}"), format!("seconds to {level}"));
    ["run", "seed", "changed", "step", "loss", "loss / gd-1", "nearest", &steps, &seconds, "parameters"]
        .into_iter()
        .chain(["operations per query", "from gd-1", &format!("from {best}")])
        .map(str::to_owned)
        .collect()
}

/// The table as cells, its head first.
pub fn table(rows: &[Row], level: &str) -> Vec<Vec<String>> {
    let best = rows.iter().find_map(|row| row.best_learner.as_deref()).unwrap_or("the best");
    [head(level, best)].into_iter().chain(rows.iter().map(Row::cells)).collect()
}

/// How the tasks of two presets differ: what the first has, and what the second has instead; `None` if they are the
/// same. Losses on different tasks mean different things.
pub fn task_difference(one: &Preset, two: &Preset) -> Option<(String, String)> {
    if one.task == two.task {
        return None;
    }
    let fields = |from: &Preset, to: &Preset| {
        let of_task = preset::differences(from, to).into_iter().filter(|(key, _)| key.starts_with("task"));
        let fields = of_task.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
        bounds::line(&bounds::shortened(&fields, 200))
    };
    Some((fields(two, one), fields(one, two)))
}
