//! The textbook algorithms by name, and which tasks each is defined for.
//!
//! Owns names and applicability. What each computes is in [`super::Tuned`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Loss, Prior};

/// The textbook algorithms, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reference {
    /// ŷ = 0.
    Zero,
    /// k steps of gradient descent from W = 0 at the best constant step size.
    Gd(u32),
    /// k steps of gradient descent from W = 0, k ≤ 3, with a step size for each.
    GdFree(u32),
    /// k steps of gradient descent with momentum (heavy ball). Only fits use it.
    GdMomentum(u32),
    /// One step of gradient descent in which pair i of N weighs λ^(N−i).
    GdForgetting,
    /// One step of gradient descent in which a pair weighs by the distance of its cell to the query's.
    GdDistance,
    /// One step of gradient descent after the data are preconditioned by I − γ X Xᵀ/N (2212.07677).
    GdPlusPlus,
    /// The same, with the query among the columns of X: linear attention whose sums contain the query's own token.
    GdPlusPlusQuery,
    /// A learner that divides its gain by N, on contexts of another length than it was tuned for, with the gain as
    /// tuned. The plain name is the learner that divides by the new N.
    Frozen(Descent),
    /// Least mean squares, the delta rule: one gradient step for each pair, in order.
    Lms,
    /// LMS with each step divided by ‖x‖².
    Nlms,
    /// LMS whose weights fade by a constant factor before each pair.
    LeakyLms,
    /// k iterations of conjugate gradients on the least-squares problem of the whole context.
    Cg(u32),
    /// k iterations of Newton's method for the inverse of X Xᵀ (Newton–Schulz), as in 2310.17086.
    Newton(u32),
    /// Minimum-norm least squares.
    LeastSquares,
    /// Least squares with the penalty λ ‖W‖².
    Ridge,
    /// Ridge, one pair at a time.
    RecursiveLeastSquares,
    /// Recursive least squares in which old pairs weigh less by a constant factor for each later one.
    RlsForgetting,
    /// The posterior mean of weights that drift, one pair at a time.
    Kalman,
    /// The posterior mean of weights that are a random field over a grid: Gaussian-process regression.
    Kriging,
    /// The posterior mean under the task's true prior: no learner has a lower mean loss.
    Bayes,
}

/// Learners whose gain is a step size divided by N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Descent {
    /// [`Reference::Gd`].
    Gd(u32),
    /// [`Reference::GdFree`].
    GdFree(u32),
    /// [`Reference::GdForgetting`].
    GdForgetting,
    /// [`Reference::GdPlusPlus`].
    GdPlusPlus,
    /// [`Reference::GdPlusPlusQuery`].
    GdPlusPlusQuery,
}

impl From<Descent> for Reference {
    fn from(descent: Descent) -> Self {
        match descent {
            Descent::Gd(k) => Self::Gd(k),
            Descent::GdFree(k) => Self::GdFree(k),
            Descent::GdForgetting => Self::GdForgetting,
            Descent::GdPlusPlus => Self::GdPlusPlus,
            Descent::GdPlusPlusQuery => Self::GdPlusPlusQuery,
        }
    }
}

impl Reference {
    /// Those that every run is compared with, simplest first: among equals the first is the one to name.
    pub const ALL: [Self; 31] = [
        Self::Zero,
        Self::Gd(1),
        Self::Gd(2),
        Self::Gd(3),
        Self::Gd(5),
        Self::Gd(10),
        Self::GdFree(2),
        Self::GdFree(3),
        Self::GdForgetting,
        Self::GdDistance,
        Self::GdPlusPlus,
        Self::GdPlusPlusQuery,
        Self::Lms,
        Self::Nlms,
        Self::LeakyLms,
        Self::Cg(1),
        Self::Cg(2),
        Self::Cg(3),
        Self::Cg(5),
        Self::Cg(10),
        Self::Newton(1),
        Self::Newton(2),
        Self::Newton(3),
        Self::Newton(5),
        Self::LeastSquares,
        Self::Ridge,
        Self::RecursiveLeastSquares,
        Self::RlsForgetting,
        Self::Kalman,
        Self::Kriging,
        Self::Bayes,
    ];

    /// Whether the reference is defined for such tasks. The Kalman filter and the Bayes bound need weights that are
    /// drawn as they assume; the others run on any regression. Of classes only those answer that follow the gradient of
    /// whatever the loss is: what the others solve is the squared error, and their answers are no logits.
    pub fn applies(self, prior: &Prior) -> bool {
        match self {
            Self::Zero | Self::Gd(_) | Self::Frozen(Descent::Gd(_)) => true,
            Self::Kalman => prior.loss == Loss::Squared && prior.gauss().is_some(),
            Self::GdDistance | Self::Kriging => prior.field.is_some(),
            Self::Bayes => Self::Kalman.applies(prior) || Self::Kriging.applies(prior),
            Self::GdFree(_)
            | Self::GdMomentum(_)
            | Self::GdForgetting
            | Self::GdPlusPlus
            | Self::GdPlusPlusQuery
            | Self::Frozen(_)
            | Self::Lms
            | Self::Nlms
            | Self::LeakyLms
            | Self::Cg(_)
            | Self::Newton(_)
            | Self::LeastSquares
            | Self::Ridge
            | Self::RecursiveLeastSquares
            | Self::RlsForgetting => prior.loss == Loss::Squared,
        }
    }

    /// The simplest reference that ends with the same weights on such tasks: without noise and drift, ridge is least
    /// squares; without drift, the Kalman filter is ridge; conjugate gradients end at least squares after as many
    /// iterations as X has rank. [`Tuned::simplest`](super::Tuned::simplest) also knows the parameters.
    pub fn simplest(self, prior: &Prior) -> Self {
        let still = match prior.gauss() {
            Some(gauss) if gauss.drift > 0.0 => None,
            Some(gauss) if gauss.noise > 0.0 => Some(Self::Ridge),
            Some(_) => Some(Self::LeastSquares),
            None => None,
        };
        match self {
            Self::Gd(0) | Self::GdFree(0) | Self::GdMomentum(0) | Self::Cg(0) => Self::Zero,
            Self::Cg(k) if k as usize >= prior.shape.dim.min(prior.shape.context) => Self::LeastSquares,
            Self::Ridge | Self::RecursiveLeastSquares => still.unwrap_or(Self::Ridge),
            Self::Bayes if prior.field.is_some() => Self::Kriging,
            Self::Kalman | Self::Bayes => still.unwrap_or(Self::Kalman),
            Self::Zero
            | Self::Gd(_)
            | Self::GdFree(_)
            | Self::GdMomentum(_)
            | Self::GdForgetting
            | Self::GdDistance
            | Self::GdPlusPlus
            | Self::GdPlusPlusQuery
            | Self::Frozen(_)
            | Self::Lms
            | Self::Nlms
            | Self::LeakyLms
            | Self::Cg(_)
            | Self::Newton(_)
            | Self::LeastSquares
            | Self::RlsForgetting
            | Self::Kriging => self,
        }
    }

    /// The reference as a learner whose gain is divided by N; `None` where it has no such gain.
    pub fn descent(self) -> Option<Descent> {
        match self {
            Self::Gd(0) => None,
            Self::Gd(k) => Some(Descent::Gd(k)),
            Self::GdFree(k) => Some(Descent::GdFree(k)),
            Self::GdForgetting => Some(Descent::GdForgetting),
            Self::GdPlusPlus => Some(Descent::GdPlusPlus),
            Self::GdPlusPlusQuery => Some(Descent::GdPlusPlusQuery),
            Self::Frozen(descent) => Some(descent),
            Self::Zero
            | Self::GdMomentum(_)
            | Self::GdDistance
            | Self::Lms
            | Self::Nlms
            | Self::LeakyLms
            | Self::Cg(_)
            | Self::Newton(_)
            | Self::LeastSquares
            | Self::Ridge
            | Self::RecursiveLeastSquares
            | Self::RlsForgetting
            | Self::Kalman
            | Self::Kriging
            | Self::Bayes => None,
        }
    }
}

impl fmt::Display for Reference {
    /// The name used in JSON and on screen: `zero`, `gd-1`, `least-squares`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.pad("zero"),
            Self::Gd(k) => f.pad(&format!("gd-{k}")),
            Self::GdFree(k) => f.pad(&format!("gd-{k}-free")),
            Self::GdMomentum(k) => f.pad(&format!("gd-{k}-momentum")),
            Self::GdForgetting => f.pad("gd-1-forgetting"),
            Self::GdDistance => f.pad("gd-1-distance"),
            Self::GdPlusPlus => f.pad("gd++"),
            Self::GdPlusPlusQuery => f.pad("gd++-query"),
            Self::Frozen(descent) => f.pad(&format!("{}-frozen", Self::from(*descent))),
            Self::Lms => f.pad("lms"),
            Self::Nlms => f.pad("nlms"),
            Self::LeakyLms => f.pad("leaky-lms"),
            Self::Cg(k) => f.pad(&format!("cg-{k}")),
            Self::Newton(k) => f.pad(&format!("newton-{k}")),
            Self::LeastSquares => f.pad("least-squares"),
            Self::Ridge => f.pad("ridge"),
            Self::RecursiveLeastSquares => f.pad("recursive-least-squares"),
            Self::RlsForgetting => f.pad("rls-forgetting"),
            Self::Kalman => f.pad("kalman"),
            Self::Kriging => f.pad("kriging"),
            Self::Bayes => f.pad("bayes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::Draw;

    #[test]
    fn names_are_those_of_the_json() {
        let names: Vec<String> = Reference::ALL.iter().map(ToString::to_string).collect();
        let expected = "zero gd-1 gd-2 gd-3 gd-5 gd-10 gd-2-free gd-3-free gd-1-forgetting gd-1-distance gd++ \
                        gd++-query lms nlms leaky-lms cg-1 cg-2 cg-3 cg-5 cg-10 newton-1 newton-2 newton-3 newton-5 \
                        least-squares ridge recursive-least-squares rls-forgetting kalman kriging bayes";
        assert_eq!(names.join(" "), expected);
        assert_eq!(format!("{:>6}|{:<6}|", Reference::Gd(1), Reference::Zero), "  gd-1|zero  |");
        assert_eq!(Reference::Frozen(Descent::Gd(3)).to_string(), "gd-3-frozen");
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
        assert_eq!(ron::to_string(&Reference::Frozen(Descent::Gd(1))).unwrap(), "Frozen(Gd(1))");
    }

    #[test]
    fn what_coincides_is_named_by_the_simplest() {
        let prior = Draw::default().prior();
        let noisy = Prior { noise: 0.1, ..prior };
        let drifting = Prior { drift: 0.1, ..noisy };
        assert_eq!(Reference::Bayes.simplest(&prior), Reference::LeastSquares);
        assert_eq!(Reference::Bayes.simplest(&noisy), Reference::Ridge);
        assert_eq!(Reference::Bayes.simplest(&drifting), Reference::Kalman);
        assert_eq!(Reference::RecursiveLeastSquares.simplest(&drifting), Reference::Ridge);
        assert_eq!(Reference::Cg(10).simplest(&prior), Reference::LeastSquares);
        assert_eq!(Reference::Cg(5).simplest(&prior), Reference::Cg(5));
        assert!(Reference::Bayes.applies(&drifting));
        for unknown in [Prior { distractors: 2, ..prior }, Prior { weight_scale: None, ..prior }] {
            assert!(!Reference::Bayes.applies(&unknown) && !Reference::Kalman.applies(&unknown));
            assert!(Reference::Ridge.applies(&unknown));
            assert_eq!(Reference::Ridge.simplest(&unknown), Reference::Ridge);
        }
        let (classes, _) = Draw::default().classes(1, 0);
        let applying = Reference::ALL.into_iter().filter(|reference| reference.applies(&classes));
        assert!(applying.eq([Reference::Zero].into_iter().chain([1, 2, 3, 5, 10].map(Reference::Gd))));
    }
}
