//! Textbook learners, exact and in f64: what a model is held against.
//!
//! Every reference reads a context (x₁,y₁,…,x_N,y_N) and ends with weights W (d_out, d), so that its answer to a query
//! is W x_q and its sensitivity ∂ŷ/∂x_q is W itself. For classes the answer is their logits. Owns the algorithms and
//! the choice of their parameters. Knows nothing of presets, of models, nor of how tasks are sampled; `train` brings
//! them together.
//!
//! | to find | look in |
//! |---|---|
//! | the names, and which tasks each applies to | [`Reference`] |
//! | batch learners as a textbook writes them | [`descent`], [`logistic`], [`ridge`] |
//! | the same, fast and for all of them at once | [`Spectrum`], [`Filter`] |
//! | learners that read one pair at a time | [`online`], [`recursive`] |
//! | step sizes, by formula and by search | [`closed_form`], [`Tuner`] |
//! | which algorithm a name and its parameters stand for | [`Tuned`] |
//! | a field of weights over a grid: kriging, and one step weighted by distance | [`Field`] |
//! | what a reference costs | [`Tuned::flops`] |
//! | the best linear filter of a sampled signal | [`fir`] |
//!
//! A new reference is a variant of [`Reference`]; the compiler then asks for its name, algorithm, step sizes and cost.

mod algorithm;
pub mod closed_form;
mod cost;
pub mod descent;
#[cfg(test)]
mod draw;
mod field;
mod filter;
pub mod fir;
mod free_steps;
pub mod logistic;
pub mod online;
mod prior;
pub mod recursive;
pub mod ridge;
mod search;
mod spectrum;
mod tuned;
mod tuning;
mod tuning_loss;

pub use algorithm::{Descent, Reference};
pub use field::Field;
pub use filter::Filter;
pub use online::Online;
pub use prior::{Loss, Prior, ProblemShape};
pub use recursive::Gauss;
pub use spectrum::Spectrum;
pub use tuned::{Algorithm, Tuned};
pub use tuning::{Tuner, tune};

use nalgebra::{DMatrix, DVector};

/// One regression problem: a context of N pairs, a query and its true answer.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Inputs, one per column: (d, N).
    pub x: DMatrix<f64>,
    /// Targets, one per column: (d_out, N).
    pub y: DMatrix<f64>,
    /// x_q: (d).
    pub query: DVector<f64>,
    /// The noiseless answer: (d_out).
    pub target: DVector<f64>,
}

impl Problem {
    /// d, d_out and N.
    pub fn shape(&self) -> ProblemShape {
        ProblemShape { dim: self.x.nrows(), outputs: self.y.nrows(), context: self.x.ncols() }
    }

    /// ½ ‖W x_q − target‖² / d_out, for weights of shape (d_out, d).
    pub fn loss(&self, weights: &DMatrix<f64>) -> f64 {
        0.5 * (weights * &self.query - &self.target).norm_squared() / self.target.len().max(1) as f64
    }
}
