//! Layer normalisation: every row x becomes g ⊙ x̂ + b, with x̂ of mean 0 and mean square 1 (see `op/normalise.rs`).

use dfdx::prelude::Tape;

use super::op::{Sequence, normalise_row};
use super::{Device, DeviceResult, Param};

/// g ⊙ x̂ + b.
#[derive(Clone, Debug)]
pub struct LayerNorm<D: Device> {
    /// g: (1, n).
    gain: Param<D>,
    /// (1, n).
    bias: Param<D>,
}

impl<D: Device> LayerNorm<D> {
    /// At its start it only normalises. ("2.", "1") names its parameters 2.g1 and 2.c1.
    pub fn new(device: &D, (place, symbol): (&str, &str), width: usize) -> DeviceResult<Self, D> {
        Ok(Self {
            gain: Param::new(device, format!("{place}g{symbol}"), (1, width), vec![1.0; width])?,
            bias: Param::new(device, format!("{place}c{symbol}"), (1, width), vec![0.0; width])?,
        })
    }

    /// Of every token of a program.
    pub fn on<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.normalise(self.gain.taped(), self.bias.taped())
    }

    pub fn params(&self) -> [&Param<D>; 2] {
        [&self.gain, &self.bias]
    }

    pub fn params_mut(&mut self) -> [&mut Param<D>; 2] {
        [&mut self.gain, &mut self.bias]
    }

    /// The layer in plain numbers.
    pub fn plain(&self) -> PlainNorm {
        PlainNorm { gain: self.gain.value.as_vec(), bias: self.bias.value.as_vec() }
    }
}

/// The definition of layer normalisation, on one row.
pub struct PlainNorm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

impl PlainNorm {
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let mut normal = row.to_vec();
        normalise_row(&mut normal);
        normal.iter().zip(&self.gain).zip(&self.bias).map(|((x, g), b)| g * x + b).collect()
    }
}
