//! Hidden states of a model on a few probe sequences, as plain numbers to look at.

/// A matrix to draw, with what its axes mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub rows: usize,
    pub columns: usize,
    /// Row-major.
    pub values: Vec<f32>,
    /// What a row and a column stand for: "value", "key".
    pub axes: (&'static str, &'static str),
}

/// One point in a sequence at which the model has a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Tokens read so far.
    pub token: usize,
    /// The last token read, in the task's words: "y₆", "query".
    pub label: String,
    /// Σ y xᵀ over the pairs read so far, in the orientation of the states.
    pub accumulator: Grid,
    /// One per layer.
    pub layers: Vec<LayerState>,
}

/// The state of one layer at one stop.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerState {
    /// The state in its natural shape.
    pub state: Grid,
    /// The state in the coordinates of the accumulator, scaled to fit it best; none where there is no such reading.
    pub aligned: Option<Grid>,
    /// |cosine| between the state and the accumulator.
    pub cosine: Option<f64>,
}

/// One probe sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSequence {
    pub stops: Vec<Stop>,
}

/// The model's states after a number of steps, and its answers beside the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub step: u64,
    /// Tokens in a probe sequence.
    pub tokens: usize,
    pub layer_names: Vec<String>,
    pub probes: Vec<ProbeSequence>,
    /// (reference, model) answers to held-out queries, one pair per output.
    pub parity: Vec<(f32, f32)>,
}
