//! Linear classification in context: y is the class argmax W x, as a one-hot vector.
//!
//! W ~ N(0, 1) of shape (C, d), one row per class; the query's target is the class of W x_q. A model answers with one
//! logit per class; its loss is the cross-entropy. The class depends only on the direction of x, while the logits of a
//! learner that takes gradient steps grow with ‖x‖.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::variates::sample_normal;
use super::{InputDistribution, Shape};
use crate::bounds;

/// A new linear classifier for every sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// d, the width of x.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// C, the number of classes, which is the width of y.
    #[serde(deserialize_with = "bounds::classes")]
    pub classes: usize,
    /// N, the number of pairs in a context.
    #[serde(deserialize_with = "bounds::context")]
    pub context: usize,
    /// r: x ~ U(−r/2, r/2)^d, or a normal distribution of the same variance r²/12.
    #[serde(deserialize_with = "bounds::scale")]
    pub range: f64,
    #[serde(default)]
    pub inputs: InputDistribution,
}

impl Classification {
    pub fn shape(&self) -> Shape {
        Shape { dim: self.dim, outputs: self.classes, context: self.context }
    }

    pub fn describe(&self) -> String {
        let Self { dim, classes, context, range, .. } = self;
        format!("linear classification, {classes} classes  d {dim}  N {context}  r {range}")
    }

    /// Samples one task into row-major slices: x (N, d), y (N, C), query (d), target (C).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, classes) = (query.len(), target.len());
        let mut weights = vec![0.0; classes * dim];
        sample_normal(rng, 1.0, &mut weights);
        for (x, y) in x.chunks_mut(dim).zip(y.chunks_mut(classes)).chain([(query, target)]) {
            self.inputs.sample(rng, self.range, x);
            y.fill(0.0);
            y[class(&weights, x)] = 1.0;
        }
    }
}

/// argmax W x; the first of equal ones.
fn class(weights: &[f32], x: &[f32]) -> usize {
    let scores = weights.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>());
    scores.enumerate().fold((0, f32::MIN), |best, next| if next.1 > best.1 { next } else { best }).0
}
