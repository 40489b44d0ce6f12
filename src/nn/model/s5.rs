//! S5: a state-space layer with many inputs and outputs around one diagonal recurrence.
//!
//! | here | paper (2208.04933, sec. 3 and 4) | shape |
//! |---|---|---|
//! | `damping` a, `frequency` b | Λ = −exp(a) + ib, the eigenvalues | (1, n) |
//! | `step` | log Δ, one for each state | (1, n) |
//! | `write` B̃ | input matrix, [Re B̃, Im B̃] | (H, 2n) |
//! | `read` C̃ | output matrix, [2 Re C̃; −2 Im C̃] | (2n, H) |
//! | [`Mixing`] | D, and the gate of the paper's block | |
//!
//! h_t = Λ̄ ⊙ h_{t−1} + (Λ̄ − 1)/Λ ⊙ (B̃ u_t) with Λ̄ = exp(ΔΛ); y_t = 2 Re(C̃ h_t) + D ⊙ u_t. The 2 stands for the
//! conjugate half of the spectrum, which is not stored; it is inside `read`.
//!
//! Initialised as in the paper: Λ are the eigenvalues of HiPPO-N of size 2n, Δ is log-uniform in [dt_min, dt_max].
//! Deviations: B̃ = V⁻¹B and C̃ = CV are drawn as complex Gaussians of the variance of B (1/H) and C (1/2n) instead of
//! being multiplied out: V is unitary, so it turns one Gaussian into the other. The paper leaves Re Λ free and
//! clips it; here it is −exp(a), as in S4D, which cannot become positive. See also [`super::stack`] and [`super::mixing`].

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, NoneTape, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::mixing::{Block, Mixing};
use super::stack::{Layer, Sizes, Stack};
use super::{Architecture, Theory, hippo, log_uniforms, normals};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::op::{DiagonalScan, Law, Program, Sequence};
use crate::nn::{Cost, Costs, Cube, Device, Input, Matrix, Outcome, Param, Wanted};
use crate::task::{Layout, Shape};

/// S5 as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S5Spec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: Block,
    /// The least Δ of a start.
    #[serde(default = "dt_min", deserialize_with = "bounds::scale")]
    pub dt_min: f64,
    /// The greatest Δ of a start.
    #[serde(default = "dt_max", deserialize_with = "bounds::scale")]
    pub dt_max: f64,
}

fn dt_min() -> f64 {
    0.001
}

fn dt_max() -> f64 {
    0.1
}

impl Architecture for S5Spec {
    type Net<D: Device> = Stack<D, S5Layer<D>>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        ensure!(self.dt_min < self.dt_max, "model.dt_min: {} must be less than dt_max, {}", self.dt_min, self.dt_max);
        Ok(())
    }

    fn parameters(&self, shape: Shape, layout: Layout) -> u128 {
        let (n, wide) = (self.states as u128, self.width as u128);
        let layer = 3 * n + 4 * n * wide + self.block.parameters(self.width);
        self.sizes(shape, layout).parameters() + self.layers as u128 * layer
    }

    /// Input and states of the scan, and what the mixing keeps.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        self.sizes(shape, layout).activations(6 * self.states + 8 * self.width)
    }

    /// Each layer: B u, λ ⊙ h and its input, Re(C h), and the mixing.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let (n, wide) = (2 * self.states, self.width);
        let layer = 2 * matvec(n, wide) + 5 * n + self.block.flops(wide);
        let flops = self.sizes(shape, layout).flops() + self.layers * layer;
        Costs::scan(Cost::new(self.layers * n, flops), (self.layers * n, true), tokens)
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, layout): (Shape, Layout),
        _theory: Theory,
        rng: &mut impl Rng,
    ) -> Outcome<Self::Net<D>, D> {
        let sizes = self.sizes(shape, layout);
        Stack::new(device, sizes, rng, |number, rng| self.layer(device, (sizes, number), rng))
    }
}

impl S5Spec {
    fn sizes(&self, shape: Shape, layout: Layout) -> Sizes {
        Sizes { width: self.width, layers: self.layers, shape, layout }
    }

    fn layer<D: Device>(
        &self,
        device: &D,
        (sizes, number): (Sizes, usize),
        rng: &mut impl Rng,
    ) -> Outcome<S5Layer<D>, D> {
        let (n, wide) = (self.states, self.width);
        let param = |symbol: &str, shape, values| Param::new(device, sizes.name(number, symbol), shape, values);
        let frequency = hippo::frequencies(n).into_iter().map(|w| w as f32).collect();
        Ok(S5Layer {
            damping: param("a", (1, n), vec![0.5f32.ln(); n])?,
            frequency: param("b", (1, n), frequency)?,
            step: param("log Δ", (1, n), log_uniforms(rng, n, self.dt_min, self.dt_max))?,
            write: param("B", (wide, 2 * n), normals(rng, 2 * n * wide, (0.5 / wide as f32).sqrt()))?,
            read: param("C", (2 * n, wide), normals(rng, 2 * n * wide, (1.0 / n as f32).sqrt()))?,
            mixing: Mixing::new(device, (sizes, number), self.block, rng)?,
        })
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct S5Layer<D: Device> {
    damping: Param<D>,
    frequency: Param<D>,
    step: Param<D>,
    write: Param<D>,
    read: Param<D>,
    mixing: Mixing<D>,
}

impl<D: Device> S5Layer<D> {
    /// Λ̄ and the gain of the input.
    fn spectrum<T: Tape<f32, D>>(&self) -> Outcome<Matrix<D, T>, D> {
        let weights = [self.damping.taped(), self.frequency.taped(), self.step.taped()];
        self.step.value.device().spectrum(Law::ZeroOrderHold, weights)
    }
}

impl<D: Device> Layer<D> for S5Layer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, asked: usize) -> Outcome<Sequence<'p, D, T>, D> {
        let states = tokens.project(self.write.taped()).scan(self.spectrum()?, asked); // (B, asked, 2n)
        Ok(self.mixing.finish(states.project(self.read.taped()), tokens))
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((2, self.step.value.shape().1), ("real, imaginary part", "state"))
    }

    fn history(&self, tokens: &Cube<D>) -> Outcome<Vec<Vec<f32>>, D> {
        let program = Program::<D, NoneTape>::new(*tokens.shape());
        let input = program.tokens().project(self.write.taped());
        let input = input.run(Input { tokens: tokens.clone(), wanted: Wanted::Weights })?;
        Ok(DiagonalScan { input, spectrum: self.spectrum()? }.history())
    }

    fn params(&self) -> Vec<&Param<D>> {
        let own = [&self.damping, &self.frequency, &self.step, &self.write, &self.read];
        own.into_iter().chain(self.mixing.params()).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let own = [&mut self.damping, &mut self.frequency, &mut self.step, &mut self.write, &mut self.read];
        own.into_iter().chain(self.mixing.params_mut()).collect()
    }
}
