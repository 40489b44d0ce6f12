//! The loop of a thread that shows a run which another program trains: it reads the session file whenever that changes,
//! and never writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::{Note, Opened, Order, Phase, Status, Update};
use crate::bounds;
use crate::session::{self, ClaimRecord, Session};
use crate::system::FileLock;
use crate::train::{DeviceChoice, Experiment, RunState, SnapshotParts};

/// Time between two looks at the file.
const POLL: Duration = Duration::from_secs(1);

/// Reading and showing the file takes one part in this many of the time, so that thirty watchers on one machine leave
/// it to training: where training uses all processors, each thread waits while another one is interrupted.
const READ_SHARE: u32 = 3000;
/// However long reading takes, the file is read again after this time.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// Shows the session in a file, or the one that was saved last in a folder, until the sender of orders is dropped.
///
/// # Errors
/// There is no session, or it cannot be opened. One that cannot be read later is a note.
pub fn watch(
    path: &Path,
    device: DeviceChoice,
    orders: Receiver<Order>,
    post: &dyn Fn(Update),
    cancelled: &AtomicBool,
) -> Result<()> {
    let mut watcher = Watcher::open(path, device, post, cancelled)?;
    loop {
        match orders.recv_timeout(POLL) {
            Ok(Order::SnapshotParts(parts)) => watcher.show_parts(parts)?,
            Ok(_) => watcher.refuse(),
            Err(RecvTimeoutError::Timeout) => watcher.poll(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The session that was saved last in a folder, or in the folder of a sweep; a file is itself.
///
/// # Errors
/// The folder holds no session.
pub fn latest(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let runs = path.join("runs");
    let folder = if path.join("plan.ron").is_file() { &runs } else { path };
    let sessions = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = sessions.filter(|file| session::is_session_name(file)).max_by_key(|file| modified(file));
    newest.with_context(|| {
        format!("{}: there is no session in this folder yet", bounds::line(&folder.display().to_string()))
    })
}

fn modified(file: &Path) -> SystemTime {
    std::fs::metadata(file).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What is shown, and the file that it was read from.
struct Watcher<'a> {
    /// The file or the folder that was asked for.
    path: PathBuf,
    device: DeviceChoice,
    file: PathBuf,
    modified: SystemTime,
    /// The file is not read again before this.
    next_read: Instant,
    experiment: Experiment,
    steps_per_second: f64,
    /// What snapshots hold beside states and answers.
    parts: SnapshotParts,
    /// The status that was posted last.
    posted: Option<Status>,
    /// The error that was posted last.
    error: Option<String>,
    post: &'a dyn Fn(Update),
    /// Set when what is being opened is not wanted any more.
    cancelled: &'a AtomicBool,
}

impl<'a> Watcher<'a> {
    fn open(path: &Path, device: DeviceChoice, post: &'a dyn Fn(Update), cancelled: &'a AtomicBool) -> Result<Self> {
        let file = latest(path)?;
        let (modified, next_read) = (modified(&file), Instant::now());
        let session = session::load(&file)?;
        let steps_per_second = rate(&session);
        let experiment = resume(session, device, cancelled)?;
        let path = path.to_owned();
        let (parts, posted, error) = (SnapshotParts::default(), None, None);
        let mut watcher = Self {
            path,
            device,
            file,
            modified,
            next_read,
            experiment,
            steps_per_second,
            parts,
            posted,
            error,
            post,
            cancelled,
        };
        watcher.show()?;
        Ok(watcher)
    }

    /// Reads the file again if it has changed and that is due, and says how old it is.
    fn poll(&mut self) {
        let result = if Instant::now() < self.next_read { Ok(()) } else { self.read_changes() };
        match result {
            Ok(()) => self.error = None,
            Err(error) => self.fail(format!("{error:#}")),
        }
        let status = self.status();
        if self.posted.as_ref() != Some(&status) {
            self.posted = Some(status.clone());
            (self.post)(Update { status: Some(status), ..Update::default() });
        }
    }

    fn read_changes(&mut self) -> Result<()> {
        let (file, began) = (latest(&self.path)?, Instant::now());
        let modified = modified(&file);
        if file == self.file && modified == self.modified {
            return Ok(());
        }
        let session = session::load(&file)?;
        (self.file, self.modified) = (file, modified);
        let result = self.read(session);
        self.next_read = Instant::now() + READ_AGAIN.min(READ_SHARE * began.elapsed());
        result
    }

    /// Says once what went wrong.
    fn fail(&mut self, error: String) {
        if self.error.as_ref() != Some(&error) {
            (self.post)(Update { notes: vec![Note::ReadOnly(error.clone())], ..Update::default() });
            self.error = Some(error);
        }
    }

    fn read(&mut self, session: Session) -> Result<()> {
        self.steps_per_second = rate(&session);
        // The references depend on the preset only, and take long.
        if session.name == self.experiment.name && session.preset == *self.experiment.preset {
            self.experiment.go_to(RunState { checkpoint: session.checkpoint, history: session.history })?;
        } else {
            self.experiment = resume(session, self.device, self.cancelled)?;
        }
        self.show()
    }

    /// Posts all that is known of the run.
    fn show(&mut self) -> Result<()> {
        let snapshot = self.experiment.snapshot(self.parts)?;
        let claims = self.experiment.check_claims()?;
        let (loss, verdicts) = (claims.loss(), claims.checks);
        let (experiment, status) = (&self.experiment, self.status());
        self.posted = Some(status.clone());
        (self.post)(Update {
            opened: Some(Opened {
                name: experiment.name.clone(),
                preset: Arc::clone(&experiment.preset),
                seed: experiment.seed(),
                file: Some(self.file.clone()),
                device: experiment.device_label(),
                parameters: experiment.preset.parameters(),
                references: experiment.references().to_vec(),
            }),
            history: Some(experiment.history.clone()),
            time: Some(experiment.time.clone()),
            snapshot: Some(Arc::new(snapshot)),
            status: Some(status),
            checked: (!verdicts.is_empty()).then_some(ClaimRecord { verdicts, loss, seconds_per_step: None }),
            ..Update::default()
        });
        Ok(())
    }

    fn status(&self) -> Status {
        let age = SystemTime::now().duration_since(self.modified).map_or(0, |age| age.as_secs());
        Status {
            phase: Phase::Watched { age: rounded(age), writer: FileLock::holder(&self.file) },
            step: self.experiment.step(),
            steps: self.experiment.preset.train.steps,
            steps_per_second: self.steps_per_second,
            lr: self.experiment.lr(),
            pace: None,
            slowed: None,
            slows_down: false,
            // All that is shown is in the file.
            saved_step: Some(self.experiment.step()),
            solved: None,
            gpu: None,
        }
    }

    /// Shows the weights again with these parts of a snapshot, or without any from the next ones on.
    fn show_parts(&mut self, parts: SnapshotParts) -> Result<()> {
        self.parts = parts;
        if parts == SnapshotParts::default() { Ok(()) } else { self.show() }
    }

    /// The answer to every other order.
    fn refuse(&self) {
        let words = "this run is only watched: `innerloop run FILE` opens a session for training".to_owned();
        (self.post)(Update { notes: vec![Note::ReadOnly(words)], status: self.posted.clone(), ..Update::default() });
    }
}

/// Computes the references, which takes a while; stops that when it is cancelled.
fn resume(session: Session, device: DeviceChoice, cancelled: &AtomicBool) -> Result<Experiment> {
    session.resume_watched(device, &|_| !cancelled.load(Ordering::Relaxed))
}

/// Seconds without what need not be said: each new age is a new frame.
fn rounded(age: u64) -> u64 {
    age - age % if age < 60 { 10 } else { 60 }
}

/// Steps per second of training; 0 if the session does not hold its time.
fn rate(session: &Session) -> f64 {
    let seconds = session.time.seconds();
    if seconds > 0.0 { session.checkpoint.step as f64 / seconds } else { 0.0 }
}
