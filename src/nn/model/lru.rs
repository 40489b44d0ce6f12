//! LRU: the linear recurrent unit, a diagonal recurrence over complex numbers whose eigenvalues stay in the unit disc.
//!
//! | here | paper (2303.06349, sec. 3 and appendix A) | shape |
//! |---|---|---|
//! | `size` ν, `phase` θ | ν^log, θ^log: λ = exp(−exp(ν) + i exp(θ)) | (1, n) |
//! | `gamma` γ | γ^log: the input of a state is scaled by exp(γ) | (1, n) |
//! | `write` B | input matrix, [Re B, Im B] | (H, 2n) |
//! | `read` C | output matrix, [Re C; −Im C] | (2n, H) |
//! | [`Mixing`] | D, and the GLU of the paper's block | |
//!
//! h_t = λ ⊙ h_{t−1} + e^γ ⊙ (B u_t); y_t = Re(C h_t) + D ⊙ u_t.
//!
//! Initialised as in the paper: λ uniform on the ring r_min ≤ |λ| ≤ r_max with phases up to `max_phase`,
//! e^γ = √(1 − |λ|²), B ~ N(0, 1/2H) and C ~ N(0, 1/n) in each part, D ~ N(0, 1). Deviations: see [`super::stack`] and
//! [`super::mixing`]; the default `max_phase` is π/10, which the paper uses where long memory matters, and which keeps
//! the answers of a random start small.

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, NoneTape, Tape};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::mixing::{Block, Mixing};
use super::stack::{Layer, Sizes, Stack};
use super::{Architecture, Theory, normals};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::op::{DiagonalScan, Law, Program, Sequence};
use crate::nn::{Cost, Costs, Cube, Device, Input, Matrix, Outcome, Param, Wanted};
use crate::task::{Layout, Shape};

/// The LRU as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LruSpec {
    /// H, the channels between the layers.
    #[serde(deserialize_with = "bounds::channels")]
    pub width: usize,
    /// n, the complex numbers in a state.
    #[serde(deserialize_with = "bounds::channels")]
    pub states: usize,
    #[serde(deserialize_with = "bounds::layers")]
    pub layers: usize,
    pub block: Block,
    /// The least |λ| of a start.
    #[serde(default, deserialize_with = "bounds::modulus")]
    pub r_min: f64,
    /// The greatest |λ| of a start.
    #[serde(default = "one", deserialize_with = "bounds::modulus")]
    pub r_max: f64,
    /// The greatest phase of a start.
    #[serde(default = "small", deserialize_with = "bounds::scale")]
    pub max_phase: f64,
}

fn one() -> f64 {
    1.0
}

fn small() -> f64 {
    std::f64::consts::PI / 10.0
}

impl Architecture for LruSpec {
    type Net<D: Device> = Stack<D, LruLayer<D>>;

    fn check(&self, _shape: Shape, _layout: Layout) -> Result<()> {
        ensure!(self.r_min < self.r_max, "model.r_min: {} must be less than r_max, {}", self.r_min, self.r_max);
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

impl LruSpec {
    fn sizes(&self, shape: Shape, layout: Layout) -> Sizes {
        Sizes { width: self.width, layers: self.layers, shape, layout }
    }

    fn layer<D: Device>(
        &self,
        device: &D,
        (sizes, number): (Sizes, usize),
        rng: &mut impl Rng,
    ) -> Outcome<LruLayer<D>, D> {
        let (n, wide) = (self.states, self.width);
        // |λ|² is uniform between the squares of the radii: uniform on the ring's area. The ends would have no logarithm.
        let squares: Vec<f64> = (0..n)
            .map(|_| {
                let share = rng.gen_range(1e-6..1.0 - 1e-6);
                self.r_min.powi(2) + share * (self.r_max.powi(2) - self.r_min.powi(2))
            })
            .collect();
        let size = squares.iter().map(|square| (-0.5 * square.ln()).ln() as f32).collect();
        let gamma = squares.iter().map(|square| (1.0 - square).sqrt().ln() as f32).collect();
        let phase = (0..n).map(|_| (self.max_phase * rng.gen_range(1e-6..1.0)).ln() as f32).collect();
        let param = |symbol: &str, shape, values| Param::new(device, sizes.name(number, symbol), shape, values);
        Ok(LruLayer {
            size: param("ν", (1, n), size)?,
            phase: param("θ", (1, n), phase)?,
            gamma: param("γ", (1, n), gamma)?,
            write: param("B", (wide, 2 * n), normals(rng, 2 * n * wide, (0.5 / wide as f32).sqrt()))?,
            read: param("C", (2 * n, wide), normals(rng, 2 * n * wide, (1.0 / n as f32).sqrt()))?,
            mixing: Mixing::new(device, (sizes, number), self.block, rng)?,
        })
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LruLayer<D: Device> {
    size: Param<D>,
    phase: Param<D>,
    gamma: Param<D>,
    write: Param<D>,
    read: Param<D>,
    mixing: Mixing<D>,
}

impl<D: Device> LruLayer<D> {
    /// λ and the gain of the input.
    fn spectrum<T: Tape<f32, D>>(&self) -> Outcome<Matrix<D, T>, D> {
        let weights = [self.size.taped(), self.phase.taped(), self.gamma.taped()];
        self.size.value.device().spectrum(Law::Ring, weights)
    }
}

impl<D: Device> Layer<D> for LruLayer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, asked: usize) -> Outcome<Sequence<'p, D, T>, D> {
        let states = tokens.project(self.write.taped()).scan(self.spectrum()?, asked); // (B, asked, 2n)
        Ok(self.mixing.finish(states.project(self.read.taped()), tokens))
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((2, self.size.value.shape().1), ("real, imaginary part", "state"))
    }

    fn history(&self, tokens: &Cube<D>) -> Outcome<Vec<Vec<f32>>, D> {
        let program = Program::<D, NoneTape>::new(*tokens.shape());
        let input = program.tokens().project(self.write.taped());
        let input = input.run(Input { tokens: tokens.clone(), wanted: Wanted::Weights })?;
        Ok(DiagonalScan { input, spectrum: self.spectrum()? }.history())
    }

    fn params(&self) -> Vec<&Param<D>> {
        let own = [&self.size, &self.phase, &self.gamma, &self.write, &self.read];
        own.into_iter().chain(self.mixing.params()).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let own = [&mut self.size, &mut self.phase, &mut self.gamma, &mut self.write, &mut self.read];
        own.into_iter().chain(self.mixing.params_mut()).collect()
    }
}
