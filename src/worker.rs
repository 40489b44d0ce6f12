//! The thread that trains: orders in, updates out.
//!
//! The only place that owns a training thread. Drawing never holds it up: it folds what happened into one pending
//! update and posts at most [`POSTS_PER_SECOND`]. Knows nothing of screens and keys.

use std::path::PathBuf;
use std::sync::Arc;

use crate::preset::Preset;
use crate::session::Session;
use crate::train::{DeviceChoice, History, LrChange, Measurement, ReferenceResult, Snapshot, StepReport};

/// Updates a worker posts at most in a second.
pub const POSTS_PER_SECOND: u32 = 30;

/// What a run begins from.
pub enum Source {
    /// A preset and the name it is known by.
    Preset(String, Box<Preset>),
    /// A session and the file it was read from.
    Session(PathBuf, Box<Session>),
}

/// What the person in front wants of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Pause,
    Resume,
    /// One step, then pause.
    Step,
    /// At most this many steps a second; none: as many as the machine can.
    Pace(Option<f64>),
    /// Multiplies the learning rate from here on.
    ScaleLr(f64),
    /// From the start: with the same seed, or with another.
    Restart {
        seed: Option<u64>,
    },
    /// Writes the session to this file.
    Save(PathBuf),
}

/// What is fixed for the length of a run, known once it is open.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The preset's name: `gd-ssm`.
    pub name: String,
    pub preset: Arc<Preset>,
    pub seed: u64,
    /// The file that the session was opened from or last saved to.
    pub file: Option<PathBuf>,
    /// "cpu" or the card's name.
    pub device: String,
    pub parameters: usize,
    pub references: Vec<ReferenceResult>,
}

/// Whether the run goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Running,
    Paused,
    /// The preset's last step is done. Resuming goes on beyond it.
    Finished,
    /// A loss or a parameter was not finite at this step; the run is back at an earlier, good one, and paused.
    Diverged {
        at: u64,
    },
}

/// Where the run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub phase: Phase,
    pub step: u64,
    /// The preset's last step.
    pub steps: u64,
    pub steps_per_second: f64,
    pub lr: f64,
    pub pace: Option<f64>,
    /// Step of the last save, if any.
    pub saved_step: Option<u64>,
}

/// Something to tell the person once.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Saved(PathBuf),
    /// A save failed; the run goes on.
    SaveFailed(String),
    /// The run cannot go on: it could not be opened, or the thread panicked.
    Failed(String),
}

/// What happened since the last update, folded.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The run was opened, or opened afresh: replace everything known of it.
    pub opened: Option<Opened>,
    /// Replaces all curves: after opening, restarting, or going back after a divergence. Applied before the rest.
    pub history: Option<History>,
    pub steps: Vec<StepReport>,
    pub measurements: Vec<Measurement>,
    pub lr_changes: Vec<LrChange>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub status: Option<Status>,
    pub notes: Vec<Note>,
}

/// A handle on the training thread. Dropping it ends the thread.
pub struct Worker {
    orders: std::sync::mpsc::Sender<Order>,
}

impl Worker {
    /// Starts a run in a thread of its own. `post` is called from that thread.
    pub fn start(source: Source, device: DeviceChoice, post: impl Fn(Update) + Send + 'static) -> Self {
        let _ = (source, device, post);
        todo!()
    }

    pub fn order(&self, order: Order) {
        // The thread is gone only after it has posted why.
        let _ = self.orders.send(order);
    }
}
