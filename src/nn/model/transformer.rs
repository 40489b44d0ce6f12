//! The softmax transformer: causal, pre-LN, with an MLP after each attention.
//!
//! | here | Vaswani et al. 2017 (1706.03762, sec. 3), Xiong et al. 2020 (2002.04745, "pre-LN") | shape |
//! |---|---|---|
//! | `We`, `be` | embedding of a token | (w, n), (n) |
//! | `P` | learned position embedding of each place (sec. 3.5), if `positions` | (1, T·n) |
//! | `g1`, `c1`, `g2`, `c2`, `g`, `c` | gain and bias of the layer norms before attention, before the MLP, last | (n) |
//! | `Wq`, `Wk`, `Wv`, `Wa` (`bq` …) | queries, keys, values, and the projection W^O of all heads | (n, n), (n) |
//! | `W1`, `W2` (`b1`, `b2`) | position-wise feed-forward network, 4 n wide | (n, 4n), (4n, n) |
//! | `Wo`, `bo` | ŷ = x Wo + bo of the query's token | (n, d_out), (d_out) |
//!
//! x ← x + Attention(LN(x)), x ← x + W2 φ(LN(x) W1), layer after layer; ŷ from LN(x).
//!
//! Deviations: no positional encoding, unless `positions` adds P to the embeddings. With causal attention a token can
//! infer its position (Haviv et al. 2022, 2203.16634), and on all tasks but that on a grid the order of the pairs
//! carries no information; the query is recognisable by y = 0. No dropout.
//! Initial weights by Glorot & Bengio 2010 instead of GPT-2's N(0, 0.02²), which is meant for a width of 768. As in
//! GPT-2, Wa and W2 start smaller by √(2 · layers), so that the variance does not grow with the number of layers.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::{Architecture, Configured, LinearBlock, Setting};
use crate::bounds;
use crate::nn::Activation;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{glorot, normal};
use crate::nn::layer::linear::{Linear, linear};
use crate::nn::layer::norm::{LayerNorm, layer_norm};
use crate::nn::step::attention_matrix;
use crate::nn::weights::{numbered, weight, weights};
use crate::nn::{Cost, Costs, Device, DeviceResult, Latent, LayerStates, Net, Param, Tensor3};
use crate::task::{Layout, Shape};

/// A transformer in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerSpec {
    /// n: the width of a token between the layers.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    #[serde(deserialize_with = "bounds::heads")]
    pub heads: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// φ.
    pub activation: Activation,
    /// Whether the embedding of every token has a learned row for its place added.
    #[serde(default)]
    pub positions: bool,
}

/// The width of the MLP, relative to n.
const WIDER: usize = 4;

impl Architecture for TransformerSpec {
    type Net<D: Device> = Transformer<D>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        let divides = self.units.is_multiple_of(self.heads);
        ensure!(divides, "model.heads: {} heads cannot share {} units evenly", self.heads, self.units);
        Ok(())
    }

    /// About twenty rows of n and four of 4 n numbers per token, the attention matrices, and those that are shown.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        let rows = (length * self.units) as u128 * (20 + 4 * WIDER as u128);
        let matrices = 3 * (length as u128).pow(2) + LayerStates::history_size((length, length));
        self.layers as u128 * (rows + self.heads as u128 * matrices)
    }

    /// Learned positions are as many as the tokens.
    fn reads(&self, pairs: usize, context: usize) -> bool {
        !self.positions || pairs == context
    }

    /// The last linear layer.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["Wo", "bo"])]
    }

    /// Each layer: four projections, the MLP, and scores and sums over all tokens so far. One token at a time it
    /// keeps the keys and values of all tokens; all at once the attention matrix of each head.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let n = self.units;
        let layer = 4 * matvec(n, n) + 2 * matvec(n, WIDER * n) + 2 * matvec(tokens, n) + 40 * n;
        let flops = matvec(layout.width(shape) + shape.outputs, n) + self.layers * layer;
        Costs {
            step: Some(Cost::new(self.layers * 2 * tokens * n, flops)),
            whole: Some(Cost::new(self.layers * self.heads * tokens * tokens, flops)),
        }
    }
}

weights! {
    /// The network.
    pub struct Transformer<D>(config: Configured<TransformerSpec>) {
        let Configured { spec, setting: Setting { shape, layout, .. } } = config;
        let n = spec.units;
        let places = n * (layout.query_place(shape) + 1);
        let position = || weight("P", (1, places), normal((1.0 / n as f32).sqrt()));
        weights {
            embedding: Linear<D> = linear("e", (layout.width(shape), n), glorot()),
            positions: Option<Param<D>> = spec.positions.then(position),
            layers: Vec<TransformerLayer<D>> = numbered(spec.layers, |_| spec.clone()),
            last_norm: LayerNorm<D> = layer_norm("", n),
            decoder: Linear<D> = linear("o", (n, shape.outputs), glorot()),
        }
        constants {
            /// The query's position among the tokens.
            query: usize = layout.query_place(shape),
            /// (d_out, d).
            outputs_by_dim: (usize, usize) = (shape.outputs, shape.dim),
            spec: TransformerSpec = spec,
        }
    }
}

weights! {
    /// One layer.
    struct TransformerLayer<D>(spec: TransformerSpec) {
        let n = spec.units;
        let shrink = 1.0 / (2.0 * spec.layers as f32).sqrt();
        weights {
            attention_norm: LayerNorm<D> = layer_norm("1", n),
            query: Linear<D> = linear("q", (n, n), glorot()),
            key: Linear<D> = linear("k", (n, n), glorot()),
            value: Linear<D> = linear("v", (n, n), glorot()),
            project: Linear<D> = linear("a", (n, n), glorot().map(move |w| shrink * w)),
            mlp_norm: LayerNorm<D> = layer_norm("2", n),
            widen: Linear<D> = linear("1", (n, WIDER * n), glorot()),
            narrow: Linear<D> = linear("2", (WIDER * n, n), glorot().map(move |w| shrink * w)),
        }
    }
}

impl<D: Device> TransformerLayer<D> {
    /// The last `last` tokens after the layer, (B, last, n), from all tokens before it, (B, T, n).
    fn last<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        last: usize,
        spec: &TransformerSpec,
    ) -> Sequence<'p, D, T> {
        let normal = self.attention_norm.on(tokens);
        let parts = [self.key.on(normal), self.value.on(normal)];
        let attended = self.query.on(normal.last(last)).softmax_attend(parts, spec.heads);
        let tokens = tokens.last(last).plus(self.project.on(attended));
        let wide = self.widen.on(self.mlp_norm.on(tokens)).activate(spec.activation);
        tokens.plus(self.narrow.on(wide))
    }

    /// The definition: replaces the tokens of one sequence, (T, n), by those after the layer, and returns the attention
    /// matrix of each head, (T, T).
    fn define(&self, tokens: &mut [Vec<f32>], spec: &TransformerSpec) -> Vec<Vec<f32>> {
        let norm = self.attention_norm.plain();
        let normal: Vec<_> = tokens.iter().map(|token| norm.of(token)).collect();
        let [queries, keys, values] = [&self.query, &self.key, &self.value].map(|linear| {
            let linear = linear.plain();
            normal.iter().map(|token| linear.of(token)).collect::<Vec<_>>()
        });
        let width = spec.units / spec.heads;
        let part = |rows: &[Vec<f32>], head: usize| -> Vec<f32> {
            rows.iter().flat_map(|row| &row[head * width..][..width]).copied().collect()
        };
        let matrix = |head| attention_matrix(&part(&queries, head), &part(&keys, head), width);
        let matrices: Vec<Vec<f32>> = (0..spec.heads).map(matrix).collect();

        let (project, norm) = (self.project.plain(), self.mlp_norm.plain());
        let (widen, narrow) = (self.widen.plain(), self.narrow.plain());
        let length = tokens.len();
        for (t, token) in tokens.iter_mut().enumerate() {
            let mut taken = vec![0.0; spec.units];
            for (unit, sum) in taken.iter_mut().enumerate() {
                let weights = &matrices[unit / width][t * length..][..length];
                *sum = weights.iter().zip(&values).map(|(p, value)| p * value[unit]).sum();
            }
            token.iter_mut().zip(project.of(&taken)).for_each(|(x, update)| *x += update);
            let wide: Vec<f32> = widen.of(&norm.of(token)).into_iter().map(|x| spec.activation.of(x)).collect();
            token.iter_mut().zip(narrow.of(&wide)).for_each(|(x, update)| *x += update);
        }
        matrices
    }
}

impl<D: Device> Transformer<D> {
    /// The definition of the embeddings of one sequence, (T, w), with their positions.
    fn embed(&self, sequence: &[f32], width: usize) -> Vec<Vec<f32>> {
        let embedding = self.embedding.plain();
        let mut tokens: Vec<_> = sequence.chunks(width).map(|token| embedding.of(token)).collect();
        let positions = self.positions.as_ref().map_or(Vec::new(), |positions| positions.value.as_vec());
        tokens.iter_mut().flatten().zip(&positions).for_each(|(number, position)| *number += position);
        tokens
    }

    /// The query's token after the first `layers` layers: one token.
    fn query_after<'g, T: Tape<f32, D>>(&self, layers: usize, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let mut tokens = self.embedding.on(tokens.slice(0..self.query + 1));
        if let Some(positions) = &self.positions {
            tokens = tokens.flatten().plus_row(positions.taped()).split(self.query + 1);
        }
        for (number, layer) in self.layers[..layers].iter().enumerate() {
            // After the last layer only the query is read.
            let last = if number + 1 == layers { 1 } else { tokens.length() };
            tokens = layer.last(tokens, last, &self.spec);
        }
        tokens.last(1)
    }
}

impl<D: Device> Net<D> for Transformer<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        self.decoder.on(self.last_norm.on(self.query_after(self.layers.len(), tokens)))
    }

    fn latents(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
        Latent::between(self.layers.len(), tokens, |layers, tokens| self.query_after(layers, tokens))
    }

    /// The attention matrix of each head; the state at token t has its first t rows.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let embed = |sequence: &[f32]| self.embed(sequence, width);
        let mut sequences: Vec<Vec<Vec<f32>>> = tokens.as_vec().chunks(length * width).map(embed).collect();
        let mut states = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let matrices: Vec<_> = sequences.iter_mut().map(|tokens| layer.define(tokens, &self.spec)).collect();
            for head in 0..self.spec.heads {
                let name = format!("layer {} head {} attention", number + 1, head + 1);
                let of_head: Vec<_> = matrices.iter().map(|heads| heads[head].clone()).collect();
                let (axes, shape) = (("query", "key"), (length, length));
                states.push(LayerStates::history(name, axes, shape, &of_head, self.outputs_by_dim));
            }
        }
        states
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_forward_pass_equals_the_definition() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        for positions in [false, true] {
            let spec = TransformerSpec { units: 6, heads: 2, layers: 2, activation: Activation::Gelu, positions };
            let net = build(&spec, shape, Layout::Joined);
            let tokens = Random::new(9).tensor3(&device, (1, 5, 3));
            let mut sequence = net.embed(&tokens.as_vec(), 3);
            for layer in &net.layers {
                for matrix in layer.define(&mut sequence, &spec) {
                    assert!(matrix.chunks(5).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
                }
            }
            let expected = net.decoder.plain().of(&net.last_norm.plain().of(&sequence[4]));
            assert_close(&answers(&net, tokens), &expected, 1e-5);
        }
    }
}
