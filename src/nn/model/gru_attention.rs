//! A GRU with additive attention over all of its states.
//!
//! | here | Bahdanau, Cho & Bengio 2014 (1409.0473, sec. 3 and A.1.2) | shape |
//! |---|---|---|
//! | h_t | annotations: the states of a GRU, as in [`super::gru`] | (n) |
//! | h_q | the state at the query's token; in the paper the decoder's state | (n) |
//! | `Wa`, `ba`, `Ua` | projections of h_q and h_t: W_a, its bias, U_a | (n, n), (n), (n, n) |
//! | `va` | v_a: e_t = tanh(h_q Wa + ba + h_t Ua) va | (n, 1) |
//! | α | attention weights: softmax of e over all tokens | (T) |
//! | `Wo`, `bo`, `Wc` | ŷ = h_q Wo + bo + c Wc with c = Σ_t α_t h_t | (n, d_out), (d_out), (n, d_out) |
//!
//! Deviations: the GRU runs in one direction, in the paper in both. There is one answer instead of a sequence, so there
//! is no recurrent decoder. Initial Wa, Ua, va and Wc by Glorot & Bengio 2010.

use anyhow::Result;
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::recurrent::Recurrent;
use super::{Architecture, Configured, Gru, LinearBlock, RecurrentSpec};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::glorot;
use crate::nn::layer::linear::{Linear, linear};
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A GRU with attention in a preset.
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

    /// h Ua, the sum, its tanh and a copy of h at every token, and the attention that is shown.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        self.gru().activations(shape, layout) + 6 * (length * self.units) as u128 + (length * length) as u128 / 64
    }

    /// The decoders of h and of the attended context, which are added.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wo", "bo", "Wc"])]
    }

    /// Those of the GRU, and a cache of h and h Ua of every token, which each answer scores and sums.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let n = self.units;
        let own = 2 * matvec(n, n) + matvec(n, shape.outputs) + tokens * (2 * matvec(n, 1) + 2 * n);
        let step = self.gru().costs(shape, layout, tokens).step;
        let kept = (2 * tokens * n) as u64;
        Costs { step: step.map(|gru| Cost { kept: gru.kept + kept, flops: gru.flops + own as u64 }), whole: None }
    }
}

weights! {
    /// The network.
    pub struct GruAttention<D>(config: Configured<GruAttentionSpec>) {
        let Configured { spec, setting } = config;
        let (n, Shape { dim, outputs, .. }) = (spec.units, setting.shape);
        weights {
            /// With the decoder of h_q.
            gru: Recurrent<D, Gru> = Configured { spec: spec.gru(), setting },
            /// Ua.
            key: Param<D> = weight("Ua", (n, n), glorot()),
            /// va.
            score: Param<D> = weight("va", (n, 1), glorot()),
            /// Wc.
            read: Param<D> = weight("Wc", (n, outputs), glorot()),
            /// Wa and ba.
            query: Linear<D> = linear("a", (n, n), glorot()),
        }
        saved as { gru, query, key, score, read }
        constants {
            /// (d_out, d).
            outputs_by_dim: (usize, usize) = (outputs, dim),
        }
    }
}

impl<D: Device> GruAttention<D> {
    /// The definition: α over these states, (t, n), for the query's state (n).
    fn attention(&self, states: &[&[f32]], query: &[f32]) -> Vec<f32> {
        let (key, score) = (self.key.value.as_vec(), self.score.value.as_vec());
        let query = self.query.plain().of(query);
        let of_state = |h: &&[f32]| -> f32 {
            let sums = (0..query.len()).map(|j| {
                let dot: f32 = h.iter().enumerate().map(|(i, h)| h * key[i * query.len() + j]).sum();
                score[j] * (query[j] + dot).tanh()
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
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let hidden = self.gru.on(tokens, tokens.length());
        let query = hidden.slice(self.gru.query..self.gru.query + 1);
        let keys = hidden.project(self.key.taped());
        let context = self.query.on(query).additive_attend(keys, hidden, self.score.taped());
        self.gru.decoder.on(query).plus(context.project(self.read.taped()))
    }

    /// The GRU's states, and the attention over those so far: of the query's state once it has been read, before that
    /// of the last state.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (length, n) = (tokens.shape().1, self.key.value.shape().0);
        let mut layers = self.gru.states(tokens);
        let Some(complete) = layers.first().and_then(|hidden| hidden.time_steps.last()) else { return layers };
        let attention = |t: usize| {
            let row = |sequence: &[f32]| {
                let states: Vec<&[f32]> = sequence.chunks(n).collect();
                let mut row = self.attention(&states[..=t], states[self.gru.query.min(t)]);
                row.resize(length, 0.0);
                row
            };
            StateAt::after(t + 1, complete.values.chunks(length * n).flat_map(row).collect(), Vec::new())
        };
        let time_steps = (0..length).map(attention).collect();
        layers.push(LayerStates {
            name: "attention".to_owned(),
            shape: (1, length),
            axes: ("query", "token"),
            aligned_shape: self.outputs_by_dim,
            time_steps,
        });
        layers
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_answer_equals_the_definition_from_states_and_attention() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        for layout in [Layout::Joined, Layout::QueryFirst] {
            let (length, width) = (layout.tokens(shape), layout.width(shape));
            let spec = GruAttentionSpec { units: 3 };
            let net = build(&spec, shape, layout);
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
            assert_close(&answers(&net, tokens), &expected, 1e-5);
        }
    }
}
