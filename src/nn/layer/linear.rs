//! A linear layer: every row x becomes x W + b.

use dfdx::prelude::Tape;

use super::init::{Start, constant};
use crate::nn::graph::Sequence;
use crate::nn::weights::{weight, weights};
use crate::nn::{Device, Matrix, Param};

/// What a linear layer is built from.
pub struct LinearConfig {
    symbol: String,
    shape: (usize, usize),
    start: Start,
    bias: f32,
}

/// A linear layer with parameters W{symbol} and b{symbol}: shape (inputs, outputs), initial W, and a bias of zeros.
pub fn linear(symbol: impl Into<String>, shape: (usize, usize), start: Start) -> LinearConfig {
    LinearConfig { symbol: symbol.into(), shape, start, bias: 0.0 }
}

impl LinearConfig {
    /// The same with another initial bias.
    pub fn with_bias(self, bias: f32) -> Self {
        Self { bias, ..self }
    }
}

weights! {
    /// x W + b.
    pub struct Linear<D>(config: LinearConfig) {
        let LinearConfig { symbol, shape, start, bias } = config;
        weights {
            weight: Param<D> = weight(format!("W{symbol}"), shape, start),
            bias: Param<D> = weight(format!("b{symbol}"), (1, shape.1), constant(bias)),
        }
    }
}

impl<D: Device> Linear<D> {
    /// W (inputs, outputs) and b (1, outputs), for one use on a tape.
    pub fn taped<T: Tape<f32, D>>(&self) -> [Matrix<D, T>; 2] {
        [self.weight.taped(), self.bias.taped()]
    }

    /// Applied to every token of a graph.
    pub fn on<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.affine(self.weight.taped(), self.bias.taped())
    }

    /// The layer's numbers, for the definition.
    pub fn plain(&self) -> PlainLinear {
        PlainLinear { weight: self.weight.value.as_vec(), bias: self.bias.value.as_vec() }
    }
}

/// The definition of a linear layer, on one row.
pub struct PlainLinear {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl PlainLinear {
    /// x W + b of one row x (inputs): (outputs).
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let mut sum = self.bias.clone();
        for (x, weights) in row.iter().zip(self.weight.chunks(self.bias.len())) {
            sum.iter_mut().zip(weights).for_each(|(s, w)| *s += x * w);
        }
        sum
    }
}
