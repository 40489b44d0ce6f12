//! Failures of a device, told as errors.
//!
//! dfdx returns most of a device's failures, but some it panics on: where numbers are read back, where a tensor that is
//! shared is copied, where a kernel is compiled while the program runs. A [`Guarded`] run turns all of them into errors
//! that say what to change, and gives back the memory that the device keeps for later.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use anyhow::{Result, anyhow};

use super::super::{Checkpoint, Measurement, ReferenceResult, Run, Scope, Snapshot, StepReport};

thread_local! {
    /// Whether a panic of this thread is expected, and told by whoever catches it.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
    /// Where the last expected panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// dfdx's errors, told to a person.
pub fn device_error<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("the device could not compute: {error}")
}

/// Does something that may panic: the panic becomes an error, and nothing is printed.
pub fn caught<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    static HUSH: Once = Once::new();
    HUSH.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if EXPECTED.get() {
                let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
                PLACE.set(place.unwrap_or_default());
            } else {
                print(info);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    outcome.unwrap_or_else(|panic| Err(anyhow!("the device could not compute: {} ({})", words(&*panic), PLACE.take())))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

/// A run whose device may fail without harm to the rest of the program.
pub struct Guarded {
    run: Box<dyn Run>,
    /// Sequences in a batch, which is what one can change where memory is short.
    batch: usize,
}

impl Guarded {
    pub fn new(run: Box<dyn Run>, batch: usize) -> Self {
        Self { run, batch }
    }

    /// Does something on the device. Where that fails, the run may be anywhere between two steps.
    fn attempt<R>(&mut self, work: impl FnOnce(&mut dyn Run) -> Result<R>) -> Result<R> {
        caught(|| work(&mut *self.run)).map_err(|error| {
            self.run.release();
            explained(error, self.run.device(), self.batch)
        })
    }
}

/// The error; where the device has no memory left, with what a person can do about it.
fn explained(error: anyhow::Error, device: &str, batch: usize) -> anyhow::Error {
    let text = format!("{error:#}");
    let full = ["OUT_OF_MEMORY", "ALLOC_FAILED", "OutOfMemory"].iter().any(|sign| text.contains(sign));
    match full {
        true => anyhow!("{device} has no memory left for a batch of {batch}: make train.batch smaller"),
        false => error,
    }
}

impl Run for Guarded {
    fn step(&mut self) -> Result<()> {
        self.attempt(|run| run.step())
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        self.attempt(|run| run.reports())
    }

    fn steps_ahead(&self) -> u64 {
        self.run.steps_ahead()
    }

    fn measure(&mut self, scope: Scope) -> Result<Measurement> {
        self.attempt(|run| run.measure(scope))
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        self.attempt(|run| run.snapshot())
    }

    fn batch_loss(&mut self) -> Result<f32> {
        self.attempt(|run| run.batch_loss())
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        caught(|| self.run.checkpoint()).map_err(|error| explained(error, self.run.device(), self.batch))
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.attempt(|run| run.restore(checkpoint))
    }

    fn reset(&mut self, seed: u64) -> Result<()> {
        self.attempt(|run| run.reset(seed))
    }

    fn release(&mut self) {
        self.run.release();
    }

    fn scale_lr(&mut self, factor: f64) -> f64 {
        self.run.scale_lr(factor)
    }

    fn lr(&self) -> f64 {
        self.run.lr()
    }

    fn steps_done(&self) -> u64 {
        self.run.steps_done()
    }

    fn seed(&self) -> u64 {
        self.run.seed()
    }

    fn device(&self) -> &str {
        self.run.device()
    }

    fn references(&self) -> &[ReferenceResult] {
        self.run.references()
    }
}
