//! A run on disk: one human-readable RON file.
//!
//! Owns the file's form, its versions, and that a save never costs the previous one. Knows nothing of how a run goes on.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::preset::Preset;
use crate::train::{Checkpoint, History};

/// A saved run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub schema: u32,
    /// The preset's name.
    pub name: String,
    pub preset: Preset,
    pub checkpoint: Checkpoint,
    pub history: History,
}

/// One row of the list of sessions.
#[derive(Clone, Debug)]
pub struct Summary {
    pub path: PathBuf,
    pub modified: SystemTime,
    /// What the file holds, or why it cannot be read (one line).
    pub content: Result<Content, String>,
}

/// What the list shows of a session.
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

/// The sessions in a folder, newest first.
pub fn list(folder: &Path) -> Vec<Summary> {
    let _ = folder;
    todo!()
}

impl Session {
    pub fn of(_e: &crate::train::Experiment) -> Result<Self> { todo!() }
    pub fn resume(self, _d: crate::train::DeviceChoice) -> Result<crate::train::Experiment> { todo!() }
}
pub fn save(_p: &Path, _s: &Session) -> Result<()> { todo!() }
pub fn load(_p: &Path) -> Result<Session> { todo!() }
