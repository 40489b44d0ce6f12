//! Step sizes and penalties: by formula where the prior determines them, else by a line search on tuning problems.
//!
//! Owns the choice for every reference. The tuning problems must not be those that references are compared on.

use nalgebra::DVector;
use rayon::prelude::*;

use super::search::minimise;
use super::tuning_loss::TuningLoss;
use super::{Filter, Gauss, Loss, Prior, Problem, Reference, Tuned, closed_form, logistic};

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
    /// Problems of classification; none where the loss is the squared error.
    classified: Vec<Problem>,
}

impl Tuner {
    /// Decomposes the tuning problems: one symmetric eigenproblem of size d each.
    pub fn new(prior: &Prior, tuning: &[Problem]) -> Self {
        let classified = match prior.loss {
            Loss::Squared => Vec::new(),
            Loss::CrossEntropy => tuning.to_vec(),
        };
        Self { prior: *prior, loss: TuningLoss::new(prior, tuning), classified }
    }

    /// Chooses the parameters of a reference. A reference that does not apply to the prior gets those of ridge.
    pub fn tune(&self, reference: Reference) -> Tuned {
        let plain = Tuned { loss: self.prior.loss, ..Tuned::plain(reference) };
        match reference {
            Reference::Zero | Reference::Gd(0) | Reference::LeastSquares => plain,
            Reference::Gd(steps) => Tuned { eta: Some(self.eta(steps)), ..plain },
            Reference::GdPlusPlus => {
                let (eta, gamma) = self.eta_and_gamma();
                Tuned { eta: Some(eta), gamma: Some(gamma), ..plain }
            }
            Reference::Ridge => Tuned { lambda: Some(self.lambda()), ..plain },
            Reference::RecursiveLeastSquares => {
                let lambda = self.lambda();
                Tuned { lambda: Some(lambda), gauss: Some(Gauss::recursive_least_squares(lambda)), ..plain }
            }
            Reference::Kalman | Reference::Bayes => match self.prior.gauss() {
                Some(gauss) if gauss.drift > 0.0 => Tuned { gauss: Some(gauss), ..plain },
                gauss => Tuned { lambda: Some(self.lambda()), gauss, ..plain },
            },
        }
    }

    /// The best constant η for k steps; 0 where it would have to climb. Below η = 2/μ_max of the worst problem descent converges; the search reaches
    /// beyond, since a rare divergence can be worth faster steps elsewhere.
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

    /// The best constant η for k steps on the logistic loss. Where classes can be told apart, large steps do no harm, so the
    /// search reaches far. The logits of one step from W = 0 are η times those of a step of size 1, so that all problems
    /// can be asked; further steps must be taken for every η that is tried.
    fn logistic_eta(&self, steps: u32) -> f64 {
        let scale = self.loss.scale();
        let (low, high) = (1e-2 / scale, 1e3 / scale);
        let walk = |problem: &Problem, eta| logistic::steps(problem, problem.x.ncols(), eta, steps);
        // Losses are gathered before they are added up: the sum must not depend on the number of threads.
        if steps == 1 {
            let logits: Vec<_> = self.classified.iter().map(|problem| walk(problem, 1.0) * &problem.query).collect();
            let each = |(logits, problem): (&DVector<f64>, &Problem), eta| {
                logistic::cross_entropy(&(logits * eta), &problem.target)
            };
            return minimise(low, high, |eta| logits.iter().zip(&self.classified).map(|both| each(both, eta)).sum());
        }
        let few = &self.classified[..self.classified.len().min(CLASSIFIED)];
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Spectrum;
    use crate::reference::draw::Draw;

    /// The mean loss of each reference, in order.
    fn mean_losses<const K: usize>(tuner: &Tuner, references: [Reference; K], problems: &[Problem]) -> [f64; K] {
        let tuned = references.map(|reference| tuner.tune(reference));
        let mut sums = [0.0; K];
        for problem in problems {
            let spectrum = Spectrum::of(problem);
            for (sum, tuned) in sums.iter_mut().zip(&tuned) {
                *sum += problem.loss(&tuned.weights_from(&spectrum, problem)) / problems.len() as f64;
            }
        }
        sums
    }

    /// (k, η, loss) by 200,000 tasks of d = d_out = N = 10, r = 1 in a program that shares nothing with this one.
    const KNOWN: [(u32, f64, f64); 5] =
        [(1, 6.061, 0.2062), (2, 5.98, 0.1567), (3, 5.87, 0.1328), (5, 5.59, 0.1085), (10, 5.05, 0.0835)];

    #[test]
    fn descent_reaches_the_known_losses() {
        let draw = Draw::default();
        let tuner = Tuner::new(&draw.prior(), &draw.problems(50, 12_000));
        let wide = Draw { range: 2.0, ..draw };
        let wide_tuner = Tuner::new(&wide.prior(), &wide.problems(50, 2_000));
        for (steps, eta, loss) in KNOWN {
            let tuned = tuner.tune(Reference::Gd(steps)).eta.unwrap();
            let reached = tuner.loss.parabola(Filter::Descent { eta: tuned, steps }).loss();
            let precision = if steps < 5 { 0.01 } else { 0.03 };
            assert!((tuned / eta - 1.0).abs() < precision, "gd-{steps}: η {tuned}");
            assert!((reached / loss - 1.0).abs() < precision, "gd-{steps}: loss {reached}");
            let wide_eta = wide_tuner.tune(Reference::Gd(steps)).eta.unwrap();
            assert!((4.0 * wide_eta / eta - 1.0).abs() < 0.1, "gd-{steps}: η {wide_eta} at r = 2");
        }
    }

    #[test]
    fn tuned_on_some_tasks_they_serve_others() {
        let draw = Draw::default();
        let (tuning, held_out) = (draw.problems(51, 2_048), draw.problems(52, 8_192));
        let tuner = Tuner::new(&draw.prior(), &tuning);
        let references = KNOWN.map(|(steps, ..)| Reference::Gd(steps));
        for (reached, (steps, _, loss)) in mean_losses(&tuner, references, &held_out).into_iter().zip(KNOWN) {
            assert!((reached / loss - 1.0).abs() < 0.05, "gd-{steps}: loss {reached}");
        }
        let [zero, one, plus] =
            mean_losses(&tuner, [Reference::Zero, Reference::Gd(1), Reference::GdPlusPlus], &held_out);
        assert!((zero / 0.4167 - 1.0).abs() < 0.02);
        assert!(plus < one, "{plus} {one}");
    }

    #[test]
    fn a_search_without_moments_finds_the_formula() {
        for outputs in [1, 10] {
            let draw = Draw { outputs, noise: 0.2, weight_scale: 0.5, range: 2.0, ..Draw::default() };
            let problems = draw.problems(53, 8_000);
            let known = tune(Reference::Gd(1), &draw.prior(), &[]).eta.unwrap();
            let searched = Tuner::new(&Prior { moments: None, ..draw.prior() }, &problems);
            let eta = searched.tune(Reference::Gd(1)).eta.unwrap();
            assert!((eta / known - 1.0).abs() < 0.05, "{eta} not {known}");
        }
    }

    #[test]
    fn the_bayes_penalty_is_the_one_a_search_finds() {
        let draw = Draw { outputs: 1, noise: 0.3, weight_scale: 0.8, context: 20, ..Draw::default() };
        let problems = draw.problems(54, 10_000);
        let tuner = Tuner::new(&Prior { weight_scale: None, ..draw.prior() }, &problems);
        let lambda = tuner.tune(Reference::Ridge).lambda.unwrap();
        let bayes = tune(Reference::Bayes, &draw.prior(), &[]).lambda.unwrap();
        assert!((bayes - (0.3f64 / 0.8).powi(2)).abs() < 1e-12);
        assert!((lambda / bayes - 1.0).abs() < 0.15, "{lambda} not {bayes}");
        assert_eq!(tune(Reference::Ridge, &Draw::default().prior(), &[]).lambda, Some(0.0));
    }

    #[test]
    fn descent_on_classes_takes_the_best_step() {
        let (prior, problems) =
            Draw { dim: 4, outputs: 3, range: 2.0, context: 20, ..Draw::default() }.classes(61, 256);
        let tuner = Tuner::new(&prior, &problems);
        let mut best = 3f64.ln();
        for steps in [1, 2, 5] {
            let loss = |eta| {
                let each = |problem: &Problem| logistic::loss(problem, &logistic::steps(problem, 20, eta, steps));
                problems.iter().map(each).sum::<f64>() / 256.0
            };
            let eta = tuner.tune(Reference::Gd(steps)).eta.unwrap();
            let reached = loss(eta);
            assert!(reached < loss(0.9 * eta) && reached < loss(1.1 * eta), "{steps}: {eta}");
            assert!(reached < best, "{steps} steps: {reached}, not below {best}");
            best = reached;
        }
    }

    #[test]
    fn no_reference_beats_bayes() {
        let base = Draw { noise: 0.3, outputs: 3, ..Draw::default() };
        for draw in [base, Draw { outputs: 1, context: 4, ..base }, Draw { drift: 0.3, context: 20, ..base }] {
            let (tuning, held_out) = (draw.problems(55, 1_000), draw.problems(56, 4_000));
            let tuner = Tuner::new(&draw.prior(), &tuning);
            let losses = mean_losses(&tuner, Reference::ALL, &held_out);
            let [.., kalman, bayes] = losses;
            assert!((kalman / bayes - 1.0).abs() < 1e-9);
            for (loss, reference) in losses.into_iter().zip(Reference::ALL) {
                assert!(loss > 0.995 * bayes, "{reference}: {loss} below {bayes}");
            }
        }
    }

    #[test]
    fn drift_is_where_the_kalman_filter_wins() {
        let draw = Draw { dim: 5, outputs: 5, context: 40, noise: 0.05, drift: 0.3, ..Draw::default() };
        let (tuning, held_out) = (draw.problems(57, 1_000), draw.problems(58, 1_000));
        let tuner = Tuner::new(&draw.prior(), &tuning);
        let [kalman, ridge] = mean_losses(&tuner, [Reference::Kalman, Reference::Ridge], &held_out);
        assert!(kalman < 0.7 * ridge, "{kalman} {ridge}");
    }

    #[test]
    fn every_reference_runs_on_thin_and_on_strange_data() {
        let thin = Draw { dim: 1, outputs: 1, context: 1, ..Draw::default() };
        let strange = Prior { weight_scale: None, moments: None, distractors: 1, ..thin.prior() };
        for prior in [thin.prior(), strange] {
            for tuning in [thin.problems(59, 10), Vec::new()] {
                let tuner = Tuner::new(&prior, &tuning);
                for reference in Reference::ALL {
                    let tuned = tuner.tune(reference);
                    let problem = &thin.problems(60, 1)[0];
                    assert!(tuned.weights(problem).iter().all(|w| w.is_finite()), "{tuned:?}");
                    assert_eq!(tuned.weights_from(&Spectrum::of(problem), problem), tuned.weights(problem));
                }
            }
        }
    }
}
