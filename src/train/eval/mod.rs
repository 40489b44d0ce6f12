//! What is measured of a run: its equivalence to the references, its loss after each pair, its hidden states, its
//! claims, and all of these on tasks off the training distribution.

mod cell_weights;
mod claims;
mod distance;
mod equivalence;
mod fit;
mod held_out;
mod hidden_state;
mod loss_by_pairs;
mod nearest;
mod off_distribution;

pub use cell_weights::CellWeights;
pub use claims::{ClaimCheck, ClaimChecks};
pub use equivalence::{Equivalence, LossDifference, Measurement, Scope, measure};
pub use fit::{Fit, fit};
pub use held_out::{HeldOut, ReferenceResult};
pub use hidden_state::{ContextPair, Grid, LayerState, ProbeSequence, Snapshot, TimeStep, snapshot};
pub use nearest::{NEAR, best_learner};
pub use off_distribution::{Shift, Shifted, moved, shifts};
