//! GD-SSM that reads both ways, so that the query may stand anywhere.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `→Λ`, `→Q`, `→D`, `→C` | the direction from the first token to the query, as in [`super::gd_ssm`] | (d, d), (3, 3), (3, 1), (d, d) |
//! | `←Λ`, `←Q`, `←D`, `←C` | the direction from the last token back to the query | the same |
//! | p | the query's place | |
//!
//! ŷ = →C →S_p (→X_pᵀ →D) + ←C ←S_p (←X_pᵀ ←D), where →S_p has read the windows up to the query and ←S_p those from the
//! end back to it, last token first. With the query at an end one of them has read all, and the other nothing: its
//! weights then never see a token and stay as they were drawn. The construction is that of the GD-SSM, with Q at the
//! places where a window of that direction holds y and its x.
//!
//! Source: bidirectional recurrences, Schuster & Paliwal 1997; S5 (2208.04933) has two output matrices, as here.

use std::ops::Range;

use anyhow::{Result, ensure};
use dfdx::prelude::{Axes3, HasShape, PermuteTo, ReshapeTo, Tape, TryAdd, TryMatMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::gd_ssm::{GdSsm, Window};
use super::{Architecture, GdConstants, GdSsmSpec, Init};
use crate::nn::canonical::Canonical;
use crate::nn::op::{join, slice};
use crate::nn::{Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A bidirectional GD-SSM as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BidirectionalGdSsmSpec {
    pub init: Init,
}

impl Architecture for BidirectionalGdSsmSpec {
    type Net<D: Device> = BidirectionalGdSsm<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = matches!(layout, Layout::Interleaved | Layout::QueryFirst);
        ensure!(
            fits,
            "layout: BidirectionalGdSsm reads windows of three tokens, so it needs Interleaved or QueryFirst, not {layout:?}"
        );
        Ok(())
    }

    fn parameters(&self, shape: Shape, _layout: Layout) -> u128 {
        4 * (shape.dim as u128).pow(2) + 24
    }

    /// The tokens in their two orders, and S and ∂S/∂Λ of both directions.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let tokens = (layout.tokens(shape) * shape.dim) as u128;
        4 * tokens + 4 * (shape.dim as u128).pow(2)
    }

    /// Twice a GD-SSM. What the way back has read ends with the last token, so a new one begins it anew: no step.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let mut costs = GdSsmSpec { init: self.init }.costs(shape, layout, tokens);
        costs.step = None;
        if let Some(whole) = &mut costs.whole {
            (whole.kept, whole.flops) = (2 * whole.kept, 2 * whole.flops);
        }
        costs
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<BidirectionalGdSsm<D>, D> {
        // (x_t, y_t, x_{t+1}), and backwards (x_{t+1}, y_t, x_t); or (y_{t−1}, x_t, y_t), and backwards (y_t, x_t, y_{t−1}).
        let [forward, backward] = match layout {
            Layout::QueryFirst => [(2, 1), (0, 1)],
            _ => [(1, 0), (1, 2)],
        };
        let mut direction = |arrow: &str, (target, input)| {
            let window = Window { prefix: arrow.to_owned(), target, input };
            GdSsm::new(device, &window, self.init, (shape, gd_constants), rng)
        };
        Ok(BidirectionalGdSsm {
            forward: direction("→", forward)?,
            backward: direction("←", backward)?,
            query: layout.query_place(shape),
        })
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct BidirectionalGdSsm<D: Device> {
    forward: GdSsm<D>,
    backward: GdSsm<D>,
    /// The query's place among the tokens.
    query: usize,
}

/// One way to the query.
struct Way<'a, D: Device> {
    direction: &'a GdSsm<D>,
    /// What it reads, the query's token included.
    places: Range<usize>,
    backwards: bool,
}

impl<D: Device> BidirectionalGdSsm<D> {
    /// The directions that have a window to read.
    fn ways(&self, length: usize) -> impl Iterator<Item = Way<'_, D>> {
        let forward = Way { direction: &self.forward, places: 0..self.query + 1, backwards: false };
        let backward = Way { direction: &self.backward, places: self.query..length, backwards: true };
        [forward, backward].into_iter().filter(|way| way.places.len() >= 3)
    }
}

impl<D: Device> Way<'_, D> {
    /// The states after each window, from the tokens of every sequence, (T, d).
    fn time_steps(&self, sequences: &[&[f32]], dim: usize) -> Vec<StateAt> {
        let Range { start, end } = self.places;
        let history = |tokens: &&[f32]| {
            let mut tokens: Vec<&[f32]> = tokens[start * dim..end * dim].chunks(dim).collect();
            if self.backwards {
                tokens.reverse();
            }
            self.direction.history(&tokens.concat(), dim)
        };
        let histories: Vec<Vec<Vec<f32>>> = sequences.iter().map(history).collect();
        let time_step = |t: usize| {
            let values: Vec<f32> = histories.iter().flat_map(|states| states[t].clone()).collect();
            let (read, aligned) = (2 * t + 3, values.clone());
            match self.backwards {
                true => StateAt { place: end - read, read: end - read..end, values, aligned },
                false => StateAt::after(read, values, aligned),
            }
        };
        (0..(end - start - 1) / 2).map(time_step).collect()
    }
}

/// The tokens in the opposite order: a product with ones on the other diagonal, which runs on any device.
fn reversed<D: Device, T: Tape<f32, D>>(tokens: Tensor3<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let (_, length, _) = *tokens.shape();
    let flip = (0..length * length).map(|i| f32::from(u8::from(i / length + i % length + 1 == length)));
    let flip: Matrix<D> = tokens.device().try_tensor_from_vec(flip.collect(), (length, length))?;
    tokens.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(flip)?.try_permute::<_, Axes3<0, 2, 1>>()?.try_contiguous()
}

impl<D: Device> Net<D> for BidirectionalGdSsm<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let Input { tokens, grad_target } = input;
        let (batch, length, dim) = *tokens.shape();
        let nothing: Matrix<D> = tokens.device().try_zeros_like(&(batch, self.forward.outputs()))?;
        let mut answer = nothing.retaped::<T>();
        for way in self.ways(length) {
            let part = slice(tokens.retaped::<T>(), (0..batch, way.places.clone(), 0..dim))?;
            let tokens = if way.backwards { reversed(part)? } else { part };
            answer = answer.try_add(way.direction.forward(Input { tokens, grad_target })?)?;
        }
        Ok(join(answer, tokens))
    }

    /// The state of each direction that has something to read, in the order in which it reads.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let tokens = tokens.as_vec();
        let sequences: Vec<&[f32]> = tokens.chunks(length * dim).collect();
        let layer = |way: Way<'_, D>| LayerStates {
            name: if way.backwards { "state S, from the end" } else { "state S, from the start" }.to_owned(),
            shape: (dim, dim),
            axes: ("row of y", "column of x"),
            aligned_shape: (dim, dim),
            time_steps: way.time_steps(&sequences, dim),
        };
        self.ways(length).map(layer).collect()
    }

    /// Of the direction that reads the context; where both do, they would have to share the work in a way of their own.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        if self.query == 0 { self.backward.canonical(gd_constants) } else { self.forward.canonical(gd_constants) }
    }

    fn params(&self) -> Vec<&Param<D>> {
        [self.forward.params(), self.backward.params()].concat()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        self.forward.params_mut().into_iter().chain(self.backward.params_mut()).collect()
    }
}
