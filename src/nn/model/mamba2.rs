//! Mamba-2: a selective recurrence whose heads forget as a whole, which makes it a masked attention as well.
//!
//! | here | paper (2405.21060, sec. 5 to 7) | shape |
//! |---|---|---|
//! | `Wx`, `Wz`, `WB`, `WC`, `WΔ` | the in-projection, part by part | (H, E), (H, E), (H, N), (H, N), (H, M) |
//! | `conv x`, `conv B`, `conv C` | the short causal convolution, of width 4, over all three | (4, ·), with a bias (1, ·) |
//! | `step` b_Δ | Δ = softplus(u W_Δ + b_Δ), one for each head | (1, M) |
//! | `rate` log A | A = −exp(log A), one for each head | (1, M) |
//! | `feedthrough` D | y_t gets D x_t, one for each head | (1, M) |
//! | `out` | the out-projection | (E, H) |
//!
//! x, B, C = SiLU(conv(u W)); in each of the M heads h_t = exp(Δ_t A) h_{t−1} + Δ_t x_t B_tᵀ and y_t = h_t C_t + D x_t; the
//! update is (y ⊙ SiLU(u W_z)) W_out. B and C are shared by the heads (one group). The scan has two forms that give the
//! same numbers; `form` says which one runs.
//!
//! Initialised as in the paper: A uniform in −[1, 16], b_Δ so that softplus(b_Δ) is log-uniform in [dt_min, dt_max],
//! D = 1, the rest uniform in ±1/√(their inputs). Deviation: no normalisation before the out-projection, for the reason
//! given in [`super::stack`].

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, NoneTape, Tape, TryMatMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::mamba::TAPS;
use super::stack::{Layer, LayerSpec, Sizes};
use super::{step_size, uniforms};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::op::{Function, GraphBuilder, Selection, Sequence, head_expansion, project, selective_states};
use crate::nn::{Cost, Costs, Device, DeviceResult, GradTarget, Input, Param, Tensor3};

/// Mamba-2 as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mamba2Spec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// M.
    #[serde(deserialize_with = "bounds::heads")]
    pub heads: usize,
    /// E = M · P, the channels of all heads: twice `width` in the paper.
    #[serde(deserialize_with = "bounds::channels")]
    pub inner: usize,
    /// N, the numbers in the state of one channel.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    #[serde(default)]
    pub form: Form,
    /// The least Δ of a start.
    #[serde(default = "step_size::least", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest Δ of a start.
    #[serde(default = "step_size::greatest", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

/// How the scan is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// One token after the other: the work grows with T.
    #[default]
    Recurrent,
    /// All tokens at once, as attention under a mask: the work grows with T².
    Matrix,
}

impl LayerSpec for Mamba2Spec {
    type Layer<D: Device> = Mamba2Layer<D>;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        let Self { inner, heads, .. } = self;
        step_size::check(self.dt_min, self.dt_max)?;
        ensure!(inner.is_multiple_of(*heads), "model.heads: {heads} heads cannot share {inner} inner channels evenly");
        Ok(())
    }

    fn layer_parameters(&self) -> u128 {
        let (wide, n, heads) = (self.inner, self.states, self.heads);
        let mixes = self.width * (3 * wide + 2 * n + heads);
        (mixes + (TAPS + 1) * (wide + 2 * n) + 3 * heads) as u128
    }

    /// The states and decays of the scan or the masks of the heads, and what stands before and after.
    fn layer_activations(&self, tokens: usize) -> usize {
        let scan = match self.form {
            Form::Recurrent => 2 * self.inner * self.states,
            Form::Matrix => 6 * self.heads * tokens,
        };
        scan + 16 * self.inner + 8 * self.states
    }

    /// Projections in and out, the convolution, and in each state of each channel the decay, the input, the
    /// sum and the reading; or C Bᵀ with all earlier tokens, the mask of each head, and its product with x.
    fn layer_costs(&self, tokens: usize) -> Costs {
        let (wide, n, heads) = (self.inner, self.states, self.heads);
        let read = wide + 2 * n;
        let ends = matvec(self.width, 2 * wide + read + heads) + matvec(TAPS, read) + 12 * wide;
        let matrix = matvec(n, tokens) + 2 * heads * tokens + matvec(tokens, wide);
        Costs {
            step: Some(Cost::new(wide * n + (TAPS - 1) * read, ends + 5 * wide * n)),
            whole: Some(Cost::new(heads * tokens * tokens, ends + matrix)),
        }
    }

    fn layer<D: Device>(
        &self,
        device: &D,
        (sizes, number): (Sizes, usize),
        rng: &mut impl Rng,
    ) -> DeviceResult<Mamba2Layer<D>, D> {
        let (wide, n, inner, heads) = (self.width, self.states, self.inner, self.heads);
        let param = |symbol: &str, shape, values| Param::new(device, sizes.name(number, symbol), shape, values);
        // Uniform in ±1/√fan_in.
        let mut drawn = |symbol: &str, (rows, columns): (usize, usize), inputs: usize| {
            param(symbol, (rows, columns), uniforms(rng, rows * columns, (inputs as f32).sqrt().recip()))
        };
        let mut read = |symbol: &str, columns: usize| {
            let mix = drawn(&format!("W{symbol}"), (wide, columns), wide)?;
            let taps = drawn(&format!("conv {symbol}"), (TAPS, columns), TAPS)?;
            let bias = drawn(&format!("conv bias {symbol}"), (1, columns), TAPS)?;
            Ok(Reading { mix, taps, bias })
        };
        let reads = [read("x", inner)?, read("B", n)?, read("C", n)?];
        let mixes = [
            drawn("Wz", (wide, inner), wide)?,
            drawn("WΔ", (wide, heads), wide)?,
            drawn("Wout", (inner, wide), inner)?,
        ];
        let step = step_size::before_softplus(step_size::logarithms(rng, heads, (self.dt_min, self.dt_max)));
        let rate = (0..heads).map(|_| rng.gen_range(1.0f32..16.0).ln()).collect();
        Ok(Mamba2Layer {
            reads,
            mixes,
            step: param("bΔ", (1, heads), step)?,
            rate: param("log A", (1, heads), rate)?,
            feedthrough: param("D", (1, heads), vec![1.0; heads])?,
            form: self.form,
        })
    }
}

/// A projection of the tokens with its short convolution.
#[derive(Clone, Debug)]
struct Reading<D: Device> {
    mix: Param<D>,
    taps: Param<D>,
    bias: Param<D>,
}

impl<D: Device> Reading<D> {
    /// SiLU(conv(u W)).
    fn of<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        let mixed = tokens.project(self.mix.taped());
        mixed.convolve(self.taps.taped(), self.bias.taped()).apply(Function::Silu)
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Mamba2Layer<D: Device> {
    /// Of x, B and C.
    reads: [Reading<D>; 3],
    /// W_z, W_Δ, W_out.
    mixes: [Param<D>; 3],
    step: Param<D>,
    rate: Param<D>,
    feedthrough: Param<D>,
    form: Form,
}

impl<D: Device> Mamba2Layer<D> {
    /// What the scan runs over, for answers to the last tokens, as many as are `asked`.
    fn selection<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Selection<'p, D, T>, D> {
        let [x, b, c] = &self.reads;
        let step = tokens.project(self.mixes[1].taped()).plus_row(self.step.taped());
        // The answer to a token needs C of the tokens that the convolution reaches back to.
        let near = tokens.last(tokens.length().min(asked + TAPS - 1));
        Ok(Selection {
            step: step.apply(Function::Softplus),
            input: x.of(tokens),
            write: b.of(tokens),
            read: c.of(near).last(asked),
            rate: self.rate.taped::<T>().try_exp()?.try_negate()?,
        })
    }
}

impl<D: Device> Layer<D> for Mamba2Layer<D> {
    fn update<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Sequence<'p, D, T>, D> {
        let selection = self.selection(tokens, asked)?;
        let feedthrough = self.feedthrough.taped::<T>();
        let head_expansion = head_expansion(self.step.value.device(), feedthrough.shape().1, selection.input.width())?;
        let through = selection.input.last(asked).times_row(feedthrough.try_matmul(head_expansion)?);
        let answer = match self.form {
            Form::Recurrent => selection.by_head(),
            Form::Matrix => selection.by_matrix(),
        };
        let gate = tokens.last(asked).project(self.mixes[0].taped()).apply(Function::Silu);
        Ok(answer.plus(through).times(gate).project(self.mixes[2].taped()))
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        let [x, b, _] = &self.reads;
        ((x.mix.value.shape().1, b.mix.value.shape().1), ("channel, head by head", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let (wide, states) = self.grid().0;
        let rates = self.rate.value.as_vec();
        let length = tokens.shape().1;
        let part = |pick: fn(Selection<'_, D, NoneTape>) -> Sequence<'_, D, NoneTape>| {
            let graph_builder = GraphBuilder::new(*tokens.shape());
            let part = pick(self.selection(graph_builder.tokens(), length)?);
            part.run(Input { tokens: tokens.clone(), grad_target: GradTarget::Weights })
        };
        // Every channel carries the Δ and the A of its head.
        let head_expansion = head_expansion(tokens.device(), self.rate.value.shape().1, wide)?;
        let (input, write) = (part(|s| s.input)?.as_vec(), part(|s| s.write)?.as_vec());
        let step = project(part(|s| s.step)?, head_expansion)?.as_vec();
        let speed = |channel: usize| -rates[channel / (wide / rates.len())].exp();
        let rate: Vec<f32> = (0..wide * states).map(|i| speed(i / states)).collect();
        let each = step.chunks(length * wide).zip(input.chunks(length * wide)).zip(write.chunks(length * states));
        Ok(each.map(|((step, x), write)| selective_states([step, x, write], &rate, (wide, states)).concat()).collect())
    }

    fn params(&self) -> Vec<&Param<D>> {
        let reads = self.reads.iter().flat_map(|read| [&read.mix, &read.taps, &read.bias]);
        reads.chain(&self.mixes).chain([&self.step, &self.rate, &self.feedthrough]).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let reads = self.reads.iter_mut().flat_map(|read| [&mut read.mix, &mut read.taps, &mut read.bias]);
        reads.chain(&mut self.mixes).chain([&mut self.step, &mut self.rate, &mut self.feedthrough]).collect()
    }
}
