//! A run on disk: one readable RON file; and the results of presets, in another.
//!
//! Defines the form and the versions of the files. A save that fails leaves the previous file as it was.

mod file;
mod listing;
mod manage;
mod result_cache;
mod store;
mod target;

pub use file::{SessionFile, stem};
pub use listing::{Heads, digest, files, list};
pub use manage::{delete, rename};
pub use result_cache::{ClaimRecord, ClaimResult, PresetResults, ResultCache};
pub use store::{load, save, understand};
pub use target::{Planned, is_session_name, may_replace};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::preset::{self, Preset};
use crate::reference::Reference;
use crate::series::Series;
use crate::train::{self, Checkpoint, DeviceChoice, Experiment, History, TrainingTime, Watch};

/// The version of the file format that this program writes, and the only one that it reads.
pub const SCHEMA: u32 = 1;
/// The greatest number of steps of a run; a file with more is damaged.
const MOST_STEPS: u64 = 1_000_000_000_000;

/// A saved run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub schema: u32,
    /// The preset's name.
    #[serde(deserialize_with = "bounds::label")]
    pub name: String,
    /// What lists show of the run; `None` in sessions that were saved before this was kept.
    #[serde(default)]
    pub digest: Option<Digest>,
    pub preset: Preset,
    pub checkpoint: Checkpoint,
    pub history: History,
    /// Zero in sessions that were saved before this was kept.
    #[serde(default)]
    pub time: TrainingTime,
}

/// One row of the list of sessions.
#[derive(Clone, Debug)]
pub struct Summary {
    pub path: PathBuf,
    pub modified: SystemTime,
    /// What the file holds, or why it cannot be read (one line).
    pub content: Result<Content, String>,
}

/// What lists show of a run. It stands near the start of the file, before the weights, so that a list need not read
/// those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    pub step: u64,
    pub seed: u64,
    /// The latest held-out loss.
    pub eval_loss: Option<f64>,
    /// The reference with the least distance, and that distance: as in [`Equivalence`](train::Equivalence).
    pub nearest: Option<(Reference, f64)>,
    /// Held-out loss over the run, at most 48 values, for a sparkline.
    pub curve: Vec<f32>,
}

/// The summary of a session in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub name: String,
    pub preset: Arc<Preset>,
    /// What was changed in the preset, as for `--set`; `None` if there is no preset of that name.
    pub overrides: Option<Vec<String>>,
    /// Loss, nearest reference and curve are missing in old files until all of them has been read.
    pub digest: Digest,
}

/// What a run starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A preset and the name it is known by.
    Preset(String, Box<Preset>),
    /// A session and the file it was read from.
    Session(PathBuf, Box<Session>),
}

impl Source {
    /// The name of the preset.
    pub fn name(&self) -> &str {
        match self {
            Self::Preset(name, _) => name,
            Self::Session(_, session) => &session.name,
        }
    }

    pub fn preset(&self) -> &Preset {
        match self {
            Self::Preset(_, preset) => preset,
            Self::Session(_, session) => &session.preset,
        }
    }
}

/// A preset by name, or a preset or a session by path.
pub fn find(argument: &str) -> Result<Source> {
    if preset::is_path(argument) {
        return open(Path::new(argument));
    }
    let (name, preset) = preset::find(argument)?;
    Ok(Source::Preset(name, Box::new(preset)))
}

/// The preset or the session in a file, distinguished by its content.
pub fn open(path: &Path) -> Result<Source> {
    if store::is_session(path)? {
        return Ok(Source::Session(path.to_owned(), Box::new(load(path)?)));
    }
    Ok(Source::Preset(preset::stem(path), Box::new(preset::load(path)?)))
}

/// Fields of a session that contradict each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Inconsistency {
    /// The field of the session that contains them.
    pub within: &'static str,
    pub message: String,
}

impl Session {
    /// The present state of a run.
    pub fn of(experiment: &Experiment) -> Result<Self> {
        Ok(Self {
            schema: SCHEMA,
            name: experiment.name.clone(),
            digest: Some(Digest::of(experiment.step(), experiment.seed(), &experiment.history)),
            preset: (*experiment.preset).clone(),
            checkpoint: experiment.checkpoint()?,
            history: experiment.history.clone(),
            time: experiment.time.clone(),
        })
    }

    /// Continues the run, bit by bit as it would have continued.
    pub fn resume(self, device: DeviceChoice) -> Result<Experiment> {
        self.resume_watched(device, &|_| true)
    }

    /// The same; `watch` follows the opening and may cancel it, with the error [`Cancelled`](train::Cancelled).
    pub fn resume_watched(self, device: DeviceChoice, watch: Watch) -> Result<Experiment> {
        let mut experiment = Experiment::resume(&self.name, self.preset, self.checkpoint, self.history, device, watch)?;
        experiment.time = self.time;
        Ok(experiment)
    }

    /// Checks fields together: the parameters are those of the preset's model, and the curves end at the run's step.
    pub fn check(&self) -> Result<(), Inconsistency> {
        let inconsistent = |within, message: String| Err(Inconsistency { within, message });
        let Checkpoint { step, parameters, .. } = &self.checkpoint;
        if let Err(error) = self.preset.check() {
            return inconsistent("preset", format!("{error:#}"));
        }
        if let Err(error) = self.checkpoint.check() {
            return inconsistent("checkpoint", format!("{error:#}"));
        }
        let (found, needed) = (parameters.iter().map(|p| p.values.len()).sum::<usize>(), self.preset.parameters());
        if found != needed {
            let message = format!("parameters: these are {found} numbers, but the preset's model has {needed}");
            return inconsistent("checkpoint", message);
        }
        // Not earlier: a damaged file must not make the program build a model that is too large.
        if let Err(error) = train::fits(&self.preset, &self.checkpoint) {
            return inconsistent("checkpoint", format!("{error:#}"));
        }
        if *step > MOST_STEPS {
            return inconsistent("checkpoint", format!("step: {step} is more than any run does: at most {MOST_STEPS}"));
        }
        let last = |series: &Series| series.last().map_or(0, |(step, _)| step);
        let history = &self.history;
        let named = [
            ("train_loss", last(&history.train_loss)),
            ("eval_loss", last(&history.eval_loss)),
            ("prediction_difference", last(&history.prediction_difference)),
            ("sensitivity_angle", last(&history.sensitivity_angle)),
            ("loss_gap", last(&history.loss_gap)),
            ("state_angle", last(&history.state_angle)),
            ("operations", last(&history.operations)),
            ("latest", history.latest.as_ref().map_or(0, |latest| latest.step)),
            ("forks", history.forks.iter().map(|fork| fork.step).max().unwrap_or(0)),
            ("lr_changes", history.lr_changes.iter().map(|change| change.step).max().unwrap_or(0)),
        ];
        match named.iter().find(|(_, last)| last > step) {
            Some((name, last)) => {
                inconsistent("history", format!("{name}: it goes to step {last}, but the run is at step {step}"))
            }
            None => Ok(()),
        }
    }
}

/// Values of the curve in a digest at most.
const CURVE: usize = 48;

impl Digest {
    fn of(step: u64, seed: u64, history: &History) -> Self {
        let buckets = history.eval_loss.buckets();
        let stride = buckets.len().div_ceil(CURVE).max(1);
        // From the end, so that the latest value is always among them.
        let mut curve: Vec<f32> = buckets.iter().rev().step_by(stride).map(|bucket| bucket.mean).collect();
        curve.reverse();
        let latest = history.latest.as_ref();
        let nearest = latest.map(|latest| (latest.equivalence.nearest, latest.equivalence.nearest_distance()));
        Self {
            step,
            seed,
            eval_loss: latest.map(|latest| latest.eval_loss).filter(|loss| loss.is_finite()),
            nearest: nearest.filter(|(_, distance)| distance.is_finite()),
            curve,
        }
    }
}
