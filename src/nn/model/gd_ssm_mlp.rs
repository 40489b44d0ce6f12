//! GD-SSM between two MLPs: gradient descent on learnt features, for nonlinear maps.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `W1`, `b1`, `W2`, `b2` | embedding of a token: e_t = tanh(u_t W1 + b1) W2 + b2 | (w, n), (n), (n, m), (m) |
//! | `Λ`, `Q`, `D`, `C` | a [GD-SSM](super::gd_ssm) over (e_t, e_{t+1}, e_{t+2}) | (m, m), (3, 3), (3, 1), (m, m) |
//! | `Wa`, `ba`, `Wg`, `bg` | a = GELU(z Wg + bg) ⊙ (z Wa + ba) of the GD-SSM's output z | (m, n), (n) |
//! | `Wo`, `bo` | ŷ = a Wo + bo | (n, d_out), (d_out) |
//!
//! S accumulates products of embedded tokens. With b = Σ y φ(x), a linear readout is one step of gradient descent on
//! the features φ; with G = Σ φ(x) φ(x)ᵀ in addition, the gated unit can form b·φ_q and b·G φ_q, which is two steps
//! with separate step sizes.
//!
//! Source: arXiv 2410.11687, section 4, on the sine task. Deviation: the paper's embedding is linear, so that S is
//! at most quadratic in x, and the layers after it do not read x. The embedding here is nonlinear.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::gd_ssm::{GdSsm, GdSsmConfig};
use super::{Architecture, Configured, GdSsmSpec, Init, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::glorot;
use crate::nn::layer::linear::{Linear, linear};
use crate::nn::weights::weights;
use crate::nn::{Activation, Costs, Device, LayerStates, Net, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A GD-SSM with MLPs in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmMlpSpec {
    /// m: the number of features of a token.
    #[serde(deserialize_with = "bounds::channels")]
    pub features: usize,
    /// n: the width of the embedding and of the gated unit.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
}

impl GdSsmMlpSpec {
    /// The sizes of the GD-SSM inside.
    fn inner(&self, shape: Shape) -> Shape {
        Shape { dim: self.features, outputs: self.features, ..shape }
    }

    /// Inputs and outputs of the linear layers: embedding, gated unit, decoder.
    fn sizes(&self, shape: Shape, layout: Layout) -> [(usize, usize); 5] {
        let (m, n) = (self.features, self.units);
        [(layout.width(shape), n), (n, m), (m, n), (m, n), (n, shape.outputs)]
    }
}

impl Architecture for GdSsmMlpSpec {
    type Net<D: Device> = GdSsmMlp<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Interleaved;
        ensure!(fits, "layout: GdSsmMlp reads windows (x_t, y_t, x_{{t+1}}), so it needs Interleaved, not {layout:?}");
        Ok(())
    }

    /// Twice the embedding's sums, tanh and features; the state; the gated unit.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let embedded = layout.tokens(shape) as u128 * (4 * self.units + 4 * self.features) as u128;
        embedded + GdSsmSpec::new(Init::Random).activations(self.inner(shape), layout) + 8 * self.units as u128
    }

    /// See [`GdSsmSpec`].
    fn reads(&self, pairs: usize, _context: usize) -> bool {
        pairs > 0
    }

    /// The decoder: every other weight comes before the gate.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wo", "bo"])]
    }

    /// Those of the GD-SSM and of the linear layers.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let own: usize = self.sizes(shape, layout).into_iter().map(|(rows, columns)| matvec(rows, columns)).sum();
        let mut costs = GdSsmSpec::new(Init::Random).costs(self.inner(shape), layout, tokens);
        for cost in [&mut costs.step, &mut costs.whole].into_iter().flatten() {
            cost.flops += (own + 3 * self.units) as u64;
        }
        costs
    }
}

/// The factor by which C starts larger than in a GD-SSM alone: the gated unit after it needs inputs of order 1, where a
/// prediction should start small.
const READ_SCALE: f32 = 10.0;

weights! {
    /// The network.
    pub struct GdSsmMlp<D>(config: Configured<GdSsmMlpSpec>) {
        let Configured { spec, setting: Setting { shape, layout, gd_constants } } = config;
        let [token, features, unit, gate, out] = spec.sizes(shape, layout);
        weights {
            hidden: Linear<D> = linear("1", token, glorot()),
            embed: Linear<D> = linear("2", features, glorot()),
            value: Linear<D> = linear("a", unit, glorot()),
            gate: Linear<D> = linear("g", gate, glorot()),
            decode: Linear<D> = linear("o", out, glorot()),
            ssm: GdSsm<D> = GdSsmConfig {
                read_scale: READ_SCALE,
                ..GdSsmConfig::new(spec.inner(shape), Init::Random, gd_constants)
            },
        }
        saved as { hidden, embed, ssm, value, gate, decode }
        constants {
            /// (d_out, d).
            outputs_by_dim: (usize, usize) = (shape.outputs, shape.dim),
        }
    }
}

impl<D: Device> Net<D> for GdSsmMlp<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let embedded = self.embed.on(self.hidden.on(tokens).activate(Activation::Tanh));
        let read = self.ssm.on(embedded); // m numbers
        let gate = self.gate.on(read).activate(Activation::Gelu);
        self.decode.on(self.value.on(read).times(gate))
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let (hidden, embed, features) = (self.hidden.plain(), self.embed.plain(), self.ssm.outputs());
        let history = |sequence: &[f32]| {
            let embedded = |token: &[f32]| embed.of(&hidden.of(token).into_iter().map(f32::tanh).collect::<Vec<_>>());
            let tokens: Vec<f32> = sequence.chunks(width).flat_map(embedded).collect();
            self.ssm.history(&tokens, features)
        };
        let histories: Vec<Vec<Vec<f32>>> = tokens.as_vec().chunks(length * width).map(history).collect();
        vec![LayerStates {
            name: "state S".to_owned(),
            shape: (features, features),
            axes: ("feature", "feature"),
            aligned_shape: self.outputs_by_dim,
            time_steps: StateAt::of_histories(&histories, |t| 2 * t + 3, |_| Vec::new()),
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
    fn the_answer_equals_the_definition_from_the_last_state() {
        let (device, shape) = (Cpu::default(), Shape { dim: 1, outputs: 1, context: 3 });
        let spec = GdSsmMlpSpec { features: 4, units: 5 };
        let net = build(&spec, shape, Layout::Interleaved);
        let tokens = Random::new(9).tensor3(&device, (1, 7, 1));
        let state = net.states(&tokens).remove(0).time_steps.pop().unwrap().values;
        let [hidden, embed, value, gate, decode] =
            [&net.hidden, &net.embed, &net.value, &net.gate, &net.decode].map(Linear::plain);
        let mut picked = vec![0.0; 4];
        for (u, pick) in tokens.as_vec()[4..].iter().zip(net.ssm.pick.value.as_vec()) {
            let features = embed.of(&hidden.of(&[*u]).into_iter().map(f32::tanh).collect::<Vec<_>>());
            picked.iter_mut().zip(features).for_each(|(sum, feature)| *sum += pick * feature);
        }
        let times = |matrix: &[f32], row: &[f32]| -> Vec<f32> {
            matrix.chunks(4).map(|m| m.iter().zip(row).map(|(m, x)| m * x).sum()).collect()
        };
        let z = times(&net.ssm.read.value.as_vec(), &times(&state, &picked));
        let gates = gate.of(&z).into_iter().map(|x| crate::nn::Activation::Gelu.of(x));
        let passed: Vec<f32> = value.of(&z).into_iter().zip(gates).map(|(a, g)| a * g).collect();
        let expected = decode.of(&passed);
        assert_close(&answers(&net, tokens), &expected, 1e-4);
    }
}
