//! A stack of layers of a state-space model, between an encoder of each token and a decoder of the query's.
//!
//! e = u W_in for every token u; each layer adds its update to e; ŷ = e_q W_out. The papers of all these models use
//! such a stack. Deviation: they normalise each token before each layer. Here the answer must scale with y, and a
//! normalised token does not contain the magnitude of its y. There are no biases, so that the answer to zeros is zero.

use std::fmt::Debug;

use anyhow::Result;
use dfdx::prelude::{HasShape, Tape};

use super::{Architecture, Configured, LinearBlock, ScanForm, Setting};
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::normal;
use crate::nn::weights::{Weights, numbered, weight, weights};
use crate::nn::{
    AttentionForm, Costs, Device, DeviceResult, Latent, LayerStates, Net, Param, StateAt, Tensor3, TokenWeights,
    evaluate,
};
use crate::task::{Layout, Shape};

/// The spec of a stack of layers of one kind. Its [`Architecture`] follows from it.
pub trait LayerSpec: Clone + Debug {
    type Layer<D: Device>: StackLayer<D> + Weights<D, Config = Self::Config>;
    /// What a layer is built from.
    type Config;

    /// H, the channels between the layers.
    fn width(&self) -> usize;

    fn layers(&self) -> usize;

    /// Returns an error if the sizes contradict each other.
    fn validate(&self) -> Result<()>;

    /// About how many numbers a layer keeps of each of so many tokens in a forward pass.
    fn layer_activations(&self, tokens: usize) -> usize;

    /// Memory and operations of a layer for token number `tokens`.
    fn layer_costs(&self, tokens: usize) -> Costs;

    /// What each layer is built from.
    fn config(&self) -> Self::Config;
}

impl<S: LayerSpec> Architecture for S {
    type Net<D: Device> = Stack<D, S>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        self.validate()
    }

    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let tokens = layout.tokens(shape);
        tokens as u128 * (2 * self.width() + self.layers() * self.layer_activations(tokens)) as u128
    }

    /// The decoder of the query.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        vec![LinearBlock::read_out(["W_out"])]
    }

    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let ends = matvec(layout.width(shape) + shape.outputs, self.width());
        self.layer_costs(tokens).in_layers(self.layers(), ends)
    }
}

/// A layer of a stack. Its update of a token depends only on that token and the earlier ones.
pub trait StackLayer<D: Device>: Clone + Debug {
    /// The layer's update of the last `last` tokens, (B, last, H), from all tokens, (B, T, H).
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Sequence<'p, D, T>;

    /// Rows and columns of a state, and their meanings.
    fn grid(&self) -> ((usize, usize), (&'static str, &'static str));

    /// The state after every token, computed one step at a time: B vectors of (T, rows · columns).
    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D>;

    /// The layer with its scan in this form; `None` if it has no two forms.
    fn in_form(&self, _form: ScanForm) -> Option<Self> {
        None
    }

    /// L ⊙ C Bᵀ of each head: (B, T, T). Empty for a layer without two forms.
    fn token_weights(&self, _tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        Ok(Vec::new())
    }
}

weights! {
    /// The network.
    pub struct Stack<D, S: LayerSpec>(config: Configured<S>) {
        let Configured { spec, setting: Setting { shape, layout, .. } } = config;
        let (w, h) = (layout.width(shape), spec.width());
        weights {
            encode: Param<D> = weight("W_in", (w, h), normal((1.0 / w as f32).sqrt())),
            decode: Param<D> = weight("W_out", (h, shape.outputs), normal((1.0 / h as f32).sqrt())),
            pub layers: Vec<S::Layer<D>> = numbered(spec.layers(), |_| spec.config()),
        }
        saved as { encode, layers, decode }
        constants {
            shape: Shape = shape,
            /// The query's position among the tokens.
            query: usize = layout.query_place(shape),
        }
    }
}

impl<D: Device, S: LayerSpec> Stack<D, S> {
    /// The encoded tokens after the first `layers` layers: (B, T, H).
    fn after<'p, T: Tape<f32, D>>(&self, layers: usize, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        let mut tokens = tokens.project(self.encode.taped());
        for layer in &self.layers[..layers] {
            tokens = tokens.plus(layer.update(tokens, tokens.length()));
        }
        tokens
    }

    /// The states of each layer, for each sequence: (T, rows · columns).
    fn histories(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<Vec<f32>>>, D> {
        let history = |(before, layer): (usize, &S::Layer<D>)| {
            layer.history(&evaluate(tokens, |tokens| self.after(before, tokens))?)
        };
        self.layers.iter().enumerate().map(history).collect()
    }
}

impl<D: Device, S: LayerSpec> Net<D> for Stack<D, S> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        // No layer of a stack looks ahead, so what comes after the query is not read.
        let read = tokens.slice(0..self.query + 1);
        let tokens = self.after(self.layers.len().saturating_sub(1), read);
        // After the last layer only the query is read.
        let query = match self.layers.last() {
            Some(layer) => tokens.last(1).plus(layer.update(tokens, 1)),
            None => tokens.last(1),
        };
        query.project(self.decode.taped())
    }

    fn latents(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Latent>, D> {
        Latent::between(self.layers.len(), tokens, |layers, tokens| {
            self.after(layers, tokens.slice(0..self.query + 1)).last(1)
        })
    }

    fn attention_form(&self, tokens: &Tensor3<D>) -> DeviceResult<Option<AttentionForm>, D> {
        let in_form = |form| {
            let layers: Option<Vec<_>> = self.layers.iter().map(|layer| layer.in_form(form)).collect();
            layers.map(|layers| Self { layers, ..self.clone() })
        };
        let forms = in_form(ScanForm::Recurrent).zip(in_form(ScanForm::Matrix));
        let Some((by_state, by_weights)) = forms.filter(|_| !self.layers.is_empty()) else { return Ok(None) };
        let answers = |net: Self| evaluate(tokens, |tokens| net.record(tokens)).map(|answers| answers.as_vec());
        let mut heads = Vec::new();
        for (before, layer) in self.layers.iter().enumerate() {
            let read = evaluate(tokens, |tokens| self.after(before, tokens.slice(0..self.query + 1)))?;
            let weights = layer.token_weights(&read)?;
            let length = self.query + 1;
            let named = weights.into_iter().enumerate().map(|(head, weights)| TokenWeights {
                name: match self.layers.len() {
                    1 => format!("head {}", head + 1),
                    _ => format!("layer {}, head {}", before + 1, head + 1),
                },
                read_at: (0..length).collect(),
                tokens: length,
                weights,
            });
            heads.extend(named);
        }
        Ok(Some(AttentionForm { heads, by_weights: answers(by_weights)?, by_state: answers(by_state)? }))
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let length = tokens.shape().1;
        let histories = self.histories(tokens).unwrap_or_default();
        let named = self.layers.iter().zip(histories).enumerate().map(|(i, (layer, history))| {
            let (shape, axes) = layer.grid();
            let (rows, columns) = shape;
            let time_step = |t: usize| {
                let of_token = |states: &Vec<f32>| states[t * rows * columns..][..rows * columns].to_vec();
                StateAt::after(t + 1, history.iter().flat_map(of_token).collect(), Vec::new())
            };
            let time_steps = (0..length).map(time_step);
            let aligned_shape = (self.shape.outputs, self.shape.dim);
            LayerStates {
                name: format!("layer {} state h", i + 1),
                shape,
                axes,
                aligned_shape,
                time_steps: time_steps.collect(),
            }
        });
        named.collect()
    }
}
