//! Layer normalisation: every row x becomes g ⊙ x̂ + b, with x̂ of mean 0 and mean square 1. Ba et al. 2016
//! (1607.06450).

use dfdx::prelude::Tape;

use super::init::constant;
use crate::nn::graph::Sequence;
use crate::nn::step::normalise_row;
use crate::nn::weights::{weight, weights};
use crate::nn::{Device, Param};

/// What a layer norm is built from.
pub struct LayerNormConfig {
    symbol: String,
    width: usize,
}

/// A layer norm of this width with parameters g{symbol}, all 1, and c{symbol}, all 0.
pub fn layer_norm(symbol: impl Into<String>, width: usize) -> LayerNormConfig {
    LayerNormConfig { symbol: symbol.into(), width }
}

weights! {
    /// g ⊙ x̂ + b.
    pub struct LayerNorm<D>(config: LayerNormConfig) {
        let LayerNormConfig { symbol, width } = config;
        weights {
            gain: Param<D> = weight(format!("g{symbol}"), (1, width), constant(1.0)),
            bias: Param<D> = weight(format!("c{symbol}"), (1, width), constant(0.0)),
        }
    }
}

impl<D: Device> LayerNorm<D> {
    /// Applied to every token of a graph.
    pub fn on<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.normalise(self.gain.taped(), self.bias.taped())
    }

    /// The layer's numbers, for the definition.
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
    /// g ⊙ x̂ + b of one row x (n): (n).
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let mut normal = row.to_vec();
        normalise_row(&mut normal);
        normal.iter().zip(&self.gain).zip(&self.bias).map(|((x, g), b)| g * x + b).collect()
    }
}
