//! A sweep: every combination of presets, varied fields and seeds, as runs in one folder.
//!
//! Owns the plan, the files in the folder, and the tables made from them. Knows nothing of threads and terminals: a
//! command in [`crate::headless`] drives the runs.
//!
//! | in the folder | what |
//! |---|---|
//! | `plan.ron` | what is to be run; a folder with another plan is refused |
//! | `runs/NAME.ron` | the session of each run |
//! | `runs/NAME.json` | what a finished run reports |
//! | `results.csv` | one row a run |
//! | `curves.csv` | one row for each bucket of steps of each curve of each run |

mod bands;
mod folder;
mod plan;
mod results;
mod summary;

pub use bands::{Dependence, Group, dependence, groups, keys, measures, spreads};
pub use folder::Folder;
pub use plan::{Axis, Plan, PlannedPreset, RunSpec};
pub use results::{Outcome, curve_rows, curves, curves_csv, results_csv};
pub use summary::{Spread, SummaryRow, summarise, summary_table};
