//! GD-SSM: a state-space model whose state can add up the gradient of least squares.
//!
//! | here | paper (2410.11687, sec. 3) | shape |
//! |---|---|---|
//! | `decay` Λ | diagonal recurrence A(s), one entry per entry of the state | (d, d) |
//! | `mix` Q | the multiplicative input B over the sliding window | (3, 3) |
//! | `pick` D | the multiplicative readout over the last window | (3, 1) |
//! | `read` C | output projection, the learning rate among others | (d, d) |
//!
//! S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t with X_t the window (x_t, y_t, x_{t+1}); ŷ = C S_N X_Nᵀ D.
//! With Λ = 1, Q = e₂e₁ᵀ, D = e₃ and C = (η/N) I the state is Σ y xᵀ and ŷ is one step of gradient descent.
//!
//! Deviations: Λ is a free real matrix, where the paper's code stores a diagonal through exp(Δ·(−½)); so Λ = 1, which the
//! construction needs, is an ordinary point and not a limit. Random weights start small: from larger ones a row of C can settle on the wrong sign,
//! and for small d it then stays there.

use anyhow::{Result, ensure};
use dfdx::prelude::{Axes2, HasShape, PermuteTo, Tape, TryMatMul};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Architecture, Init, Theory, normals};
use crate::nn::op::{WindowScan, window_states};
use crate::nn::{Cost, Costs, Cube, Device, Input, LayerStates, Matrix, Net, Outcome, Param, StopStates};
use crate::task::{Layout, Shape};

/// GD-SSM as a preset says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GdSsmSpec {
    pub init: Init,
}

impl Architecture for GdSsmSpec {
    type Net<D: Device> = GdSsm<D>;

    fn check(&self, _shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::Interleaved;
        ensure!(fits, "layout: GdSsm reads windows (x_t, y_t, x_{{t+1}}), so it needs Interleaved, not {layout:?}");
        Ok(())
    }

    fn parameters(&self, shape: Shape, _layout: Layout) -> u128 {
        2 * (shape.dim as u128).pow(2) + 12
    }

    /// S_N and ∂S_N/∂Λ.
    fn activations(&self, shape: Shape, _layout: Layout) -> u128 {
        2 * (shape.dim as u128).pow(2)
    }

    /// The query is read in a window with the pair before it.
    fn reads(&self, pairs: usize, _context: usize) -> bool {
        pairs > 0
    }

    /// A window comes with every second token: Q X, its product with X, and Λ ⊙ S. The answer: X D, S times it, C.
    fn costs(&self, shape: Shape, _layout: Layout, tokens: usize) -> Costs {
        let (d, wide) = (shape.dim, shape.dim * shape.dim);
        let (window, answer) = (18 * d + 8 * wide, 6 * d + 4 * wide);
        let mut costs = Costs::scan(Cost::new(wide + 2 * d, window / 2 + answer), (wide / 2, false), tokens);
        costs.whole = costs.whole.map(|whole| Cost { kept: ((tokens - 1) / 2 * wide) as u64, ..whole });
        costs
    }

    fn build<D: Device>(
        &self,
        device: &D,
        (shape, _layout): (Shape, Layout),
        theory: Theory,
        rng: &mut impl Rng,
    ) -> Outcome<Self::Net<D>, D> {
        let (dim, wide) = (shape.dim, shape.dim * shape.dim);
        let (decay, mix, pick, read) = match self.init {
            Init::Random => (
                (0..wide).map(|_| rng.gen_range(0.8..1.0)).collect(),
                normals(rng, 9, 0.3),
                normals(rng, 3, 0.3),
                normals(rng, wide, 0.1 / (dim as f32).sqrt()),
            ),
            Init::Constructed => {
                let mut read = vec![0.0; wide];
                read.iter_mut().step_by(dim + 1).for_each(|entry| *entry = theory.step_size as f32);
                (vec![1.0; wide], vec![0., 0., 0., 1., 0., 0., 0., 0., 0.], vec![0., 0., 1.], read)
            }
        };
        Ok(GdSsm {
            decay: Param::new(device, "Λ", (dim, dim), decay)?,
            mix: Param::new(device, "Q", (3, 3), mix)?,
            pick: Param::new(device, "D", (3, 1), pick)?,
            read: Param::new(device, "C", (dim, dim), read)?,
            outputs: shape.outputs,
        })
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct GdSsm<D: Device> {
    decay: Param<D>,
    mix: Param<D>,
    pick: Param<D>,
    read: Param<D>,
    outputs: usize,
}

impl<D: Device> Net<D> for GdSsm<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> Outcome<Matrix<D, T>, D> {
        let device = input.tokens.device().clone();
        let (batch, _, dim) = *input.tokens.shape();
        let weights = WindowScan { decay: &self.decay.value, mix: &self.mix.value, pick: &self.pick.value };
        let gathered = device.window_scan(input, weights)?; // (B, d)
        let transposed = self.read.value.retaped::<T>().try_permute::<_, Axes2<1, 0>>()?;
        let answer = gathered.try_matmul(transposed)?; // (B, d)
        if self.outputs == dim { Ok(answer) } else { answer.try_slice((0..batch, dim - self.outputs..dim)) }
    }

    fn states(&self, tokens: &Cube<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let (decay, mix) = (self.decay.value.as_vec(), self.mix.value.as_vec());
        let sequences: Vec<_> =
            tokens.as_vec().chunks(length * dim).map(|tokens| window_states(tokens, dim, &decay, &mix)).collect();
        let stops = (0..(length - 1) / 2).map(|t| {
            let values: Vec<f32> = sequences.iter().flat_map(|states| states[t].clone()).collect();
            StopStates { tokens_read: 2 * t + 3, aligned: values.clone(), values }
        });
        vec![LayerStates {
            name: "state S".to_owned(),
            shape: (dim, dim),
            axes: ("row of y", "column of x"),
            aligned_shape: (dim, dim),
            stops: stops.collect(),
        }]
    }

    fn params(&self) -> Vec<&Param<D>> {
        vec![&self.decay, &self.mix, &self.pick, &self.read]
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![&mut self.decay, &mut self.mix, &mut self.pick, &mut self.read]
    }
}
