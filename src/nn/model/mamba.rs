//! Mamba: a recurrence that chooses, token by token, what it takes in and what it forgets.
//!
//! | here | paper (2312.00752, sec. 3) | shape |
//! |---|---|---|
//! | `in_x`, `in_z` | the in-projection, its two halves: what is remembered, and the gate | (H, E) |
//! | `taps`, `bias` | the short causal convolution, of width 4 | (4, E), (1, E) |
//! | `write` B, `read` C | s_B, s_C: projections of the token | (E, N) |
//! | `down`, `up`, `step` | s_Δ and its bias: Δ = softplus(x W_r W_Δ + b_Δ), of rank ⌈H/16⌉ | (E, r), (r, E), (1, E) |
//! | `rate` log A | A = −exp(log A) | (E, N) |
//! | `feedthrough` D | y_t gets D ⊙ x_t | (1, E) |
//! | `out` | the out-projection | (E, H) |
//!
//! x = SiLU(conv(u W_x)); h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t x_t; y = C_t h_t + D ⊙ x; the update is (y ⊙ SiLU(u W_z)) W_out.
//! Three factors that were read meet here: B with x on the way in, C and the gate with both on the way out.
//!
//! Initialised as in the paper: A = −(1 … N) in every channel, b_Δ so that softplus(b_Δ) is log-uniform in
//! [dt_min, dt_max], W_Δ uniform in ±1/√r, D = 1, the other projections and the convolution uniform in ±1/√(their inputs).
//! Deviations: see [`super::stack`].

use anyhow::Result;
use dfdx::prelude::{HasShape, NoneTape, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::stack::{Layer, LayerSpec, Sizes};
use super::{step_size, uniforms};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::op::{Function, GraphBuilder, Selection, Sequence, selective_states};
use crate::nn::{Cost, Costs, Device, DeviceResult, GradTarget, Input, Param, Tensor3};

/// K, the width of the convolution.
pub(super) const TAPS: usize = 4;

/// Mamba as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MambaSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// E, the channels inside a layer: twice `width` in the paper.
    #[serde(deserialize_with = "bounds::channels")]
    pub inner: usize,
    /// N, the numbers in the state of one channel.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// The least Δ of a start.
    #[serde(default = "step_size::least", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest Δ of a start.
    #[serde(default = "step_size::greatest", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

impl MambaSpec {
    /// r of Δ's projection.
    fn rank(&self) -> usize {
        self.width.div_ceil(16)
    }
}

impl LayerSpec for MambaSpec {
    type Layer<D: Device> = MambaLayer<D>;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        step_size::check(self.dt_min, self.dt_max)
    }

    fn layer_parameters(&self) -> u128 {
        let (wide, states) = (self.inner as u128, self.states as u128);
        let rows = 3 * self.width + TAPS + 2 * self.rank() + 3;
        wide * (rows as u128 + 3 * states)
    }

    /// The states and decays of the scan where dfdx's operations keep them, and what stands before and after it.
    fn layer_activations(&self, _tokens: usize) -> usize {
        self.inner * (2 * self.states + 16)
    }

    /// Projections in and out, Δ, B and C from the token, the convolution, and in each state of each channel
    /// the decay, the input, the sum and the reading.
    fn layer_costs(&self, tokens: usize) -> Costs {
        let (wide, states) = (self.inner, self.inner * self.states);
        let chosen = 2 * matvec(wide, self.rank()) + 2 * matvec(wide, self.states);
        let flops = 3 * matvec(self.width, wide) + matvec(TAPS, wide) + chosen + 8 * states + 12 * wide;
        Costs::scan(Cost::new(states + (TAPS - 1) * wide, flops), (states, false), tokens)
    }

    fn layer<D: Device>(
        &self,
        device: &D,
        (sizes, number): (Sizes, usize),
        rng: &mut impl Rng,
    ) -> DeviceResult<MambaLayer<D>, D> {
        let (wide, n, inner, rank) = (self.width, self.states, self.inner, self.rank());
        let param = |symbol: &str, shape, values| Param::new(device, sizes.name(number, symbol), shape, values);
        // Uniform in ±1/√fan_in.
        let mut drawn = |symbol: &str, (rows, columns): (usize, usize), inputs: usize| {
            param(symbol, (rows, columns), uniforms(rng, rows * columns, (inputs as f32).sqrt().recip()))
        };
        let (in_x, in_z) = (drawn("Wx", (wide, inner), wide)?, drawn("Wz", (wide, inner), wide)?);
        let (taps, bias) = (drawn("conv", (TAPS, inner), TAPS)?, drawn("conv bias", (1, inner), TAPS)?);
        let (write, read) = (drawn("B", (inner, n), inner)?, drawn("C", (inner, n), inner)?);
        let (down, up) = (drawn("Wr", (inner, rank), inner)?, drawn("WΔ", (rank, inner), rank)?);
        let out = drawn("Wout", (inner, wide), inner)?;
        let step = step_size::before_softplus(step_size::logarithms(rng, inner, (self.dt_min, self.dt_max)));
        let rate = (0..inner).flat_map(|_| (1..=n).map(|k| (k as f32).ln())).collect();
        Ok(MambaLayer {
            mixes: [in_x, in_z, write, read, down, up, out],
            taps,
            bias,
            step: param("bΔ", (1, inner), step)?,
            rate: param("log A", (inner, n), rate)?,
            feedthrough: param("D", (1, inner), vec![1.0; inner])?,
        })
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct MambaLayer<D: Device> {
    /// W_x, W_z, B, C, W_r, W_Δ, W_out.
    mixes: [Param<D>; 7],
    taps: Param<D>,
    bias: Param<D>,
    step: Param<D>,
    rate: Param<D>,
    feedthrough: Param<D>,
}

impl<D: Device> MambaLayer<D> {
    /// What the scan runs over, for answers to the last tokens, as many as are `asked`.
    fn selection<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Selection<'p, D, T>, D> {
        let [in_x, _, write, read, down, up, _] = &self.mixes;
        let input = tokens.project(in_x.taped()).convolve(self.taps.taped(), self.bias.taped()).apply(Function::Silu);
        let step = input.project(down.taped()).project(up.taped()).plus_row(self.step.taped());
        Ok(Selection {
            step: step.apply(Function::Softplus),
            write: input.project(write.taped()),
            read: input.last(asked).project(read.taped()),
            input,
            rate: self.rate.taped::<T>().try_exp()?.try_negate()?,
        })
    }
}

impl<D: Device> Layer<D> for MambaLayer<D> {
    fn update<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Sequence<'p, D, T>, D> {
        let [_, in_z, .., out] = &self.mixes;
        let selection = self.selection(tokens, asked)?;
        let through = selection.input.last(asked).times_row(self.feedthrough.taped());
        let gate = tokens.last(asked).project(in_z.taped()).apply(Function::Silu);
        Ok(selection.by_channel().plus(through).times(gate).project(out.taped()))
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        (*self.rate.value.shape(), ("channel", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let (wide, states) = *self.rate.value.shape();
        let length = tokens.shape().1;
        let part = |pick: fn(Selection<'_, D, NoneTape>) -> Sequence<'_, D, NoneTape>| {
            let graph_builder = GraphBuilder::new(*tokens.shape());
            let part = pick(self.selection(graph_builder.tokens(), length)?);
            Ok(part.run(Input { tokens: tokens.clone(), grad_target: GradTarget::Weights })?.as_vec())
        };
        let (step, input, write) = (part(|s| s.step)?, part(|s| s.input)?, part(|s| s.write)?);
        let rate: Vec<f32> = self.rate.value.as_vec().iter().map(|log| -log.exp()).collect();
        let each = step.chunks(length * wide).zip(input.chunks(length * wide)).zip(write.chunks(length * states));
        Ok(each.map(|((step, x), write)| selective_states([step, x, write], &rate, (wide, states)).concat()).collect())
    }

    fn params(&self) -> Vec<&Param<D>> {
        self.mixes.iter().chain([&self.taps, &self.bias, &self.step, &self.rate, &self.feedthrough]).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let own = [&mut self.taps, &mut self.bias, &mut self.step, &mut self.rate, &mut self.feedthrough];
        self.mixes.iter_mut().chain(own).collect()
    }
}
