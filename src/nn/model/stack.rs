//! What surrounds the layers of a state-space model: an encoder, skips, and a decoder at the query.
//!
//! e = u W_in for every token u; each layer adds its update to e; ŷ = e_q W_out. All papers here put their layers into
//! such a stack. Where they normalise a token before each layer, we do not: the answer grows with the size of y,
//! and a token that has been scaled to a norm no longer says how large its y is. There are no biases, so that nothing is
//! answered to nothing.

use anyhow::Result;
use dfdx::prelude::{HasShape, NoneTape, ReshapeTo, Tape};
use rand::Rng;

use super::{Architecture, GdConstants, normals};
use crate::nn::cost::matvec;
use crate::nn::op::{GraphBuilder, Sequence, slice};
use crate::nn::{Costs, Device, DeviceResult, GradTarget, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// What a stack of one kind of layer says of itself. Its [`Architecture`] follows from that.
pub trait LayerSpec {
    type Layer<D: Device>: Layer<D>;

    /// H, the channels that run through the layers.
    fn width(&self) -> usize;

    fn layers(&self) -> usize;

    /// Refuses sizes that do not go together.
    fn validate(&self) -> Result<()>;

    /// How many numbers a layer learns.
    fn layer_parameters(&self) -> u128;

    /// About how many numbers a layer keeps of each of so many tokens.
    fn layer_activations(&self, tokens: usize) -> usize;

    /// What token number `tokens` costs in a layer.
    fn layer_costs(&self, tokens: usize) -> Costs;

    /// The layer of this number at its start.
    fn layer<D: Device>(&self, device: &D, at: (Sizes, usize), rng: &mut impl Rng) -> DeviceResult<Self::Layer<D>, D>;
}

impl<S: LayerSpec> Architecture for S {
    type Net<D: Device> = Stack<D, S::Layer<D>>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        self.validate()
    }

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        Sizes::of(self, shape, layout).parameters() + self.layers() as u128 * self.layer_parameters()
    }

    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        Sizes::of(self, shape, layout).activations(self.layer_activations(layout.tokens(shape)))
    }

    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        self.layer_costs(tokens).in_layers(self.layers(), Sizes::of(self, shape, layout).flops())
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        _theory: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        let sizes = Sizes::of(self, shape, layout);
        Stack::new(device, sizes, rng, |number, rng| self.layer(device, (sizes, number), rng))
    }
}

/// A layer of a stack, which reads the tokens in their order.
pub trait Layer<D: Device> {
    /// What the layer adds to the last tokens, as many as are `asked`: (B, asked, H). It reads all: (B, T, H).
    fn update<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Sequence<'p, D, T>, D>;

    /// Rows and columns of a state, and what they stand for.
    fn grid(&self) -> ((usize, usize), (&'static str, &'static str));

    /// The state of every sequence after every token, one step at a time: (B, T, rows · columns).
    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D>;

    fn params(&self) -> Vec<&Param<D>>;

    fn params_mut(&mut self) -> Vec<&mut Param<D>>;
}

/// The sizes of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// H, the channels that run through the layers.
    pub width: usize,
    pub layers: usize,
    pub shape: Shape,
    pub layout: Layout,
}

impl Sizes {
    fn of(spec: &impl LayerSpec, shape: Shape, layout: Layout) -> Self {
        Self { width: spec.width(), layers: spec.layers(), shape, layout }
    }

    /// Parameters of encoder and decoder.
    fn parameters(self) -> u128 {
        self.width as u128 * (self.layout.width(self.shape) + self.shape.outputs) as u128
    }

    /// Operations of encoder and decoder on one token.
    fn flops(self) -> usize {
        matvec(self.layout.width(self.shape) + self.shape.outputs, self.width)
    }

    /// Activations of a sequence, if a layer keeps `each` numbers of every token.
    fn activations(self, each: usize) -> u128 {
        self.layout.tokens(self.shape) as u128 * (2 * self.width + self.layers * each) as u128
    }

    /// "1.Λ", or "Λ" where there is only one layer.
    pub fn name(self, layer: usize, symbol: &str) -> String {
        if self.layers == 1 { symbol.to_owned() } else { format!("{layer}.{symbol}") }
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct Stack<D: Device, L> {
    encode: Param<D>,
    layers: Vec<L>,
    decode: Param<D>,
    shape: Shape,
    /// The query's place among the tokens.
    query: usize,
}

impl<D: Device, L: Layer<D>> Stack<D, L> {
    /// Layers numbered from 1, between an encoder and a decoder whose entries are drawn from N(0, 1/rows).
    fn new<R: Rng>(
        device: &D,
        sizes: Sizes,
        rng: &mut R,
        mut layer: impl FnMut(usize, &mut R) -> DeviceResult<L, D>,
    ) -> DeviceResult<Self, D> {
        let Sizes { width, shape, layout, .. } = sizes;
        let dense = |name: &str, rows: usize, columns: usize, rng: &mut R| {
            let values = normals(rng, rows * columns, (1.0 / rows as f32).sqrt());
            Param::new(device, name, (rows, columns), values)
        };
        Ok(Self {
            encode: dense("W_in", layout.width(shape), width, rng)?,
            decode: dense("W_out", width, shape.outputs, rng)?,
            layers: (1..=sizes.layers).map(|number| layer(number, rng)).collect::<DeviceResult<_, D>>()?,
            shape,
            query: layout.query_place(shape),
        })
    }

    /// The encoded tokens after so many layers: (B, T, H).
    fn after<'p, T: Tape<f32, D>>(
        &self,
        layers: usize,
        tokens: Sequence<'p, D, T>,
    ) -> DeviceResult<Sequence<'p, D, T>, D> {
        let mut tokens = tokens.project(self.encode.taped());
        for layer in &self.layers[..layers] {
            tokens = tokens.plus(layer.update(tokens, tokens.length())?);
        }
        Ok(tokens)
    }

    /// The states of each layer, until the device cannot compute.
    fn histories(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<Vec<f32>>>, D> {
        let history = |(before, layer): (usize, &L)| {
            let graph_builder = GraphBuilder::<D, NoneTape>::new(*tokens.shape());
            let read = self.after(before, graph_builder.tokens())?;
            layer.history(&read.run(Input { tokens: tokens.clone(), grad_target: GradTarget::Weights })?)
        };
        self.layers.iter().enumerate().map(history).collect()
    }
}

impl<D: Device, L> Stack<D, L> {
    /// The tokens up to the query's: no layer of a stack looks ahead, so what comes later is not read.
    fn until_query<T: Tape<f32, D>>(&self, Input { tokens, grad_target }: Input<D, T>) -> DeviceResult<Input<D, T>, D> {
        let (batch, length, width) = *tokens.shape();
        let tokens = match self.query + 1 < length {
            true => slice(tokens, (0..batch, 0..self.query + 1, 0..width))?,
            false => tokens,
        };
        Ok(Input { tokens, grad_target })
    }
}

impl<D: Device, L: Layer<D>> Net<D> for Stack<D, L> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let input = self.until_query(input)?;
        let graph_builder = GraphBuilder::new(*input.tokens.shape());
        let tokens = self.after(self.layers.len().saturating_sub(1), graph_builder.tokens())?;
        // After the last layer only the query is read.
        let query = match self.layers.last() {
            Some(layer) => tokens.last(1).plus(layer.update(tokens, 1)?),
            None => tokens.last(1),
        };
        let answer = query.project(self.decode.taped()).run(input)?; // (B, 1, d_out)
        let (batch, _, outputs) = *answer.shape();
        answer.try_reshape_like(&(batch, outputs))
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

    fn params(&self) -> Vec<&Param<D>> {
        let layers = self.layers.iter().flat_map(|layer| layer.params());
        [&self.encode].into_iter().chain(layers).chain([&self.decode]).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let layers = self.layers.iter_mut().flat_map(|layer| layer.params_mut());
        [&mut self.encode].into_iter().chain(layers).chain([&mut self.decode]).collect()
    }
}
