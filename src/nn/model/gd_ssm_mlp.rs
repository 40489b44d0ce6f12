//! GD-SSM between two perceptrons: gradient descent on features that are learnt, for maps that are not linear.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `W1`, `b1`, `W2`, `b2` | embedding of a token: e_t = tanh(u_t W1 + b1) W2 + b2 | (w, n), (n), (n, m), (m) |
//! | `Λ`, `Q`, `D`, `C` | a GD-SSM over the windows (e_t, e_{t+1}, e_{t+2}), as in [`super::gd_ssm`] | (m, m), (3, 3), (3, 1), (m, m) |
//! | `Wa`, `ba`, `Wg`, `bg` | gated linear unit: a = GELU(z Wg + bg) ⊙ (z Wa + ba) of what the GD-SSM says, z | (m, n), (n) |
//! | `Wo`, `bo` | ŷ = a Wo + bo | (n, d_out), (d_out) |
//!
//! S adds up products of embedded tokens. With y times the features of its x, b = Σ y φ(x), a readout is one step of
//! gradient descent on features; with G = Σ φ(x) φ(x)ᵀ beside it, products of the gated unit make b·φ_q and b·G φ_q, which
//! is two steps, of sizes of their own.
//!
//! Source: arXiv 2410.11687, section 4, on the sine task. Deviations: the paper's embedding is linear. Then S has nothing
//! of x but its first two powers, and the perceptron after it does not see x: the embedding here bends, the part after
//! is the paper's gated unit.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, ReshapeTo, Tape, TryMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::gd_ssm::{GdSsm, Window};
use super::{Architecture, GdConstants, GdSsmSpec, Init};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::init::glorot;
use crate::nn::linear::{self, Linear};
use crate::nn::{Costs, Device, DeviceResult, GradTarget, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A GD-SSM with perceptrons as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmMlpSpec {
    /// m: the features of a token.
    #[serde(deserialize_with = "bounds::channels")]
    pub features: usize,
    /// n: the units of the two perceptrons.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
}

impl GdSsmMlpSpec {
    /// The sizes as the GD-SSM inside sees them.
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

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let own: u128 = self.sizes(shape, layout).into_iter().map(linear::parameters).sum();
        own + GdSsmSpec { init: Init::Random }.parameters(self.inner(shape), layout)
    }

    /// The embedding's sums, tanh and features, twice; the state; the gated unit.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let embedded = layout.tokens(shape) as u128 * (4 * self.units + 4 * self.features) as u128;
        embedded + GdSsmSpec { init: Init::Random }.activations(self.inner(shape), layout) + 8 * self.units as u128
    }

    /// As the GD-SSM inside.
    fn reads(&self, pairs: usize, _context: usize) -> bool {
        pairs > 0
    }

    /// The GD-SSM's, and the linear layers.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let own: usize = self.sizes(shape, layout).into_iter().map(|(rows, columns)| matvec(rows, columns)).sum();
        let mut costs = GdSsmSpec { init: Init::Random }.costs(self.inner(shape), layout, tokens);
        for cost in [&mut costs.step, &mut costs.whole].into_iter().flatten() {
            cost.flops += (own + 3 * self.units) as u64;
        }
        costs
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<GdSsmMlp<D>, D> {
        let sizes = self.sizes(shape, layout);
        let mut dense =
            |symbol: &str, size: (usize, usize)| Linear::new(device, ("", symbol), size, glorot(rng, size), 0.0);
        let [bend, embed, value, gate, decode] = [
            dense("1", sizes[0])?,
            dense("2", sizes[1])?,
            dense("a", sizes[2])?,
            dense("g", sizes[3])?,
            dense("o", sizes[4])?,
        ];
        let window = Window { prefix: String::new(), target: 1, input: 0 };
        let mut ssm = GdSsm::new(device, &window, Init::Random, (self.inner(shape), gd_constants), rng)?;
        // The perceptron after it wants numbers of its own size, where a prediction should start small.
        ssm.read.value = ssm.read.value.clone().try_mul(READ)?;
        Ok(GdSsmMlp { bend, embed, ssm, value, gate, decode, outputs_by_dim: (shape.outputs, shape.dim) })
    }
}

/// How much larger C starts than in a GD-SSM by itself.
const READ: f32 = 10.0;

/// The network.
#[derive(Clone, Debug)]
pub struct GdSsmMlp<D: Device> {
    bend: Linear<D>,
    embed: Linear<D>,
    ssm: GdSsm<D>,
    value: Linear<D>,
    gate: Linear<D>,
    decode: Linear<D>,
    /// (d_out, d).
    outputs_by_dim: (usize, usize),
}

impl<D: Device> Net<D> for GdSsmMlp<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let (batch, length, width) = *input.tokens.shape();
        let rows = input.tokens.try_reshape_like(&(batch * length, width))?;
        let embedded = self.embed.apply(self.bend.apply(rows)?.try_tanh()?)?;
        let tokens = embedded.try_reshape_like(&(batch, length, self.ssm.outputs()))?;
        // The gradient goes on through the tokens to the embedding.
        let said = self.ssm.forward(Input { tokens, grad_target: GradTarget::All })?; // (B, m)
        let gate = self.gate.apply(said.retaped::<T>())?.try_fast_gelu()?;
        self.decode.apply(self.value.apply(said)?.try_mul(gate)?)
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let (bend, embed, features) = (self.bend.plain(), self.embed.plain(), self.ssm.outputs());
        let history = |sequence: &[f32]| {
            let embedded = |token: &[f32]| embed.of(&bend.of(token).into_iter().map(f32::tanh).collect::<Vec<_>>());
            let tokens: Vec<f32> = sequence.chunks(width).flat_map(embedded).collect();
            self.ssm.history(&tokens, features)
        };
        let histories: Vec<Vec<Vec<f32>>> = tokens.as_vec().chunks(length * width).map(history).collect();
        let time_step = |t: usize| {
            let values = histories.iter().flat_map(|states| states[t].clone()).collect();
            StateAt::after(2 * t + 3, values, Vec::new())
        };
        vec![LayerStates {
            name: "state S".to_owned(),
            shape: (features, features),
            axes: ("feature", "feature"),
            aligned_shape: self.outputs_by_dim,
            time_steps: (0..length / 2).map(time_step).collect(),
        }]
    }

    fn params(&self) -> Vec<&Param<D>> {
        let before = [&self.bend, &self.embed].into_iter().flat_map(Linear::params);
        let after = [&self.value, &self.gate, &self.decode].into_iter().flat_map(Linear::params);
        before.chain(self.ssm.params()).chain(after).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let before = [&mut self.bend, &mut self.embed].into_iter().flat_map(Linear::params_mut);
        let after = [&mut self.value, &mut self.gate, &mut self.decode].into_iter().flat_map(Linear::params_mut);
        before.chain(self.ssm.params_mut()).chain(after).collect()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::NO_THEORY;
    use super::*;
    use crate::nn::op::check::{Random, assert_close};
    use crate::task::{Stream, rng};

    #[test]
    fn the_state_asked_by_the_last_window_and_the_gated_unit_are_the_answer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 1, outputs: 1, context: 3 });
        let spec = GdSsmMlpSpec { features: 4, units: 5 };
        let sizes = (shape, Layout::Interleaved);
        let net = spec.build(&device, sizes, NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
        let tokens = Random::new(9).tensor3(&device, (1, 7, 1));
        let state = net.states(&tokens).remove(0).time_steps.pop().unwrap().values;
        let [bend, embed, value, gate, decode] =
            [&net.bend, &net.embed, &net.value, &net.gate, &net.decode].map(Linear::plain);
        let mut asked = vec![0.0; 4];
        for (u, pick) in tokens.as_vec()[4..].iter().zip(net.ssm.pick.value.as_vec()) {
            let features = embed.of(&bend.of(&[*u]).into_iter().map(f32::tanh).collect::<Vec<_>>());
            asked.iter_mut().zip(features).for_each(|(sum, feature)| *sum += pick * feature);
        }
        let times = |matrix: &[f32], row: &[f32]| -> Vec<f32> {
            matrix.chunks(4).map(|m| m.iter().zip(row).map(|(m, x)| m * x).sum()).collect()
        };
        let said = times(&net.ssm.read.value.as_vec(), &times(&state, &asked));
        let gates = gate.of(&said).into_iter().map(|x| crate::nn::Activation::Gelu.of(x));
        let passed: Vec<f32> = value.of(&said).into_iter().zip(gates).map(|(a, g)| a * g).collect();
        let expected = decode.of(&passed);
        assert_close(
            &net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec(),
            &expected,
            1e-4,
        );
    }
}
