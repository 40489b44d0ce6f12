//! Parameters of learners that read pair by pair: by formula where the prior determines them, else on tuning problems.

use nalgebra::DVector;
use rayon::prelude::*;

use super::Tuner;
use crate::reference::closed_form::{self, best_factor};
use crate::reference::search::{minimise, minimise_roughly};
use crate::reference::{Online, Problem, Tuned};

/// Operations that the search for a recursion's parameters may take on all problems together, and the least problems.
const RECURSIONS: u64 = 1 << 31;
const LEAST: usize = 16;
/// Values that such a search takes, about.
const VALUES: u64 = 200;

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Forgetting,
    Lms,
    LeakyLms,
    Nlms,
}

impl Tuner {
    /// η, and what is forgotten, of a learner that reads pair by pair: by formula where there is one, else on the
    /// tuning problems.
    pub(super) fn online(&self, plain: Tuned, kind: Kind) -> Tuned {
        let by_formula = match kind {
            Kind::Forgetting => closed_form::best_forgetting(&self.prior),
            Kind::Lms => closed_form::best_lms(&self.prior),
            Kind::LeakyLms => closed_form::best_leaky_lms(&self.prior),
            Kind::Nlms => closed_form::best_nlms(&self.prior),
        };
        let (eta, forgetting) = match by_formula.unwrap_or_else(|| self.search_online(kind)) {
            Online::Forgetting { eta, forgetting } | Online::Lms { eta, forgetting } => (eta, Some(forgetting)),
            Online::Nlms { eta } => (eta, None),
        };
        let forgetting = forgetting.filter(|_| kind != Kind::Lms);
        Tuned { eta: Some(eta), forgetting, ..plain }
    }

    fn search_online(&self, kind: Kind) -> Online {
        let shape = self.prior.shape;
        let few = self.affordable(4 * (shape.context * (2 * shape.dim + shape.outputs)) as u64);
        let scale = self.loss.scale();
        // One pair's step is 1/‖x‖², and ‖x‖² is d times the mean square of a coordinate.
        let one = 1.0 / (scale * shape.dim as f64);
        let loss = |learner: Online| self.mean_loss(few, |problem| learner.answer(problem));
        let forgetting = |forgetting| self.best_gain(few, |eta| Online::Forgetting { eta, forgetting });
        let lms = |forgetting| {
            let learner = |eta| Online::Lms { eta, forgetting };
            learner(minimise_roughly(1e-3 * one, 3.0 * one, |eta| loss(learner(eta))))
        };
        match kind {
            Kind::Forgetting => forgetting(best_factor(|factor| loss(forgetting(factor)))),
            Kind::LeakyLms => lms(best_factor(|factor| loss(lms(factor)))),
            Kind::Nlms => {
                let learner = |eta| Online::Nlms { eta };
                learner(minimise(1e-3, 2.0, |eta| loss(learner(eta))))
            }
            Kind::Lms => lms(1.0),
        }
    }

    /// A learner whose answer is proportional to η, with the best η.
    fn best_gain(&self, few: &[Problem], learner: impl Fn(f64) -> Online) -> Online {
        let one = learner(1.0);
        let both = |problem: &Problem| {
            let answer = one.answer(problem);
            (answer.dot(&problem.target), answer.norm_squared())
        };
        let sums: Vec<(f64, f64)> = few.par_iter().map(both).collect();
        let (linear, square) = sums.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        learner(Some(linear / square).filter(|eta| eta.is_finite()).unwrap_or(0.0))
    }

    /// λ of the penalty and of the forgetting, for recursive least squares. Where weights are known to stand still
    /// there is nothing to forget.
    pub(super) fn forgetting_squares(&self, plain: Tuned) -> Tuned {
        let tuned = |lambda: f64, forgetting: f64| plain.with_forgetting(lambda, forgetting);
        if let Some(lambda) = self.prior.bayes_lambda() {
            return tuned(lambda, 1.0);
        }
        let shape = self.prior.shape;
        let few = self.affordable(4 * (shape.context * shape.dim * (shape.dim + shape.outputs)) as u64);
        let loss = |candidate: Tuned| self.mean_loss(few, |problem| candidate.weights(problem) * &problem.query);
        let scale = self.loss.scale();
        let mut best = tuned(self.lambda().max(1e-3 * scale), 1.0);
        // Each of the two in turn: the valley has no bends that a third round would find.
        for _ in 0..2 {
            let lambda = best.lambda.unwrap_or(0.0);
            let forgetting = best_factor(|forgetting| loss(tuned(lambda, forgetting)));
            let lambda = minimise_roughly(1e-4 * scale, 1e3 * scale, |lambda| loss(tuned(lambda, forgetting)));
            best = tuned(lambda, forgetting);
        }
        best
    }

    /// As many tuning problems as a search can afford that costs so many operations on each for one value.
    fn affordable(&self, operations: u64) -> &[Problem] {
        let most = usize::try_from(RECURSIONS / operations.saturating_mul(VALUES).max(1)).unwrap_or(usize::MAX);
        &self.tuning[..most.max(LEAST).min(self.tuning.len())]
    }

    /// The mean of ‖ŷ − y‖²; what is not finite counts as infinite.
    fn mean_loss(&self, problems: &[Problem], answer: impl Fn(&Problem) -> DVector<f64> + Sync) -> f64 {
        let loss = |problem: &Problem| (answer(problem) - &problem.target).norm_squared();
        let losses: Vec<f64> = problems.par_iter().map(loss).collect();
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }
}
