//! Linear regression in context: y = W x + σ ε, the query's target without noise.
//!
//! | here | paper (2410.11687, sec. 3) |
//! |---|---|
//! | `weights` W | the task's teacher, N(0, s_w²), (d_out, d) |
//! | `range` r | the input range: x ~ U(−r/2, r/2)^d |

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::Shape;
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
}

/// d_out of a linear task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outputs {
    /// d_out = 1.
    Scalar,
    /// d_out = d.
    Vector,
}

/// How inputs are distributed; both have variance r²/12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputDistribution {
    #[default]
    Uniform,
    Normal,
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
        let noise = if self.noise > 0.0 { format!("  σ {}", self.noise) } else { String::new() };
        format!("linear regression, {kind} targets  d {}  N {}  r {}{noise}", self.dim, self.context, self.range)
    }

    /// (E x², E x⁴) of one coordinate of an input.
    pub fn moments(&self) -> (f64, f64) {
        let s2 = self.range.powi(2) / 12.0;
        let m4 = match self.inputs {
            InputDistribution::Uniform => self.range.powi(4) / 80.0,
            InputDistribution::Normal => 3.0 * s2 * s2,
        };
        (s2, m4)
    }

    /// Draws one task into row-major slices: x (N, d), y (N, d_out), query (d), target (d_out).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, outputs) = (query.len(), target.len());
        let scale = self.weight_scale as f32;
        let weights: Vec<f32> = (0..dim * outputs).map(|_| scale * normal(rng)).collect();
        for value in x.iter_mut().chain(query.iter_mut()) {
            *value = self.input(rng);
        }
        for (x, y) in x.chunks(dim).zip(y.chunks_mut(outputs)) {
            teach(&weights, x, y);
        }
        teach(&weights, query, target);
        if self.noise > 0.0 {
            for value in y {
                *value += self.noise as f32 * normal(rng);
            }
        }
    }

    fn input(&self, rng: &mut impl Rng) -> f32 {
        let range = self.range as f32;
        match self.inputs {
            InputDistribution::Uniform => (rng.r#gen::<f32>() - 0.5) * range,
            InputDistribution::Normal => normal(rng) * range / 12f32.sqrt(),
        }
    }
}

fn normal(rng: &mut impl Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// y = W x.
fn teach(weights: &[f32], x: &[f32], y: &mut [f32]) {
    for (row, y) in weights.chunks(x.len()).zip(y) {
        *y = row.iter().zip(x).map(|(w, x)| w * x).sum();
    }
}
