//! What is measured of a run: its equivalence to the references, its loss after each pair, its hidden states, its
//! claims, and all of these on tasks off the training distribution.

mod answers_by_pairs;
pub mod attention_form;
mod cell_weights;
mod claims;
mod distance;
mod equivalence;
mod fit;
mod held_out;
mod hidden_state;
pub mod impulse_response;
pub mod linear_probes;
mod loss_by_pairs;
mod nearest;
mod off_distribution;

pub use answers_by_pairs::AnswersByPairs;
pub(in crate::train) use answers_by_pairs::measure as measure_answers_by_pairs;
pub use cell_weights::CellWeights;
pub use claims::{ClaimCheck, ClaimChecks, Measured};
pub use equivalence::{Equivalence, LossDifference, Measurement, Scope, measure};
pub use fit::{Fit, fit};
pub use held_out::{HeldOut, ReferenceResult};
pub use hidden_state::{
    ContextPair, Grid, LayerState, ProbeSequence, Snapshot, SnapshotParts, TimeStep, WeightGrids, snapshot,
};
pub use impulse_response::{FilterResponse, ImpulseResponse, Response};
pub use linear_probes::LinearProbes;
pub use nearest::{NEAR, best_learner};
pub use off_distribution::{Shift, Shifted, moved, shifts};
