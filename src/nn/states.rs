//! Hidden states as plain numbers, for looking at.

/// The states of one layer over a batch of sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerStates {
    /// "layer 1".
    pub name: String,
    /// Rows and columns of a state.
    pub shape: (usize, usize),
    /// What a row and a column of a state stand for.
    pub axes: (&'static str, &'static str),
    /// Rows and columns of an aligned state.
    pub aligned_shape: (usize, usize),
    pub stops: Vec<StopStates>,
}

/// The states of one layer, over a batch, after one step of its recurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct StopStates {
    /// Tokens that the state depends on.
    pub tokens_read: usize,
    /// (batch, rows, columns).
    pub values: Vec<f32>,
    /// The part that speaks of y and x, as the readout sees it: (batch, rows of y, columns of x), up to scale.
    /// Empty where a state has no such reading.
    pub aligned: Vec<f32>,
}
