//! Linear regression in context: y = W x + σ ε, the query's target without noise.
//!
//! | here | paper (2410.11687, sec. 3) |
//! |---|---|
//! | `weights` W | the task's teacher, N(0, s_w²), (d_out, d) |
//! | `range` r | the input range: x ~ U(−r/2, r/2)^d |

use multiversion::multiversion;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::variates::{fill_normal, fill_uniform};
use super::{Parts, Place, Shape, sixteen};
use crate::bounds;
use crate::lanes::{Lane, ZERO, add_product, add_scaled, scatter};

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

    /// Draws one task into row-major slices: x (N, d), y (N, d_out), query (d), target (d_out). The definition.
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, outputs) = (query.len(), target.len());
        let mut weights = vec![0.0; dim * outputs];
        fill_normal(rng, self.weight_scale as f32, &mut weights);
        self.fill_inputs(rng, x);
        self.fill_inputs(rng, query);
        for (x, y) in x.chunks(dim).zip(y.chunks_mut(outputs)) {
            teach(&weights, x, y);
        }
        teach(&weights, query, target);
        if self.noise > 0.0 {
            let mut noise = vec![0.0; y.len()];
            fill_normal(rng, self.noise as f32, &mut noise);
            y.iter_mut().zip(noise).for_each(|(y, noise)| *y += noise);
        }
    }

    fn fill_inputs(&self, rng: &mut impl Rng, inputs: &mut [f32]) {
        match self.inputs {
            InputDistribution::Uniform => fill_uniform(rng, self.range as f32, inputs),
            InputDistribution::Normal => fill_normal(rng, (self.range / 12f64.sqrt()) as f32, inputs),
        }
    }

    /// Draws sixteen tasks at once, from the task `first` on, and keeps as many as there is room for: the same numbers as
    /// [`sample`](Self::sample) draws one by one.
    pub fn sample_sixteen(&self, place: Place, first: u64, into: Parts<'_>) {
        let Shape { dim, outputs, context } = self.shape();
        let (wide, noisy) = (dim * outputs, if self.noise > 0.0 { context * outputs } else { 0 });
        // Normal draws come in pairs, and an odd one is lost.
        let per =
            |count: usize| if self.inputs == InputDistribution::Normal { count.next_multiple_of(2) } else { count };
        let counts = [wide.next_multiple_of(2), per(context * dim), per(dim), noisy.next_multiple_of(2)];
        let words = sixteen::words(place, first, counts.iter().sum());
        let (for_weights, rest) = words.split_at(counts[0]);
        let (for_x, rest) = rest.split_at(counts[1]);
        let (for_query, for_noise) = rest.split_at(counts[2]);

        let inputs = |words: &[sixteen::Words], count| match self.inputs {
            InputDistribution::Uniform => sixteen::uniforms(words, self.range as f32, count),
            InputDistribution::Normal => sixteen::normals(words, (self.range / 12f64.sqrt()) as f32, count),
        };
        let weights = sixteen::normals(for_weights, self.weight_scale as f32, wide);
        let (x, query) = (inputs(for_x, context * dim), inputs(for_query, dim));
        let (mut y, mut target) = (vec![ZERO; context * outputs], vec![ZERO; outputs]);
        teach_sixteen(&weights, &x, dim, &mut y);
        teach_sixteen(&weights, &query, dim, &mut target);
        for (y, noise) in y.iter_mut().zip(sixteen::normals(for_noise, self.noise as f32, noisy)) {
            add_scaled(y, 1.0, &noise);
        }
        for (lanes, rows) in [(x, into.x), (y, into.y), (query, into.query), (target, into.target)] {
            scatter(&lanes, rows);
        }
    }
}

/// y = W x.
fn teach(weights: &[f32], x: &[f32], y: &mut [f32]) {
    for (row, y) in weights.chunks(x.len()).zip(y) {
        *y = row.iter().zip(x).fold(0.0, |sum, (w, x)| sum + w * x);
    }
}

/// y_i = W x_i for all pairs of sixteen tasks.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn teach_sixteen(weights: &[Lane], x: &[Lane], dim: usize, y: &mut [Lane]) {
    for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(weights.len() / dim)) {
        for (row, y) in weights.chunks_exact(dim).zip(y) {
            let mut sum = ZERO;
            row.iter().zip(x).for_each(|(w, x)| add_product(&mut sum, w, x));
            *y = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Batch, Stream, Task, rng};

    #[test]
    fn sixteen_at_once_are_the_same_to_the_last_bit_as_one_by_one() {
        let plain = Linear {
            dim: 3,
            outputs: Outputs::Vector,
            context: 5,
            range: 1.5,
            inputs: InputDistribution::Uniform,
            weight_scale: 0.7,
            noise: 0.0,
        };
        let noisy = Linear { noise: 0.3, inputs: InputDistribution::Normal, ..plain.clone() };
        let scalar = Linear { dim: 4, outputs: Outputs::Scalar, noise: 0.1, ..plain.clone() };
        for task in [plain, noisy, scalar] {
            let shape @ Shape { dim, outputs, context } = task.shape();
            let mut one_by_one = Batch::zeros(37, shape);
            let x = one_by_one.x.chunks_mut(context * dim).zip(one_by_one.query.chunks_mut(dim));
            let y = one_by_one.y.chunks_mut(context * outputs).zip(one_by_one.target.chunks_mut(outputs));
            for (index, ((x, query), (y, target))) in x.zip(y).enumerate() {
                task.sample(&mut rng(9, Stream::Train, 4, index as u64), x, y, query, target);
            }
            assert_eq!(Task::Linear(task).sample(37, 9, Stream::Train, 4), one_by_one);
        }
    }
}
