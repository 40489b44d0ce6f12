//! Mamba-2: a selective recurrence with one decay per head, which is equivalent to a masked attention.
//!
//! | here | paper (2405.21060, sec. 5 to 7) | shape |
//! |---|---|---|
//! | `Wx`, `Wz`, `WB`, `WC`, `WΔ` | the in-projection, part by part | (H, E), (H, E), (H, N), (H, N), (H, M) |
//! | `conv x`, `conv B`, `conv C` | short causal convolutions of width 4 | (4, ·), with a bias (1, ·) |
//! | `step` b_Δ | Δ = softplus(u W_Δ + b_Δ), one for each head | (1, M) |
//! | `rate` log A | A = −exp(log A), one for each head | (1, M) |
//! | `feedthrough` D | y_t gets D x_t, one for each head | (1, M) |
//! | `out` | the out-projection | (E, H) |
//!
//! x, B, C = SiLU(conv(u W)); in each of the M heads h_t = exp(Δ_t A) h_{t−1} + Δ_t x_t B_tᵀ and y_t = h_t C_t + D x_t;
//! the update is (y ⊙ SiLU(u W_z)) W_out. B and C are shared by the heads (one group). The scan has two forms that give
//! the same numbers, selected by `form`.
//!
//! Initialised as in the paper: A uniform in −[1, 16], b_Δ so that softplus(b_Δ) is log-uniform in [dt_min, dt_max],
//! D = 1, the rest uniform in ±1/√(number of inputs). Deviation: no normalisation before the out-projection, for the
//! reason given in [`super::stack`].

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::mamba::{Operand, TAPS, histories};
use super::stack::{LayerSpec, StackLayer};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::{Selection, Sequence};
use crate::nn::layer::discretization::{self, softplus_bias};
use crate::nn::layer::init::{constant, fan_in, uniform};
use crate::nn::step::head_expansion;
use crate::nn::tensor::rows_times;
use crate::nn::weights::{weight, weights};
use crate::nn::{Activation, Cost, Costs, Device, DeviceResult, Param, Tensor3, evaluate};

/// Mamba-2 in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mamba2Spec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// M, the number of heads.
    #[serde(deserialize_with = "bounds::heads")]
    pub heads: usize,
    /// E = M · P, the channels of all heads: twice `width` in the paper.
    #[serde(deserialize_with = "bounds::channels")]
    pub inner: usize,
    /// N, the number of states of one channel.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    #[serde(default)]
    pub form: ScanForm,
    /// The least initial Δ.
    #[serde(default = "discretization::default_dt_min", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest initial Δ.
    #[serde(default = "discretization::default_dt_max", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

/// How the scan is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanForm {
    /// One token after the other: the cost is linear in T.
    #[default]
    Recurrent,
    /// All tokens at once, as masked attention: the cost is quadratic in T.
    Matrix,
}

impl LayerSpec for Mamba2Spec {
    type Layer<D: Device> = Mamba2Layer<D>;
    type Config = Self;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        let Self { inner, heads, .. } = self;
        discretization::check(self.dt_min, self.dt_max)?;
        ensure!(inner.is_multiple_of(*heads), "model.heads: {heads} heads cannot share {inner} inner channels evenly");
        Ok(())
    }

    /// The states and decays of the scan, or the masks of the heads, and the operands before and after.
    fn layer_activations(&self, tokens: usize) -> usize {
        let scan = match self.form {
            ScanForm::Recurrent => 2 * self.inner * self.states,
            ScanForm::Matrix => 6 * self.heads * tokens,
        };
        scan + 16 * self.inner + 8 * self.states
    }

    /// The projections, the convolution, and per state of a channel the decay, the input, the sum and the output; or C
    /// Bᵀ with all earlier tokens, the mask of each head, and its product with x.
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

    fn config(&self) -> Self {
        self.clone()
    }
}

weights! {
    /// One layer.
    pub struct Mamba2Layer<D>(spec: Mamba2Spec) {
        let (h, e, n, heads) = (spec.width, spec.inner, spec.states, spec.heads);
        let reading = |symbol, outputs| ReadingConfig { symbol, shape: (h, outputs) };
        weights {
            x: Reading<D> = reading("x", e),
            b: Reading<D> = reading("B", n),
            c: Reading<D> = reading("C", n),
            in_z: Param<D> = weight("Wz", (h, e), fan_in(h)),
            in_step: Param<D> = weight("WΔ", (h, heads), fan_in(h)),
            out: Param<D> = weight("Wout", (e, h), fan_in(e)),
            step: Param<D> = weight("bΔ", (1, heads), softplus_bias(spec.dt_min, spec.dt_max)),
            rate: Param<D> = weight("log A", (1, heads), uniform(1.0, 16.0).map(f32::ln)),
            feedthrough: Param<D> = weight("D", (1, heads), constant(1.0)),
        }
        constants { form: ScanForm = spec.form, }
    }
}

/// What a [`Reading`] is built from.
struct ReadingConfig {
    symbol: &'static str,
    /// (H, outputs).
    shape: (usize, usize),
}

weights! {
    /// A projection of the tokens with its short convolution.
    struct Reading<D>(config: ReadingConfig) {
        let ReadingConfig { symbol, shape: (h, outputs) } = config;
        weights {
            mix: Param<D> = weight(format!("W{symbol}"), (h, outputs), fan_in(h)),
            taps: Param<D> = weight(format!("conv {symbol}"), (TAPS, outputs), fan_in(TAPS)),
            bias: Param<D> = weight(format!("conv bias {symbol}"), (1, outputs), fan_in(TAPS)),
        }
    }
}

impl<D: Device> Reading<D> {
    /// SiLU(conv(u W)).
    fn of<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>) -> Sequence<'p, D, T> {
        let mixed = tokens.project(self.mix.taped());
        mixed.convolve(self.taps.taped(), self.bias.taped()).activate(Activation::Silu)
    }
}

impl<D: Device> Mamba2Layer<D> {
    /// The operands of the scan, for outputs at the last `last` tokens.
    fn selection<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Selection<'p, D, T> {
        let Self { x, b, c, .. } = self;
        let step = tokens.project(self.in_step.taped()).plus_row(self.step.taped());
        // C of the last tokens needs the tokens before them that the convolution reads.
        let near = tokens.last(tokens.length().min(last + TAPS - 1));
        Selection {
            delta: step.activate(Activation::Softplus),
            x: x.of(tokens),
            b: b.of(tokens),
            c: c.of(near).last(last),
            log_a: self.rate.taped(),
        }
    }
}

impl<D: Device> Mamba2Layer<D> {
    /// An operand of the scan at every token.
    fn operand(&self, tokens: &Tensor3<D>, pick: Operand<D>) -> DeviceResult<Tensor3<D>, D> {
        evaluate(tokens, |tokens| pick(self.selection(tokens, tokens.length())))
    }
}

/// The definition of L ⊙ C Bᵀ for one head and one sequence, (T, T), from its Δ, (T), its A, and B and C, (T, N).
fn head_weights(steps: &[f32], a: f32, (b, c): (&[f32], &[f32]), states: usize) -> Vec<f32> {
    let length = steps.len();
    let weight = |t: usize, s: usize| -> f32 {
        if s > t {
            return 0.0;
        }
        let decay = (a * steps[s + 1..=t].iter().sum::<f32>()).exp();
        let score: f32 = c[t * states..][..states].iter().zip(&b[s * states..][..states]).map(|(c, b)| c * b).sum();
        decay * score
    };
    (0..length).flat_map(|t| (0..length).map(move |s| (t, s))).map(|(t, s)| weight(t, s)).collect()
}

impl<D: Device> StackLayer<D> for Mamba2Layer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Sequence<'p, D, T> {
        let selection = self.selection(tokens, last);
        let through = selection.x.last(last).times_heads(self.feedthrough.taped());
        let answer = match self.form {
            ScanForm::Recurrent => selection.by_head(),
            ScanForm::Matrix => selection.by_matrix(),
        };
        let gate = tokens.last(last).project(self.in_z.taped()).activate(Activation::Silu);
        answer.plus(through).times(gate).project(self.out.taped())
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((self.x.mix.value.shape().1, self.b.mix.value.shape().1), ("channel, head by head", "state"))
    }

    fn in_form(&self, form: ScanForm) -> Option<Self> {
        Some(Self { form, ..self.clone() })
    }

    fn token_weights(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let (length, states) = (tokens.shape().1, self.grid().0.1);
        let operands: [Operand<D>; 3] = [|s| s.delta, |s| s.b, |s| s.c];
        let [delta, b, c] = operands.map(|pick| self.operand(tokens, pick));
        let (delta, b, c) = (delta?.as_vec(), b?.as_vec(), c?.as_vec());
        let rates = self.rate.value.as_vec();
        let of_head = |(head, rate): (usize, &f32)| {
            let sequences =
                delta.chunks(length * rates.len()).zip(b.chunks(length * states).zip(c.chunks(length * states)));
            let matrix = |(delta, (b, c)): (&[f32], (&[f32], &[f32]))| {
                let steps: Vec<f32> = delta.iter().skip(head).step_by(rates.len()).copied().collect();
                head_weights(&steps, -rate.exp(), (b, c), states)
            };
            sequences.flat_map(matrix).collect()
        };
        Ok(rates.iter().enumerate().map(of_head).collect())
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let (wide, states) = self.grid().0;
        let rates = self.rate.value.as_vec();
        // Every channel has the Δ and the A of its head.
        let head_expansion = head_expansion(tokens.device(), self.rate.value.shape().1, wide)?;
        let (input, write) = (self.operand(tokens, |s| s.x)?.as_vec(), self.operand(tokens, |s| s.b)?.as_vec());
        let step = rows_times(self.operand(tokens, |s| s.delta)?, head_expansion)?.as_vec();
        let a = |channel: usize| -rates[channel / (wide / rates.len())].exp();
        let rate: Vec<f32> = (0..wide * states).map(|i| a(i / states)).collect();
        Ok(histories([&step, &input, &write], &rate, (tokens.shape().1, wide, states)))
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::super::tests::build;
    use super::*;
    use crate::nn::check::{Random, assert_close};
    use crate::task::{Layout, Shape};

    /// What a head reads of its states, Σ_n C_t[n] h_t, is Σ_s (L ⊙ C Bᵀ)[t, s] Δ_s x_s.
    #[test]
    fn the_weights_between_tokens_read_what_the_states_give() {
        let (wide, heads, states, length) = (6, 2, 3, 5);
        let spec = Mamba2Spec {
            width: 4,
            heads,
            inner: wide,
            states,
            layers: 1,
            form: ScanForm::Recurrent,
            dt_min: 0.1,
            dt_max: 0.5,
        };
        let net = build(&spec, Shape { dim: 3, outputs: 1, context: 4 }, Layout::Joined);
        let tokens = Random::new(4).tensor3(&Cpu::default(), (2, length, 4));
        let layer = &net.layers[0];
        let numbers = |pick: Operand<Cpu>| layer.operand(&tokens, pick).unwrap().as_vec();
        let [delta, x, c] = [numbers(|s| s.delta), numbers(|s| s.x), numbers(|s| s.c)];
        let (weights, history) = (layer.token_weights(&tokens).unwrap(), layer.history(&tokens).unwrap());
        let (mut summed, mut read) = (Vec::new(), Vec::new());
        for at in 0..2 * length * wide {
            let (sequence, t, channel) = (at / wide / length, at / wide % length, at % wide);
            let head = channel / (wide / heads);
            let row = &weights[head][(sequence * length + t) * length..][..length];
            let value =
                |s: usize| delta[(sequence * length + s) * heads + head] * x[(sequence * length + s) * wide + channel];
            summed.push(row.iter().enumerate().map(|(s, weight)| weight * value(s)).sum::<f32>());
            let state = &history[sequence][(t * wide + channel) * states..][..states];
            read.push(state.iter().zip(&c[(sequence * length + t) * states..]).map(|(h, c)| h * c).sum::<f32>());
        }
        assert_close(&summed, &read, 1e-5);
    }
}
