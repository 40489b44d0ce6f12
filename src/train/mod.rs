//! Training and measuring: one trainer for every model, task and device.
//!
//! | to find | look in |
//! |---|---|
//! | a run with its history, which every front end drives | `experiment.rs` |
//! | the training step | `trainer.rs`, and `loss.rs` |
//! | steps that solve for weights | `solver.rs` |
//! | how a training batch is sampled | `batch/` |
//! | what is measured: equivalence, losses, hidden states, claims | `eval/` |
//! | states that a run can go back to | `kept_states.rs` |
//! | when a run has diverged | `divergence.rs` |
//! | whole training steps on a GPU | `gpu/` |
//! | how a device is chosen, and how its failures become errors | `device/` |
//!
//! Models, tasks and references meet here. Files, threads and the screen are not used here.

mod batch;
mod checkpoint;
pub mod context_cost;
mod device;
mod divergence;
mod eval;
mod experiment;
mod gpu;
mod history;
mod kept_states;
mod loss;
mod opening;
mod solver;
mod trainer;
mod training_time;

pub use checkpoint::{Checkpoint, SavedParameter};
pub use device::{DeviceChoice, Gpu, GpuStatus};
pub use divergence::{Divergence, DivergenceCause};
pub use eval::attention_form::MOST_FORM_TOKENS;
pub use eval::{
    AnswersByPairs, CellWeights, ClaimCheck, ClaimChecks, ContextPair, Equivalence, FilterResponse, Fit, Grid,
    ImpulseResponse, LayerState, LinearProbes, LossDifference, Measurement, NEAR, ProbeSequence, ReferenceResult,
    Response, Scope, Shift, Shifted, Snapshot, SnapshotParts, TimeStep, WeightGrids, best_learner, shifts,
};
pub use experiment::{Advance, Experiment};
pub use history::{Fork, History, LrChange};
pub use kept_states::{KeptStates, RunState};
pub use opening::{Cancelled, Watch};
pub use solver::Solved;
pub use trainer::{StepReport, fits};
pub use training_time::TrainingTime;
