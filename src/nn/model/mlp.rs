//! A multilayer perceptron on the whole context as one vector.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | a⁰ | all tokens, concatenated | (T·w) |
//! | `W1` …, `b1` … | hidden layers: aˡ = φ(aˡ⁻¹ Wˡ + bˡ) | (T·w, n), then (n, n); (n) |
//! | `Wo`, `bo` | ŷ = a Wo + bo | (n, d_out); (d_out) |
//!
//! Source: Rumelhart, Hinton & Williams 1986. It has separate weights for every position of the context. Initial
//! weights by He et al. 2015 for ReLU, else by Glorot & Bengio 2010; biases start at zero.

use anyhow::Result;
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::{Architecture, Configured, LinearBlock, Setting};
use crate::bounds;
use crate::nn::Activation;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{glorot, he};
use crate::nn::layer::linear::{Linear, linear};
use crate::nn::weights::{Prefixed, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A multilayer perceptron in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpSpec {
    /// n: the width of each hidden layer.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    /// The number of hidden layers.
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// φ.
    pub activation: Activation,
}

impl Architecture for MlpSpec {
    type Net<D: Device> = Mlp<D>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        Ok(())
    }

    /// Four vectors of n numbers per layer.
    fn activations(&self, _shape: Shape, _layout: Layout) -> u128 {
        4 * self.units as u128 * self.layers as u128
    }

    /// Its weights depend on the number of positions.
    fn reads(&self, pairs: usize, context: usize) -> bool {
        pairs == context
    }

    /// The last layer.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wo", "bo"])]
    }

    /// All tokens at once only: the first layer reads the whole context.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let width = layout.width(shape);
        let deep = (self.layers - 1) * matvec(self.units, self.units) + matvec(self.units, shape.outputs);
        let whole = matvec(tokens * width, self.units) + deep;
        Costs { step: None, whole: Some(Cost::new(tokens * width, whole / tokens.max(1))) }
    }
}

weights! {
    /// The network.
    pub struct Mlp<D>(config: Configured<MlpSpec>) {
        let Configured { spec, setting: Setting { shape, layout, .. } } = config;
        let start = match spec.activation {
            Activation::Relu => he,
            Activation::Gelu
            | Activation::Tanh
            | Activation::Silu
            | Activation::Softplus
            | Activation::Sigmoid => glorot,
        };
        let (n, inputs) = (spec.units, layout.tokens(shape) * layout.width(shape));
        let layer = |number: usize| {
            let shape = (if number == 1 { inputs } else { n }, n);
            Prefixed::from(linear(number.to_string(), shape, start()))
        };
        weights {
            hidden: Vec<Linear<D>> = (1..=spec.layers).map(layer).collect::<Vec<_>>(),
            decoder: Linear<D> = linear("o", (n, shape.outputs), glorot()),
        }
        constants {
            spec: MlpSpec = spec,
            dim: usize = shape.dim,
            outputs: usize = shape.outputs,
        }
    }
}

impl<D: Device> Net<D> for Mlp<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let mut units = tokens.flatten();
        for layer in &self.hidden {
            units = layer.on(units).activate(self.spec.activation);
        }
        self.decoder.on(units)
    }

    /// One state, after all tokens: one row of units per layer.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let layers: Vec<_> = self.hidden.iter().map(Linear::plain).collect();
        let mut values = Vec::new();
        for sequence in tokens.as_vec().chunks(length * width) {
            let mut row = sequence.to_vec();
            for layer in &layers {
                row = layer.of(&row).into_iter().map(|sum| self.spec.activation.of(sum)).collect();
                values.extend(&row);
            }
        }
        vec![LayerStates {
            name: "hidden units".to_owned(),
            shape: (self.spec.layers, self.spec.units),
            axes: ("layer", "unit"),
            aligned_shape: (self.outputs, self.dim),
            time_steps: vec![StateAt::after(length, values, Vec::new())],
        }]
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_answer_is_the_decoded_last_hidden_layer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 3 });
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh] {
            let spec = MlpSpec { units: 5, layers: 2, activation };
            let net = build(&spec, shape, Layout::Joined);
            let tokens = Random::new(9).tensor3(&device, (2, 4, 3));
            let values = net.states(&tokens).remove(0).time_steps.remove(0).values;
            let expected: Vec<f32> = values.chunks(10).flat_map(|units| net.decoder.plain().of(&units[5..])).collect();
            assert_close(&answers(&net, tokens), &expected, 1e-5);
        }
    }
}
