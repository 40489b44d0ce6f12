//! The training thread: orders in, updates out.
//!
//! Rendering never delays it: it folds what happened into one pending update and posts at most [`POSTS_PER_SECOND`].

mod pace;
mod run;
mod slowing;
mod turns;
mod watch;

pub use watch::latest;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use crate::preset::Preset;
use crate::series::Series;
use crate::session::ClaimRecord;
pub use crate::session::Source;
use crate::train::context_cost::ModelCost;
use crate::train::{
    DeviceChoice, DivergenceCause, Fit, GpuStatus, History, LrChange, Measurement, ReferenceResult, Shift, Snapshot,
    SnapshotParts, Solved, StepReport, TrainingTime,
};

/// Updates a worker posts at most in a second.
pub const POSTS_PER_SECOND: u32 = 20;

/// A request to the training thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Pause,
    Resume,
    /// Of several runs, the one that orders are for that are not for all: learning rate, shifts, fits.
    Focus(usize),
    /// One step, then pause.
    Step,
    /// Stop at this step, also after a restart, instead of the preset's last.
    StopAt(u64),
    /// At most this many steps per second; `None`: as many as possible.
    Pace(Option<f64>),
    /// Whether the run slows down by itself, where its preset says so.
    SlowDown(bool),
    /// Multiplies the learning rate from here on.
    ScaleLr(f64),
    /// Goes to one of the states that are kept, and pauses there.
    GoTo(StateChoice),
    /// Goes on from the present state with other fields of the preset.
    Fork(Box<Preset>),
    /// Restarts at step 0, with another seed or, if `None`, the same.
    Restart {
        seed: Option<u64>,
    },
    /// Measures the present weights on shifted tasks, one after the other.
    Shift,
    /// Measures what the length of the context costs this model and others; while that is under way, stops it.
    ContextCosts,
    /// Fits learners to the answers of the present weights.
    Fit,
    /// What snapshots hold beside states and answers, from here on.
    SnapshotParts(SnapshotParts),
    /// Writes the session to the run's file; a run without one gets a new file in this folder.
    Save {
        folder: PathBuf,
    },
}

/// Which of the states that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChoice {
    /// The last one before the present step.
    Before,
    /// The first one after the present step.
    After,
    /// The one whose step is nearest to this one.
    Nearest(u64),
}

/// Why a run's curves are replaced by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// The run went to another of its states; what came after that can still come, bit by bit.
    Rewound,
    /// The run went on with other fields.
    Forked,
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
    /// "cpu", "cuda:0".
    pub device: String,
    pub parameters: usize,
    pub references: Vec<ReferenceResult>,
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Running,
    Paused,
    /// The preset's last step is done. Resuming trains further.
    Finished,
    /// The loss was not finite or had run away at this step; the run is back at an earlier, good one, and paused.
    Diverged {
        at: u64,
        cause: DivergenceCause,
    },
    /// The device could not do the step after this one; the run is back at an earlier, good one, and paused.
    Failed {
        at: u64,
        why: String,
    },
    /// Another program trains the run; this one shows what that has saved.
    Watched {
        /// Seconds since the save, rounded down to multiples of ten or, from a minute on, of sixty.
        age: u64,
        /// Who writes the session: "process 4711 on node3"; `None` if no program does.
        writer: Option<String>,
    },
}

/// Why a run is slowed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowed {
    /// The loss falls fast.
    Falling,
    /// The preset says so.
    Preset,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub phase: Phase,
    pub step: u64,
    /// The preset's last step.
    pub steps: u64,
    pub steps_per_second: f64,
    pub lr: f64,
    pub pace: Option<f64>,
    /// Why the run is slower than its pace; `None` if it is not, or not by itself.
    pub slowed: Option<Slowed>,
    /// Whether the run slows down by itself, where its preset says so.
    pub slows_down: bool,
    /// Step of the last save, if any.
    pub saved_step: Option<u64>,
    /// What the last step solved for, where the preset's optimiser does.
    pub solved: Option<Solved>,
    /// The status of the GPU, if the run is on one that reports it.
    pub gpu: Option<GpuStatus>,
}

/// A message to be shown once.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Saved(PathBuf),
    /// The session's file could not be written, for this reason; the session is in another file instead.
    SavedElsewhere {
        path: PathBuf,
        why: String,
    },
    /// A save failed; the run continues.
    SaveFailed(String),
    /// The run goes on as it was: it cannot go on with other fields, for this reason.
    NotForked(String),
    /// Why a device was chosen, or why it is slow.
    Device(String),
    /// The session that was opened is not this run's to write, for this reason.
    ReadOnly(String),
    /// The run cannot go on: it could not be opened, or the thread panicked.
    Failed(String),
}

/// Learners fitted to a model's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The step of the weights.
    pub step: u64,
    /// The best explanation first; or why there is none.
    pub fits: Result<Vec<Fit>, String>,
}

/// What happened since the last update, folded.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Which of several runs it is of, from 0.
    pub run: usize,
    /// How far the opening of the run is, from 0 to 1.
    pub opening: Option<f64>,
    /// The run was opened or restarted: replaces everything known of it.
    pub opened: Option<Opened>,
    /// Comes with `opened` and `history` where the run was not restarted.
    pub jump: Option<Jump>,
    /// Replaces all curves: after opening, restarting, or going back after a divergence. Applied before the rest.
    pub history: Option<History>,
    /// Replaces the time of the training; comes with the history and with each measurement.
    pub time: Option<TrainingTime>,
    /// Replaces the curve of the operations of training; comes with each measurement.
    pub operations: Option<Series>,
    pub steps: Vec<StepReport>,
    pub measurements: Vec<Measurement>,
    /// A measurement of the present weights between two that the run records, while it is paused.
    pub present: Option<Measurement>,
    /// The steps of the states that are kept, if they have changed.
    pub kept_states: Option<Vec<u64>>,
    pub lr_changes: Vec<LrChange>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub status: Option<Status>,
    /// The claims for a step that was reached, checked on all held-out tasks.
    pub checked: Option<ClaimRecord>,
    /// Measurements of the weights on shifted tasks.
    pub shifts: Vec<Shift>,
    pub fitted: Option<Fitted>,
    /// What the length of the context costs models.
    pub context_costs: Vec<ModelCost>,
    pub notes: Vec<Note>,
}

/// A handle on the training thread. Dropping it ends the thread and waits for it.
pub struct Worker {
    orders: Option<Sender<Order>>,
    /// Ends an opening that is under way.
    cancelled: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a run in a thread of its own. `post` is called from that thread.
    pub fn start(source: Source, device: DeviceChoice, post: impl Fn(Update) + Send + 'static) -> Self {
        Self::open(|| Ok(source), device, post)
    }

    /// Starts a run from what `read` returns, which is called in that thread: reading a large session takes time.
    pub fn open(
        read: impl FnOnce() -> Result<Source> + Send + 'static,
        device: DeviceChoice,
        post: impl Fn(Update) + Send + 'static,
    ) -> Self {
        Self::spawn(move |inbox, post, cancel| turns::run(vec![read()?], device, inbox, post, cancel), post)
    }

    /// Starts several runs in one thread, which they share in turn.
    pub fn start_several(sources: Vec<Source>, device: DeviceChoice, post: impl Fn(Update) + Send + 'static) -> Self {
        Self::spawn(move |inbox, post, cancel| turns::run(sources, device, inbox, post, cancel), post)
    }

    /// Shows the session in a file, or the one that was saved last in a folder, while another program trains it.
    pub fn watch(path: PathBuf, device: DeviceChoice, post: impl Fn(Update) + Send + 'static) -> Self {
        Self::spawn(move |inbox, post, cancelled| watch::watch(&path, device, inbox, post, cancelled), post)
    }

    /// Starts a thread that ends when no more orders can come.
    fn spawn(
        work: impl FnOnce(Receiver<Order>, &(dyn Fn(Update) + Sync), &AtomicBool) -> Result<()> + Send + 'static,
        post: impl Fn(Update) + Send + 'static,
    ) -> Self {
        let (orders, inbox) = mpsc::channel();
        let post = Arc::new(Mutex::new(post));
        let post_failure = Arc::clone(&post);
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = Arc::clone(&cancelled);
        let guarded = move || {
            let say = |update| {
                if let Ok(post) = post.lock() {
                    post(update);
                }
            };
            // Inside a thread pool: from outside, every step would wait for another thread to wake. A pool of its own:
            // the thread that waits for orders is missing in no other computation.
            let in_pool = || {
                let pool = rayon::ThreadPoolBuilder::new().build().context("no threads to compute in")?;
                pool.install(|| work(inbox, &say, &cancel))
            };
            let outcome = panic::catch_unwind(AssertUnwindSafe(in_pool));
            let reason = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("{error:#}"),
                Err(panic) => format!("training stopped unexpectedly: {}", panic_message(&*panic)),
            };
            let post = post_failure.lock().unwrap_or_else(PoisonError::into_inner);
            post(Update { notes: vec![Note::Failed(reason)], ..Update::default() });
        };
        let thread = thread::Builder::new().name("training".to_owned()).spawn(guarded).ok();
        Self { orders: Some(orders), cancelled, thread }
    }

    pub fn order(&self, order: Order) {
        // A thread that has ended has posted why.
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The thread ends when no more orders can come.
        self.cancelled.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}
