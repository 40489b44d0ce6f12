//! Mamba: a recurrence whose input and decay depend on the token.
//!
//! | here | paper (2312.00752, sec. 3) | shape |
//! |---|---|---|
//! | `in_x`, `in_z` | the two halves of the in-projection: the scan's input, and the gate | (H, E) |
//! | `taps`, `bias` | the short causal convolution, of width 4 | (4, E), (1, E) |
//! | `write` B, `read` C | s_B, s_C: projections of the token | (E, N) |
//! | `down`, `up`, `step` | s_Δ and its bias: Δ = softplus(x W_r W_Δ + b_Δ), of rank ⌈H/16⌉ | (E, r), (r, E), (1, E) |
//! | `rate` log A | A = −exp(log A) | (E, N) |
//! | `feedthrough` D | y_t gets D ⊙ x_t | (1, E) |
//! | `out` | the out-projection | (E, H) |
//!
//! x = SiLU(conv(u W_x)); h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t x_t; y = C_t h_t + D ⊙ x; the update is (y ⊙ SiLU(u W_z))
//! W_out. Projections of the tokens are multiplied: Δ, B and x in the input of the state, C and the gate in its output.
//!
//! Initialised as in the paper: A = −(1 … N) in every channel, b_Δ so that softplus(b_Δ) is log-uniform in
//! [dt_min, dt_max], D = 1, the projections and the convolution uniform in ±1/√(number of inputs).
//! Deviations: see [`super::stack`].

use anyhow::Result;
use dfdx::prelude::{HasShape, NoneTape, Tape};
use serde::{Deserialize, Serialize};

use super::stack::{LayerSpec, StackLayer};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::{Selection, Sequence};
use crate::nn::layer::discretization::{self, softplus_bias};
use crate::nn::layer::init::{constant, entries, fan_in};
use crate::nn::step::selective_states;
use crate::nn::weights::{weight, weights};
use crate::nn::{Activation, Cost, Costs, Device, DeviceResult, Param, Tensor3, evaluate};

/// K, the width of the convolution.
pub(super) const TAPS: usize = 4;

/// Mamba in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MambaSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// E, the channels inside a layer: twice `width` in the paper.
    #[serde(deserialize_with = "bounds::channels")]
    pub inner: usize,
    /// N, the number of states of one channel.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    /// The least initial Δ.
    #[serde(default = "discretization::default_dt_min", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest initial Δ.
    #[serde(default = "discretization::default_dt_max", deserialize_with = "bounds::scale")]
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
    type Config = Self;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        discretization::check(self.dt_min, self.dt_max)
    }

    /// The states and decays of the scan, as dfdx's operations keep them, and the operands before and after it.
    fn layer_activations(&self, _tokens: usize) -> usize {
        self.inner * (2 * self.states + 16)
    }

    /// The projections, Δ, B and C of the token, the convolution, and per state of a channel the decay, the input, the
    /// sum and the output.
    fn layer_costs(&self, tokens: usize) -> Costs {
        let (wide, states) = (self.inner, self.inner * self.states);
        let chosen = 2 * matvec(wide, self.rank()) + 2 * matvec(wide, self.states);
        let flops = 3 * matvec(self.width, wide) + matvec(TAPS, wide) + chosen + 8 * states + 12 * wide;
        Costs::scan(Cost::new(states + (TAPS - 1) * wide, flops), (states, false), tokens)
    }

    fn config(&self) -> Self {
        self.clone()
    }
}

weights! {
    /// One layer.
    pub struct MambaLayer<D>(spec: MambaSpec) {
        let (h, e, n, r) = (spec.width, spec.inner, spec.states, spec.rank());
        weights {
            in_x: Param<D> = weight("Wx", (h, e), fan_in(h)),
            in_z: Param<D> = weight("Wz", (h, e), fan_in(h)),
            taps: Param<D> = weight("conv", (TAPS, e), fan_in(TAPS)),
            bias: Param<D> = weight("conv bias", (1, e), fan_in(TAPS)),
            write: Param<D> = weight("B", (e, n), fan_in(e)),
            read: Param<D> = weight("C", (e, n), fan_in(e)),
            down: Param<D> = weight("Wr", (e, r), fan_in(e)),
            up: Param<D> = weight("WΔ", (r, e), fan_in(r)),
            out: Param<D> = weight("Wout", (e, h), fan_in(e)),
            step: Param<D> = weight("bΔ", (1, e), softplus_bias(spec.dt_min, spec.dt_max)),
            rate: Param<D> = weight("log A", (e, n), entries(|_, state| ((state + 1) as f32).ln())),
            feedthrough: Param<D> = weight("D", (1, e), constant(1.0)),
        }
        saved as { in_x, in_z, write, read, down, up, out, taps, bias, step, rate, feedthrough }
    }
}

impl<D: Device> MambaLayer<D> {
    /// The operands of the scan, for outputs at the last `last` tokens.
    fn selection<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Selection<'p, D, T> {
        let Self { in_x, write, read, down, up, .. } = self;
        let input =
            tokens.project(in_x.taped()).convolve(self.taps.taped(), self.bias.taped()).activate(Activation::Silu);
        let step = input.project(down.taped()).project(up.taped()).plus_row(self.step.taped());
        Selection {
            delta: step.activate(Activation::Softplus),
            b: input.project(write.taped()),
            c: input.last(last).project(read.taped()),
            x: input,
            log_a: self.rate.taped(),
        }
    }
}

impl<D: Device> StackLayer<D> for MambaLayer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Sequence<'p, D, T> {
        let Self { in_z, out, .. } = self;
        let selection = self.selection(tokens, last);
        let through = selection.x.last(last).times_row(self.feedthrough.taped());
        let gate = tokens.last(last).project(in_z.taped()).activate(Activation::Silu);
        selection.by_channel().plus(through).times(gate).project(out.taped())
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        (*self.rate.value.shape(), ("channel", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let (wide, states) = *self.rate.value.shape();
        let length = tokens.shape().1;
        let part = |pick: Operand<D>| Ok(evaluate(tokens, |tokens| pick(self.selection(tokens, length)))?.as_vec());
        let (step, input, write) = (part(|s| s.delta)?, part(|s| s.x)?, part(|s| s.b)?);
        let rate: Vec<f32> = self.rate.value.as_vec().iter().map(|log| -log.exp()).collect();
        Ok(histories([&step, &input, &write], &rate, (length, wide, states)))
    }
}

/// One of the sequences of a scan.
pub(super) type Operand<D> = fn(Selection<'_, D, NoneTape>) -> Sequence<'_, D, NoneTape>;

/// The states of each sequence after each of its T tokens, (T, E, N), from Δ and x, (B, T, E), B, (B, T, N), and A,
/// (E, N).
pub(super) fn histories(
    [step, input, write]: [&[f32]; 3],
    rate: &[f32],
    (length, wide, states): (usize, usize, usize),
) -> Vec<Vec<f32>> {
    let each = step.chunks(length * wide).zip(input.chunks(length * wide)).zip(write.chunks(length * states));
    each.map(|((step, x), write)| selective_states([step, x, write], rate, (wide, states)).concat()).collect()
}
