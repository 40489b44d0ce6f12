//! A run whose failures are errors that say what to change.

use anyhow::Result;

use crate::train::device::{catch_panic, explained};
use crate::train::trainer::Run;

/// A run whose device may fail: each failure, panics included, becomes an error that says what to change.
pub struct GuardedRun {
    pub run: Box<dyn Run>,
    /// "cpu", "cuda:0".
    pub device: String,
    /// Sequences in a batch, for the message when memory is short.
    pub batch: usize,
}

impl GuardedRun {
    /// Computes on the device. After a failure the run may be anywhere between two steps.
    pub fn attempt<R>(&mut self, work: impl FnOnce(&mut dyn Run) -> Result<R>) -> Result<R> {
        catch_panic(|| work(&mut *self.run)).map_err(|error| {
            self.run.release();
            explained(error, &self.device, self.batch)
        })
    }

    /// Reads from the device.
    pub fn read<R>(&self, work: impl FnOnce(&dyn Run) -> Result<R>) -> Result<R> {
        catch_panic(|| work(&*self.run)).map_err(|error| explained(error, &self.device, self.batch))
    }
}
