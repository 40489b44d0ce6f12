//! What a run is measured by: its equivalence to the references, its loss after each pair, its hidden states, its claims.

mod claims;
mod distance;
mod equivalence;
mod held_out;
mod hidden_state;
mod loss_by_pairs;
mod off_distribution;

pub use claims::ClaimCheck;
pub use equivalence::{Scope, measure};
pub use held_out::HeldOut;
pub use hidden_state::{Grid, LayerState, ProbeSequence, Snapshot, TimeStep, snapshot};
pub use off_distribution::{Shift, Shifted};
