//! A linear layer: every row x becomes x W + b.

use dfdx::prelude::{HasShape, ReshapeTo, Tape};

use super::op::{GraphBuilder, Sequence};
use super::{Device, DeviceResult, GradTarget, Input, Matrix, Param};

/// x W + b.
#[derive(Clone, Debug)]
pub struct Linear<D: Device> {
    /// (inputs, outputs).
    weight: Param<D>,
    /// (1, outputs).
    bias: Param<D>,
}

/// How many numbers a layer of these sizes learns.
pub fn parameters((inputs, outputs): (usize, usize)) -> u128 {
    (inputs as u128 + 1) * outputs as u128
}

impl<D: Device> Linear<D> {
    /// A layer with these weights, row-major, and the same bias everywhere. ("2.", "q") names its parameters 2.Wq and
    /// 2.bq.
    pub fn new(
        device: &D,
        (place, symbol): (&str, &str),
        (inputs, outputs): (usize, usize),
        weights: Vec<f32>,
        bias: f32,
    ) -> DeviceResult<Self, D> {
        Ok(Self {
            weight: Param::new(device, format!("{place}W{symbol}"), (inputs, outputs), weights)?,
            bias: Param::new(device, format!("{place}b{symbol}"), (1, outputs), vec![bias; outputs])?,
        })
    }

    /// Of every token of a program.
    pub fn on<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.affine(self.weight.taped(), self.bias.taped())
    }

    /// Of every row: (rows, outputs).
    pub fn apply<T: Tape<f32, D>>(&self, rows: Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let (count, width) = *rows.shape();
        let program = GraphBuilder::new((count, 1, width));
        let tokens = rows.try_reshape_like(&(count, 1, width))?;
        let out = self.on(program.tokens()).run(Input { tokens, grad_target: GradTarget::All })?;
        let outputs = out.shape().2;
        out.try_reshape_like(&(count, outputs))
    }

    pub fn params(&self) -> [&Param<D>; 2] {
        [&self.weight, &self.bias]
    }

    pub fn params_mut(&mut self) -> [&mut Param<D>; 2] {
        [&mut self.weight, &mut self.bias]
    }

    /// The layer in plain numbers.
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
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let mut sum = self.bias.clone();
        for (x, weights) in row.iter().zip(self.weight.chunks(self.bias.len())) {
            sum.iter_mut().zip(weights).for_each(|(s, w)| *s += x * w);
        }
        sum
    }
}
