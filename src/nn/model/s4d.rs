//! S4D: a separate diagonal state-space model for every channel.
//!
//! | here | paper (2206.11893, sec. 3 and 4) | shape |
//! |---|---|---|
//! | `damping` a, `frequency` b | A = −exp(a) + ib, N of a channel after those of the one before | (1, H·N) |
//! | `step` | log Δ, one for each channel | (1, H) |
//! | `read` C | output weights: 2 Re C of all, then −2 Im C of all | (2·H·N, 1) |
//! | [`GluBlock`] | D, and the GLU of the paper's block | |
//!
//! For each channel h and each of its states: x_t = Ā x_{t−1} + B̄ u_t with Ā = exp(ΔA), B̄ = (Ā − 1)/A (zero-order
//! hold, B = 1), and y_t = 2 Re Σ C x_t + D u_t. The 2 accounts for the conjugate half, which is not stored.
//!
//! Initialised as S4D-Lin: A_n = −½ + iπn, Δ log-uniform in [dt_min, dt_max], C ~ N(0, 1) complex, D ~ N(0, 1).
//! All channels run in one scan of H·N states; a matrix of zeros and ones maps channels to states.
//! Deviations: see [`super::stack`] and [`crate::nn::layer::glu`].

use std::f32::consts::PI;

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::stack::{LayerSpec, StackLayer};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::{ChannelScan, Discretization, Groups, Sequence};
use crate::nn::layer::diagonal::histories;
use crate::nn::layer::discretization::{self, log_step};
use crate::nn::layer::glu::{ChannelMixing, GluBlock, GluConfig};
use crate::nn::layer::init::{constant, entries, normal};
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, DeviceResult, Param, Tensor3, evaluate};

/// S4D in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S4dSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// N, the number of complex numbers in the state of one channel.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: ChannelMixing,
    /// The least initial Δ.
    #[serde(default = "discretization::default_dt_min", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest initial Δ.
    #[serde(default = "discretization::default_dt_max", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

/// How a, b and log Δ give Ā and B̄.
const DISCRETIZATION: Discretization = Discretization::ZeroOrderHold;

/// States of all channels together: what keeps the matrices of zeros and ones small.
const MOST: usize = 4096;

impl LayerSpec for S4dSpec {
    type Layer<D: Device> = S4dLayer<D>;
    type Config = Self;

    fn width(&self) -> usize {
        self.width
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn validate(&self) -> Result<()> {
        discretization::check(self.dt_min, self.dt_max)?;
        let all = self.width * self.states;
        ensure!(
            all <= MOST,
            "model.states: {} in each of {} channels are {all}; at most {MOST}",
            self.states,
            self.width
        );
        Ok(())
    }

    /// Input and states of the scan, and what the mixing keeps.
    fn layer_activations(&self, _tokens: usize) -> usize {
        6 * self.width * self.states + 8 * self.width
    }

    /// λ ⊙ h, its input and Re(C h) in every channel, and the mixing. All at once it is a convolution with a kernel as
    /// long as the sequence.
    fn layer_costs(&self, tokens: usize) -> Costs {
        let (all, wide) = (2 * self.width * self.states, self.width);
        let block = self.block.flops(wide);
        Costs {
            step: Some(Cost::new(all, 7 * all + block)),
            whole: Some(Cost::new(2 * tokens * wide, matvec(tokens, wide) + block)),
        }
    }

    fn config(&self) -> Self {
        self.clone()
    }
}

weights! {
    /// One layer.
    pub struct S4dLayer<D>(spec: S4dSpec) {
        let (width, n, all) = (spec.width, spec.states, spec.width * spec.states);
        weights {
            damping: Param<D> = weight("a", (1, all), constant(0.5f32.ln())),
            frequency: Param<D> = weight("b", (1, all), entries(move |_, i| PI * (i % n) as f32)),
            step: Param<D> = weight("log Δ", (1, width), log_step(spec.dt_min, spec.dt_max)),
            // Twice a real or imaginary part of variance ½.
            read: Param<D> = weight("C", (2 * all, 1), normal(2.0f32.sqrt())),
            mixing: GluBlock<D> = GluConfig { width, mixing: spec.block },
        }
        constants {
            /// H.
            width: usize = width,
        }
    }
}

impl<D: Device> S4dLayer<D> {
    /// H · N.
    fn all(&self) -> usize {
        self.damping.value.shape().1
    }
}

impl<D: Device> StackLayer<D> for S4dLayer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Sequence<'p, D, T> {
        let weights = [self.damping.taped(), self.frequency.taped()];
        let (discretization, step, read) = (DISCRETIZATION, self.step.taped(), self.read.taped());
        let y = tokens.scan_channels(ChannelScan { discretization, weights, step, read }, last);
        self.mixing.finish(y, tokens)
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((2 * self.width, self.all() / self.width), ("channel: real parts, then imaginary", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let groups = Groups { count: self.width, each: self.all() / self.width };
        let input = evaluate(tokens, |tokens| tokens.spread(groups.each))?;
        let steps = groups.repeat(&self.step.value.as_vec());
        Ok(histories(&input, DISCRETIZATION, [self.damping.value.as_vec(), self.frequency.value.as_vec(), steps]))
    }
}
