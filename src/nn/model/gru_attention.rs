//! A GRU whose last word may look back: additive attention over all of its states.
//!
//! | here | Bahdanau, Cho & Bengio 2014 (1409.0473, sec. 3 and A.1.2) | shape |
//! |---|---|---|
//! | h_t | annotations: the states of a GRU, as in [`super::gru`] | (n) |
//! | h_q | the state that asks, at the query's token; there that of the decoder | (n) |
//! | `Wa`, `ba`, `Ua` | what asks and what is asked: W_a, its bias, U_a | (n, n), (n), (n, n) |
//! | `va` | v_a: e_t = tanh(h_q Wa + ba + h_t Ua) va | (n, 1) |
//! | α | softmax of e over all tokens: the attention | (T) |
//! | `Wo`, `bo`, `Wc` | ŷ = h_q Wo + bo + c Wc with c = Σ_t α_t h_t | (n, d_out), (d_out), (n, d_out) |
//!
//! Deviations: the GRU runs one way, as the others here; there are two. One answer, no sequence of them, so that there is
//! no decoder: the query's state asks once. All of Wa, Ua, va and Wc start as Glorot & Bengio 2010 say.

use anyhow::Result;
use dfdx::prelude::{Axis, BroadcastTo, HasShape, ReshapeTo, Tape, TryAdd, TryMatMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::recurrent::Recurrent;
use super::{Architecture, GdConstants, Gru, RecurrentSpec};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::init::glorot;
use crate::nn::linear::{self, Linear};
use crate::nn::op::{project, slice};
use crate::nn::{Cost, Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A GRU with attention as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruAttentionSpec {
    /// n: the width of h.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
}

impl GruAttentionSpec {
    fn gru(&self) -> RecurrentSpec<Gru> {
        RecurrentSpec::new(self.units, 1)
    }
}

impl Architecture for GruAttentionSpec {
    type Net<D: Device> = GruAttention<D>;

    fn check(&self, shape: Shape, layout: Layout) -> Result<()> {
        self.gru().check(shape, layout)
    }

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let n = self.units as u128;
        let attention = linear::parameters((self.units, self.units)) + n * n + n + n * shape.outputs as u128;
        self.gru().parameters(shape, layout) + attention
    }

    /// At every token what is asked, the sum, its tanh, and a copy of h; and the attention that is looked at.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        self.gru().activations(shape, layout) + 6 * (length * self.units) as u128 + (length * length) as u128 / 64
    }

    /// The GRU's, and a cache: every h and what is asked of it. An answer scores and sums all of them.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let n = self.units;
        let own = 2 * matvec(n, n) + matvec(n, shape.outputs) + tokens * (2 * matvec(n, 1) + 2 * n);
        let step = self.gru().costs(shape, layout, tokens).step;
        let kept = (2 * tokens * n) as u64;
        Costs { step: step.map(|gru| Cost { kept: gru.kept + kept, flops: gru.flops + own as u64 }), whole: None }
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<GruAttention<D>, D> {
        let n = self.units;
        let gru = self.gru().build(device, (shape, layout), gd_constants, rng)?;
        let mut drawn = |name: &str, size: (usize, usize)| Param::new(device, name, size, glorot(rng, size));
        Ok(GruAttention {
            gru,
            asked: drawn("Ua", (n, n))?,
            score: drawn("va", (n, 1))?,
            read: drawn("Wc", (n, shape.outputs))?,
            ask: Linear::new(device, ("", "a"), (n, n), glorot(rng, (n, n)), 0.0)?,
            outputs_by_dim: (shape.outputs, shape.dim),
        })
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct GruAttention<D: Device> {
    /// With the decoder of h_q.
    gru: Recurrent<D, Gru>,
    /// Wa and ba.
    ask: Linear<D>,
    /// Ua.
    asked: Param<D>,
    /// va.
    score: Param<D>,
    /// Wc.
    read: Param<D>,
    /// (d_out, d).
    outputs_by_dim: (usize, usize),
}

impl<D: Device> GruAttention<D> {
    /// The definition: α over these states, (t, n), for one that asks.
    fn attention(&self, states: &[&[f32]], asks: &[f32]) -> Vec<f32> {
        let (asked, score) = (self.asked.value.as_vec(), self.score.value.as_vec());
        let ask = self.ask.plain().of(asks);
        let of_state = |h: &&[f32]| -> f32 {
            let sums = (0..ask.len()).map(|j| {
                let mine: f32 = h.iter().enumerate().map(|(i, h)| h * asked[i * ask.len() + j]).sum();
                score[j] * (ask[j] + mine).tanh()
            });
            sums.sum()
        };
        let scores: Vec<f32> = states.iter().map(of_state).collect();
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        let weights: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }
}

impl<D: Device> Net<D> for GruAttention<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let (batch, length, _) = *input.tokens.shape();
        let n = self.asked.value.shape().0;
        let hidden = self.gru.hidden(input, length)?; // (B, T, n)
        let query = self.gru.query;
        let asks = slice(hidden.retaped::<T>(), (0..batch, query..query + 1, 0..n))?.try_reshape_like(&(batch, n))?;
        let ask = self.ask.apply(asks.retaped::<T>())?.try_broadcast_like::<_, Axis<1>>(&(batch, length, n))?;
        let sums = project(hidden.retaped::<T>(), self.asked.taped())?;
        let scores = project(sums.try_add(ask)?.try_tanh()?, self.score.taped())?.try_reshape_like(&(batch, length))?;
        let attention = scores.try_softmax::<Axis<1>>()?.try_reshape_like(&(batch, 1, length))?;
        let context = attention.try_matmul(hidden)?.try_reshape_like(&(batch, n))?;
        self.gru.decoder.apply(asks)?.try_add(context.try_matmul(self.read.value.clone())?)
    }

    /// The GRU's states, and the attention over those so far: of the query's state once it is there, of the last one
    /// before.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (length, n) = (tokens.shape().1, self.asked.value.shape().0);
        let mut layers = self.gru.states(tokens);
        let Some(complete) = layers.first().and_then(|hidden| hidden.time_steps.last()) else { return layers };
        let attention = |t: usize| {
            let row = |sequence: &[f32]| {
                let states: Vec<&[f32]> = sequence.chunks(n).collect();
                let asks = if t >= self.gru.query { states[self.gru.query] } else { states[t] };
                let mut row = self.attention(&states[..=t], asks);
                row.resize(length, 0.0);
                row
            };
            StateAt::after(t + 1, complete.values.chunks(length * n).flat_map(row).collect(), Vec::new())
        };
        let time_steps = (0..length).map(attention).collect();
        layers.push(LayerStates {
            name: "attention".to_owned(),
            shape: (1, length),
            axes: ("the state that asks", "token"),
            aligned_shape: self.outputs_by_dim,
            time_steps,
        });
        layers
    }

    fn params(&self) -> Vec<&Param<D>> {
        let mut all = self.gru.params();
        all.extend(self.ask.params());
        all.extend([&self.asked, &self.score, &self.read]);
        all
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all = self.gru.params_mut();
        all.extend(self.ask.params_mut());
        all.extend([&mut self.asked, &mut self.score, &mut self.read]);
        all
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
    fn the_states_weighted_by_the_attention_are_the_answer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        for layout in [Layout::Joined, Layout::QueryFirst] {
            let (length, width) = (layout.tokens(shape), layout.width(shape));
            let spec = GruAttentionSpec { units: 3 };
            let net = spec.build(&device, (shape, layout), NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
            let tokens = Random::new(9).tensor3(&device, (1, length, width));
            let layers = net.states(&tokens);
            let hidden = &layers[0].time_steps[length - 1].values;
            let attention = &layers[1].time_steps[length - 1].values;
            assert!((attention.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let at_query = net.gru.query * 3;
            let mut expected = net.gru.decoder.plain().of(&hidden[at_query..at_query + 3]);
            for (j, weight) in net.read.value.as_vec().iter().enumerate() {
                expected[0] += weight * attention.iter().zip(hidden.chunks(3)).map(|(a, h)| a * h[j]).sum::<f32>();
            }
            assert_close(
                &net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec(),
                &expected,
                1e-5,
            );
        }
    }
}
