//! Watching and cancelling the opening of a run, in which every reference solves the held-out tasks: wide tasks take
//! long.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Called often, and from several threads, with the share that is done, from 0 to 1; returns whether to continue.
pub type Watch<'a> = &'a (dyn Fn(f64) -> bool + Sync);

/// The opening was cancelled by its [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the opening of the run was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Counts units of work of about the same length.
pub struct Progress<'a> {
    watch: Watch<'a>,
    done: AtomicUsize,
    total: usize,
}

impl<'a> Progress<'a> {
    pub fn new(watch: Watch<'a>, total: usize) -> Self {
        Self { watch, done: AtomicUsize::new(0), total: total.max(1) }
    }

    /// Counts units that are done.
    ///
    /// # Errors
    /// The opening is cancelled.
    pub fn add(&self, units: usize) -> Result<(), Cancelled> {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        if (self.watch)((done as f64 / self.total as f64).min(1.0)) { Ok(()) } else { Err(Cancelled) }
    }
}
