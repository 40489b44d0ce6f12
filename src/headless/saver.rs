//! Saving a training run now and then, and at its end.
//!
//! A save that fails while the run goes on is a warning and is tried again; one that fails at the end goes to another
//! folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bounds;
use crate::session::{Session, SessionFile};
use crate::train::Experiment;

/// Time after a save that failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The file that a run is saved to.
pub struct Saver {
    file: SessionFile,
    /// Time between two saves while a run goes on: a power cut costs no more than this.
    every: Duration,
    next: Instant,
}

/// What the last save came to.
pub enum Saved {
    Here(PathBuf),
    /// Not where it should be, and why.
    Elsewhere(PathBuf, anyhow::Error),
}

impl Saver {
    /// Takes the file and saves the run once, so that a file that cannot be written is known before the first step.
    pub fn begin(mut file: SessionFile, experiment: &Experiment, every: Duration) -> Result<Self> {
        file.save(&Session::of(experiment)?)?;
        Ok(Self { file, every, next: Instant::now() + every })
    }

    /// Saves when it is time to; returns a warning where that fails.
    pub fn save_if_due(&mut self, experiment: &Experiment) -> Option<String> {
        if Instant::now() < self.next {
            return None;
        }
        let saved = Session::of(experiment).and_then(|session| self.file.save(&session));
        self.next = Instant::now() + if saved.is_ok() { self.every } else { RETRY_AFTER };
        let (seconds, step) = (RETRY_AFTER.as_secs(), experiment.step());
        saved.err().map(|error| format!("warning: step {step}: {error:#}; the next try is in {seconds} s"))
    }

    /// Saves the end of a run; where that fails, to the folder for temporary files.
    pub fn finish(mut self, experiment: &Experiment) -> Result<Saved> {
        let session = Session::of(experiment)?;
        let Err(error) = self.file.save(&session) else { return Ok(Saved::Here(self.file.path().to_owned())) };
        let instead = SessionFile::elsewhere(&session.name, session.checkpoint.seed)
            .and_then(|mut file| file.save(&session).map(|()| file.path().to_owned()));
        match instead {
            Ok(path) => Ok(Saved::Elsewhere(path, error)),
            Err(second) => Err(error).with_context(|| format!("{second:#}")),
        }
    }
}

impl Saved {
    /// Where the session is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Here(path) | Self::Elsewhere(path, _) => path,
        }
    }

    /// "saved to s.ron".
    pub fn words(&self) -> String {
        let path = bounds::line(&self.path().display().to_string());
        match self {
            Self::Here(_) => format!("saved to {path}"),
            Self::Elsewhere(_, error) => format!("{error:#}; saved to {path} instead"),
        }
    }
}
