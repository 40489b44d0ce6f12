//! What RNN, GRU and LSTM share: layers of a cell that reads one token after the other.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | x_t | the token; above the first layer the h_t of the layer below | (w) or (n) |
//! | h_t, c_t | what a layer carries from token to token | (n) |
//! | `W…`, `U…`, `b…` | of each gate, which reads x_t W + b + h U | (w, n), (n, n), (n) |
//! | `Wo`, `bo` | ŷ = h Wo + bo at the query's token, from the last layer | (n, d_out); (d_out) |
//!
//! The cells are in files of their own. W starts as Glorot & Bengio 2010 say, U orthogonal (Saxe et al. 2013), biases at
//! what the cell says. What the gates read of the tokens does not depend on h, so it is one product for all tokens.

use std::fmt::Debug;
use std::marker::PhantomData;

use anyhow::Result;
use dfdx::prelude::{HasShape, ReshapeTo, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Architecture, GdConstants};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::init::{glorot, orthogonal};
use crate::nn::linear::{self, Linear, PlainLinear};
use crate::nn::op::{Cell, CellState, Recurrence};
use crate::nn::{Cost, Costs, Device, DeviceResult, GradTarget, Input, LayerStates, Matrix, Net, Param, Tensor3};
use crate::task::{Layout, Shape};

/// The logistic function.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// A recurrent network as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "")]
pub struct RecurrentSpec<C: Cell> {
    /// n: the width of h.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    /// Layers, each reading the h of the one below.
    #[serde(default = "one", deserialize_with = "bounds::layers")]
    pub layers: usize,
    #[serde(skip)]
    cell: PhantomData<C>,
}

fn one() -> usize {
    1
}

impl<C: Cell> RecurrentSpec<C> {
    pub fn new(units: usize, layers: usize) -> Self {
        Self { units, layers, cell: PhantomData }
    }

    fn input(&self, layer: usize, width: usize) -> usize {
        if layer == 0 { width } else { self.units }
    }
}

impl<C: Cell> Architecture for RecurrentSpec<C> {
    type Net<D: Device> = Recurrent<D, C>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        Ok(())
    }

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let n = self.units;
        let gate = |layer| linear::parameters((self.input(layer, layout.width(shape)) + n, n));
        C::GATES.len() as u128 * (0..self.layers).map(gate).sum::<u128>() + linear::parameters((n, shape.outputs))
    }

    /// Five results for each gate and six for the cell, at every token; and the states that are looked at.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        let results = (5 * C::GATES.len() as u128 + 6) * (length * self.units) as u128;
        self.layers as u128 * (results + 2 * LayerStates::history_size((length, self.units)))
    }

    /// Only one token at a time: h goes through a curve between two steps. Each gate reads the token and h.
    fn costs(&self, shape: Shape, layout: Layout, _tokens: usize) -> Costs {
        let n = self.units;
        let gate = |layer| matvec(self.input(layer, layout.width(shape)) + n, n) + 4 * n;
        let flops = C::GATES.len() * (0..self.layers).map(gate).sum::<usize>() + matvec(n, shape.outputs);
        let kept = self.layers * n * (1 + usize::from(C::HAS_C));
        Costs { step: Some(Cost::new(kept, flops)), whole: None }
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        _theory: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        let n = self.units;
        let mut gate = |layer: usize, (number, symbol): (usize, &&str)| {
            let place = if self.layers == 1 { String::new() } else { format!("{}.", layer + 1) };
            let size = (self.input(layer, layout.width(shape)), n);
            Ok(Gate {
                token: Linear::new(device, (&place, symbol), size, glorot(rng, size), C::bias(number))?,
                past: Param::new(device, format!("{place}U{symbol}"), (n, n), orthogonal(rng, n))?,
            })
        };
        let mut layer = |layer| C::GATES.iter().enumerate().map(|each| gate(layer, each)).collect();
        let layers = (0..self.layers).map(&mut layer).collect::<DeviceResult<Vec<Vec<_>>, D>>()?;
        let size = (n, shape.outputs);
        let decoder = Linear::new(device, ("", "o"), size, glorot(rng, size), 0.0)?;
        let query = layout.query_place(shape);
        Ok(Recurrent { layers, decoder, units: n, query, dim: shape.dim, outputs: shape.outputs, cell: PhantomData })
    }
}

/// The weights of a gate.
#[derive(Clone, Debug)]
struct Gate<D: Device> {
    /// W and b.
    token: Linear<D>,
    /// U: (n, n).
    past: Param<D>,
}

impl<D: Device> Gate<D> {
    /// W, U and b, for one use on a tape.
    fn taped<T: Tape<f32, D>>(&self) -> [Matrix<D, T>; 3] {
        let [weight, bias] = self.token.params();
        [weight.taped(), self.past.taped(), bias.taped()]
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct Recurrent<D: Device, C: Cell> {
    /// The gates of each layer.
    layers: Vec<Vec<Gate<D>>>,
    pub decoder: Linear<D>,
    units: usize,
    /// The query's place among the tokens.
    pub query: usize,
    dim: usize,
    outputs: usize,
    cell: PhantomData<C>,
}

impl<D: Device, C: Cell> Recurrent<D, C> {
    /// So many h of the last tokens from the last layer: (B, asked, n).
    pub fn hidden<T: Tape<f32, D>>(&self, input: Input<D, T>, asked: usize) -> DeviceResult<Tensor3<D, T>, D> {
        let device = input.tokens.device().clone();
        let (length, mut inputs) = (input.tokens.shape().1, input.tokens);
        for (number, gates) in self.layers.iter().enumerate() {
            let (is_first, is_last) = (number == 0, number + 1 == self.layers.len());
            inputs = device.recur(Recurrence {
                inputs,
                gates: gates.iter().map(Gate::taped).collect(),
                asked: if is_last { asked } else { length },
                grad_target: if is_first { input.grad_target } else { GradTarget::All },
                cell: PhantomData::<C>,
            })?;
        }
        Ok(inputs)
    }

    /// The definition: (T, n) of h and of c of every layer, for one sequence of (T, w).
    fn define(&self, layers: &[Vec<(PlainLinear, Vec<f32>)>], sequence: &[Vec<f32>]) -> Vec<[Vec<f32>; 2]> {
        let mut inputs = sequence.to_vec();
        let mut histories = Vec::new();
        for gates in layers {
            let mut carried = CellState { h: vec![0.0; self.units], c: vec![0.0; self.units] };
            let mut history = [Vec::new(), Vec::new()];
            for input in &mut inputs {
                let token: Vec<Vec<f32>> = gates.iter().map(|(linear, _)| linear.of(input)).collect();
                C::define(&mut carried, |gate, h| {
                    let mut sum = token[gate].clone();
                    for (h, weights) in h.iter().zip(gates[gate].1.chunks(self.units)) {
                        sum.iter_mut().zip(weights).for_each(|(s, u)| *s += h * u);
                    }
                    sum
                });
                history[0].extend(&carried.h);
                history[1].extend(&carried.c);
                input.clone_from(&carried.h);
            }
            histories.push(history);
        }
        histories
    }
}

impl<D: Device, C: Cell> Net<D> for Recurrent<D, C> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let batch = input.tokens.shape().0;
        let h = self.hidden(input.up_to(self.query)?, 1)?;
        self.decoder.apply(h.try_reshape_like(&(batch, self.units))?)
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let weights: Vec<Vec<_>> = self
            .layers
            .iter()
            .map(|gates| gates.iter().map(|gate| (gate.token.plain(), gate.past.value.as_vec())).collect())
            .collect();
        let sequences: Vec<_> = tokens
            .as_vec()
            .chunks(length * width)
            .map(|tokens| self.define(&weights, &tokens.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>()))
            .collect();
        let symbols = if C::HAS_C { &["h", "c"][..] } else { &["h"] };
        let layers = (0..self.layers.len()).flat_map(|layer| symbols.iter().enumerate().map(move |each| (layer, each)));
        let states = layers.map(|(layer, (which, symbol))| {
            let histories: Vec<_> = sequences.iter().map(|layers| layers[layer][which].clone()).collect();
            let name = format!("layer {} {symbol}", layer + 1);
            let shape = (length, self.units);
            LayerStates::history(name, ("token", "unit"), shape, &histories, (self.outputs, self.dim))
        });
        states.collect()
    }

    fn params(&self) -> Vec<&Param<D>> {
        let gates = self.layers.iter().flatten();
        let gates = gates.flat_map(|gate| gate.token.params().into_iter().chain([&gate.past]));
        gates.chain(self.decoder.params()).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let gates = self.layers.iter_mut().flatten();
        let gates = gates.flat_map(|gate| gate.token.params_mut().into_iter().chain([&mut gate.past]));
        gates.chain(self.decoder.params_mut()).collect()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::{gru::Gru, lstm::Lstm, rnn::Rnn, tests::NO_THEORY};
    use super::*;
    use crate::nn::op::check::{Random, assert_close};
    use crate::task::{Stream, rng};

    fn the_last_state_decoded_is_the_answer<C: Cell>() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        let spec = RecurrentSpec::<C>::new(3, 2);
        let net = spec.build(&device, (shape, Layout::Joined), NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
        let tokens = Random::new(9).tensor3(&device, (2, 5, 3));
        let layers = net.states(&tokens);
        let last = &layers[if C::HAS_C { 2 } else { 1 }];
        let values = &last.time_steps[4].values;
        let expected: Vec<f32> = values.chunks(15).flat_map(|h| net.decoder.plain().of(&h[12..])).collect();
        assert_close(
            &net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec(),
            &expected,
            1e-5,
        );
        assert!(last.time_steps[1].values[6..15].iter().all(|later| *later == 0.0));
    }

    #[test]
    fn the_forward_pass_equals_the_definition() {
        the_last_state_decoded_is_the_answer::<Rnn>();
        the_last_state_decoded_is_the_answer::<Gru>();
        the_last_state_decoded_is_the_answer::<Lstm>();
    }
}
