//! Linear regression in context: y = W x + σ ε, the query's target without noise.
//!
//! | here | paper (2410.11687, sec. 3) |
//! |---|---|
//! | `weights` W | the task's true weights, N(0, s_w²), (d_out, d) |
//! | `range` r | the input range: x ~ U(−r/2, r/2)^d |
//!
//! Options make the task harder: drift, W_t = W_{t−1} + τ ξ_t from one pair to the next, where the query's target
//! uses the last W; distractors, m of the N targets being N(0, 1) samples independent of x; coordinates of x of unequal
//! variance; noise with memory; and pairs in another order than they were sampled in. Drift and distractors exclude
//! each other, because none of the reference learners is optimal for both together.

use anyhow::{Result, ensure};
use multiversion::multiversion;
use rand::Rng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::variates::sample_normal;
use super::{BatchSlices, InputDistribution, Layout, Shape, StreamKey, rng_x16};
use crate::bounds;
use crate::simd::{self, Buffer, Lane, ZERO, add_scaled, each, lanewise, plus_product, split, split_mut, unpack};

/// Linear regression with a new weight matrix for every sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// d, the width of x.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// Whether y is a scalar or as wide as x.
    pub outputs: Outputs,
    /// N, the number of pairs in a context.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// r: x ~ U(−r/2, r/2)^d, or a normal distribution of the same variance r²/12.
    #[serde(deserialize_with = "bounds::scale")]
    pub range: f64,
    #[serde(default)]
    pub inputs: InputDistribution,
    /// s_w, the standard deviation of an entry of W.
    #[serde(default = "bounds::one", deserialize_with = "bounds::scale")]
    pub weight_scale: f64,
    /// σ, the standard deviation of the noise on context targets.
    #[serde(default, deserialize_with = "bounds::noise")]
    pub noise: f64,
    /// m: how many of the N targets, at random positions, are N(0, 1) samples independent of x.
    #[serde(default, deserialize_with = "bounds::count")]
    pub distractors: usize,
    /// τ, the standard deviation of the change of an entry of W from one pair to the next.
    #[serde(default, deserialize_with = "bounds::noise")]
    pub drift: f64,
    /// κ, the condition number of the covariance of x: the variances of its coordinates fall geometrically, the first
    /// is κ times the last, and their mean stays r²/12. The same coordinates in every task, so a model can learn them.
    #[serde(default = "bounds::one", deserialize_with = "bounds::condition")]
    pub condition: f64,
    /// ρ of noise with memory, AR(1): ε_i = ρ ε_{i−1} + √(1 − ρ²) ξ_i, whose standard deviation is σ at every pair.
    #[serde(default, deserialize_with = "bounds::correlation")]
    pub noise_correlation: f64,
    /// The pairs stand in a random order. Everything else is as without it, number by number.
    #[serde(default)]
    pub shuffled: bool,
}

/// d_out of a linear task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outputs {
    /// d_out = 1.
    Scalar,
    /// d_out = d.
    Vector,
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
        let condition = if self.condition > 1.0 { self.condition } else { 0.0 };
        let extras = [
            ("σ", self.noise),
            ("ρ", self.noise_correlation),
            ("τ", self.drift),
            ("κ", condition),
            ("distractors", self.distractors as f64),
        ];
        for (symbol, value) in extras.into_iter().filter(|(_, value)| *value != 0.0) {
            words += &format!("  {symbol} {value}");
        }
        words + if self.shuffled { "  shuffled" } else { "" }
    }

    /// Returns an error if the fields contradict each other.
    pub fn check(&self) -> Result<()> {
        let Self { context, distractors, drift, noise, noise_correlation, .. } = *self;
        ensure!(
            noise_correlation == 0.0 || noise > 0.0,
            "task.noise_correlation: without noise there is nothing to correlate: set task.noise above 0"
        );
        ensure!(distractors <= context, "task.distractors: {distractors} of {context} targets cannot be replaced");
        ensure!(
            distractors == 0 || drift == 0.0,
            "task.drift: drift and distractors exclude each other: set one of them to 0"
        );
        Ok(())
    }

    /// The definition: samples one task into row-major slices x (N, d), y (N, d_out), query (d), target (d_out).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, outputs) = (query.len(), target.len());
        let mut weights = vec![0.0; dim * outputs];
        sample_normal(rng, self.weight_scale as f32, &mut weights);
        self.inputs.sample(rng, self.range, x);
        self.inputs.sample(rng, self.range, query);
        let scales = self.scales();
        for inputs in x.chunks_mut(dim).chain([&mut *query]) {
            inputs.iter_mut().zip(&scales).for_each(|(x, scale)| *x *= scale);
        }
        let mut steps = vec![0.0; if self.drift > 0.0 { weights.len() } else { 0 }];
        for (i, (x, y)) in x.chunks(dim).zip(y.chunks_mut(outputs)).enumerate() {
            if i > 0 {
                sample_normal(rng, self.drift as f32, &mut steps);
                weights.iter_mut().zip(&steps).for_each(|(weight, step)| *weight += step);
            }
            apply(&weights, x, y);
        }
        apply(&weights, query, target);
        if self.noise > 0.0 {
            let mut noise = vec![0.0; y.len()];
            sample_normal(rng, self.noise as f32, &mut noise);
            let (before, fresh) = self.noise_memory();
            for i in outputs..if before == 0.0 { 0 } else { noise.len() } {
                noise[i] = before * noise[i - outputs] + fresh * noise[i];
            }
            y.iter_mut().zip(noise).for_each(|(y, noise)| *y += noise);
        }
        for pair in index::sample(rng, y.len() / outputs, self.distractors) {
            sample_normal(rng, 1.0, &mut y[pair * outputs..][..outputs]);
        }
        if self.shuffled {
            // Fisher–Yates.
            for last in (1..y.len() / outputs).rev() {
                let other = rng.gen_range(0..=last);
                (0..dim).for_each(|j| x.swap(last * dim + j, other * dim + j));
                (0..outputs).for_each(|j| y.swap(last * outputs + j, other * outputs + j));
            }
        }
    }

    /// What each coordinate of x is multiplied by; nothing where all have the same variance. Their mean square is 1.
    fn scales(&self) -> Vec<f32> {
        if self.condition == 1.0 || self.dim == 1 {
            return Vec::new();
        }
        let variance = |j: usize| self.condition.powf(-(j as f64) / (self.dim - 1) as f64);
        let mean = (0..self.dim).map(variance).sum::<f64>() / self.dim as f64;
        (0..self.dim).map(|j| (variance(j) / mean).sqrt() as f32).collect()
    }

    /// ρ and √(1 − ρ²).
    fn noise_memory(&self) -> (f32, f32) {
        let correlation = self.noise_correlation;
        (correlation as f32, (1.0 - correlation * correlation).sqrt() as f32)
    }

    /// Whether the task has neither drift nor distractors and keeps the order of its pairs, so that
    /// [`sample_x16`](Self::sample_x16) can sample it.
    pub fn is_plain(&self) -> bool {
        self.drift == 0.0 && self.distractors == 0 && !self.shuffled
    }

    /// Whether all coordinates of x have the same variance, noise has no memory and pairs keep their order.
    pub fn is_standard(&self) -> bool {
        self.condition == 1.0 && self.noise_correlation == 0.0 && !self.shuffled
    }

    /// Random words that a plain task without noise takes: for W, for all x, for x_q. Normal numbers come in pairs; of
    /// an odd count the last one is discarded.
    pub fn words(&self) -> [usize; 3] {
        let Shape { dim, outputs, context } = self.shape();
        let per =
            |count: usize| if self.inputs == InputDistribution::Normal { count.next_multiple_of(2) } else { count };
        [(dim * outputs).next_multiple_of(2), per(context * dim), per(dim)]
    }

    /// Sizes, in lanes, of the parts of sixteen packed tasks: x (N, d), y (N, d_out), query (d), target (d_out), W
    /// (d_out, d).
    fn packed_sizes(&self) -> [usize; 5] {
        let Shape { dim, outputs, context } = self.shape();
        [context * dim, context * outputs, dim, outputs, dim * outputs]
    }

    /// Samples sixteen tasks, from index `first` on, packed for SIMD with one lane per task: the same numbers as
    /// [`sample`](Self::sample) one by one. The parts follow each other in the order of
    /// [`packed_sizes`](Self::packed_sizes).
    fn sample_packed_x16(&self, key: StreamKey, first: u64) -> Buffer {
        let sizes = self.packed_sizes();
        let mut packed = Buffer::uninit(sizes.iter().sum());
        let [x, y, query, target, weights] = split_mut(&mut packed, sizes);
        let (noisy, outputs) = (if self.noise > 0.0 { y.len() } else { 0 }, target.len());
        let (counts, for_noise) = (self.words(), noisy.next_multiple_of(2));
        rng_x16::with_words(key, first, counts.iter().sum::<usize>() + for_noise, |words| {
            let (for_weights, rest) = words.split_at(counts[0]);
            let (for_x, rest) = rest.split_at(counts[1]);
            let (for_query, rest) = rest.split_at(counts[2]);
            rng_x16::sample_normal(for_weights, self.weight_scale as f32, weights);
            for (words, inputs) in [(for_x, &mut *x), (for_query, &mut *query)] {
                match self.inputs {
                    InputDistribution::Uniform => rng_x16::sample_uniform(words, self.range as f32, inputs),
                    InputDistribution::Normal => {
                        rng_x16::sample_normal(words, InputDistribution::std(self.range), inputs);
                    }
                }
            }
            let scales = self.scales();
            for inputs in x.chunks_exact_mut(self.dim).chain([&mut *query]) {
                for (x, scale) in inputs.iter_mut().zip(&scales) {
                    lanewise();
                    let own = *x;
                    *x = each(|l| own[l] * scale);
                }
            }
            targets_x16(weights, x, query.len(), y);
            targets_x16(weights, query, query.len(), target);
            if noisy > 0 {
                let mut noise = Buffer::uninit(noisy);
                rng_x16::sample_normal(&rest[..for_noise], self.noise as f32, &mut noise);
                let (before, fresh) = self.noise_memory();
                for i in outputs..if before == 0.0 { 0 } else { noisy } {
                    lanewise();
                    let (last, own) = (noise[i - outputs], noise[i]);
                    noise[i] = each(|l| before * last[l] + fresh * own[l]);
                }
                y.iter_mut().zip(&*noise).for_each(|(y, noise)| add_scaled(y, 1.0, noise));
            }
        });
        packed
    }

    /// Samples up to sixteen tasks at once, from index `first` on, as many as `into` holds. Only for plain tasks.
    pub fn sample_x16(&self, key: StreamKey, first: u64, into: BatchSlices<'_>) {
        let packed = self.sample_packed_x16(key, first);
        let [x, y, query, target, _] = split(&packed, self.packed_sizes());
        for (lanes, rows) in [(x, into.x), (y, into.y), (query, into.query), (target, into.target)] {
            unpack(lanes, rows);
        }
    }

    /// The same as tokens, packed for SIMD: `tokens` (tokens · width) lanes, and `target` (up to 16, d_out).
    pub fn sample_tokens_x16(
        &self,
        layout: Layout,
        key: StreamKey,
        first: u64,
        tokens: &mut [Lane],
        target: &mut [f32],
    ) {
        let packed = self.sample_packed_x16(key, first);
        let [x, y, query, answers, _] = split(&packed, self.packed_sizes());
        layout.write(self.shape(), (x, y, query), simd::product, tokens);
        unpack(answers, target);
    }
}

/// y = W x, with W (d_out, d), x (d) and y (d_out).
fn apply(weights: &[f32], x: &[f32], y: &mut [f32]) {
    for (row, y) in weights.chunks(x.len()).zip(y) {
        *y = row.iter().zip(x).fold(0.0, |sum, (w, x)| sum + w * x);
    }
}

/// y_i = W x_i for all pairs of sixteen packed tasks: `weights` (d_out, d), `x` (N, d), `y` (N, d_out).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn targets_x16(weights: &[Lane], x: &[Lane], dim: usize, y: &mut [Lane]) {
    for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(weights.len() / dim)) {
        let mut row = 0;
        while row < y.len() {
            row += match y.len() - row {
                4.. => target_rows::<4>(&weights[row * dim..], x, &mut y[row..]),
                2.. => target_rows::<2>(&weights[row * dim..], x, &mut y[row..]),
                _ => target_rows::<1>(&weights[row * dim..], x, &mut y[row..]),
            };
        }
    }
}

/// `R` entries of W x at once, because each is a sum whose additions depend on each other. Returns `R`.
#[inline(always)]
fn target_rows<const R: usize>(weights: &[Lane], x: &[Lane], y: &mut [Lane]) -> usize {
    let (width, mut sums) = (x.len(), [ZERO; R]);
    for (j, x) in x.iter().enumerate() {
        lanewise();
        let x = *x;
        for r in 0..R {
            sums[r] = plus_product(&sums[r], &weights[r * width + j], &x);
        }
    }
    y[..R].copy_from_slice(&sums);
    R
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::tests::line;
    use crate::task::{Batch, Stream, Task, rng};

    #[test]
    fn sixteen_tasks_at_once_equal_one_by_one_bit_for_bit() {
        let plain = Linear { dim: 3, outputs: Outputs::Vector, context: 5, range: 1.5, weight_scale: 0.7, ..line() };
        let noisy = Linear { noise: 0.3, inputs: InputDistribution::Normal, ..plain.clone() };
        let scalar = Linear { dim: 4, outputs: Outputs::Scalar, noise: 0.1, ..plain.clone() };
        let conditioned = Linear { condition: 30.0, noise_correlation: 0.9, ..noisy.clone() };
        let narrow = Linear { dim: 1, noise_correlation: -0.5, ..conditioned.clone() };
        for task in [plain, noisy, scalar, conditioned, narrow] {
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
