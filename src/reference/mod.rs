//! Textbook learners, exact and in f64: what a model is held against.
//!
//! Every reference here reads a context (x₁,y₁,…,x_N,y_N) and ends with weights W, so that its answer to a query is
//! W x_q and its sensitivity ∂ŷ/∂x_q is W itself. Owns the algorithms and the choice of their step sizes. Knows nothing
//! of presets, of models, nor of how tasks are drawn; `train` brings them together.

use std::fmt;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// One regression problem: a context of N pairs, a query and its true answer.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Inputs, one per column: (d, N).
    pub x: DMatrix<f64>,
    /// Targets, one per column: (d_out, N).
    pub y: DMatrix<f64>,
    /// x_q: (d).
    pub query: DVector<f64>,
    /// The noiseless answer W x_q: (d_out).
    pub target: DVector<f64>,
}

/// The textbook algorithms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reference {
    /// ŷ = 0.
    Zero,
    /// k steps of gradient descent from W = 0 at the best constant step size.
    Gd(u32),
    /// Minimum-norm least squares.
    LeastSquares,
}

impl fmt::Display for Reference {
    /// The name used in JSON and on screen: `zero`, `gd-1`, `least-squares`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.pad("zero"),
            Self::Gd(k) => f.pad(&format!("gd-{k}")),
            Self::LeastSquares => f.pad("least-squares"),
        }
    }
}

/// A reference with its step sizes chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    pub reference: Reference,
    /// η, for gradient descent.
    pub eta: Option<f64>,
    /// λ, for ridge.
    pub lambda: Option<f64>,
    /// γ, for preconditioned descent.
    pub gamma: Option<f64>,
}

pub struct Prior {
    pub d: usize,
    pub outputs: usize,
    pub context: usize,
    pub weight_scale: f64,
    pub noise: f64,
    pub moments: Option<(f64, f64)>,
}
pub struct Spectrum {
    values: DVector<f64>,
    vectors: DMatrix<f64>,
    b: DMatrix<f64>,
}
impl Spectrum {
    pub fn of(p: &Problem) -> Self {
        let n = p.x.ncols() as f64;
        let e = (&p.x * p.x.transpose() / n).symmetric_eigen();
        Self { values: e.eigenvalues, b: &p.y * p.x.transpose() / n * &e.eigenvectors, vectors: e.eigenvectors }
    }
}
pub fn tune(reference: Reference, prior: &Prior, _t: &[Problem]) -> Tuned {
    let eta = prior.moments.map(|(s2, m4)| {
        let (d, n) = (prior.d as f64, prior.context as f64);
        d * s2 / ((d * m4 + d * (d - 1.0) * s2 * s2) / n + (1.0 - 1.0 / n) * d * s2 * s2)
    });
    Tuned { reference, eta: if let Reference::Gd(_) = reference { eta } else { None }, lambda: None, gamma: None }
}
impl Tuned {
    pub fn weights(&self, s: &Spectrum) -> DMatrix<f64> {
        let eta = self.eta.unwrap_or(0.0);
        let phi = s.values.map(|l| match self.reference {
            Reference::Zero => 0.0,
            Reference::Gd(k) => (0..k).map(|i| eta * (1.0 - eta * l).powi(i as i32)).sum(),
            Reference::LeastSquares => if l > 1e-12 { 1.0 / l } else { 0.0 },
        });
        &s.b * DMatrix::from_diagonal(&phi) * s.vectors.transpose()
    }
    pub fn flops(&self) -> u64 { 0 }
}
