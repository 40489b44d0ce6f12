//! RNN, GRU and LSTM: layers of a recurrent cell that reads one token after the other.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | x_t | the token; after the first layer the h_t of the layer before | (w) or (n) |
//! | h_t, c_t | hidden state, and cell state of the LSTM | (n) |
//! | `W…`, `U…`, `b…` | of each gate, which reads x_t W + b + h U | (w, n), (n, n), (n) |
//! | `Wo`, `bo` | ŷ = h Wo + bo at the query's token, from the last layer | (n, d_out); (d_out) |
//!
//! Each cell is in its own file. Initial W by Glorot & Bengio 2010, U orthogonal (Saxe et al. 2013), biases by the
//! cell. x_t W + b does not depend on h, so it is one product for all tokens.

use std::fmt::Debug;
use std::marker::PhantomData;

use anyhow::Result;
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::{Architecture, Configured, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{glorot, orthogonal};
use crate::nn::layer::linear::{Linear, PlainLinear, linear};
use crate::nn::step::{Cell, CellState};
use crate::nn::weights::{numbered, weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Matrix, Net, Param, Tensor3};
use crate::task::{Layout, Shape};

/// A recurrent network in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "")]
pub struct RecurrentSpec<C: Cell> {
    /// n: the width of h.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    /// The number of layers; each reads the h of the one before.
    #[serde(default = "bounds::one", deserialize_with = "bounds::layers")]
    pub layers: usize,
    #[serde(skip)]
    cell: PhantomData<C>,
}

impl<C: Cell> RecurrentSpec<C> {
    pub fn new(units: usize, layers: usize) -> Self {
        Self { units, layers, cell: PhantomData }
    }

    /// The width of the input of a layer, numbered from 1, for tokens of this width.
    fn input(&self, layer: usize, width: usize) -> usize {
        if layer == 1 { width } else { self.units }
    }
}

impl<C: Cell> Architecture for RecurrentSpec<C> {
    type Net<D: Device> = Recurrent<D, C>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        Ok(())
    }

    /// Five results per gate and six per cell at every token, and the states that are shown.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        let results = (5 * C::GATES.len() as u128 + 6) * (length * self.units) as u128;
        self.layers as u128 * (results + 2 * LayerStates::history_size((length, self.units)))
    }

    /// The decoder of h.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wo", "bo"])]
    }

    /// One token at a time only, because the recurrence is nonlinear. Each gate reads the token and h.
    fn costs(&self, shape: Shape, layout: Layout, _tokens: usize) -> Costs {
        let n = self.units;
        let gate = |layer| matvec(self.input(layer, layout.width(shape)) + n, n) + 4 * n;
        let flops = C::GATES.len() * (1..=self.layers).map(gate).sum::<usize>() + matvec(n, shape.outputs);
        let kept = self.layers * n * (1 + usize::from(C::HAS_C));
        Costs { step: Some(Cost::new(kept, flops)), whole: None }
    }
}

/// What a gate is built from.
struct CellGateConfig {
    symbol: &'static str,
    /// (input width, n).
    shape: (usize, usize),
    bias: f32,
}

weights! {
    /// The weights of a gate.
    struct CellGate<D>(config: CellGateConfig) {
        let CellGateConfig { symbol, shape, bias } = config;
        let n = shape.1;
        weights {
            /// W and b.
            token: Linear<D> = linear(symbol, shape, glorot()).with_bias(bias),
            /// U.
            past: Param<D> = weight(format!("U{symbol}"), (n, n), orthogonal()),
        }
    }
}

impl<D: Device> CellGate<D> {
    /// W, U and b, for one use on a tape.
    fn taped<T: Tape<f32, D>>(&self) -> [Matrix<D, T>; 3] {
        let [weight, bias] = self.token.taped();
        [weight, self.past.taped(), bias]
    }
}

weights! {
    /// The network.
    pub struct Recurrent<D, C: Cell>(config: Configured<RecurrentSpec<C>>) {
        let Configured { spec, setting: Setting { shape, layout, .. } } = config;
        let n = spec.units;
        let gates = |layer: usize| {
            let shape = (spec.input(layer, layout.width(shape)), n);
            let gate = |(gate, symbol): (usize, &&'static str)| CellGateConfig { symbol, shape, bias: C::bias(gate) };
            C::GATES.iter().enumerate().map(|each| gate(each).into()).collect()
        };
        weights {
            /// The gates of each layer.
            layers: Vec<Vec<CellGate<D>>> = numbered(spec.layers, gates),
            pub decoder: Linear<D> = linear("o", (n, shape.outputs), glorot()),
        }
        constants {
            units: usize = n,
            /// The query's position among the tokens.
            pub query: usize = layout.query_place(shape),
            dim: usize = shape.dim,
            outputs: usize = shape.outputs,
            cell: PhantomData<C> = PhantomData,
        }
    }
}

impl<D: Device, C: Cell> Recurrent<D, C> {
    /// The last h of the last layer, as many as `last` says.
    pub fn on<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>, last: usize) -> Sequence<'g, D, T> {
        let mut h = tokens;
        for (number, gates) in self.layers.iter().enumerate() {
            let last = if number + 1 == self.layers.len() { last } else { tokens.length() };
            h = h.recur::<C>(gates.iter().map(CellGate::taped).collect(), last);
        }
        h
    }

    /// The definition: h and c of every layer, (T, n) each, for one sequence (T, w).
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
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let h = self.on(tokens.slice(0..self.query + 1), 1);
        self.decoder.on(h)
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
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::{
        Gru, Lstm, Rnn,
        tests::{answers, build},
    };
    use super::*;

    use crate::nn::check::{Random, assert_close};
    fn the_answer_is_the_decoded_last_state<C: Cell>() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        let spec = RecurrentSpec::<C>::new(3, 2);
        let net = build(&spec, shape, Layout::Joined);
        let tokens = Random::new(9).tensor3(&device, (2, 5, 3));
        let layers = net.states(&tokens);
        let last = &layers[if C::HAS_C { 2 } else { 1 }];
        let values = &last.time_steps[4].values;
        let expected: Vec<f32> = values.chunks(15).flat_map(|h| net.decoder.plain().of(&h[12..])).collect();
        assert_close(&answers(&net, tokens), &expected, 1e-5);
        assert!(last.time_steps[1].values[6..15].iter().all(|later| *later == 0.0));
    }

    #[test]
    fn the_forward_pass_equals_the_definition() {
        the_answer_is_the_decoded_last_state::<Rnn>();
        the_answer_is_the_decoded_last_state::<Gru>();
        the_answer_is_the_decoded_last_state::<Lstm>();
    }
}
