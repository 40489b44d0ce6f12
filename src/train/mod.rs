//! One trainer for every model, task and device.
//!
//! Here models, tasks and references meet. Knows nothing of files, threads and screens.

mod agreement;
mod card;
mod checkpoint;
mod claims;
mod device;
mod distance;
mod draw;
mod drawn;
mod experiment;
mod failing;
pub(crate) mod gpu;
mod guard;
mod held_out;
mod history;
mod host;
mod loss_by_pairs;
mod measure;
mod memory;
#[cfg(feature = "cuda")]
mod nvidia;
mod shift;
mod snapshot;
mod trainer;

pub use card::{Gpu, GpuStatus};
pub use checkpoint::{Checkpoint, SavedParameter};
pub use claims::ClaimCheck;
pub use device::{DeviceChoice, fits, open, open_shifted};
pub use experiment::{Advance, Experiment, ReferenceResult};
pub use history::{Equivalence, History, LrChange, Measurement, StepReport};
pub use measure::Scope;
pub use shift::{Shift, Shifted};
pub use snapshot::{Grid, LayerState, ProbeSequence, Snapshot, TimeStep};

use anyhow::Result;

/// A trainer without its device: what the rest of the program sees of one.
pub trait Run {
    /// Orders one training step. What came of it is in the [`reports`](Self::reports).
    fn step(&mut self) -> Result<()>;
    /// All steps since the last call, in their order. Waits until the device has done them. A loss that is not finite
    /// is reported, not an error.
    fn reports(&mut self) -> Result<Vec<StepReport>>;
    /// Steps that may be ordered before somebody asks for the reports.
    fn steps_ahead(&self) -> u64;
    /// How equal the present weights are to the references, over the held-out tasks.
    fn measure(&mut self, scope: Scope) -> Result<Measurement>;
    /// The hidden states of the present weights on the probe sequences.
    fn snapshot(&mut self) -> Result<Snapshot>;
    /// Loss of the present weights on the batch that the next step will train on.
    fn batch_loss(&mut self) -> Result<f32>;
    fn checkpoint(&self) -> Result<Checkpoint>;
    /// Goes on from a checkpoint, exactly.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()>;
    /// Back to step 0, with this seed.
    fn reset(&mut self, seed: u64) -> Result<()>;
    /// After a failure: forgets what was ordered, and gives back the memory that the device keeps for later.
    fn release(&mut self);
    /// Multiplies the learning rate from here on; returns the whole factor on the schedule.
    fn scale_lr(&mut self, factor: f64) -> f64;
    /// The learning rate of the next step.
    fn lr(&self) -> f64;
    fn steps_done(&self) -> u64;
    fn seed(&self) -> u64;
    fn device(&self) -> &str;
    fn references(&self) -> &[ReferenceResult];
}
