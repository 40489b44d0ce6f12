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

use super::{Architecture, GdConstants, Init, normals};
use crate::lanes::Blocks;
use crate::nn::canonical::{Canonical, unit};
use crate::nn::op::{WindowScan, window_states};
use crate::nn::{Cost, Costs, Device, DeviceResult, Input, LayerStates, Matrix, Net, Param, StateAt, Tensor3};
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
        gd_constants: GdConstants,
        rng: &mut impl Rng,
    ) -> DeviceResult<Self::Net<D>, D> {
        GdSsm::new(device, &WINDOW, self.init, (shape, gd_constants), rng)
    }
}

/// Where a window holds a pair, and how the parameters that read it are called.
#[derive(Clone, Debug)]
pub struct Window {
    /// "2." before each symbol.
    pub prefix: String,
    /// The rows of y and of its x.
    pub target: usize,
    pub input: usize,
}

/// (x_t, y_t, x_{t+1}).
const WINDOW: Window = Window { prefix: String::new(), target: 1, input: 0 };

/// The network.
#[derive(Clone, Debug)]
pub struct GdSsm<D: Device> {
    pub decay: Param<D>,
    pub mix: Param<D>,
    pub pick: Param<D>,
    pub read: Param<D>,
    outputs: usize,
    window: Window,
}

impl<D: Device> GdSsm<D> {
    /// The weights at their start.
    pub fn new(
        device: &D,
        window: &Window,
        init: Init,
        (shape, gd_constants): (Shape, GdConstants),
        rng: &mut impl Rng,
    ) -> DeviceResult<Self, D> {
        let (dim, wide) = (shape.dim, shape.dim * shape.dim);
        let (decay, mix, pick, read) = match init {
            Init::Random => (
                (0..wide).map(|_| rng.gen_range(0.8..1.0)).collect(),
                normals(rng, 9, 0.3),
                normals(rng, 3, 0.3),
                normals(rng, wide, 0.1 / (dim as f32).sqrt()),
            ),
            Init::Constructed => {
                let mut read = vec![0.0; wide];
                read.iter_mut().step_by(dim + 1).for_each(|entry| *entry = gd_constants.step_size as f32);
                (vec![1.0; wide], window.mix(), vec![0., 0., 1.], read)
            }
        };
        let param = |symbol, shape, values| Param::new(device, format!("{}{symbol}", window.prefix), shape, values);
        Ok(Self {
            decay: param("Λ", (dim, dim), decay)?,
            mix: param("Q", (3, 3), mix)?,
            pick: param("D", (3, 1), pick)?,
            read: param("C", (dim, dim), read)?,
            outputs: shape.outputs,
            window: window.clone(),
        })
    }

    /// d_out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Λ, Q and D.
    pub fn scan(&self) -> WindowScan<'_, D> {
        WindowScan { decay: &self.decay.value, mix: &self.mix.value, pick: &self.pick.value }
    }

    /// S after each window of one sequence, (d, d) each.
    pub fn history(&self, tokens: &[f32], dim: usize) -> Vec<Vec<f32>> {
        window_states(tokens, dim, &self.decay.value.as_vec(), &self.mix.value.as_vec())
    }

    /// Q → aQ, D → bD and C → C/(ab) make the same model: Q and D are brought to norm 1, and C takes their factors. Only
    /// those rows of Λ and C that reach the answer are compared, and those columns of C that meet more than zeros.
    pub fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        let dim = self.decay.value.shape().0;
        let first = dim - self.outputs;
        let (theory_mix, theory_pick) = (self.window.mix(), vec![0.0, 0.0, 1.0]);
        let (mix, in_mix) = unit(&self.mix.value.as_vec(), &theory_mix);
        let (pick, in_pick) = unit(&self.pick.value.as_vec(), &theory_pick);
        let read = self.read.value.as_vec();
        let cells = || (first..dim).flat_map(|row| (first..dim).map(move |column| (row, column)));
        let learnt_read = cells().map(|(row, column)| read[row * dim + column] * in_mix * in_pick);
        let theory_read = cells().map(|(row, column)| if row == column { gd_constants.step_size as f32 } else { 0.0 });
        let part = |symbol, learnt, gd_constants| Canonical {
            name: format!("{}{symbol}", self.window.prefix),
            learnt,
            gd_constants,
        };
        let decay = self.decay.value.as_vec()[first * dim..].to_vec();
        let ones = vec![1.0; decay.len()];
        vec![
            part("Λ", decay, ones),
            part("Q", mix, theory_mix),
            part("D", pick, theory_pick),
            part("C", learnt_read.collect(), theory_read.collect()),
        ]
    }
}

impl Window {
    /// Q of the construction, row-major: y times x.
    fn mix(&self) -> Vec<f32> {
        (0..9).map(|i| f32::from(u8::from(i == 3 * self.target + self.input))).collect()
    }
}

impl<D: Device> GdSsm<D> {
    /// The answer from what the last state answers to the last window: (B, d) to (B, d_out).
    fn read_out<T: Tape<f32, D>>(&self, gathered: Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let (batch, dim) = *gathered.shape();
        let transposed = self.read.value.retaped::<T>().try_permute::<_, Axes2<1, 0>>()?;
        let answer = gathered.try_matmul(transposed)?;
        if self.outputs == dim { Ok(answer) } else { answer.try_slice((0..batch, dim - self.outputs..dim)) }
    }
}

impl<D: Device> Net<D> for GdSsm<D> {
    fn forward<T: Tape<f32, D>>(&self, input: Input<D, T>) -> DeviceResult<Matrix<D, T>, D> {
        let device = input.tokens.device().clone();
        self.read_out(device.window_scan(input, self.scan())?)
    }

    fn reads_lanes(&self) -> bool {
        self.read.value.device().reads_lanes()
    }

    fn forward_lanes<T: Tape<f32, D>>(&self, device: &D, tokens: &Blocks) -> DeviceResult<Matrix<D, T>, D> {
        self.read_out(device.window_scan_lanes(tokens, self.scan())?)
    }

    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let (_, length, dim) = *tokens.shape();
        let sequences: Vec<_> = tokens.as_vec().chunks(length * dim).map(|tokens| self.history(tokens, dim)).collect();
        let time_steps = (0..(length - 1) / 2).map(|t| {
            let values: Vec<f32> = sequences.iter().flat_map(|states| states[t].clone()).collect();
            StateAt::after(2 * t + 3, values.clone(), values)
        });
        vec![LayerStates {
            name: "state S".to_owned(),
            shape: (dim, dim),
            axes: ("row of y", "column of x"),
            aligned_shape: (dim, dim),
            time_steps: time_steps.collect(),
        }]
    }

    fn canonical(&self, gd_constants: GdConstants) -> Vec<Canonical> {
        self.canonical(gd_constants)
    }

    fn params(&self) -> Vec<&Param<D>> {
        vec![&self.decay, &self.mix, &self.pick, &self.read]
    }

    fn params_mut(&mut self) -> Vec<&mut Param<D>> {
        vec![&mut self.decay, &mut self.mix, &mut self.pick, &mut self.read]
    }
}
