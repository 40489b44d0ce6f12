//! What a reference may know of the tasks before it reads a context.
//!
//! Owns the description, which the task fills in. Must not know how they are drawn.

use super::{Field, Gauss};

/// The sizes of a regression problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemShape {
    /// d: the width of an input x.
    pub dim: usize,
    /// d_out: the width of a target y.
    pub outputs: usize,
    /// N: the pairs in a context.
    pub context: usize,
}

/// What is to be made small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// ½ ‖ŷ − y‖² / d_out.
    #[default]
    Squared,
    /// −Σ y log softmax(ŷ), for targets that are one-hot.
    CrossEntropy,
}

/// How tasks are distributed, as far as it is known.
///
/// Inputs are taken to have independent coordinates of mean 0, weights to have independent entries from N(0, s_w²), and
/// the noise of targets to be normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    pub shape: ProblemShape,
    pub loss: Loss,
    /// s_w, the standard deviation of an entry of W; none where targets are not linear in x.
    pub weight_scale: Option<f64>,
    /// σ, the standard deviation of the noise on context targets. The query's target has none.
    pub noise: f64,
    /// τ, the standard deviation of the step that an entry of W makes between one pair and the next.
    pub drift: f64,
    /// (E x², E x⁴) of one coordinate of an input, where coordinates are independent, of mean 0 and alike.
    pub moments: Option<(f64, f64)>,
    /// How many of the N targets have nothing to do with W.
    pub distractors: usize,
    /// Where weights differ from cell to cell of a grid; `weight_scale` is none then.
    pub field: Option<Field>,
}

impl Prior {
    /// The linear-Gaussian model of the tasks, where they have one.
    pub fn gauss(&self) -> Option<Gauss> {
        let weight_scale = self.weight_scale.filter(|_| self.distractors == 0)?;
        Some(Gauss { weight_scale, noise: self.noise, drift: self.drift, forgetting: 1.0 })
    }

    /// λ = σ²/s_w², at which ridge is the posterior mean; none for weights that drift or are not Gaussian.
    pub fn bayes_lambda(&self) -> Option<f64> {
        self.gauss().filter(|gauss| gauss.drift == 0.0).map(|gauss| (gauss.noise / gauss.weight_scale).powi(2))
    }

    /// Everything that a closed form needs, where inputs have alike, independent coordinates and weights are Gaussian.
    pub(super) fn linear(&self) -> Option<Moments> {
        let (s2, m4) = self.moments?;
        let gauss = self.gauss()?;
        let square = |deviation: f64| deviation * deviation;
        Some(Moments {
            s2,
            m4,
            weights: square(gauss.weight_scale),
            noise: square(gauss.noise),
            drift: square(gauss.drift),
            dim: self.shape.dim as f64,
            pairs: self.shape.context,
        })
    }

    /// The same where weights stand still: then the expected loss of any filter of the spectrum follows from the
    /// eigenvalues alone.
    pub(super) fn isotropic(&self) -> Option<Moments> {
        self.linear().filter(|moments| moments.drift == 0.0)
    }
}

/// The numbers of a linear-Gaussian task that closed forms are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    /// s² = E x² of a coordinate.
    pub s2: f64,
    /// m₄ = E x⁴.
    pub m4: f64,
    /// s_w².
    pub weights: f64,
    /// σ².
    pub noise: f64,
    /// τ².
    pub drift: f64,
    /// d.
    pub dim: f64,
    /// N.
    pub pairs: usize,
}

impl Moments {
    /// q with E ‖x‖² x xᵀ = q I: m₄ + (d − 1) s⁴.
    pub fn fourth(&self) -> f64 {
        self.m4 + (self.dim - 1.0) * self.s2 * self.s2
    }

    /// E of the squared norm of a row of the weights at pair i, from 1; at 0 as at 1.
    pub fn row(&self, pair: usize) -> f64 {
        self.dim * (self.weights + self.drift * pair.saturating_sub(1) as f64)
    }
}
