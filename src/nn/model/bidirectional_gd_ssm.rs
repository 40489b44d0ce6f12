//! GD-SSM in both directions, so that the query can be at any position.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `→Λ`, `→Q`, `→D`, `→C` | from the first token to the query, as in [`super::gd_ssm`] | see there |
//! | `←Λ`, `←Q`, `←D`, `←C` | from the last token back to the query | the same |
//! | p | the query's position | |
//!
//! ŷ = →C →S_p (→X_pᵀ →D) + ←C ←S_p (←X_pᵀ ←D), where →S_p is the state after the windows up to the query, and ←S_p
//! that after the windows from the end back to it, last token first. With the query at an end one direction reads the
//! whole context and the other nothing, so that its weights are not trained. The construction is that of the GD-SSM,
//! with Q at the rows where a window of that direction holds y and its x.
//!
//! Source: bidirectional recurrences, Schuster & Paliwal 1997; S5 (2208.04933) has two output matrices, as here.

use std::ops::Range;

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::canonical::Canonical;
use super::gd_ssm::{GdSsm, GdSsmConfig, PairRows};
use super::{Architecture, Configured, GdConstants, GdSsmSpec, Init, LinearBlock, Setting};
use crate::nn::graph::Sequence;
use crate::nn::weights::{Prefixed, weights};
use crate::nn::{Costs, Device, LayerStates, Net, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A bidirectional GD-SSM in a preset.
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
            "layout: BidirectionalGdSsm reads windows of tokens, so it needs Interleaved or QueryFirst, not {layout:?}"
        );
        Ok(())
    }

    /// The tokens in both orders, and S and ∂S/∂Λ of both directions.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let tokens = (layout.tokens(shape) * shape.dim) as u128;
        4 * tokens + 4 * (shape.dim as u128).pow(2)
    }

    /// C, D and Q of each direction.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        [LinearBlock::of_gd_ssm("→"), LinearBlock::of_gd_ssm("←")].concat()
    }

    /// Twice a GD-SSM. The backward direction starts at the last token, so a new token restarts it: there is no step
    /// form.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let mut costs = GdSsmSpec::new(self.init).costs(shape, layout, tokens);
        costs.step = None;
        if let Some(whole) = &mut costs.whole {
            (whole.kept, whole.flops) = (2 * whole.kept, 2 * whole.flops);
        }
        costs
    }
}

weights! {
    /// The network.
    pub struct BidirectionalGdSsm<D>(config: Configured<BidirectionalGdSsmSpec>) {
        let Configured { spec, setting: Setting { shape, layout, gd_constants } } = config;
        let direction = |arrow: &str, pair_rows| {
            let config = GdSsmConfig { pair_rows, ..GdSsmConfig::new(shape, spec.init, gd_constants) };
            Prefixed { prefix: arrow.to_owned(), config }
        };
        let [forward, backward] = pair_rows(layout);
        weights {
            forward: GdSsm<D> = direction("→", forward),
            backward: GdSsm<D> = direction("←", backward),
        }
        constants {
            /// The query's position among the tokens.
            query: usize = layout.query_place(shape),
        }
    }
}

/// Where a window holds a pair, read forwards and backwards. With the query first the windows that matter are
/// (y_{t−1}, x_t, y_t), and backwards (y_t, x_t, y_{t−1}); else (x_t, y_t, x_{t+1}), and backwards (x_{t+1}, y_t, x_t).
fn pair_rows(layout: Layout) -> [PairRows; 2] {
    match layout {
        Layout::QueryFirst => [PairRows { x: 1, y: 2 }, PairRows { x: 1, y: 0 }],
        Layout::Interleaved | Layout::Joined | Layout::Product | Layout::QueryMiddle => {
            [PairRows { x: 0, y: 1 }, PairRows { x: 2, y: 1 }]
        }
    }
}

/// One direction towards the query.
struct Direction<'a, D: Device> {
    net: &'a GdSsm<D>,
    /// The tokens that it reads, the query's included.
    positions: Range<usize>,
    backwards: bool,
}

impl<D: Device> BidirectionalGdSsm<D> {
    /// The directions that have at least one window to read.
    fn directions(&self, length: usize) -> impl Iterator<Item = Direction<'_, D>> {
        let forward = Direction { net: &self.forward, positions: 0..self.query + 1, backwards: false };
        let backward = Direction { net: &self.backward, positions: self.query..length, backwards: true };
        [forward, backward].into_iter().filter(|direction| direction.positions.len() >= 3)
    }
}

impl<D: Device> Direction<'_, D> {
    /// The states after each window, from the tokens of every sequence, (T, d).
    fn time_steps(&self, sequences: &[&[f32]], dim: usize) -> Vec<StateAt> {
        let Range { start, end } = self.positions;
        let history = |tokens: &&[f32]| {
            let mut tokens: Vec<&[f32]> = tokens[start * dim..end * dim].chunks(dim).collect();
            if self.backwards {
                tokens.reverse();
            }
            self.net.history(&tokens.concat(), dim)
        };
        let histories: Vec<Vec<Vec<f32>>> = sequences.iter().map(history).collect();
        let mut states = StateAt::of_histories(&histories, |t| 2 * t + 3, <[f32]>::to_vec);
        for state in states.iter_mut().filter(|_| self.backwards) {
            state.place = end - state.read.end;
            state.read = state.place..end;
        }
        states
    }
}

impl<D: Device> Net<D> for BidirectionalGdSsm<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let answers = self.directions(tokens.length()).map(|direction| {
            let read = tokens.slice(direction.positions.clone());
            direction.net.on(if direction.backwards { read.reverse() } else { read })
        });
        // Without a window to read the answer is zero, as that of a scan over no windows.
        answers.reduce(Sequence::plus).unwrap_or_else(|| self.forward.on(tokens.last(1)))
    }

    /// The state of each direction that has a window to read, in the order in which it reads.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let tokens = tokens.as_vec();
        let sequences: Vec<&[f32]> = tokens.chunks(length * dim).collect();
        let layer = |direction: Direction<'_, D>| {
            let name = if direction.backwards { "state S, from the end" } else { "state S, from the start" };
            LayerStates::of_maps(name, (dim, dim), direction.time_steps(&sequences, dim))
        };
        self.directions(length).map(layer).collect()
    }

    /// Of the direction that reads the context. A query between pairs has no construction; then the forward one is
    /// shown.
    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        if self.query == 0 { self.backward.canonical(gd_constants) } else { self.forward.canonical(gd_constants) }
    }
}
