//! The layer of LRU and S5: one diagonal recurrence over complex numbers, whose state all channels share.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `law`, `weights` | what λ and the gain g of the input are made of; they differ from model to model | (1, n) each |
//! | `write` B | input matrix, [Re B, Im B] | (H, 2n) |
//! | `read` C | output matrix, [Re C; −Im C] | (2n, H) |
//! | [`Mixing`] | D, and the gate of the block | |
//!
//! h_t = λ ⊙ h_{t−1} + g ⊙ (B u_t); y_t = Re(C h_t) + D ⊙ u_t. At the start B ~ N(0, 1/2H) and C ~ N(0, 1/n) in each part,
//! D ~ N(0, 1).

use dfdx::prelude::{HasShape, NoneTape, Tape};
use rand::Rng;

use super::mixing::{Block, Mixing};
use super::normals;
use super::stack::{Layer, Sizes};
use crate::nn::cost::matvec;
use crate::nn::op::{DiagonalScan, Discretization, GraphBuilder, Sequence};
use crate::nn::{Cost, Costs, Device, DeviceResult, GradTarget, Input, Matrix, Param, Tensor3};

/// The sizes of such a layer.
#[derive(Clone, Copy, Debug)]
pub struct DiagonalSizes {
    /// H.
    pub width: usize,
    /// n.
    pub states: usize,
    pub block: Block,
}

impl DiagonalSizes {
    /// How many numbers the layer learns.
    pub fn parameters(self) -> u128 {
        let (n, wide) = (self.states as u128, self.width as u128);
        3 * n + 4 * n * wide + self.block.parameters(self.width)
    }

    /// Numbers that are kept of each token: input and states of the scan, and what the mixing keeps.
    pub fn activations(self) -> usize {
        6 * self.states + 8 * self.width
    }

    /// B u, λ ⊙ h and its input, Re(C h), and the mixing.
    pub fn costs(self, tokens: usize) -> Costs {
        let (n, wide) = (2 * self.states, self.width);
        let flops = 2 * matvec(n, wide) + 5 * n + self.block.flops(wide);
        Costs::scan(Cost::new(n, flops), (n, true), tokens)
    }

    /// The layer at its start, with three weights of these names that mean a recurrence.
    pub fn layer<D: Device>(
        self,
        device: &D,
        (sizes, number): (Sizes, usize),
        (discretization, weights): (Discretization, [(&str, Vec<f32>); 3]),
        rng: &mut impl Rng,
    ) -> DeviceResult<DiagonalLayer<D>, D> {
        let (n, wide) = (self.states, self.width);
        let param = |symbol: &str, shape, values| Param::new(device, sizes.name(number, symbol), shape, values);
        let [a, b, c] = weights.map(|(symbol, values)| param(symbol, (1, n), values));
        Ok(DiagonalLayer {
            discretization,
            weights: [a?, b?, c?],
            write: param("B", (wide, 2 * n), normals(rng, 2 * n * wide, (0.5 / wide as f32).sqrt()))?,
            read: param("C", (2 * n, wide), normals(rng, 2 * n * wide, (1.0 / n as f32).sqrt()))?,
            mixing: Mixing::new(device, (sizes, number), self.block, rng)?,
        })
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct DiagonalLayer<D: Device> {
    discretization: Discretization,
    weights: [Param<D>; 3],
    write: Param<D>,
    read: Param<D>,
    mixing: Mixing<D>,
}

impl<D: Device> DiagonalLayer<D> {
    /// λ and g.
    fn spectrum<T: Tape<f32, D>>(&self) -> DeviceResult<Matrix<D, T>, D> {
        self.read.value.device().spectrum(self.discretization, self.weights.each_ref().map(|weight| weight.taped()))
    }
}

impl<D: Device> Layer<D> for DiagonalLayer<D> {
    fn update<'p, T: Tape<f32, D>>(
        &self,
        tokens: Sequence<'p, D, T>,
        asked: usize,
    ) -> DeviceResult<Sequence<'p, D, T>, D> {
        let states = tokens.project(self.write.taped()).scan(self.spectrum()?, asked); // (B, asked, 2n)
        Ok(self.mixing.finish(states.project(self.read.taped()), tokens))
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((2, self.weights[0].value.shape().1), ("real, imaginary part", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let graph_builder = GraphBuilder::<D, NoneTape>::new(*tokens.shape());
        let input = graph_builder.tokens().project(self.write.taped());
        let input = input.run(Input { tokens: tokens.clone(), grad_target: GradTarget::Weights })?;
        Ok(DiagonalScan { input, spectrum: self.spectrum()? }.history())
    }

    fn params(&self) -> Vec<&Param<D>> {
        self.weights.iter().chain([&self.write, &self.read]).chain(self.mixing.params()).collect()
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        let own = self.weights.iter_mut().chain([&mut self.write, &mut self.read]);
        own.chain(self.mixing.params_mut()).collect()
    }
}
