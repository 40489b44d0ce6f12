//! The layer of LRU and S5: one diagonal recurrence over complex numbers, whose state all channels share.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `recurrence` | three weights that determine λ and the input gain g; they differ by model | (1, n) each |
//! | `write` B | input matrix, [Re B, Im B] | (H, 2n) |
//! | `read` C | output matrix, [Re C; −Im C] | (2n, H) |
//! | [`GluBlock`] | D, and the gated linear unit | |
//!
//! h_t = λ ⊙ h_{t−1} + g ⊙ (B u_t); y_t = Re(C h_t) + D ⊙ u_t. Real and imaginary parts of B start as N(0, 1/2H), those
//! of C as N(0, 1/n).

use dfdx::prelude::{HasShape, Tape};

use super::glu::{ChannelMixing, GluBlock, GluConfig};
use super::init::normal;
use crate::nn::cost::matvec;
use crate::nn::graph::{Discretization, Sequence};
use crate::nn::model::stack::StackLayer;
use crate::nn::step::diagonal_states;
use crate::nn::weights::{JointWeights, weight, weights};
use crate::nn::{Cost, Costs, Device, DeviceResult, Matrix, Param, Tensor3, evaluate};

/// The sizes of such a layer.
#[derive(Clone, Copy, Debug)]
pub struct DiagonalSizes {
    /// H.
    pub width: usize,
    /// n.
    pub states: usize,
    pub mixing: ChannelMixing,
}

impl DiagonalSizes {
    /// Numbers that the forward pass keeps of each token: input and states of the scan, and what the mixing keeps.
    pub fn activations(self) -> usize {
        6 * self.states + 8 * self.width
    }

    /// B u, λ ⊙ h and its input, Re(C h), and the mixing.
    pub fn costs(self, tokens: usize) -> Costs {
        let (n, width) = (2 * self.states, self.width);
        let flops = 2 * matvec(n, width) + 5 * n + self.mixing.flops(width);
        Costs::scan(Cost::new(n, flops), (n, true), tokens)
    }
}

/// What such a layer is built from.
pub struct DiagonalConfig {
    pub sizes: DiagonalSizes,
    /// How λ and g follow from the three weights of the recurrence.
    pub discretization: Discretization,
    pub recurrence: JointWeights,
}

weights! {
    /// One layer.
    pub struct DiagonalLayer<D>(config: DiagonalConfig) {
        let DiagonalConfig { sizes: DiagonalSizes { width, states: n, mixing }, discretization, recurrence } = config;
        weights {
            recurrence: [Param<D>; 3] = recurrence,
            write: Param<D> = weight("B", (width, 2 * n), normal((0.5 / width as f32).sqrt())),
            read: Param<D> = weight("C", (2 * n, width), normal((1.0 / n as f32).sqrt())),
            mixing: GluBlock<D> = GluConfig { width, mixing },
        }
        constants { discretization: Discretization = discretization, }
    }
}

impl<D: Device> DiagonalLayer<D> {
    /// What λ and g are made of.
    fn spectrum<T: Tape<f32, D>>(&self) -> [Matrix<D, T>; 3] {
        self.recurrence.each_ref().map(|weight| weight.taped())
    }
}

/// The definition of a diagonal recurrence: the states of every sequence, (T, 2n) each, from its input (B, T, 2n).
pub fn histories<D: Device>(
    input: &Tensor3<D>,
    discretization: Discretization,
    weights: [Vec<f32>; 3],
) -> Vec<Vec<f32>> {
    let spectrum = discretization.spectrum(weights.each_ref().map(|weight| &weight[..]));
    let length = input.shape().1 * input.shape().2;
    input.as_vec().chunks(length).map(|sequence| diagonal_states(sequence, &spectrum)).collect()
}

impl<D: Device> StackLayer<D> for DiagonalLayer<D> {
    fn update<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, last: usize) -> Sequence<'p, D, T> {
        let states = tokens.project(self.write.taped()).scan(self.discretization, self.spectrum(), last);
        self.mixing.finish(states.project(self.read.taped()), tokens)
    }

    fn grid(&self) -> ((usize, usize), (&'static str, &'static str)) {
        ((2, self.recurrence[0].value.shape().1), ("real, imaginary part", "state"))
    }

    fn history(&self, tokens: &Tensor3<D>) -> DeviceResult<Vec<Vec<f32>>, D> {
        let input = evaluate(tokens, |tokens| tokens.project(self.write.taped()))?;
        Ok(histories(&input, self.discretization, self.recurrence.each_ref().map(|weight| weight.value.as_vec())))
    }
}
