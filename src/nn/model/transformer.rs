//! The softmax transformer: causal, normalised before each part, with a perceptron after each attention.
//!
//! | here | Vaswani et al. 2017 (1706.03762, sec. 3), Xiong et al. 2020 (2002.04745, "pre-LN") | shape |
//! |---|---|---|
//! | `We`, `be` | embedding of a token | (w, n), (n) |
//! | `g1`, `c1`, `g2`, `c2`, `g`, `c` | gain and bias of the layer norms: before attention, before the perceptron, last | (n) |
//! | `Wq`, `Wk`, `Wv`, `Wa` (`bq` …) | queries, keys, values, and the projection W^O of all heads | (n, n), (n) |
//! | `W1`, `W2` (`b1`, `b2`) | position-wise feed-forward network, 4 n wide | (n, 4n), (4n, n) |
//! | `Wo`, `bo` | ŷ = x Wo + bo of the query's token | (n, d_out), (d_out) |
//!
//! x ← x + Attention(LN(x)), x ← x + W2 φ(LN(x) W1), layer after layer; ŷ from LN(x).
//!
//! Deviations: no positions. Causal attention alone tells a token how many came before it (Haviv et al. 2022, 2203.16634), and
//! here the order of the pairs means nothing; the query is known by its y, which is 0. No dropout. Weights start as
//! Glorot & Bengio 2010 say, not at the fixed 0.02 of GPT-2, which is meant for a width of 768; from GPT-2 is that Wa and
//! W2 start smaller by √(2 · layers), so that the sum over layers starts as large as one.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, ReshapeTo, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Architecture, GdConstants};
use crate::bounds;
use crate::nn::activation::Activation;
use crate::nn::cost::matvec;
use crate::nn::init::glorot;
use crate::nn::linear::{self, Linear};
use crate::nn::norm::LayerNorm;
use crate::nn::op::{GraphBuilder, Sequence, attention_matrix};
use crate::nn::{Cost, Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, Tensor3};
use crate::task::{Layout, Shape};

/// A transformer as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerSpec {
    /// n: the width of a token inside.
    #[serde(deserialize_with = "bounds::units")]
    pub units: usize,
    #[serde(deserialize_with = "bounds::heads")]
    pub heads: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// φ.
    pub activation: Activation,
}

/// How many times wider the perceptron is than a token.
const WIDER: usize = 4;

impl Architecture for TransformerSpec {
    type Net<D: Device> = Transformer<D>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        let divides = self.units.is_multiple_of(self.heads);
        ensure!(divides, "model.heads: {} heads cannot share {} units evenly", self.heads, self.units);
        Ok(())
    }

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let (n, wide) = (self.units, WIDER * self.units);
        let layer = 4 * n as u128 + 4 * linear::parameters((n, n));
        let perceptron = linear::parameters((n, wide)) + linear::parameters((wide, n));
        let ends = linear::parameters((layout.width(shape), n)) + linear::parameters((n, shape.outputs));
        self.layers as u128 * (layer + perceptron) + ends + 2 * n as u128
    }

    /// At every token about twenty rows and four wide ones; the attention matrices; and those that are looked at.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let length = layout.tokens(shape);
        let rows = (length * self.units) as u128 * (20 + 4 * WIDER as u128);
        let matrices = 3 * (length as u128).pow(2) + LayerStates::history_size((length, length));
        self.layers as u128 * (rows + self.heads as u128 * matrices)
    }

    /// Each layer: four projections, the perceptron, and scores and sums over all tokens so far. Token by token it keeps
    /// the keys and values of each; all at once the attention matrix of each head.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let n = self.units;
        let layer = 4 * matvec(n, n) + 2 * matvec(n, WIDER * n) + 2 * matvec(tokens, n) + 40 * n;
        let flops = matvec(layout.width(shape) + shape.outputs, n) + self.layers * layer;
        Costs {
            step: Some(Cost::new(self.layers * 2 * tokens * n, flops)),
            whole: Some(Cost::new(self.layers * self.heads * tokens * tokens, flops)),
        }
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        _theory: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        let n = self.units;
        let shrink = 1.0 / (2.0 * self.layers as f32).sqrt();
        let mut linear = |name: (&str, &str), size: (usize, usize), scale: f32| {
            let weights = glorot(rng, size).into_iter().map(|w| scale * w).collect();
            Linear::new(device, name, size, weights, 0.0)
        };
        let embedding = linear(("", "e"), (layout.width(shape), n), 1.0)?;
        let mut layer = |number: usize| {
            let place = if self.layers == 1 { String::new() } else { format!("{}.", number + 1) };
            let place = place.as_str();
            Ok(Layer {
                before_attention: LayerNorm::new(device, (place, "1"), n)?,
                query: linear((place, "q"), (n, n), 1.0)?,
                key: linear((place, "k"), (n, n), 1.0)?,
                value: linear((place, "v"), (n, n), 1.0)?,
                project: linear((place, "a"), (n, n), shrink)?,
                before_perceptron: LayerNorm::new(device, (place, "2"), n)?,
                widen: linear((place, "1"), (n, WIDER * n), 1.0)?,
                narrow: linear((place, "2"), (WIDER * n, n), shrink)?,
            })
        };
        let layers = (0..self.layers).map(&mut layer).collect::<DeviceResult<Vec<_>, D>>()?;
        Ok(Transformer {
            embedding,
            layers,
            last_norm: LayerNorm::new(device, ("", ""), n)?,
            decoder: linear(("", "o"), (n, shape.outputs), 1.0)?,
            spec: self.clone(),
            query: layout.query_place(shape),
            outputs_by_dim: (shape.outputs, shape.dim),
        })
    }
}

#[derive(Clone, Debug)]
struct Layer<D: Device> {
    before_attention: LayerNorm<D>,
    query: Linear<D>,
    key: Linear<D>,
    value: Linear<D>,
    project: Linear<D>,
    before_perceptron: LayerNorm<D>,
    widen: Linear<D>,
    narrow: Linear<D>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Transformer<D: Device> {
    embedding: Linear<D>,
    layers: Vec<Layer<D>>,
    last_norm: LayerNorm<D>,
    decoder: Linear<D>,
    spec: TransformerSpec,
    /// The query's place among the tokens.
    query: usize,
    /// (d_out, d).
    outputs_by_dim: (usize, usize),
}

impl<D: Device> Layer<D> {
    /// The last tokens after the layer, so many, from all before it.
    fn last<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
        spec: &TransformerSpec,
    ) -> Sequence<'p, D, T> {
        let normal = self.before_attention.on(tokens);
        let parts = [self.key.on(normal), self.value.on(normal)];
        let attended = self.query.on(normal.last(asked)).softmax_attend(parts, spec.heads);
        let tokens = tokens.last(asked).plus(self.project.on(attended));
        let wide = spec.activation.on(self.widen.on(self.before_perceptron.on(tokens)));
        tokens.plus(self.narrow.on(wide))
    }

    /// The definition: turns the tokens of one sequence into those after the layer, and gives the attention matrix of
    /// each head, (T, T).
    fn define(&self, tokens: &mut [Vec<f32>], spec: &TransformerSpec) -> Vec<Vec<f32>> {
        let norm = self.before_attention.plain();
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

        let (project, norm) = (self.project.plain(), self.before_perceptron.plain());
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

impl<D: Device> Net<D> for Transformer<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let input = input.up_to(self.query)?;
        let graph_builder = GraphBuilder::new(*input.tokens.shape());
        let mut tokens = self.embedding.on(graph_builder.tokens());
        for (number, layer) in self.layers.iter().enumerate() {
            // After the last layer only the query is read.
            let asked = if number + 1 == self.layers.len() { 1 } else { tokens.length() };
            tokens = layer.last(tokens, asked, &self.spec);
        }
        let answer = self.decoder.on(self.last_norm.on(tokens.last(1))).run(input)?; // (B, 1, d_out)
        let (batch, _, outputs) = *answer.shape();
        answer.try_reshape_like(&(batch, outputs))
    }

    /// The attention matrix of each head, row by row as the queries come.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let embedding = self.embedding.plain();
        let embed = |sequence: &[f32]| sequence.chunks(width).map(|token| embedding.of(token)).collect();
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

    fn params(&self) -> Vec<&Param<D>> {
        let mut all: Vec<_> = self.embedding.params().into();
        for l in &self.layers {
            all.extend(l.before_attention.params());
            all.extend([&l.query, &l.key, &l.value, &l.project].into_iter().flat_map(Linear::params));
            all.extend(l.before_perceptron.params());
            all.extend([&l.widen, &l.narrow].into_iter().flat_map(Linear::params));
        }
        all.extend(self.last_norm.params());
        all.extend(self.decoder.params());
        all
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let mut all: Vec<_> = self.embedding.params_mut().into();
        for l in &mut self.layers {
            all.extend(l.before_attention.params_mut());
            let attention = [&mut l.query, &mut l.key, &mut l.value, &mut l.project];
            all.extend(attention.into_iter().flat_map(Linear::params_mut));
            all.extend(l.before_perceptron.params_mut());
            all.extend([&mut l.widen, &mut l.narrow].into_iter().flat_map(Linear::params_mut));
        }
        all.extend(self.last_norm.params_mut());
        all.extend(self.decoder.params_mut());
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
    fn the_forward_pass_equals_the_definition() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        let spec = TransformerSpec { units: 6, heads: 2, layers: 2, activation: Activation::Gelu };
        let net = spec.build(&device, (shape, Layout::Joined), NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
        let tokens = Random::new(9).tensor3(&device, (1, 5, 3));
        let embedding = net.embedding.plain();
        let mut sequence: Vec<_> = tokens.as_vec().chunks(3).map(|token| embedding.of(token)).collect();
        for layer in &net.layers {
            for matrix in layer.define(&mut sequence, &spec) {
                assert!(matrix.chunks(5).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
            }
        }
        let expected = net.decoder.plain().of(&net.last_norm.plain().of(&sequence[4]));
        assert_close(
            &net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec(),
            &expected,
            1e-5,
        );
    }
}
