//! A run on disk: one readable RON file; and the results of presets, in another.
//!
//! Defines the form and the versions of the files. A save that fails leaves the previous file as it was.

mod file;
mod listing;
mod result_cache;
mod store;
mod target;

pub use file::{SessionFile, stem};
pub use listing::{curve, files, list, summary};
pub use result_cache::{ClaimRecord, ClaimResult, PresetResults, ResultCache};
pub use store::{load, save, understand};
pub use target::{Planned, is_session_name, may_replace};

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::preset::{self, Preset};
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

/// The summary of a session in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub name: String,
    pub title: String,
    pub step: u64,
    pub steps: u64,
    pub seed: u64,
    pub final_loss: Option<f32>,
    /// Held-out loss over the run, for a sparkline.
    pub curve: Vec<f32>,
}

/// What a run starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A preset and the name it is known by.
    Preset(String, Box<Preset>),
    /// A session and the file it was read from.
    Session(PathBuf, Box<Session>),
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
            ("lr_changes", history.lr_changes.iter().map(|change| change.step).max().unwrap_or(0)),
        ];
        match named.iter().find(|(_, last)| last > step) {
            Some((name, last)) => {
                inconsistent("history", format!("{name}: it goes to step {last}, but the run is at step {step}"))
            }
            None => Ok(()),
        }
    }

    /// Its summary.
    pub fn content(&self) -> Content {
        Content {
            name: self.name.clone(),
            title: self.preset.title.clone(),
            step: self.checkpoint.step,
            steps: self.preset.train.steps,
            seed: self.checkpoint.seed,
            final_loss: self.history.eval_loss.last().map(|(_, loss)| loss),
            curve: self.history.eval_loss.buckets().iter().map(|bucket| bucket.mean).collect(),
        }
    }
}
