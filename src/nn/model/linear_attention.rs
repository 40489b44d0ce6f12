//! Linear self-attention: attention without softmax over joined tokens.
//!
//! | here | paper (2212.07677, sec. 2) | shape |
//! |---|---|---|
//! | e_j = [x_j; y_j] | token; the query is [x_q; 0] | (w), w = d + d_out |
//! | `Wq`, `Wk`, `Wv` | W_Q, W_K, W_V, one head | (w, w), used as e W |
//! | `Wo` | the projection P | (w, w) |
//!
//! e ← e + Wo Σ_j (Wv e_j)(Wk e_j · Wq e), k layers; ŷ is the y part of the query's token in the end.
//! With Wq = Wk = [I 0; 0 0], Wv = [0 0; 0 I] and Wo = (η/N) I one layer is one step of gradient descent.
//!
//! Deviations: ŷ is read off with a plus sign, where the paper's tokens carry −ŷ. Every token attends to every token,
//! the query's own included, as in the paper's equation 2.

use std::ops::Range;

use anyhow::{Result, ensure};
use dfdx::prelude::{Axes2, HasShape, PermuteTo, ReshapeTo, Tape, TryMatMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Architecture, GdConstants, Init, normals};
use crate::bounds;
use crate::nn::canonical::{Canonical, unit};
use crate::nn::cost::matvec;
use crate::nn::op::{LinearAttend, QueryLen};
use crate::nn::{
    Cost, Costs, Device, DeviceResult, GradTarget, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3,
};
use crate::task::{Layout, Shape};

/// Linear self-attention as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearAttentionSpec {
    pub init: Init,
    /// Attention layers, each added to its input.
    #[serde(default = "one", deserialize_with = "bounds::layers")]
    pub layers: usize,
}

fn one() -> usize {
    1
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

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        4 * self.layers as u128 * (layout.width(shape) as u128).pow(2)
    }

    /// Tokens, keys, values and queries, twice, and the memory of each layer.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let (length, width) = (layout.tokens(shape) as u128, layout.width(shape) as u128);
        self.layers as u128 * (8 * length * width + width * width)
    }

    /// Four projections, and the memory: what one token adds to it, and what one query reads. With a second layer every
    /// token answers before the next layer, so that a new one changes all.
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

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        let width = layout.width(shape);
        let mut layer = |number: usize| {
            let [wq, wk, wv, wo] = self.weights(shape, width, gd_constants.step_size, rng);
            let param = |symbol: &str, values| {
                let name = if self.layers == 1 { symbol.to_owned() } else { format!("{number}.{symbol}") };
                Param::new(device, name, (width, width), values)
            };
            Ok(Layer { wq: param("Wq", wq)?, wk: param("Wk", wk)?, wv: param("Wv", wv)?, wo: param("Wo", wo)? })
        };
        let before = (1..self.layers).map(&mut layer).collect::<DeviceResult<Vec<_>, D>>()?;
        Ok(LinearAttention { before, last: layer(self.layers)?, dim: shape.dim })
    }
}

impl LinearAttentionSpec {
    /// Wq, Wk, Wv and Wo of one layer.
    fn weights(&self, shape: Shape, width: usize, step_size: f64, rng: &mut impl Rng) -> [Vec<f32>; 4] {
        let diagonal = |value: f64, places: Range<usize>| {
            let mut matrix = vec![0.0; width * width];
            places.for_each(|i| matrix[i * width + i] = value as f32);
            matrix
        };
        let (x, y) = (0..shape.dim, shape.dim..width);
        match self.init {
            Init::Random => [(); 4].map(|()| normals(rng, width * width, (0.5 / width as f32).sqrt())),
            Init::Constructed => {
                [diagonal(1.0, x.clone()), diagonal(1.0, x), diagonal(1.0, y.clone()), diagonal(step_size, y)]
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Layer<D: Device> {
    wq: Param<D>,
    wk: Param<D>,
    wv: Param<D>,
    wo: Param<D>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct LinearAttention<D: Device> {
    before: Vec<Layer<D>>,
    last: Layer<D>,
    /// d: where a token's y begins.
    dim: usize,
}

impl<D: Device> LinearAttention<D> {
    fn layers(&self) -> impl Iterator<Item = &Layer<D>> {
        self.before.iter().chain([&self.last])
    }
}

impl<D: Device> Layer<D> {
    /// The tokens that ask, after the layer.
    fn apply<T: Tape<f32, D>>(
        &self,
        tokens: Tensor3<D, T>,
        query_len: QueryLen,
        grad_tokens: bool,
    ) -> DeviceResult<Tensor3<D, T>, D> {
        let device = tokens.device().clone();
        let turned = self.wk.value.retaped::<T>().try_permute::<_, Axes2<1, 0>>()?;
        let ask = self.wq.value.retaped::<T>().try_matmul(turned)?; // (w, w)
        let tell = self.wv.value.retaped::<T>().try_matmul(self.wo.value.retaped::<T>())?; // (w, w)
        device.linear_attend(tokens, LinearAttend { ask, tell, query_len, grad_tokens })
    }
}

impl<D: Device> Net<D> for LinearAttention<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let mut tokens = input.tokens;
        let (batch, _, width) = *tokens.shape();
        let mut grad_tokens = input.grad_target != GradTarget::Weights;
        for layer in &self.before {
            tokens = layer.apply(tokens, QueryLen::All, grad_tokens)?;
            grad_tokens = true;
        }
        // Only the query is read, so only the query asks the last layer.
        let query = self.last.apply(tokens, QueryLen::Last, grad_tokens)?;
        query.try_reshape_like(&(batch, width))?.try_slice((0..batch, self.dim..width))
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, width) = *tokens.shape();
        let mut tokens = tokens.as_vec();
        let layers = self.layers().enumerate().map(|(number, layer)| {
            let weights = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
            let mut time_steps: Vec<_> =
                (1..=length).map(|tokens_read| StateAt::after(tokens_read, Vec::new(), Vec::new())).collect();
            for sequence in tokens.chunks_mut(length * width) {
                let states = memories(sequence, width, &weights);
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

    /// Keys and queries meet only in Wq Wkᵀ, values leave only through Wv Wo, and a factor may go from one product to the
    /// other: the first is brought to the norm of the theory's. Of it the rows of x count, as the query has no y, and of
    /// the second the columns of y, as nothing else is read. Only one layer has a construction.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        if !self.before.is_empty() {
            return Vec::new();
        }
        let [wq, wk, wv, wo] =
            [&self.last.wq, &self.last.wk, &self.last.wv, &self.last.wo].map(|param| param.value.as_vec());
        let (width, dim) = (self.last.wq.value.shape().0, self.dim);
        let transposed =
            |matrix: &[f32]| (0..width * width).map(|i| matrix[i % width * width + i / width]).collect::<Vec<_>>();
        let entry = |i: usize, j: usize, first: usize, value: f64| if i == first + j { value as f32 } else { 0.0 };
        let theory_asks: Vec<f32> = (0..dim * width).map(|i| entry(i % width, i / width, 0, 1.0)).collect();
        let (asks, factor) = unit(&product(&wq[..dim * width], &transposed(&wk), width), &theory_asks);
        let size = (dim as f32).sqrt();
        let outputs = width - dim;
        let tells = product(&wv, &wo, width);
        let tells = (0..width * outputs).map(|i| tells[i / outputs * width + dim + i % outputs] * factor / size);
        let theory_tells = (0..width * outputs).map(|i| entry(i / outputs, i % outputs, dim, gd_constants.step_size));
        let part = |name: &str, learnt, gd_constants| Canonical { name: name.to_owned(), learnt, gd_constants };
        vec![
            part("Wq Wkᵀ", asks.iter().map(|entry| entry * size).collect(), theory_asks),
            part("Wv Wo", tells.collect(), theory_tells.collect()),
        ]
    }

    fn params(&self) -> Vec<&Param<D>> {
        self.layers().flat_map(|l| [&l.wq, &l.wk, &l.wv, &l.wo]).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let layers = self.before.iter_mut().chain([&mut self.last]);
        layers.flat_map(|l| [&mut l.wq, &mut l.wk, &mut l.wv, &mut l.wo]).collect()
    }
}

/// a (rows, n) times b (n, columns), all row-major.
fn product(a: &[f32], b: &[f32], n: usize) -> Vec<f32> {
    let columns = b.len() / n;
    let entry = |row: &[f32], j: usize| row.iter().enumerate().map(|(i, a)| a * b[i * columns + j]).sum();
    a.chunks(n).flat_map(|row| (0..columns).map(move |j| entry(row, j))).collect()
}

/// The definition of the memory: Σ_{j≤t} (e_j Wk)ᵀ (e_j Wv) after each token, for one sequence.
fn memories(sequence: &[f32], width: usize, [_, wk, wv, _]: &[Vec<f32>; 4]) -> Vec<Vec<f32>> {
    let mut memory = vec![0.0; width * width];
    let step = |token: &[f32]| {
        let (key, value) = (product(token, wk, width), product(token, wv, width));
        for (row, k) in memory.chunks_mut(width).zip(&key) {
            row.iter_mut().zip(&value).for_each(|(m, v)| *m += k * v);
        }
        memory.clone()
    };
    sequence.chunks(width).map(step).collect()
}

/// The definition of the answer: every token e becomes e + e Wq M Wo.
fn attend(sequence: &mut [f32], width: usize, memory: &[f32], [wq, _, _, wo]: &[Vec<f32>; 4]) {
    let update = product(&product(&product(sequence, wq, width), memory, width), wo, width);
    sequence.iter_mut().zip(&update).for_each(|(token, update)| *token += update);
}

/// The weights that a memory implies for a query: how Wq M Wo takes x to y, (d_out, d).
fn implied(memory: &[f32], (width, dim): (usize, usize), [wq, _, _, wo]: &[Vec<f32>; 4]) -> Vec<f32> {
    let map = product(&product(&wq[..dim * width], memory, width), wo, width); // (d, w)
    (dim..width).flat_map(|y| (0..dim).map(move |x| (x, y))).map(|(x, y)| map[x * width + y]).collect()
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::NO_THEORY;
    use super::*;
    use crate::nn::op::check::{Random, assert_close};
    use crate::task::{Stream, rng};

    #[test]
    fn the_forward_pass_equals_the_definition_layer_by_layer() {
        let (device, shape) = (Cpu::default(), Shape { dim: 2, outputs: 1, context: 4 });
        let spec = LinearAttentionSpec { init: Init::Random, layers: 3 };
        let sizes = (shape, Layout::Joined);
        let net = spec.build(&device, sizes, NO_THEORY, &mut rng(1, Stream::Init, 0, 0)).unwrap();
        let tokens = Random::new(9).tensor3(&device, (1, 5, 3));
        let mut sequence = tokens.as_vec();
        for layer in net.layers() {
            let weights = [&layer.wq, &layer.wk, &layer.wv, &layer.wo].map(|param| param.value.as_vec());
            let memory = memories(&sequence, 3, &weights).pop().unwrap();
            attend(&mut sequence, 3, &memory, &weights);
        }
        let answer = net.forward(Input { tokens, grad_target: GradTarget::Weights }).unwrap().as_vec();
        assert_close(&answer, &sequence[14..], 1e-5);
    }
}
