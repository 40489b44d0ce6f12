//! Step sizes and penalties: by formula where the prior determines them, else by a line search on tuning problems.
//!
//! Owns the choice for every reference. The tuning problems must not be those that references are compared on.

mod online;

use nalgebra::DVector;
use rayon::prelude::*;

use super::closed_form;
use super::search::{minimise, minimise_roughly};
use super::tuning_loss::TuningLoss;
use super::{Filter, Gauss, Loss, Prior, Problem, Reference, Tuned, descent, free_steps, logistic};
use online::Kind;

/// Problems of classification that are searched on where every try is a descent, not a sum over a spectrum.
const CLASSIFIED: usize = 256;

/// Chooses the parameters of a reference.
///
/// To tune several, use a [`Tuner`], which decomposes the problems once.
pub fn tune(reference: Reference, prior: &Prior, tuning: &[Problem]) -> Tuned {
    Tuner::new(prior, tuning).tune(reference)
}

/// Tuning problems and their prior, prepared for any number of references.
pub struct Tuner {
    prior: Prior,
    loss: TuningLoss,
    tuning: Vec<Problem>,
}

impl Tuner {
    /// Decomposes the tuning problems: one symmetric eigenproblem of size min(d, N) each.
    pub fn new(prior: &Prior, tuning: &[Problem]) -> Self {
        Self { prior: *prior, loss: TuningLoss::new(prior, tuning), tuning: tuning.to_vec() }
    }

    /// Chooses the parameters of a reference. A reference that does not apply to the prior gets those of ridge.
    pub fn tune(&self, reference: Reference) -> Tuned {
        let plain = Tuned { loss: self.prior.loss, ..Tuned::plain(reference) };
        match reference {
            Reference::Zero | Reference::Gd(0) | Reference::LeastSquares | Reference::Cg(_) => plain,
            Reference::Gd(steps) => Tuned { eta: Some(self.eta(steps)), ..plain },
            Reference::GdFree(steps) => {
                let etas = free_steps::best(&self.loss.quadratic_form(), steps as usize, self.eta(1));
                Tuned { etas: Some(etas), ..plain }
            }
            Reference::GdMomentum(steps) => {
                let (eta, momentum) = self.eta_and_momentum(steps);
                Tuned { eta: Some(eta), momentum: Some(momentum), ..plain }
            }
            Reference::GdForgetting => self.online(plain, Kind::Forgetting),
            Reference::Lms => self.online(plain, Kind::Lms),
            Reference::LeakyLms => self.online(plain, Kind::LeakyLms),
            Reference::Nlms => self.online(plain, Kind::Nlms),
            Reference::GdPlusPlus => {
                let (eta, gamma) = self.eta_and_gamma();
                Tuned { eta: Some(eta), gamma: Some(gamma), ..plain }
            }
            Reference::GdPlusPlusQuery => {
                let (eta, gamma) = self.eta_and_gamma_with_query();
                Tuned { eta: Some(eta), gamma: Some(gamma), ..plain }
            }
            // On contexts of the length that they are tuned on both are the same.
            Reference::Frozen(descent) => Tuned { reference, ..self.tune(descent.into()) },
            Reference::Newton(iterations) => {
                let loss = |alpha| self.loss.parabola(Filter::Newton { alpha, iterations }).loss();
                Tuned { alpha: Some(minimise(1e-2, 2.0, loss)), ..plain }
            }
            Reference::Ridge => Tuned { lambda: Some(self.lambda()), ..plain },
            Reference::RecursiveLeastSquares => {
                let lambda = self.lambda();
                Tuned { lambda: Some(lambda), gauss: Some(Gauss::recursive_least_squares(lambda)), ..plain }
            }
            Reference::RlsForgetting => self.forgetting_squares(plain),
            Reference::GdDistance | Reference::Kriging => Tuned { field: self.prior.field, ..plain },
            Reference::Bayes if self.prior.field.is_some() => Tuned { field: self.prior.field, ..plain },
            Reference::Kalman | Reference::Bayes => match self.prior.gauss() {
                Some(gauss) if gauss.drift > 0.0 => Tuned { gauss: Some(gauss), ..plain },
                gauss => Tuned { lambda: Some(self.lambda()), gauss, ..plain },
            },
        }
    }

    /// The best constant η for k steps; 0 where it would have to climb. Below η = 2/μ_max of the worst problem descent
    /// converges; the search reaches beyond, since a rare divergence can be worth faster steps elsewhere.
    fn eta(&self, steps: u32) -> f64 {
        if self.prior.loss == Loss::CrossEntropy {
            return self.logistic_eta(steps);
        }
        if steps == 1 {
            if let Some(step) = closed_form::best_step(&self.prior) {
                return step.eta;
            }
            return self.loss.parabola(Filter::Descent { eta: 1.0, steps: 1 }).best_factor().max(0.0);
        }
        let scale = self.loss.scale();
        minimise(1e-6 / scale, 1e2 / scale, |eta| self.loss.parabola(Filter::Descent { eta, steps }).loss())
    }

    /// The best constant η for k steps on the logistic loss. Where the classes are separable, large steps do no harm,
    /// so the search reaches far. The logits of one step from W = 0 are η times those of a step of size 1, so that all
    /// problems can be asked; further steps must be taken for every η that is tried.
    fn logistic_eta(&self, steps: u32) -> f64 {
        let scale = self.loss.scale();
        let (low, high) = (1e-2 / scale, 1e3 / scale);
        let walk = |problem: &Problem, eta| logistic::steps(problem, problem.x.ncols(), eta, steps);
        // Losses are gathered before they are added up: the sum must not depend on the number of threads.
        if steps == 1 {
            let logits: Vec<_> = self.tuning.iter().map(|problem| walk(problem, 1.0) * &problem.query).collect();
            let each = |(logits, problem): (&DVector<f64>, &Problem), eta| {
                logistic::cross_entropy(&(logits * eta), &problem.target)
            };
            return minimise(low, high, |eta| logits.iter().zip(&self.tuning).map(|both| each(both, eta)).sum());
        }
        let few = &self.tuning[..self.tuning.len().min(CLASSIFIED)];
        minimise(low, high, |eta| {
            let each = |problem: &Problem| logistic::loss(problem, &walk(problem, eta));
            few.par_iter().map(each).collect::<Vec<_>>().iter().sum()
        })
    }

    /// (η, γ) of GD++: γ searched, the best η for each γ by formula.
    fn eta_and_gamma(&self) -> (f64, f64) {
        let filter = |gamma| Filter::Preconditioned { eta: 1.0, gamma };
        let scale = self.loss.scale();
        let gamma = minimise(1e-6 / scale, 1e2 / scale, |gamma| {
            let parabola = self.loss.parabola(filter(gamma));
            parabola.constant - parabola.linear * parabola.best_factor().max(0.0)
        });
        (self.loss.parabola(filter(gamma)).best_factor().max(0.0), gamma)
    }

    /// The Bayes value σ²/s_w² where it is known, else the best on the tuning problems.
    fn lambda(&self) -> f64 {
        if let Some(lambda) = self.prior.bayes_lambda() {
            return lambda;
        }
        let scale = self.loss.scale() * self.loss.pairs();
        minimise(1e-6 * scale, 1e4 * scale, |lambda| self.loss.parabola(Filter::Ridge { lambda }).loss())
    }

    /// (η, γ) of GD++ with the query in its sums. The answer is η (a₀ − 2 γ a₁ + γ² a₂) with vectors that no parameter
    /// changes, so a try is a quadratic form in (1, −2γ, γ²).
    fn eta_and_gamma_with_query(&self) -> (f64, f64) {
        let form = |problem: &Problem| {
            let powers = descent::query_powers(problem, problem.x.ncols());
            free_steps::QuadraticForm {
                linear: std::array::from_fn(|i| powers[i].dot(&problem.target)),
                square: std::array::from_fn(|i| std::array::from_fn(|j| powers[i].dot(&powers[j]))),
            }
        };
        let forms: Vec<_> = self.tuning.par_iter().map(form).collect();
        let form = forms.into_iter().fold(free_steps::QuadraticForm::default(), free_steps::QuadraticForm::plus);
        // (η, what the loss loses by it).
        let best = |gamma: f64| {
            let along = [1.0, -2.0 * gamma, gamma * gamma];
            let dot = |row: &[f64; 3]| row.iter().zip(along).map(|(a, b)| a * b).sum::<f64>();
            let (linear, square) = (dot(&form.linear), dot(&form.square.map(|row| dot(&row))));
            let eta = Some(linear / square).filter(|eta| eta.is_finite()).unwrap_or(0.0).max(0.0);
            (eta, eta * linear)
        };
        let scale = self.loss.scale();
        let gamma = minimise(1e-6 / scale, 1e2 / scale, |gamma| -best(gamma).1);
        (best(gamma).0, gamma)
    }

    /// (η, β) of k steps with momentum.
    fn eta_and_momentum(&self, steps: u32) -> (f64, f64) {
        let scale = self.loss.scale();
        let loss = |eta, momentum| self.loss.parabola(Filter::Momentum { eta, momentum, steps }).loss();
        let eta = |momentum| minimise_roughly(1e-3 / scale, 1e1 / scale, |eta| loss(eta, momentum));
        let momentum = minimise_roughly(1e-3, 1.0, |momentum| loss(eta(momentum), momentum));
        (eta(momentum), momentum)
    }
}

#[cfg(test)]
mod tests;
