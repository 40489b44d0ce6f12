//! A reference that can be run.
//!
//! Owns which algorithm a name stands for once its parameters are chosen. Does not choose them.

use nalgebra::{DMatrix, DVector};

use super::filter::FREE_STEPS;
use super::{
    Descent, Field, Filter, Gauss, Loss, Online, Prior, Problem, Reference, Spectrum, closed_form, descent, logistic,
    recursive,
};

/// A reference with its parameters chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    pub reference: Reference,
    /// What it descends on.
    pub loss: Loss,
    /// η, of all learners that take steps of one size.
    pub eta: Option<f64>,
    /// η₁ ≤ η₂ ≤ η₃, of descent with free step sizes; 0 for steps that are not made.
    pub etas: Option<[f64; FREE_STEPS]>,
    /// β, of descent with momentum.
    pub momentum: Option<f64>,
    /// By what factor a pair counts less for each later one; 1 forgets nothing.
    pub forgetting: Option<f64>,
    /// λ, for ridge.
    pub lambda: Option<f64>,
    /// γ, for preconditioned descent.
    pub gamma: Option<f64>,
    /// α, the scale of Newton's first inverse, α G/μ_max².
    pub alpha: Option<f64>,
    /// What a sequential reference believes of the weights before it reads.
    pub gauss: Option<Gauss>,
    /// What a reference on a grid knows of the weights.
    pub field: Option<Field>,
}

/// What a name and its parameters stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// A function of the context's spectrum.
    Spectral(Filter),
    /// Conjugate gradients on the whole context.
    ConjugateGradients { iterations: u32 },
    /// GD++ whose preconditioner contains the query.
    QueryJoined { eta: f64, gamma: f64 },
    /// One pair at a time, with a gain that is a constant or a function of x alone.
    Online(Online),
    /// One pair at a time, with a covariance.
    Recursive(Gauss),
    /// Descent on the logistic loss.
    Logistic { eta: f64, steps: u32 },
    /// One gradient step weighted by distance on a grid.
    ByDistance(Field),
    /// The posterior mean of a field over a grid.
    Kriging(Field),
}

impl Tuned {
    /// The reference without any parameter: step sizes and penalties that are not given count as 0.
    pub fn plain(reference: Reference) -> Self {
        Self {
            reference,
            loss: Loss::Squared,
            eta: None,
            etas: None,
            momentum: None,
            forgetting: None,
            lambda: None,
            gamma: None,
            alpha: None,
            gauss: None,
            field: None,
        }
    }

    /// The same with a penalty λ and a factor of forgetting.
    pub(super) fn with_forgetting(self, lambda: f64, forgetting: f64) -> Self {
        Self { lambda: Some(lambda), forgetting: Some(forgetting), ..self }
    }

    /// What it computes. Recursive least squares is ridge here, where it ends; [`Self::answers_by_pairs`] reads pair by
    /// pair.
    pub fn algorithm(&self) -> Algorithm {
        let eta = self.eta.unwrap_or(0.0);
        let lambda = self.lambda.unwrap_or(0.0);
        let gamma = self.gamma.unwrap_or(0.0);
        let forgetting = self.forgetting.unwrap_or(1.0);
        let ridge = Algorithm::Spectral(Filter::Ridge { lambda });
        let reference = if let Reference::Frozen(descent) = self.reference { descent.into() } else { self.reference };
        match reference {
            Reference::Zero | Reference::Frozen(_) => Algorithm::Spectral(Filter::Zero),
            Reference::Gd(steps) if self.loss == Loss::CrossEntropy => Algorithm::Logistic { eta, steps },
            Reference::Gd(steps) => Algorithm::Spectral(Filter::Descent { eta, steps }),
            Reference::GdFree(_) => Algorithm::Spectral(Filter::Free { etas: self.etas.unwrap_or_default() }),
            Reference::GdMomentum(steps) => {
                let momentum = self.momentum.unwrap_or(0.0);
                Algorithm::Spectral(Filter::Momentum { eta, momentum, steps })
            }
            Reference::GdForgetting => Algorithm::Online(Online::Forgetting { eta, forgetting }),
            Reference::GdPlusPlus => Algorithm::Spectral(Filter::Preconditioned { eta, gamma }),
            Reference::GdPlusPlusQuery => Algorithm::QueryJoined { eta, gamma },
            Reference::Lms | Reference::LeakyLms => Algorithm::Online(Online::Lms { eta, forgetting }),
            Reference::Nlms => Algorithm::Online(Online::Nlms { eta }),
            Reference::Cg(iterations) => Algorithm::ConjugateGradients { iterations },
            Reference::Newton(iterations) => {
                Algorithm::Spectral(Filter::Newton { alpha: self.alpha.unwrap_or(1.0), iterations })
            }
            Reference::LeastSquares => Algorithm::Spectral(Filter::LeastSquares),
            Reference::Ridge | Reference::RecursiveLeastSquares => ridge,
            Reference::RlsForgetting if forgetting == 1.0 => ridge,
            Reference::RlsForgetting => {
                Algorithm::Recursive(Gauss { forgetting, ..Gauss::recursive_least_squares(lambda) })
            }
            Reference::GdDistance => self.field.map_or(Algorithm::Spectral(Filter::Zero), Algorithm::ByDistance),
            Reference::Kalman | Reference::Kriging | Reference::Bayes => match (self.field, self.gauss) {
                (Some(field), _) => Algorithm::Kriging(field),
                (None, Some(gauss)) if gauss.drift > 0.0 => Algorithm::Recursive(gauss),
                (None, Some(_) | None) => ridge,
            },
        }
    }

    /// The simplest reference that ends with the same weights on such tasks: beside [`Reference::simplest`], a learner
    /// that could forget and does not is the one that cannot.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other reference is its own simplest form")]
    pub fn simplest(&self, prior: &Prior) -> Reference {
        let forgets = self.forgetting.is_some_and(|forgetting| forgetting < 1.0);
        match self.reference {
            Reference::GdForgetting if !forgets => Reference::Gd(1),
            Reference::Frozen(Descent::GdForgetting) if !forgets => Reference::Frozen(Descent::Gd(1)),
            Reference::LeakyLms if !forgets => Reference::Lms,
            Reference::RlsForgetting if !forgets => Reference::Ridge.simplest(prior),
            reference => reference.simplest(prior),
        }
    }

    /// On contexts of N′ pairs the learner that keeps the gain which it had on N: η/N, and γ/N. `None` where nothing is
    /// divided by N.
    pub fn frozen(&self, tuned_for: usize, context: usize) -> Option<Self> {
        let factor = context as f64 / tuned_for.max(1) as f64;
        let descent = self.reference.descent()?;
        Some(Self {
            reference: Reference::Frozen(descent),
            eta: self.eta.map(|eta| eta * factor),
            etas: self.etas.map(|etas| etas.map(|eta| eta * factor)),
            gamma: self.gamma.map(|gamma| gamma * factor),
            ..*self
        })
    }

    /// W after the whole context: (d_out, d). The answer is W x_q and, except of GD++ with the query in its sums, the
    /// sensitivity ∂ŷ/∂x_q is W.
    pub fn weights(&self, problem: &Problem) -> DMatrix<f64> {
        match self.algorithm() {
            Algorithm::Spectral(Filter::Zero) => DMatrix::zeros(problem.y.nrows(), problem.x.nrows()),
            Algorithm::Spectral(filter) => Spectrum::of(problem).weights(filter),
            Algorithm::ConjugateGradients { iterations } => Spectrum::of(problem).cg_weights(iterations),
            Algorithm::QueryJoined { eta, gamma } => descent::preconditioned_with_query(problem, eta, gamma),
            Algorithm::Online(online) => online.weights(problem),
            Algorithm::Recursive(gauss) => recursive::last(problem, gauss),
            Algorithm::Logistic { eta, steps } => logistic::steps(problem, problem.x.ncols(), eta, steps),
            Algorithm::ByDistance(field) => field.by_distance(problem, problem.x.ncols()),
            Algorithm::Kriging(field) => field.kriging(problem, problem.x.ncols()),
        }
    }

    /// W x_q, from a decomposition that several references share: (d_out). `spectrum` is that of `problem`, and `along`
    /// [`Spectrum::along`] of its query.
    pub fn answer(&self, problem: &Problem, spectrum: &Spectrum, along: &DVector<f64>) -> DVector<f64> {
        match self.algorithm() {
            Algorithm::Spectral(filter) => spectrum.answer(filter, along),
            Algorithm::ConjugateGradients { iterations } => spectrum.cg_answer(iterations, along),
            Algorithm::QueryJoined { eta, gamma } => query_joined(problem, problem.x.ncols(), eta, gamma),
            Algorithm::Online(online) => online.answer(problem),
            Algorithm::Recursive(gauss) => recursive::last(problem, gauss) * &problem.query,
            Algorithm::Logistic { eta, steps } => {
                logistic::steps(problem, problem.x.ncols(), eta, steps) * &problem.query
            }
            Algorithm::ByDistance(_) | Algorithm::Kriging(_) => self.weights(problem) * &problem.query,
        }
    }

    /// W x_q after 0, 1, …, N pairs: N + 1 vectors (d_out), the last of them [`Self::answer`] up to rounding. `spectra`
    /// are those of [`Spectrum::after_each_pair`].
    ///
    /// Batch descent on a part of the context keeps 1/N, with the N of the whole, before its sum: GD-1 is then the
    /// running sum Σ_{i≤t} y_i x_iᵀ η/N, and a step size that suits N pairs cannot diverge on fewer.
    pub fn answers_by_pairs(&self, problem: &Problem, spectra: &[Spectrum]) -> Vec<DVector<f64>> {
        let query = &problem.query;
        let applied = |all: Vec<DMatrix<f64>>| all.into_iter().map(|weights| weights * query).collect();
        let reads = 0..=problem.x.ncols();
        match (self.algorithm(), self.sequential()) {
            (_, Some(gauss)) | (Algorithm::Recursive(gauss), None) => {
                applied(recursive::after_each_pair(problem, gauss))
            }
            (Algorithm::Spectral(filter), None) => {
                spectra.iter().map(|spectrum| spectrum.answer(filter, &spectrum.along(query))).collect()
            }
            (Algorithm::ConjugateGradients { iterations }, None) => {
                spectra.iter().map(|spectrum| spectrum.cg_answer(iterations, &spectrum.along(query))).collect()
            }
            (Algorithm::QueryJoined { eta, gamma }, None) => {
                reads.map(|read| query_joined(problem, read, eta, gamma)).collect()
            }
            (Algorithm::Online(online), None) => applied(online.after_each_pair(problem)),
            (Algorithm::Logistic { eta, steps }, None) => {
                reads.map(|read| logistic::steps(problem, read, eta, steps) * query).collect()
            }
            (Algorithm::ByDistance(field), None) => {
                reads.map(|read| field.by_distance(problem, read) * query).collect()
            }
            (Algorithm::Kriging(field), None) => reads.map(|read| field.kriging(problem, read) * query).collect(),
        }
    }

    /// The expected loss after 0, 1, …, N pairs, by formula; `None` where there is no closed form for such tasks. The
    /// mean over many tasks of the loss of [`Self::answers_by_pairs`] tends to it.
    pub fn expected_by_pairs(&self, prior: &Prior) -> Option<Vec<f64>> {
        let one_step = |eta| closed_form::loss_by_pairs(Online::Forgetting { eta, forgetting: 1.0 }, prior);
        let least_squares = || {
            let equal = self.simplest(prior) == Reference::LeastSquares;
            equal.then(|| closed_form::least_squares_by_pairs(prior)).flatten()
        };
        match self.algorithm() {
            Algorithm::Spectral(Filter::Zero) => one_step(0.0),
            Algorithm::Spectral(Filter::Descent { eta, steps: 1 }) => one_step(eta),
            Algorithm::Online(online) => closed_form::loss_by_pairs(online, prior),
            Algorithm::Spectral(Filter::LeastSquares | Filter::Ridge { .. }) | Algorithm::ConjugateGradients { .. } => {
                least_squares()
            }
            Algorithm::Spectral(
                Filter::Descent { .. }
                | Filter::Free { .. }
                | Filter::Momentum { .. }
                | Filter::Preconditioned { .. }
                | Filter::Newton { .. },
            )
            | Algorithm::QueryJoined { .. }
            | Algorithm::Recursive(_)
            | Algorithm::Logistic { .. }
            | Algorithm::ByDistance(_)
            | Algorithm::Kriging(_) => None,
        }
    }

    /// The filter that recursive least squares runs pair by pair, with noise: without it a filter loses to rounding
    /// what the decomposition keeps.
    fn sequential(&self) -> Option<Gauss> {
        self.gauss.filter(|gauss| gauss.noise > 0.0 && self.reference == Reference::RecursiveLeastSquares)
    }
}

/// η B (I − γ G′)² x_q on the first `read` pairs.
fn query_joined(problem: &Problem, read: usize, eta: f64, gamma: f64) -> DVector<f64> {
    let [zeroth, first, second] = descent::query_powers(problem, read);
    eta * (zeroth - 2.0 * gamma * first + gamma * gamma * second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::Draw;
    use crate::reference::{Tuner, ridge};

    /// The answers after each pair.
    fn by_pairs(tuned: &Tuned, problem: &Problem) -> Vec<DVector<f64>> {
        tuned.answers_by_pairs(problem, &Spectrum::after_each_pair(problem).collect::<Vec<_>>())
    }

    #[test]
    fn answers_by_pairs_end_at_the_answer_and_the_answer_is_that_of_the_weights() {
        let base = Draw { outputs: 2, ..Draw::default() };
        for draw in [base, Draw { noise: 0.3, ..base }, Draw { noise: 0.3, drift: 0.2, ..base }] {
            let (prior, problems) = (draw.prior(), draw.problems(40, 50));
            let tuner = Tuner::new(&prior, &problems);
            for reference in Reference::ALL.into_iter().chain([Reference::GdMomentum(3)]) {
                let tuned = tuner.tune(reference);
                for problem in &problems[..5] {
                    let spectrum = Spectrum::of(problem);
                    let answer = tuned.answer(problem, &spectrum, &spectrum.along(&problem.query));
                    let after_each_pair = by_pairs(&tuned, problem);
                    assert_eq!(after_each_pair.len(), 11);
                    assert_eq!(after_each_pair[0].norm(), 0.0, "{reference}");
                    let scale = answer.norm().max(1.0);
                    assert!((&after_each_pair[10] - &answer).norm() < 1e-6 * scale, "{reference} {draw:?}");
                    let direct = tuned.weights(problem) * &problem.query;
                    assert!((direct - answer).norm() < 1e-8 * scale, "{reference} {draw:?}");
                }
            }
        }
    }

    #[test]
    fn descent_on_classes_ends_at_the_weights() {
        let (prior, problems) = Draw { dim: 4, outputs: 3, ..Draw::default() }.classes(42, 50);
        let tuner = Tuner::new(&prior, &problems);
        for reference in [Reference::Zero, Reference::Gd(1), Reference::Gd(3)] {
            let tuned = tuner.tune(reference);
            let after_each_pair = by_pairs(&tuned, &problems[0]);
            assert_eq!((after_each_pair.len(), after_each_pair[0].norm()), (11, 0.0));
            let answer = tuned.weights(&problems[0]) * &problems[0].query;
            assert!((&after_each_pair[10] - answer).norm() < 1e-12);
        }
    }

    #[test]
    fn least_squares_after_each_pair_is_that_of_the_part() {
        let problem = &Draw { dim: 4, ..Draw::default() }.problems(41, 1)[0];
        let least_squares = by_pairs(&Tuned::plain(Reference::LeastSquares), problem);
        let ridge = by_pairs(&Tuned { lambda: Some(0.3), ..Tuned::plain(Reference::Ridge) }, problem);
        let gd = by_pairs(&Tuned { eta: Some(5.0), ..Tuned::plain(Reference::Gd(3)) }, problem);
        for t in 1..=10 {
            let (x, y) = (problem.x.columns(0, t).into_owned(), problem.y.columns(0, t).into_owned());
            let part = Problem { x, y, ..problem.clone() };
            let close = |answer: &DVector<f64>, weights: DMatrix<f64>, most: f64| {
                (answer - weights * &problem.query).norm() < most
            };
            assert!(close(&least_squares[t], ridge::least_squares(&part), 1e-7));
            assert!(close(&ridge[t], ridge::ridge(&part, 0.3), 1e-9));
            // The divisor of the part is t, so its step is t/N as large.
            assert!(close(&gd[t], descent::steps(&part, 0.5 * t as f64, 3), 1e-9));
        }
    }

    #[test]
    fn a_frozen_gain_is_a_rescaled_step() {
        let problem = &Draw { context: 20, ..Draw::default() }.problems(43, 1)[0];
        let tuned = Tuned { eta: Some(6.0), ..Tuned::plain(Reference::Gd(2)) };
        let frozen = tuned.frozen(10, 20).unwrap();
        assert_eq!(frozen.reference.to_string(), "gd-2-frozen");
        assert!((frozen.weights(problem) - descent::steps(problem, 12.0, 2)).norm() < 1e-10);
        assert!(Tuned::plain(Reference::Lms).frozen(10, 20).is_none());
    }
}
