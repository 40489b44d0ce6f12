//! GD-SSM: a state-space model whose state can accumulate the gradient of least squares.
//!
//! | here | paper (2410.11687, sec. 3) | shape |
//! |---|---|---|
//! | `decay` Λ | the diagonal of the recurrence A(s): one number per entry of the state | (d, d) |
//! | `mix` Q | the multiplicative input B over the sliding window | (w, w) |
//! | `pick` D | the multiplicative readout over the last window | (w, 1) |
//! | `read` C | output projection, which includes the learning rate | (d, d) |
//!
//! S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t with X_t the window (x_t, y_t, x_{t+1}), w = 3; ŷ = C S_N X_Nᵀ D.
//! With Λ = 1, Q = e₂e₁ᵀ, D = e₃ and C = (η/N) I the state is Σ y xᵀ and ŷ is one step of gradient descent.
//!
//! Windows of two or one stand at every token (see [`Window`]), and there is no such construction. Of two, the entry of
//! Q that adds y_t x_tᵀ at (x_t, y_t) also adds x_{t+1} y_tᵀ at (y_t, x_{t+1}); `shorter_windows.rs` derives what that
//! costs. Of one, all that is added is even in y, while the answer has to be odd: nothing can be learnt.
//!
//! Deviations: Λ is an unconstrained real matrix, where the paper's code has a diagonal exp(Δ·(−½)), so that Λ = 1,
//! which the construction needs, is not only a limit. Random weights start small: from larger ones a row of C can
//! converge to the wrong sign, and for small d it then does not recover.

#[cfg(test)]
mod shorter_windows;
mod token_weights;

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use self::token_weights::Windows;
use super::canonical::{Canonical, unit};
use super::{Architecture, Configured, GdConstants, Init, LinearBlock};
use crate::bounds;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{constant, normal, shifted_diagonal, shifted_diagonal_values, uniform, values};
use crate::nn::step::{Window, window_states};
use crate::nn::weights::{weight, weights};
use crate::nn::{
    AttentionForm, Cost, Costs, Device, DeviceResult, LayerStates, Matrix, Net, Param, StateAt, Tensor3, TokenWeights,
};
use crate::task::{Layout, Shape};

/// GD-SSM in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmSpec {
    pub init: Init,
    /// Every entry of Λ at the start. None: as `init` has it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounds::optional_modulus")]
    pub decay: Option<f64>,
    /// w, the tokens of a window.
    #[serde(default = "three", deserialize_with = "bounds::window")]
    pub window: usize,
}

fn three() -> usize {
    Window::Three.rows()
}

impl GdSsmSpec {
    /// Windows of three tokens; Λ starts as `init` has it.
    pub fn new(init: Init) -> Self {
        Self { init, decay: None, window: three() }
    }

    pub fn window(&self) -> Window {
        Window::of(self.window)
    }
}

impl Architecture for GdSsmSpec {
    type Net<D: Device> = GdSsm<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Interleaved;
        ensure!(fits, "layout: GdSsm reads windows (x_t, y_t, x_{{t+1}}), so it needs Interleaved, not {layout:?}");
        let constructible = self.init == Init::Random || self.window() == Window::Three;
        ensure!(
            constructible,
            "model.init: only a window of three has a construction; with {} give Random",
            self.window
        );
        Ok(())
    }

    /// S_N and ∂S_N/∂Λ.
    fn activations(&self, shape: Shape, _layout: Layout) -> u128 {
        2 * (shape.dim as u128).pow(2)
    }

    /// The query's window contains the pair before it.
    fn reads(&self, pairs: usize, _context: usize) -> bool {
        pairs > 0
    }

    /// C, D and Q. The answer has powers of Λ.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        LinearBlock::of_gd_ssm("").into()
    }

    /// Every token, or of windows of three every second one, completes a window: Q X, Xᵀ Q X and Λ ⊙ S. The answer
    /// takes X D, S X D and C S X D.
    fn costs(&self, shape: Shape, _layout: Layout, tokens: usize) -> Costs {
        let (d, wide, w, stride) = (shape.dim, shape.dim * shape.dim, self.window, self.window().stride());
        let (window, answer) = (2 * w * w * d + 2 * (w + 1) * wide, 2 * w * d + 4 * wide);
        let step = Cost::new(wide + (w - 1) * d, window / stride + answer);
        let mut costs = Costs::scan(step, (wide / stride, false), tokens);
        costs.whole = costs.whole.map(|whole| Cost { kept: (self.window().count(tokens) * wide) as u64, ..whole });
        costs
    }
}

/// The rows of a window of three tokens that hold a pair.
#[derive(Clone, Copy, Debug)]
pub struct PairRows {
    /// The row of x.
    pub x: usize,
    /// The row of its y.
    pub y: usize,
}

impl PairRows {
    /// (x_t, y_t, x_{t+1}).
    pub const X_FIRST: Self = Self { x: 0, y: 1 };

    /// Q of the construction, which multiplies y with x, in a window of w tokens; of one token it is zero.
    fn product(self, w: usize) -> Vec<f32> {
        (0..w * w).map(|i| if w > 1 && i == w * self.y + self.x { 1.0 } else { 0.0 }).collect()
    }
}

/// What a GD-SSM is built from.
#[derive(Clone, Copy, Debug)]
pub struct GdSsmConfig {
    /// d.
    pub dim: usize,
    /// d_out.
    pub outputs: usize,
    pub init: Init,
    /// Every entry of Λ at the start.
    pub decay: Option<f64>,
    pub pair_rows: PairRows,
    pub window: Window,
    /// η/N of the construction.
    pub step_size: f64,
    /// A factor of the random start of C.
    pub read_scale: f32,
}

impl GdSsmConfig {
    pub fn new(shape: Shape, init: Init, GdConstants { step_size, .. }: GdConstants) -> Self {
        let Shape { dim, outputs, .. } = shape;
        let (pair_rows, window) = (PairRows::X_FIRST, Window::Three);
        Self { dim, outputs, init, decay: None, pair_rows, window, step_size, read_scale: 1.0 }
    }
}

impl From<Configured<GdSsmSpec>> for GdSsmConfig {
    fn from(Configured { spec, setting }: Configured<GdSsmSpec>) -> Self {
        Self { decay: spec.decay, window: spec.window(), ..Self::new(setting.shape, spec.init, setting.gd_constants) }
    }
}

weights! {
    /// The network.
    pub struct GdSsm<D>(config: GdSsmConfig) {
        let GdSsmConfig { dim: d, outputs, init, decay, pair_rows, window, step_size, read_scale } = config;
        let w = window.rows();
        let decay = match decay {
            Some(decay) => constant(decay as f32),
            None => init.start(uniform(0.8, 1.0), constant(1.0)),
        };
        let read_std = 0.1 / (d as f32).sqrt();
        weights {
            // Symbol, shape, random start, construction.
            pub decay: Param<D> = weight("Λ", (d, d), decay),
            pub mix: Param<D> = weight("Q", (w, w), init.start(normal(0.3), values(pair_rows.product(w)))),
            pub pick: Param<D> = weight("D", (w, 1), init.start(normal(0.3), shifted_diagonal(w - 1, 1.0))),
            pub read: Param<D> = weight("C", (d, d), init.start(
                normal(read_std).map(move |c| read_scale * c),
                shifted_diagonal(0, step_size),
            )),
        }
        constants {
            outputs: usize = outputs,
            pair_rows: PairRows = pair_rows,
            window: Window = window,
        }
    }
}

impl<D: Device> GdSsm<D> {
    /// d_out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// S after each window of one sequence, (d, d) each.
    pub fn history(&self, tokens: &[f32], dim: usize) -> Vec<Vec<f32>> {
        window_states(self.window, tokens, dim, &self.decay.value.as_vec(), &self.mix.value.as_vec())
    }

    /// Q → aQ, D → bD and C → C/(ab) give the same model: Q and D are scaled to norm 1, and C takes their factors. Only
    /// the rows of Λ and C that reach the answer are compared, and only the columns of C where the state is not zero.
    fn canonical_weights(&self, step_size: f64) -> Vec<Canonical> {
        let dim = self.decay.value.shape().0;
        let first = dim - self.outputs;
        let w = self.window.rows();
        let constructed_mix = self.pair_rows.product(w);
        let constructed_pick = shifted_diagonal_values((w, 1), w - 1, 1.0);
        let (mix, in_mix) = unit(&self.mix.value.as_vec(), &constructed_mix);
        let (pick, in_pick) = unit(&self.pick.value.as_vec(), &constructed_pick);
        let read = self.read.value.as_vec();
        let cells = || (first..dim).flat_map(|row| (first..dim).map(move |column| (row, column)));
        let learnt_read = cells().map(|(row, column)| read[row * dim + column] * in_mix * in_pick);
        let constructed_read = cells().map(|(row, column)| if row == column { step_size as f32 } else { 0.0 });
        let part = |param: &Param<D>, columns, learnt, constructed| {
            Canonical::new(&param.name, columns, learnt, (self.window == Window::Three).then_some(constructed))
        };
        let decay = self.decay.value.as_vec()[first * dim..].to_vec();
        let ones = vec![1.0; decay.len()];
        vec![
            part(&self.decay, dim, decay, ones),
            part(&self.mix, w, mix, constructed_mix),
            part(&self.pick, 1, pick, constructed_pick),
            part(&self.read, self.outputs, learnt_read.collect(), constructed_read.collect()),
        ]
    }
}

impl<D: Device> GdSsm<D> {
    /// The answer of the whole model to the tokens of a graph: one token of d_out numbers.
    pub fn on<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        tokens.window_scan(self.window, self.window_weights()).read_out(self.read.taped(), self.outputs)
    }

    /// Λ, Q and D.
    pub fn window_weights<T: Tape<f32, D>>(&self) -> [Matrix<D, T>; 3] {
        [self.decay.taped(), self.mix.taped(), self.pick.taped()]
    }
}

impl<D: Device> Net<D> for GdSsm<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        self.on(tokens)
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let sequences: Vec<_> = tokens.as_vec().chunks(length * dim).map(|tokens| self.history(tokens, dim)).collect();
        let time_steps = StateAt::of_histories(&sequences, |t| self.window.tokens_read(t), <[f32]>::to_vec);
        vec![LayerStates::of_maps("state S", (dim, dim), time_steps)]
    }

    /// A row of the state is a head, with decays of its own; those that hold y are shown. A head is read once a window.
    fn attention_form(&self, tokens: &Tensor3<D>) -> DeviceResult<Option<AttentionForm>, D> {
        let (_, length, dim) = *tokens.shape();
        let windows = self.window.count(length);
        let Some(last) = windows.checked_sub(1) else { return Ok(None) };
        let (decay, mix) = (self.decay.value.as_vec(), self.mix.value.as_vec());
        let (pick, read) = (self.pick.value.as_vec(), self.read.value.as_vec());
        let first = dim - self.outputs;
        let name = |row: usize| if self.outputs == 1 { "y".to_owned() } else { format!("y {}", row - first + 1) };
        let head = |row: usize| TokenWeights {
            name: format!("row {} of the state", name(row)),
            read_at: (0..windows).map(|t| self.window.tokens_read(t) - 1).collect(),
            tokens: length,
            weights: Vec::new(),
        };
        let mut heads: Vec<_> = (first..dim).map(head).collect();
        let (mut by_weights, mut by_state) = (Vec::new(), Vec::new());
        for tokens in tokens.as_vec().chunks(length * dim) {
            let windows = Windows { window: self.window, tokens, dim, decay: &decay, mix: &mix, pick: &pick };
            for (head, row) in heads.iter_mut().zip(first..dim) {
                (0..=last).for_each(|t| head.weights.extend(windows.weights(row, t)));
            }
            let answer = |read_out: &[f32]| {
                let row = |i: usize| (0..dim).map(|k| read[i * dim + k] * read_out[k]).sum::<f32>();
                (first..dim).map(row).collect::<Vec<_>>()
            };
            by_weights.extend(answer(&windows.read_by_weights(last)));
            by_state.extend(answer(&windows.read_by_state(last)));
        }
        Ok(Some(AttentionForm { heads, by_weights, by_state }))
    }

    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        self.canonical_weights(gd_constants.step_size)
    }
}
