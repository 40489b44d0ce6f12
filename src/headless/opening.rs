//! Opening a run for a command: shows how far it is where it takes long, and ends it when a signal comes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::exit::Stopped;
use super::stop::StopSignal;
use super::tell;
use crate::preset::Preset;
use crate::session::Session;
use crate::train::{Cancelled, DeviceChoice, Experiment};

/// An opening that is shorter is not commented on.
const SILENT: Duration = Duration::from_secs(5);
/// Percent between two lines.
const EVERY: usize = 10;

/// Opens a preset at its first step.
pub fn start(name: &str, preset: Preset, device: DeviceChoice, stop: &StopSignal) -> Result<Experiment> {
    let progress = Lines::new(stop);
    Experiment::start_watched(name, preset, device, &|share| progress.show(share))
        .map_err(|error| explained(error, stop))
}

/// Opens a session where it was left.
pub fn resume(session: Session, device: DeviceChoice, stop: &StopSignal) -> Result<Experiment> {
    let progress = Lines::new(stop);
    session.resume_watched(device, &|share| progress.show(share)).map_err(|error| explained(error, stop))
}

/// A line for every tenth that is done.
struct Lines<'a> {
    stop: &'a StopSignal,
    began: Instant,
    /// The tenths that are shown.
    shown: AtomicUsize,
}

impl<'a> Lines<'a> {
    fn new(stop: &'a StopSignal) -> Self {
        Self { stop, began: Instant::now(), shown: AtomicUsize::new(0) }
    }

    fn show(&self, share: f64) -> bool {
        let tenth = (100.0 * share) as usize / EVERY;
        if self.began.elapsed() > SILENT && self.shown.fetch_max(tenth, Ordering::Relaxed) < tenth {
            tell(&format!("opening: {} % of the references are computed", tenth * EVERY));
        }
        self.stop.signal().is_none()
    }
}

/// The signal that cancelled the opening, or the error as it is.
fn explained(error: Error, stop: &StopSignal) -> Error {
    match stop.signal() {
        Some((signal, name)) if error.is::<Cancelled>() => {
            Stopped { signal, message: format!("stopped by {name} while opening the run: nothing was trained") }.into()
        }
        Some(_) | None => error,
    }
}
