//! Textbook learners, exact and in f64: what a model is held against.
//!
//! Every reference here reads a context (x₁,y₁,…,x_N,y_N) and ends with weights W, so that its answer to a query is
//! W x_q and its sensitivity ∂ŷ/∂x_q is W itself. For classes the answer is their logits. Owns the algorithms and the choice of their step sizes. Knows nothing
//! of presets, of models, nor of how tasks are drawn; `train` brings them together.
//!
//! | to find | look in |
//! |---|---|
//! | each algorithm as a textbook writes it | [`descent`], [`logistic`], [`ridge`], [`recursive`] |
//! | the same, fast and for all of them at once | [`Spectrum`], [`Filter`] |
//! | step sizes, by formula and by search | [`closed_form`], [`Tuner`] |
//! | what a reference costs | [`Tuned::flops`] |
//!
//! A new reference is a variant of [`Reference`]; the compiler then asks for its name, filter, step sizes and cost.

pub mod closed_form;
mod cost;
pub mod descent;
#[cfg(test)]
mod draw;
mod filter;
pub mod logistic;
mod prior;
pub mod recursive;
pub mod ridge;
mod search;
mod spectrum;
mod tuned;
mod tuning;
mod tuning_loss;

pub use filter::Filter;
pub use prior::{Loss, Prior, ProblemShape};
pub use recursive::Gauss;
pub use spectrum::Spectrum;
pub use tuned::Tuned;
pub use tuning::{Tuner, tune};

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

/// The textbook algorithms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reference {
    /// ŷ = 0.
    Zero,
    /// k steps of gradient descent from W = 0 at the best constant step size.
    Gd(u32),
    /// One step of gradient descent after the data are preconditioned by I − γ X Xᵀ/N (2212.07677).
    GdPlusPlus,
    /// Minimum-norm least squares.
    LeastSquares,
    /// Least squares with the penalty λ ‖W‖².
    Ridge,
    /// Ridge, one pair at a time.
    RecursiveLeastSquares,
    /// The posterior mean of weights that drift, one pair at a time.
    Kalman,
    /// The posterior mean under the task's true prior: no learner has a lower mean loss.
    Bayes,
}

impl Reference {
    /// Those that the lab tries, simplest first: among equals the first is the one to name.
    pub const ALL: [Self; 12] = [
        Self::Zero,
        Self::Gd(1),
        Self::Gd(2),
        Self::Gd(3),
        Self::Gd(5),
        Self::Gd(10),
        Self::GdPlusPlus,
        Self::LeastSquares,
        Self::Ridge,
        Self::RecursiveLeastSquares,
        Self::Kalman,
        Self::Bayes,
    ];

    /// Whether the reference is defined for such tasks. The Kalman filter and the Bayes bound need weights that are
    /// drawn as they assume; the others run on any regression. Of classes only those answer that follow the gradient of
    /// whatever the loss is: what the others solve is the squared error, and their answers are no logits.
    pub fn applies(self, prior: &Prior) -> bool {
        match self {
            Self::Zero | Self::Gd(_) => true,
            _ if prior.loss == Loss::CrossEntropy => false,
            Self::GdPlusPlus | Self::LeastSquares | Self::Ridge | Self::RecursiveLeastSquares => true,
            Self::Kalman | Self::Bayes => prior.gauss().is_some(),
        }
    }

    /// The simplest reference that ends with the same weights on such tasks: without noise and drift, ridge is least
    /// squares; without drift, the Kalman filter is ridge. A list without repetitions keeps those that map to themselves.
    pub fn simplest(self, prior: &Prior) -> Self {
        let still = match prior.gauss() {
            Some(gauss) if gauss.drift > 0.0 => None,
            Some(gauss) if gauss.noise > 0.0 => Some(Self::Ridge),
            Some(_) => Some(Self::LeastSquares),
            None => None,
        };
        match self {
            Self::Gd(0) => Self::Zero,
            Self::Zero | Self::Gd(_) | Self::GdPlusPlus | Self::LeastSquares => self,
            Self::Ridge | Self::RecursiveLeastSquares => still.unwrap_or(Self::Ridge),
            Self::Kalman | Self::Bayes => still.unwrap_or(Self::Kalman),
        }
    }
}

impl fmt::Display for Reference {
    /// The name used in JSON and on screen: `zero`, `gd-1`, `least-squares`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.pad("zero"),
            Self::Gd(k) => f.pad(&format!("gd-{k}")),
            Self::GdPlusPlus => f.pad("gd++"),
            Self::LeastSquares => f.pad("least-squares"),
            Self::Ridge => f.pad("ridge"),
            Self::RecursiveLeastSquares => f.pad("recursive-least-squares"),
            Self::Kalman => f.pad("kalman"),
            Self::Bayes => f.pad("bayes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        let names: Vec<String> = Reference::ALL.iter().map(ToString::to_string).collect();
        let expected = "zero gd-1 gd-2 gd-3 gd-5 gd-10 gd++ least-squares ridge recursive-least-squares kalman bayes";
        assert_eq!(names.join(" "), expected);
        assert_eq!(format!("{:>6}|{:<6}|", Reference::Gd(1), Reference::Zero), "  gd-1|zero  |");
    }

    #[test]
    fn every_reference_survives_ron_and_json() {
        for reference in Reference::ALL {
            let ron = ron::to_string(&reference).unwrap();
            assert_eq!(ron::from_str::<Reference>(&ron).unwrap(), reference);
            let json = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
        }
        assert_eq!(ron::to_string(&Reference::Gd(1)).unwrap(), "Gd(1)");
    }

    #[test]
    fn what_coincides_is_named_by_the_simplest() {
        let prior = draw::Draw::default().prior();
        let noisy = Prior { noise: 0.1, ..prior };
        let drifting = Prior { drift: 0.1, ..noisy };
        assert_eq!(Reference::Bayes.simplest(&prior), Reference::LeastSquares);
        assert_eq!(Reference::Bayes.simplest(&noisy), Reference::Ridge);
        assert_eq!(Reference::Bayes.simplest(&drifting), Reference::Kalman);
        assert_eq!(Reference::RecursiveLeastSquares.simplest(&drifting), Reference::Ridge);
        assert!(Reference::Bayes.applies(&drifting));
        for unknown in [Prior { distractors: 2, ..prior }, Prior { weight_scale: None, ..prior }] {
            assert!(!Reference::Bayes.applies(&unknown) && !Reference::Kalman.applies(&unknown));
            assert!(Reference::Ridge.applies(&unknown));
            assert_eq!(Reference::Ridge.simplest(&unknown), Reference::Ridge);
        }
        let (classes, _) = draw::Draw::default().classes(1, 0);
        let applying = Reference::ALL.into_iter().filter(|reference| reference.applies(&classes));
        assert!(applying.eq([Reference::Zero].into_iter().chain([1, 2, 3, 5, 10].map(Reference::Gd))));
    }
}
