//! Linear regression in context: y = W x + σ ε, the query's target without noise.
//!
//! | here | paper (2410.11687, sec. 3) |
//! |---|---|
//! | `weights` W | the task's teacher, N(0, s_w²), (d_out, d) |
//! | `range` r | the input range: x ~ U(−r/2, r/2)^d |
//!
//! Two things may be in a learner's way: weights that drift, W_t = W_{t−1} + τ ξ_t from one pair to the next, the query
//! being taught by the last; or distractors, m of the N targets being N(0, 1) and nothing else. Not both at once: no
//! reference here is the best one then.

use anyhow::{Result, ensure};
use rand::Rng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::random::normal;
use super::{InputDistribution, Shape};
use crate::bounds;

/// Linear regression with a fresh weight matrix for every sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// d, the width of x.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// Whether y is a number or a vector as wide as x.
    pub outputs: Outputs,
    /// N, the pairs in a context.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// r: inputs are drawn from U(−r/2, r/2), or from the normal distribution of the same variance r²/12.
    #[serde(deserialize_with = "bounds::scale")]
    pub range: f64,
    #[serde(default)]
    pub inputs: InputDistribution,
    /// s_w, the standard deviation of an entry of W.
    #[serde(default = "one", deserialize_with = "bounds::scale")]
    pub weight_scale: f64,
    /// σ, the standard deviation of the noise on context targets.
    #[serde(default, deserialize_with = "bounds::noise")]
    pub noise: f64,
    /// m: how many of the N targets, at random places, are N(0, 1) and have nothing to do with W.
    #[serde(default, deserialize_with = "bounds::count")]
    pub distractors: usize,
    /// τ, the standard deviation of the step that an entry of W makes between one pair and the next.
    #[serde(default, deserialize_with = "bounds::noise")]
    pub drift: f64,
}

/// d_out of a linear task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outputs {
    /// d_out = 1.
    Scalar,
    /// d_out = d.
    Vector,
}

fn one() -> f64 {
    1.0
}

impl Linear {
    pub fn shape(&self) -> Shape {
        let outputs = match self.outputs {
            Outputs::Scalar => 1,
            Outputs::Vector => self.dim,
        };
        Shape { dim: self.dim, outputs, context: self.context }
    }

    pub fn describe(&self) -> String {
        let kind = match self.outputs {
            Outputs::Scalar => "scalar",
            Outputs::Vector => "vector",
        };
        let mut words =
            format!("linear regression, {kind} targets  d {}  N {}  r {}", self.dim, self.context, self.range);
        let extras = [("σ", self.noise), ("τ", self.drift), ("distractors", self.distractors as f64)];
        for (symbol, value) in extras.into_iter().filter(|(_, value)| *value > 0.0) {
            words += &format!("  {symbol} {value}");
        }
        words
    }

    /// Refuses what the fields together cannot be.
    pub fn check(&self) -> Result<()> {
        let Self { context, distractors, drift, .. } = *self;
        ensure!(distractors <= context, "task.distractors: {distractors} of {context} targets cannot be replaced");
        ensure!(
            distractors == 0 || drift == 0.0,
            "task.drift: weights that drift and distractors are not known together: set one of them to 0"
        );
        Ok(())
    }

    /// Draws one task into row-major slices: x (N, d), y (N, d_out), query (d), target (d_out).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, outputs) = (query.len(), target.len());
        let scale = self.weight_scale as f32;
        let mut weights: Vec<f32> = (0..dim * outputs).map(|_| scale * normal(rng)).collect();
        for value in x.iter_mut().chain(query.iter_mut()) {
            *value = self.inputs.draw(self.range, rng);
        }
        for (i, (x, y)) in x.chunks(dim).zip(y.chunks_mut(outputs)).enumerate() {
            if i > 0 && self.drift > 0.0 {
                weights.iter_mut().for_each(|weight| *weight += self.drift as f32 * normal(rng));
            }
            teach(&weights, x, y);
        }
        teach(&weights, query, target);
        if self.noise > 0.0 {
            for value in y.iter_mut() {
                *value += self.noise as f32 * normal(rng);
            }
        }
        for place in index::sample(rng, y.len() / outputs, self.distractors) {
            y[place * outputs..][..outputs].fill_with(|| normal(rng));
        }
    }
}

/// y = W x.
fn teach(weights: &[f32], x: &[f32], y: &mut [f32]) {
    for (row, y) in weights.chunks(x.len()).zip(y) {
        *y = row.iter().zip(x).map(|(w, x)| w * x).sum();
    }
}
