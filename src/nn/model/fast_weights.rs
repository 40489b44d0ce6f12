//! What the fast-weight models share: keys, values and a query made of joined tokens, and a memory that is read once.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | e_t = [x_t; y_t] | a token; the query's is [x_q; 0] | (w), w = d + d_out |
//! | `Wq`, `Wk`, `Wv` | q = e_q Wq, k = e Wk, v = e Wv; P keys and values a token | (w, d), (w, P d), (w, P d_out) |
//! | S | the fast weights, written by the pairs and not by the query's token | (d_out, d) |
//!
//! ŷ = S_N q. A model is these projections, its gates, and the rule by which a pair changes S.
//!
//! Deviations, the same in all of these models: one layer and one head, so that S is one map from x to y and can be
//! compared with a textbook learner; no short convolution and no SiLU on keys and queries, which would make them
//! nonlinear in x; no normalisation, no gate and no projection of the output, which Wv makes superfluous; the query's
//! token is read and not written, because its y is missing and not zero.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, NoneTape, Tape};

use super::{Init, LinearBlock};
use crate::nn::cost::matvec;
use crate::nn::graph::{GraphBuilder, Sequence};
use crate::nn::layer::init::{constant, entries, normal};
use crate::nn::step::{Decay, Erase, FastWeights, Vectors, fast_weight_states};
use crate::nn::weights::{weight, weights};
use crate::nn::{
    Activation, Cost, Costs, Device, DeviceResult, GradTarget, Input, LayerStates, Param, StateAt, Tensor3, evaluate,
};
use crate::task::{Layout, Shape};

/// What the projections are built from.
#[derive(Clone, Copy)]
pub struct ProjectionConfig {
    pub init: Init,
    pub shape: Shape,
    /// k = `key` x in the construction.
    pub key: f64,
    /// v = `value` y in the construction.
    pub value: f64,
    /// P: pairs of a key and a value that each token makes.
    pub products: usize,
}

impl ProjectionConfig {
    /// One pair a token, and k = x and v = y in the construction.
    pub fn new(init: Init, shape: Shape) -> Self {
        Self { init, shape, key: 1.0, value: 1.0, products: 1 }
    }
}

weights! {
    /// Keys, values and the query.
    pub struct Projections<D>(config: ProjectionConfig) {
        let ProjectionConfig { init, shape: Shape { dim: d, outputs, .. }, key, value, products } = config;
        let w = d + outputs;
        let random = || normal((0.5 / w as f32).sqrt());
        let selects = |first: usize, columns: usize, value: f64| {
            entries(move |row, column| if row == first + column % columns { value as f32 } else { 0.0 })
        };
        weights {
            // Symbol, shape, random start, construction.
            pub wq: Param<D> = weight("Wq", (w, d), init.start(random(), selects(0, d, 1.0))),
            pub wk: Param<D> = weight("Wk", (w, products * d), init.start(random(), selects(0, d, key))),
            pub wv: Param<D> = weight("Wv", (w, products * outputs), init.start(random(), selects(d, outputs, value))),
        }
        constants {
            pub shape: Shape = config.shape,
            products: usize = products,
        }
    }
}

impl<D: Device> Projections<D> {
    /// A memory without erasing and decay.
    pub fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>> {
        let [keys, values] = [&self.wk, &self.wv].map(|weight| self.split(tokens.project(weight.taped())));
        let query = tokens.last(1).project(self.wq.taped());
        let pairs = (tokens.length() - 1) * self.products;
        FastWeights {
            keys,
            values: Some(values),
            query,
            erase: Erase::Nothing,
            decay: Decay::Constant(1.0),
            momentum: None,
            pairs,
            block: 1,
        }
    }

    /// States of each sequence, (d_out, d) after each of `pairs` pairs. As a state is read, it is S Wqᵀ from x.
    pub fn layer(&self, histories: &[Vec<Vec<f32>>], pairs: usize) -> Vec<LayerStates> {
        let Shape { dim, outputs, .. } = self.shape;
        let wq = self.wq.value.as_vec();
        let read = |state: &Vec<f32>| -> Vec<f32> {
            let entry = |row: &[f32], x: usize| row.iter().zip(&wq[x * dim..]).map(|(s, q)| s * q).sum();
            state.chunks(dim).flat_map(|row| (0..dim).map(|x| entry(row, x)).collect::<Vec<_>>()).collect()
        };
        let time_step = |t: usize| {
            let states = || histories.iter().filter_map(|history| history.get((t + 1) * self.products - 1));
            StateAt::after(t + 1, states().flatten().copied().collect(), states().flat_map(read).collect())
        };
        vec![LayerStates {
            name: "fast weights S".to_owned(),
            shape: (outputs, dim),
            axes: ("value", "key"),
            aligned_shape: (outputs, dim),
            time_steps: (0..pairs).map(time_step).collect(),
        }]
    }

    /// Every token as one for each pair that it makes.
    pub fn split<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        if self.products == 1 { tokens } else { tokens.split(self.products) }
    }
}

/// What a gate is built from.
pub struct GateConfig {
    /// "β".
    pub symbol: &'static str,
    /// w.
    pub width: usize,
    pub gates: usize,
    /// The function of the gate.
    pub activation: Activation,
    /// The initial bias: the gate begins as a constant.
    pub bias: f32,
}

weights! {
    /// Numbers that a token decides on: f(e W + b).
    pub struct Gate<D>(config: GateConfig) {
        let GateConfig { symbol, width, gates, bias, activation } = config;
        weights {
            mix: Param<D> = weight(format!("W{symbol}"), (width, gates), constant(0.0)),
            bias: Param<D> = weight(format!("b{symbol}"), (1, gates), constant(bias)),
        }
        constants { activation: Activation = activation, }
    }
}

impl<D: Device> Gate<D> {
    /// (B, T, gates).
    pub fn of<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        tokens.affine(self.mix.taped(), self.bias.taped()).activate(self.activation)
    }
}

/// A bias with which a logistic gate is 1 to single precision.
pub const OPEN: f32 = 30.0;

/// Returns an error unless tokens are joined.
pub fn check(model: &str, layout: Layout) -> Result<()> {
    let fits = layout == Layout::Joined;
    ensure!(fits, "layout: {model} reads pairs [x; y], so it needs Joined, not {layout:?}");
    Ok(())
}

/// Wv and Wq: no gate reads values or the query, and S is linear in its values. Keys are multiplied with each other.
pub fn linear_blocks() -> Vec<LinearBlock> {
    let factor = |weight: &str, scale: &str| LinearBlock::Factor { weight: weight.to_owned(), scale: scale.to_owned() };
    vec![factor("Wv", "Wq"), factor("Wq", "Wv")]
}

/// Keys twice, values, the query after every pair, and so many gates of every token.
pub fn activations(shape: Shape, layout: Layout, gates: usize) -> u128 {
    ((2 * layout.width(shape) + 6 * shape.dim + 2 * gates) * layout.tokens(shape)) as u128
}

/// Of a memory that erases, with so many gates: a step predicts, corrects and reads. All at once it is the
/// attention form of [`FastWeights`]: q is updated by each pair, and the values are summed.
pub fn costs(shape: Shape, tokens: usize, gates: usize) -> Costs {
    let (d, outputs) = (shape.dim, shape.outputs);
    let w = d + outputs;
    let token = matvec(w, 2 * d + outputs + gates) + 4 * d;
    Costs {
        step: Some(Cost::new(d * outputs, token + 3 * matvec(d, outputs))),
        whole: Some(Cost::new(tokens * d, token + 8 * d + 2 * outputs)),
    }
}

/// Implements [`Architecture`](super::Architecture) and [`Net`](crate::nn::Net) for a [`FastWeightModel`] whose answer
/// is what the query reads from the memory, and whose memory erases or decays by the given number of gates for each
/// token.
///
/// With the network alone it implements only `Net`.
macro_rules! reads_memory {
    ($net:ident) => {
        impl<D: $crate::nn::Device> $crate::nn::Net<D> for $net<D> {
            fn record<'g, T: dfdx::prelude::Tape<f32, D>>(
                &self,
                tokens: $crate::nn::graph::Sequence<'g, D, T>,
            ) -> $crate::nn::graph::Sequence<'g, D, T> {
                self.memory(tokens).read()
            }

            fn states(&self, tokens: &$crate::nn::Tensor3<D>) -> Vec<$crate::nn::LayerStates> {
                self.fast_weights(tokens)
            }
        }
    };
    ($net:ident, $spec:ty, |$self:ident, $shape:ident| $gates:expr) => {
        impl $crate::nn::model::Architecture for $spec {
            type Net<D: $crate::nn::Device> = $net<D>;

            fn check(&self, _shape: $crate::task::Shape, layout: $crate::task::Layout) -> anyhow::Result<()> {
                $crate::nn::model::fast_weights::check(stringify!($net), layout)
            }

            fn activations(&$self, $shape: $crate::task::Shape, layout: $crate::task::Layout) -> u128 {
                $crate::nn::model::fast_weights::activations($shape, layout, $gates)
            }

            fn linear_blocks(&self) -> Vec<$crate::nn::model::LinearBlock> {
                $crate::nn::model::fast_weights::linear_blocks()
            }

            fn costs(
                &$self,
                $shape: $crate::task::Shape,
                _layout: $crate::task::Layout,
                tokens: usize,
            ) -> $crate::nn::Costs {
                $crate::nn::model::fast_weights::costs($shape, tokens, $gates)
            }
        }

        $crate::nn::model::fast_weights::reads_memory!($net);
    };
}
pub(super) use reads_memory;

/// A model whose answer is read from fast weights.
pub trait FastWeightModel<D: Device> {
    fn projections(&self) -> &Projections<D>;

    /// The memory that all tokens, (B, N + 1, w), write and read.
    fn memory<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> FastWeights<Sequence<'p, D, T>>;

    /// S after each pair.
    fn fast_weights(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        self.projections().layer(&histories(self, tokens).unwrap_or_default(), tokens.shape().1 - 1)
    }
}

/// S after each pair of each sequence, by the definition.
fn histories<D: Device, M: FastWeightModel<D> + ?Sized>(
    model: &M,
    tokens: &Tensor3<D>,
) -> DeviceResult<Vec<Vec<Vec<f32>>>, D> {
    let input = Input::<D, NoneTape>::rows(tokens.clone(), GradTarget::Weights);
    let builder = GraphBuilder::new(&input);
    let mut number = 0;
    let memory = model.memory(builder.tokens()).try_map(|sequence| {
        let of = evaluate(tokens, |tokens| {
            model.memory(tokens).sequences().into_iter().flatten().nth(number).unwrap_or(tokens)
        });
        number += 1;
        Ok(Vectors { of: of?.as_vec(), width: sequence.width() })
    })?;
    let batch = tokens.shape().0;
    let states = |b: usize| {
        fast_weight_states(&memory.map(|Vectors { of, width }| {
            let count = of.len() / batch;
            Vectors { of: &of[count * b..][..count], width: *width }
        }))
    };
    Ok((0..batch).map(states).collect())
}

#[cfg(test)]
mod tests;
