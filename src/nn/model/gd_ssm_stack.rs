//! GD-SSM of k layers: k steps of gradient descent, each layer on the residuals of the one before.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `1.Λ`, `1.Q`, `1.D`, `1.C` … | the weights of each layer, see [`super::gd_ssm`] | (d, d), (3, 3), (3, 1), (d, d) |
//! | y_{N+1} | −ŷ, at the position of the query's target; 0 before the first layer | (d) |
//! | X_t | the window (x_t, y_t, x_{t+1}) for t = 1 … N; X₀ = (0, 0, x₁) | (3, d) |
//!
//! Layer by layer S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, and y_{t+1} ← y_{t+1} − C S_N X_tᵀ D for t = 0 … N; ŷ = −y_{N+1}.
//! With the weights of [`super::gd_ssm`]'s construction in every layer, y_i is the residual y_i − W x_i of W after as
//! many steps, S_N the gradient at that W, and ŷ the answer of k steps of gradient descent.
//!
//! Deviations from the code of 2410.11687. There three layers make two steps: one accumulates Σ y xᵀ, one Σ x xᵀ, and
//! the third combines them to 2η Σ y xᵀ − η² Σ y xᵀ Σ x xᵀ, so that the state has a constant size; k steps need k
//! powers. Here the skip connection is over the targets: one step per layer, and the context is read once per layer,
//! because the residuals of early pairs depend on the last state. The skip does not change x; there it adds the query
//! to the answer.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::canonical::Canonical;
use super::gd_ssm::{GdSsm, GdSsmConfig};
use super::{Architecture, Configured, GdConstants, Init, LinearBlock};
use crate::bounds;
use crate::nn::graph::Sequence;
use crate::nn::step::window_answers;
use crate::nn::weights::{Prefixed, weights};
use crate::nn::{Cost, Costs, Device, DeviceResult, Latent, LayerStates, Net, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A stack of GD-SSM layers in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmStackSpec {
    pub init: Init,
    /// k, the number of layers.
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
}

impl Architecture for GdSsmStackSpec {
    type Net<D: Device> = GdSsmStack<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Interleaved;
        ensure!(
            fits,
            "layout: GdSsmStack reads windows (x_t, y_t, x_{{t+1}}), so it needs Interleaved, not {layout:?}"
        );
        Ok(())
    }

    /// For each layer two copies of the tokens and of its answers, S_N and ∂S_N/∂Λ.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let tokens = (layout.tokens(shape) + 1) as u128 * shape.dim as u128;
        self.layers as u128 * (4 * tokens + 2 * (shape.dim as u128).pow(2))
    }

    /// Those of the last layer: what the others take off the targets is squared in its state.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        LinearBlock::of_gd_ssm(&format!("{}.", self.layers)).into()
    }

    /// One window per layer, with its residual. A new pair changes the residuals of all pairs, so there is no step
    /// form.
    fn costs(&self, shape: Shape, _layout: Layout, tokens: usize) -> Costs {
        let (d, wide) = (shape.dim, shape.dim * shape.dim);
        let window = 24 * d + 12 * wide;
        Costs { step: None, whole: Some(Cost::new(tokens * d + wide, self.layers * window / 2)) }
    }

    fn descent_steps(&self) -> u32 {
        self.layers as u32
    }
}

weights! {
    /// The network.
    pub struct GdSsmStack<D>(config: Configured<GdSsmStackSpec>) {
        let Configured { spec, setting } = config;
        let config = GdSsmConfig::new(setting.shape, spec.init, setting.gd_constants);
        let layer = |number: usize| Prefixed { prefix: format!("{number}."), config };
        weights {
            layers: Vec<GdSsm<D>> = (1..=spec.layers).map(layer).collect::<Vec<_>>(),
        }
        constants { outputs: usize = setting.shape.outputs, }
    }
}

/// What a layer takes off its tokens.
fn taken_by<'g, D: Device, T: Tape<f32, D>>(layer: &GdSsm<D>, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
    tokens.window_layer(layer.window_weights()).read_out(layer.read.taped(), tokens.width())
}

impl<D: Device> Net<D> for GdSsmStack<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let mut tokens = tokens.pad(1); // The query has no y yet.
        let dim = tokens.width();
        // What the layers take off the query's y, which is zero at first, adds up to the answer.
        let mut answer = None;
        for layer in &self.layers {
            let taken = taken_by(layer, tokens);
            let of_query = taken.last(1);
            answer = Some(answer.map_or(of_query, |sum: Sequence<'g, D, T>| sum.plus(of_query)));
            tokens = tokens.minus(taken);
        }
        let answer = answer.unwrap_or(tokens.last(1));
        answer.columns(dim - self.outputs..dim)
    }

    fn latents(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
        Latent::between(self.layers.len(), tokens, |layers, tokens| {
            let after = |tokens, layer| Sequence::minus(tokens, taken_by(layer, tokens));
            self.layers[..layers].iter().fold(tokens.pad(1), after).last(1)
        })
    }

    /// S of each layer after each window: Σ y xᵀ in the first layer, Σ (residual) xᵀ in the later ones.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let mut sequences: Vec<Vec<f32>> =
            tokens.as_vec().chunks(length * dim).map(|tokens| [tokens, &vec![0.0; dim]].concat()).collect();
        let layers = self.layers.iter().enumerate().map(|(number, layer)| {
            let histories: Vec<_> =
                sequences.iter().map(|tokens| layer.history(&tokens[..length * dim], dim)).collect();
            sequences.iter_mut().for_each(|tokens| define(layer, tokens, dim));
            let aligned = |state: &[f32]| if number == 0 { state.to_vec() } else { Vec::new() };
            let time_steps = StateAt::of_histories(&histories, |t| 2 * t + 3, aligned);
            LayerStates::of_maps(format!("layer {} state S", number + 1), (dim, dim), time_steps)
        });
        layers.collect()
    }

    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        self.layers.iter().flat_map(|layer| layer.canonical(gd_constants)).collect()
    }
}

/// The definition of a layer: subtracts its answers from the targets of one sequence (2N+2, d).
fn define<D: Device>(layer: &GdSsm<D>, tokens: &mut [f32], dim: usize) {
    let [decay, mix, pick, read] = [&layer.decay, &layer.mix, &layer.pick, &layer.read].map(|p| p.value.as_vec());
    let answers = window_answers(tokens, dim, [&decay, &mix, &pick]);
    for (token, answer) in tokens.chunks_mut(dim).zip(answers.chunks(dim)) {
        for (sum, row) in token.iter_mut().zip(read.chunks(dim)) {
            *sum -= row.iter().zip(answer).map(|(c, a)| c * a).sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_forward_pass_equals_the_definition_layer_by_layer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 3, outputs: 2, context: 4 });
        let spec = GdSsmStackSpec { init: Init::Random, layers: 3 };
        let mut net = build(&spec, shape, Layout::Interleaved);
        net.params_mut().into_iter().for_each(|param| param.value = param.value.clone() + 0.1);
        let tokens = Random::new(9).tensor3(&device, (1, 9, 3));
        let mut sequence = [tokens.as_vec(), vec![0.0; 3]].concat();
        net.layers.iter().for_each(|layer| define(layer, &mut sequence, 3));
        let expected: Vec<f32> = sequence[28..].iter().map(|y| -y).collect();
        assert_close(&answers(&net, tokens), &expected, 1e-5);
    }
}
