//! A multilayer perceptron: the whole context at once, as one long vector.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | a⁰ | all tokens, one after the other | (T·w) |
//! | `W1` …, `b1` … | hidden layers: aˡ = φ(aˡ⁻¹ Wˡ + bˡ) | (T·w, n), then (n, n); (n) |
//! | `Wo`, `bo` | ŷ = a Wo + bo | (n, d_out); (d_out) |
//!
//! Source: Rumelhart, Hinton & Williams 1986. The perceptron has no state and no order: it must learn for every place of
//! the context anew that there is a pair in it. Weights start as He et al. 2015 say for ReLU, as Glorot & Bengio 2010
//! else; biases at zero.

use anyhow::Result;
use dfdx::prelude::{HasShape, ReshapeTo, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Architecture, GdConstants};
use crate::bounds;
use crate::nn::activation::Activation;
use crate::nn::cost::matvec;
use crate::nn::init::{glorot, he};
use crate::nn::linear::{self, Linear};
use crate::nn::op::GraphBuilder;
use crate::nn::{Cost, Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A multilayer perceptron as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpSpec {
    /// n: the width of each hidden layer.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    /// Hidden layers.
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

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        self.sizes(shape, layout).into_iter().map(linear::parameters).sum()
    }

    /// Product, sum, bias and φ of each layer.
    fn activations(&self, _shape: Shape, _layout: Layout) -> u128 {
        4 * self.units as u128 * self.layers as u128
    }

    /// It has a weight for every place.
    fn reads(&self, pairs: usize, context: usize) -> bool {
        pairs == context
    }

    /// Only all at once: every token has weights of its own, and without the last there is no answer.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let width = layout.width(shape);
        let deep = (self.layers - 1) * matvec(self.units, self.units) + matvec(self.units, shape.outputs);
        let whole = matvec(tokens * width, self.units) + deep;
        Costs { step: None, whole: Some(Cost::new(tokens * width, whole / tokens.max(1))) }
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        _theory: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        let sizes = self.sizes(shape, layout);
        let hidden = sizes[..self.layers].iter().enumerate().map(|(i, size)| {
            let weights = if self.activation == Activation::Relu { he(rng, *size) } else { glorot(rng, *size) };
            Linear::new(device, ("", &(i + 1).to_string()), *size, weights, 0.0)
        });
        let hidden = hidden.collect::<DeviceResult<Vec<_>, D>>()?;
        let last = sizes[self.layers];
        let decoder = Linear::new(device, ("", "o"), last, glorot(rng, last), 0.0)?;
        Ok(Mlp { hidden, decoder, spec: self.clone(), dim: shape.dim, outputs: shape.outputs })
    }
}

impl MlpSpec {
    /// Inputs and outputs of every layer, the decoder's last.
    fn sizes(&self, shape: Shape, layout: Layout) -> Vec<(usize, usize)> {
        let mut widths = vec![layout.tokens(shape) * layout.width(shape)];
        widths.extend(vec![self.units; self.layers]);
        widths.push(shape.outputs);
        widths.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct Mlp<D: Device> {
    hidden: Vec<Linear<D>>,
    decoder: Linear<D>,
    spec: MlpSpec,
    dim: usize,
    outputs: usize,
}

impl<D: Device> Net<D> for Mlp<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let (batch, length, width) = *input.tokens.shape();
        let whole = (batch, 1, length * width);
        let graph_builder = GraphBuilder::new(whole);
        let mut units = graph_builder.tokens();
        for layer in &self.hidden {
            units = self.spec.activation.on(layer.on(units));
        }
        let input = Input { tokens: input.tokens.try_reshape_like(&whole)?, grad_target: input.grad_target };
        self.decoder.on(units).run(input)?.try_reshape_like(&(batch, self.outputs))
    }

    /// One stop, for the perceptron reads all tokens at once: a row of units for each layer.
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

    fn params(&self) -> Vec<&Param<D>> {
        self.hidden.iter().chain([&self.decoder]).flat_map(Linear::params).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.hidden.iter_mut().chain([&mut self.decoder]).flat_map(Linear::params_mut).collect()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::NO_THEORY;
    use super::*;
    use crate::nn::GradTarget;
    use crate::nn::op::check::{Random, assert_close};
    use crate::task::{Stream, rng};

    #[test]
    fn the_last_hidden_units_decoded_are_the_answer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 3 });
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh] {
            let spec = MlpSpec { units: 5, layers: 2, activation };
            let net = spec.build(&device, (shape, Layout::Joined), NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
            let tokens = Random::new(9).tensor3(&device, (2, 4, 3));
            let values = net.states(&tokens).remove(0).time_steps.remove(0).values;
            let expected: Vec<f32> = values.chunks(10).flat_map(|units| net.decoder.plain().of(&units[5..])).collect();
            assert_close(
                &net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec(),
                &expected,
                1e-5,
            );
        }
    }
}
