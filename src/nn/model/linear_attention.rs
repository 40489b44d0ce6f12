//! Linear self-attention: attention without softmax over joined tokens.
//!
//! | here | paper (2212.07677, sec. 2) | shape |
//! |---|---|---|
//! | e_j = [x_j; y_j] | token; the query is [x_q; 0] | (w), w = d + d_out |
//! | `Wq`, `Wk`, `Wv` | W_Q, W_K, W_V, one head | (w, w), used as e W |
//! | `Wo` | the output projection P | (w, w) |
//!
//! e ← e + Wo Σ_j (Wv e_j)(Wk e_j · Wq e), k layers; ŷ is the y part of the query's token after the last.
//! With Wq = Wk = [I 0; 0 0], Wv = [0 0; 0 I] and Wo = (η/N) I one layer is one step of gradient descent.
//!
//! The sum over j includes the query's own token, as in the paper's equation 2, or leaves it out, as the paper's code
//! does by default (`query_in_sums`). In the first layer that token has no y and adds nothing to the answer; from the
//! second layer on it matters.
//!
//! Deviation: ŷ is read with a plus sign, where the paper's tokens hold −ŷ. For one layer the sign moves into Wo. With
//! more layers the choice matters: a first layer that leaves y_j − W x_j for the next adds −W x_q to the query's token.
//! At d = 5, N = 10 the best two layers have a loss of 0.063 with the plus sign and 0.042 with the minus sign
//! (minimised numerically).

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::canonical::{Canonical, unit};
use super::{Architecture, Configured, GdConstants, Init, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{entries, normal};
use crate::nn::weights::{numbered, weight, weights};
use crate::nn::{
    AttentionForm, Cost, Costs, Device, DeviceResult, Latent, LayerStates, Net, Param, StateAt, Tensor3, TokenWeights,
};
use crate::task::{Layout, Shape};

/// Linear self-attention in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearAttentionSpec {
    pub init: Init,
    /// The number of attention layers; each adds its output to its input.
    #[serde(default = "bounds::one", deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// Whether the query's own token is among those that are summed over.
    #[serde(default = "included")]
    pub query_in_sums: bool,
}

impl LinearAttentionSpec {
    /// How many of a sequence's tokens, from the first on, are summed over.
    pub fn key_len(&self, tokens: usize) -> usize {
        if self.query_in_sums { tokens } else { tokens - 1 }
    }
}

fn included() -> bool {
    true
}

impl Architecture for LinearAttentionSpec {
    type Net<D: Device> = LinearAttention<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Joined;
        ensure!(fits, "layout: LinearAttention reads pairs [x; y], so it needs Joined, not {layout:?}");
        let constructible = self.init == Init::Random || self.layers == 1;
        ensure!(constructible, "model.layers: the construction of LinearAttention has one layer, not {}", self.layers);
        Ok(())
    }

    /// Twice the tokens, keys, values and queries, and the memory Σ k vᵀ of each layer.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let (length, width) = (layout.tokens(shape) as u128, layout.width(shape) as u128);
        self.layers as u128 * (8 * length * width + width * width)
    }

    /// Wo and Wq of the last layer. The answer is linear in its Wk and Wv as well, but any product Wq Wkᵀ can be
    /// reached by Wq alone, and any product Wv Wo by Wo alone. Tokens of an earlier layer are multiplied with each
    /// other in the last one.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        let prefix = if self.layers == 1 { String::new() } else { format!("{}.", self.layers) };
        let name = |symbol: &str| format!("{prefix}{symbol}");
        vec![LinearBlock::ReadOut(vec![name("Wo")]), LinearBlock::Factor { weight: name("Wq"), scale: name("Wo") }]
    }

    /// Four projections; one token adds to the memory Σ k vᵀ, and one query reads it. With more than one layer a new
    /// token changes all tokens of the next layer, so there is no step form.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let width = layout.width(shape);
        let layer = 4 * matvec(width, width);
        let step = Cost::new(width * width, layer + 2 * matvec(width, width));
        let scores = layer + 2 * matvec(width, tokens);
        Costs {
            step: (self.layers == 1).then_some(step),
            whole: Some(Cost::new(tokens * tokens, self.layers * scores)),
        }
    }
}

weights! {
    /// The network.
    pub struct LinearAttention<D>(config: Configured<LinearAttentionSpec>) {
        let Configured { spec, setting: Setting { shape, layout, gd_constants } } = config;
        let (d, w, step_size) = (shape.dim, layout.width(shape), gd_constants.step_size);
        // In more than one layer a large first one settles on a step of its own and leaves the inputs as they are.
        let std = if spec.layers > 1 { 0.25 / (w as f32).sqrt() } else { (0.5 / w as f32).sqrt() };
        let layer = LayerConfig { init: spec.init, d, w, step_size, std };
        weights {
            layers: Vec<LinearAttentionLayer<D>> = numbered(spec.layers, |_| layer),
        }
        constants {
            /// d: where a token's y begins.
            dim: usize = shape.dim,
            /// How many tokens are summed over.
            key_len: usize = spec.key_len(layout.tokens(shape)),
        }
    }
}

/// What a layer is built from.
#[derive(Clone, Copy)]
struct LayerConfig {
    init: Init,
    /// The width of x.
    d: usize,
    /// The width of a token [x; y].
    w: usize,
    /// η/N of the construction.
    step_size: f64,
    /// The standard deviation of an entry of a random start.
    std: f32,
}

weights! {
    /// One layer.
    struct LinearAttentionLayer<D>(config: LayerConfig) {
        let LayerConfig { init, d, w, step_size, std } = config;
        let random = || normal(std);
        let selects_x = || entries(move |row, column| if row == column && row < d { 1.0 } else { 0.0 });
        let selects_y = |value: f32| entries(move |row, column| if row == column && row >= d { value } else { 0.0 });
        weights {
            // Symbol, shape, random start, construction.
            wq: Param<D> = weight("Wq", (w, w), init.start(random(), selects_x())),
            wk: Param<D> = weight("Wk", (w, w), init.start(random(), selects_x())),
            wv: Param<D> = weight("Wv", (w, w), init.start(random(), selects_y(1.0))),
            wo: Param<D> = weight("Wo", (w, w), init.start(random(), selects_y(step_size as f32))),
        }
    }
}

impl<D: Device> LinearAttentionLayer<D> {
    /// The last tokens, as many as `query_len`, after the layer, which sums over the first `key_len`.
    fn on<'g, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'g, D, T>,
        key_len: usize,
        query_len: usize,
    ) -> Sequence<'g, D, T> {
        tokens.linear_attend([&self.wq, &self.wk, &self.wv, &self.wo].map(Param::taped), key_len, query_len)
    }
}

impl<D: Device> LinearAttention<D> {
    /// The query's token after the first `layers` layers: one token.
    fn query_after<'g, T: Tape<f32, D>>(&self, layers: usize, mut tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        for (number, layer) in self.layers[..layers].iter().enumerate() {
            // Only the query's token is read after the last layer.
            let query_len = if number + 1 == layers { 1 } else { tokens.length() };
            tokens = layer.on(tokens, self.key_len, query_len);
        }
        tokens.last(1)
    }
}

impl<D: Device> Net<D> for LinearAttention<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let query = self.query_after(self.layers.len(), tokens);
        query.columns(self.dim..query.width())
    }

    fn latents(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
        Latent::between(self.layers.len(), tokens, |layers, tokens| self.query_after(layers, tokens))
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let mut tokens = tokens.as_vec();
        let layers = self.layers.iter().enumerate().map(|(number, layer)| {
            let weights = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
            let mut time_steps: Vec<_> =
                (1..=length).map(|tokens_read| StateAt::after(tokens_read, Vec::new(), Vec::new())).collect();
            for sequence in tokens.chunks_mut(length * width) {
                let states = memories(sequence, (width, self.key_len), &weights);
                for (time_step, memory) in time_steps.iter_mut().zip(&states) {
                    time_step.values.extend(memory);
                    time_step.aligned.extend(implied(memory, (width, self.dim), &weights));
                }
                if let Some(memory) = states.last() {
                    attend(sequence, width, memory, &weights);
                }
            }
            LayerStates {
                name: format!("layer {} memory Σ k vᵀ", number + 1),
                shape: (width, width),
                axes: ("key", "value"),
                aligned_shape: (width - self.dim, self.dim),
                time_steps,
            }
        });
        layers.collect()
    }

    /// Of one layer a row has the weights of the tokens up to its own, as the memory after that token has them; only
    /// the query's row is read. Of more layers each token reads all others.
    fn attention_form(&self, tokens: &Tensor3<D>) -> DeviceResult<Option<AttentionForm>, D> {
        let (_, length, width) = *tokens.shape();
        let causal = self.layers.len() == 1;
        let head = |number: usize| TokenWeights {
            name: if causal { "the layer".to_owned() } else { format!("layer {number}") },
            read_at: (0..length).collect(),
            tokens: length,
            weights: Vec::new(),
        };
        let mut heads: Vec<_> = (1..=self.layers.len()).map(head).collect();
        let (mut by_weights, mut by_state) = (Vec::new(), Vec::new());
        for sequence in tokens.as_vec().chunks(length * width) {
            let (mut summed, mut recurrent) = (sequence.to_vec(), sequence.to_vec());
            for (head, layer) in heads.iter_mut().zip(&self.layers) {
                let weights = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
                let scores = scores(&summed, (width, self.key_len), &weights, causal);
                add_weighted(&mut summed, width, &scores, &weights);
                head.weights.extend(scores);
                if let Some(memory) = memories(&recurrent, (width, self.key_len), &weights).last() {
                    attend(&mut recurrent, width, memory, &weights);
                }
            }
            let answer = (length - 1) * width + self.dim;
            by_weights.extend(&summed[answer..]);
            by_state.extend(&recurrent[answer..]);
        }
        Ok(Some(AttentionForm { heads, by_weights, by_state }))
    }

    /// Only the products Wq Wkᵀ and Wv Wo determine the model, and a factor can move from one to the other: the first
    /// is scaled to its constructed norm. Its rows of x are compared, because the query has no y, and the second's
    /// columns of y, because only they are read. There is a construction for one layer only.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        let [layer] = &self.layers[..] else { return Vec::new() };
        let [wq, wk, wv, wo] = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
        let (width, dim) = (layer.wq.value.shape().0, self.dim);
        let transposed =
            |matrix: &[f32]| (0..width * width).map(|i| matrix[i % width * width + i / width]).collect::<Vec<_>>();
        let entry = |i: usize, j: usize, first: usize, value: f64| if i == first + j { value as f32 } else { 0.0 };
        let constructed_qk: Vec<f32> = (0..dim * width).map(|i| entry(i % width, i / width, 0, 1.0)).collect();
        let (qk, factor) = unit(&product(&wq[..dim * width], &transposed(&wk), width), &constructed_qk);
        let size = (dim as f32).sqrt();
        let outputs = width - dim;
        let vo = product(&wv, &wo, width);
        let vo = (0..width * outputs).map(|i| vo[i / outputs * width + dim + i % outputs] * factor / size);
        let constructed_vo = (0..width * outputs).map(|i| entry(i / outputs, i % outputs, dim, gd_constants.step_size));
        vec![
            Canonical::new("Wq Wkᵀ", width, qk.iter().map(|entry| entry * size).collect(), constructed_qk),
            Canonical::new("Wv Wo", outputs, vo.collect(), constructed_vo.collect::<Vec<_>>()),
        ]
    }
}

/// a (rows, n) times b (n, columns), all row-major.
fn product(a: &[f32], b: &[f32], n: usize) -> Vec<f32> {
    let columns = b.len() / n;
    let mut result = vec![0.0; a.len() / n * columns];
    for (row, sums) in a.chunks(n).zip(result.chunks_mut(columns)) {
        for (a, b) in row.iter().zip(b.chunks(columns)) {
            sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
        }
    }
    result
}

/// The definition of the memory: Σ_{j≤t} (e_j Wk)ᵀ (e_j Wv) after each token, for one sequence; only the first
/// `key_len` tokens add to it.
fn memories(sequence: &[f32], (width, key_len): (usize, usize), [_, wk, wv, _]: &[Vec<f32>; 4]) -> Vec<Vec<f32>> {
    let mut memory = vec![0.0; width * width];
    let step = |(number, token): (usize, &[f32])| {
        if number < key_len {
            let (key, value) = (product(token, wk, width), product(token, wv, width));
            for (row, k) in memory.chunks_mut(width).zip(&key) {
                row.iter_mut().zip(&value).for_each(|(m, v)| *m += k * v);
            }
        }
        memory.clone()
    };
    sequence.chunks(width).enumerate().map(step).collect()
}

/// The definition of a layer with memory M: every token e becomes e + e Wq M Wo.
fn attend(sequence: &mut [f32], width: usize, memory: &[f32], [wq, _, _, wo]: &[Vec<f32>; 4]) {
    let update = product(&product(&product(sequence, wq, width), memory, width), wo, width);
    sequence.iter_mut().zip(&update).for_each(|(token, update)| *token += update);
}

/// (e_i Wq) · (e_j Wk) for tokens i and j, (T, T); 0 for tokens that are not summed over and, if `causal`, for later
/// ones.
fn scores(sequence: &[f32], (width, key_len): (usize, usize), [wq, wk, ..]: &[Vec<f32>; 4], causal: bool) -> Vec<f32> {
    let (queries, keys) = (product(sequence, wq, width), product(sequence, wk, width));
    let length = sequence.len() / width;
    let read = |i: usize, j: usize| j < key_len && (j <= i || !causal);
    let score = |i: usize, j: usize| -> f32 {
        let (query, key) = (&queries[i * width..][..width], &keys[j * width..][..width]);
        if read(i, j) { query.iter().zip(key).map(|(q, k)| q * k).sum() } else { 0.0 }
    };
    (0..length).flat_map(|i| (0..length).map(move |j| (i, j))).map(|(i, j)| score(i, j)).collect()
}

/// The definition of a layer by its scores: every token e_i becomes e_i + Σ_j scores[i, j] e_j Wv Wo.
fn add_weighted(sequence: &mut [f32], width: usize, scores: &[f32], [_, _, wv, wo]: &[Vec<f32>; 4]) {
    let values = product(&product(sequence, wv, width), wo, width);
    let update = product(scores, &values, sequence.len() / width);
    sequence.iter_mut().zip(&update).for_each(|(token, update)| *token += update);
}

/// The weights that a memory M implies for a query: the block of Wq M Wo from x to y, transposed, (d_out, d).
fn implied(memory: &[f32], (width, dim): (usize, usize), [wq, _, _, wo]: &[Vec<f32>; 4]) -> Vec<f32> {
    let map = product(&product(&wq[..dim * width], memory, width), wo, width); // (d, w)
    (dim..width).flat_map(|y| (0..dim).map(move |x| (x, y))).map(|(x, y)| map[x * width + y]).collect()
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::{answers, build};
    use super::*;

    use crate::nn::check::{Random, assert_close};
    #[test]
    fn the_forward_pass_equals_the_definition_layer_by_layer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        let mut seen = Vec::new();
        for query_in_sums in [true, false] {
            let spec = LinearAttentionSpec { init: Init::Random, layers: 3, query_in_sums };
            let net = build(&spec, shape, Layout::Joined);
            let tokens = Random::new(9).tensor3(&device, (1, 5, 3));
            let mut sequence = tokens.as_vec();
            for layer in &net.layers {
                let weights = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
                let memory = memories(&sequence, (3, spec.key_len(5)), &weights).pop().unwrap();
                attend(&mut sequence, 3, &memory, &weights);
            }
            let answer = answers(&net, tokens);
            assert_close(&answer, &sequence[14..], 1e-5);
            seen.push(answer);
        }
        assert_ne!(seen[0], seen[1], "the query's token matters from the second layer on");
    }
}
