//! A stage of a lesson: what runs, what is looked at, and when the next stage begins.

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::reference::Reference;

/// A part of a lesson with one caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The experiments that train, one to four. None: those of the stage before go on.
    #[serde(default)]
    pub runs: Vec<String>,
    /// The caption: what to look at now.
    #[serde(deserialize_with = "bounds::text")]
    pub look_for: String,
    #[serde(default)]
    pub until: Until,
    /// Steps per second; `None`: as before, at first as the presets say.
    #[serde(default, deserialize_with = "bounds::optional_scale")]
    pub pace: Option<f64>,
    /// The panes that are brought to the front. The first has the focus.
    #[serde(default)]
    pub panes: Vec<PaneName>,
    /// The pane with the focus fills the screen.
    #[serde(default)]
    pub zoom: bool,
    /// The layer whose state is shown, from 1; `None`: as before, at first the first.
    #[serde(default)]
    pub layer: Option<usize>,
    /// What the axis of the curves measures; `None`: as before, at first steps.
    #[serde(default)]
    pub axis: Option<AxisName>,
    /// That axis is logarithmic.
    #[serde(default)]
    pub log: bool,
    /// What is measured when `until` holds. The stage lasts until that is done.
    #[serde(default)]
    pub measure: Vec<Extra>,
    /// Training pauses at the end of the stage, and the next one waits for a key.
    #[serde(default)]
    pub pause: bool,
}

/// When a stage ends. It ends in any case when all its runs have finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Until {
    /// All its runs have done so many steps.
    Step(u64),
    /// The held-out loss of the first run is at most this multiple of the loss of a reference.
    LossOver(Reference, f64),
    /// All its runs have finished.
    #[default]
    End,
}

/// What the axis of the curves over a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AxisName {
    Steps,
    /// Wall-clock seconds of training.
    Seconds,
    /// Floating-point operations of training.
    Operations,
}

/// What can be measured beside the curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extra {
    /// The present weights on other ranges, lengths and noise levels.
    Shifts,
    /// The learner that explains the answers best.
    Fits,
    /// What the length of the context costs, of the first run's model and of others.
    Costs,
}

/// The panes of the lab by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaneName {
    Loss,
    State,
    Distance,
    Context,
    Stepper,
    Cost,
    Map,
    ContextCost,
    Fit,
    Impulse,
    Runs,
    Predictions,
    Weights,
    Probes,
    AttentionForm,
    Shift,
    Cells,
    Claims,
}
