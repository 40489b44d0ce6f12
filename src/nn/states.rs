//! Hidden states as plain numbers, for looking at.

use std::ops::Range;

use dfdx::prelude::{HasShape, NoneTape};

use super::graph::Sequence;
use super::tensor::{DeviceResult, Tensor3};
use super::{Device, evaluate};

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
    pub time_steps: Vec<StateAt>,
}

/// The query's token between the layers of a network, over a batch: what the next layer, or the decoder, reads of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Latent {
    /// "layer 1"; "embedding" before the first layer.
    pub name: String,
    /// Numbers of a token.
    pub width: usize,
    /// (batch, width).
    pub values: Vec<f32>,
}

impl Latent {
    /// Before the first of so many layers and after each. `query_after` records the query's token, one token, after the
    /// number of layers that it is given.
    ///
    /// # Errors
    /// The device failed.
    pub fn between<D: Device>(
        layers: usize,
        tokens: &Tensor3<D>,
        query_after: impl Fn(usize, Sequence<'_, D, NoneTape>) -> Sequence<'_, D, NoneTape>,
    ) -> DeviceResult<Vec<Self>, D> {
        let latent = |layers: usize| {
            let query = evaluate(tokens, |tokens| query_after(layers, tokens))?;
            let name = if layers == 0 { "embedding".to_owned() } else { format!("layer {layers}") };
            Ok(Self { name, width: query.shape().2, values: query.as_vec() })
        };
        (0..=layers).map(latent).collect()
    }
}

/// The states of one layer, over a batch, after one step of its recurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct StateAt {
    /// The place (from 0) of the token that was read last.
    pub place: usize,
    /// The places of the tokens that the state depends on.
    pub read: Range<usize>,
    /// (batch, rows, columns).
    pub values: Vec<f32>,
    /// The part that maps x to y, as the readout reads it: (batch, rows of y, columns of x), up to scale.
    /// Empty where a state has no such reading.
    pub aligned: Vec<f32>,
}

impl StateAt {
    /// The states of a recurrence that has read this many tokens, the first ones. Those without a reading as Σ y xᵀ say
    /// so by an empty `aligned`.
    pub fn after(tokens_read: usize, values: Vec<f32>, aligned: Vec<f32>) -> Self {
        Self { place: tokens_read.saturating_sub(1), read: 0..tokens_read, values, aligned }
    }

    /// The states after each step of a recurrence, from those of each sequence: `histories[b][step]`. `tokens_read`
    /// gives the number of tokens read until a step, and `aligned` reads one state as Σ y xᵀ.
    pub fn of_histories(
        histories: &[Vec<Vec<f32>>],
        tokens_read: impl Fn(usize) -> usize,
        aligned: impl Fn(&[f32]) -> Vec<f32>,
    ) -> Vec<Self> {
        let at = |step: usize| {
            let states: Vec<&[f32]> = histories.iter().map(|states| &states[step][..]).collect();
            Self::after(tokens_read(step), states.concat(), states.iter().flat_map(|state| aligned(state)).collect())
        };
        (0..histories.first().map_or(0, Vec::len)).map(at).collect()
    }
}

impl LayerStates {
    /// States whose rows are those of y, and whose columns those of x: `shape`.
    pub fn of_maps(name: impl Into<String>, shape: (usize, usize), time_steps: Vec<StateAt>) -> Self {
        Self { name: name.into(), shape, axes: ("row of y", "column of x"), aligned_shape: shape, time_steps }
    }

    /// States that grow by a row with every token: the first t rows of a sequence's matrix after token t, zeros below.
    /// They have no reading as Σ y xᵀ; `outputs_by_dim` is (d_out, d).
    pub fn history(
        name: String,
        axes: (&'static str, &'static str),
        shape: (usize, usize),
        sequences: &[Vec<f32>],
        outputs_by_dim: (usize, usize),
    ) -> Self {
        let (rows, columns) = shape;
        let time_step = |tokens_read| {
            let shown = tokens_read * columns;
            let rest = || std::iter::repeat_n(0.0, (rows - tokens_read) * columns);
            let values = sequences.iter().flat_map(|matrix| matrix[..shown].iter().copied().chain(rest())).collect();
            StateAt::after(tokens_read, values, Vec::new())
        };
        Self { name, shape, axes, aligned_shape: outputs_by_dim, time_steps: (1..=rows).map(time_step).collect() }
    }

    /// About how many numbers a [`history`](Self::history) adds to each sequence of a batch: only a few sequences in a
    /// thousand are looked into, but those at every token.
    pub fn history_size((rows, columns): (usize, usize)) -> u128 {
        (rows as u128).pow(2) * columns as u128 / 128
    }
}
