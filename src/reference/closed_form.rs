//! Losses by formula: one gradient step, online learners, least squares.
//!
//! | here | meaning |
//! |---|---|
//! | s², m₄ | E x², E x⁴ of one coordinate of an input |
//! | q | E ‖x‖² x xᵀ = q I, q = m₄ + (d − 1) s⁴ |
//! | W_i | a row of the map that makes pair i; E ‖W_i‖² = d (s_w² + τ² (i − 1)) |
//!
//! One gradient step, with forgetting or without, LMS and leaky LMS are one recursion on a row S of the weights,
//!
//! S ← α S (I − β x xᵀ) + γ (W x + ε) xᵀ,
//!
//! with α = λ, β = 0, γ = η/N for gradient descent, and β = γ = η for LMS. The pairs are independent, so the moments
//! m = E S·W and b = E ‖S‖² follow exactly, pair by pair,
//!
//! m ← α (1 − β s²) m + γ s² E ‖W‖²,
//! b ← α² (1 − 2 β s² + β² q) b + 2 α γ (s² − β q) m + γ² (q E ‖W‖² + σ² d s²),
//!
//! and the expected loss is ½ s² (E ‖W_N‖² − 2 m + b) for each output. A step of the drift leaves both as they are. For
//! normalised LMS x xᵀ / ‖x‖² takes the place of x xᵀ: s² and q become 1/d, by the symmetry of the coordinates, and
//! without noise the recursion is exact again. Without noise and drift it makes loss₀ (1 − 1/d)ᵗ of it at η = 1.
//!
//! From one step follows the best η of gradient descent in closed form: where weights stand still,
//! η* = d s² / (E tr G² + σ² d s² / (N s_w²)), with G = X Xᵀ/N. Knows nothing of actual problems.

use super::prior::Moments;
use super::search::{minimise, minimise_roughly};
use super::{Online, Prior};

/// Step sizes are searched between these multiples of that of one pair, s²/q.
const STEPS: (f64, f64) = (1e-3, 2.0);
/// What a learner forgets with each pair, −ln λ, is searched between these; more is no memory, less is none lost.
const DECAY: (f64, f64) = (1e-4, 3.0);

/// A step size with the loss that it leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// η.
    pub eta: f64,
    /// Expected loss, ½ E ‖ŷ − y‖² / d_out.
    pub loss: f64,
}

/// α, β and γ of the recursion, and its s² and q.
#[derive(Clone, Copy)]
struct Rates {
    keep: f64,
    decay: f64,
    gain: f64,
    second: f64,
    fourth: f64,
}

/// E S·W and E ‖S‖² of a row S of the weights.
#[derive(Clone, Copy, Default)]
struct RowMoments {
    cross: f64,
    square: f64,
}

impl Rates {
    fn of(learner: Online, of: &Moments) -> Self {
        let rates = |keep, decay, gain| Self { keep, decay, gain, second: of.s2, fourth: of.fourth() };
        match learner {
            Online::Forgetting { eta, forgetting } => rates(forgetting, 0.0, eta / of.pairs.max(1) as f64),
            Online::Lms { eta, forgetting } => rates(forgetting, eta, eta),
            Online::Nlms { eta } => {
                Self { keep: 1.0, decay: eta, gain: eta, second: 1.0 / of.dim, fourth: 1.0 / of.dim }
            }
        }
    }

    /// After one pair more, taught by weights of the mean square `row`.
    fn read(self, before: RowMoments, row: f64, noise: f64) -> RowMoments {
        let Self { keep, decay, gain, second, fourth } = self;
        RowMoments {
            cross: keep * (1.0 - decay * second) * before.cross + gain * second * row,
            square: keep * keep * (1.0 - 2.0 * decay * second + decay * decay * fourth) * before.square
                + 2.0 * keep * gain * (second - decay * fourth) * before.cross
                + gain * gain * (fourth * row + noise),
        }
    }
}

/// After 0, 1, …, N pairs.
fn row_moments(learner: Online, of: &Moments) -> impl Iterator<Item = RowMoments> {
    let (rates, of) = (Rates::of(learner, of), *of);
    (0..=of.pairs).scan(RowMoments::default(), move |state, pair| {
        if pair > 0 {
            *state = rates.read(*state, of.row(pair), of.noise * of.dim * of.s2);
        }
        Some(*state)
    })
}

/// The expected loss of an online learner after 0, 1, …, N pairs; `None` where the prior does not determine it.
pub fn loss_by_pairs(learner: Online, prior: &Prior) -> Option<Vec<f64>> {
    let of = determined(learner, prior)?;
    let loss = |row: RowMoments| 0.5 * of.s2 * (of.row(of.pairs) - 2.0 * row.cross + row.square);
    Some(row_moments(learner, &of).map(loss).collect())
}

fn determined(learner: Online, prior: &Prior) -> Option<Moments> {
    prior.linear().filter(|of| match learner {
        Online::Nlms { .. } => of.noise == 0.0,
        Online::Forgetting { .. } | Online::Lms { .. } => true,
    })
}

/// The expected loss of an online learner after the whole context.
fn last_loss(learner: Online, prior: &Prior) -> Option<f64> {
    loss_by_pairs(learner, prior)?.last().copied()
}

/// The expected loss of minimum-norm least squares after 0, 1, …, N pairs without noise and drift: loss₀ (1 − t/d), and
/// 0 from t = d on. `None` where the prior does not determine it.
pub fn least_squares_by_pairs(prior: &Prior) -> Option<Vec<f64>> {
    let of = prior.isotropic().filter(|of| of.noise == 0.0)?;
    let left = |pairs: usize| (1.0 - pairs as f64 / of.dim).max(0.0);
    Some((0..=of.pairs).map(|pairs| 0.5 * of.s2 * of.row(0) * left(pairs)).collect())
}

/// The best η of one step, and its loss; `None` where the prior does not determine them.
pub fn best_step(prior: &Prior) -> Option<Step> {
    best_step_with(prior, 1.0)
}

/// The same where pair i weighs λ^(N−i): a parabola in η.
fn best_step_with(prior: &Prior, forgetting: f64) -> Option<Step> {
    let of = prior.linear()?;
    let unit = row_moments(Online::Forgetting { eta: 1.0, forgetting }, &of).last()?;
    let eta = unit.cross / unit.square;
    let zero = 0.5 * of.s2 * of.row(of.pairs);
    // Weights or inputs that are always 0 leave nothing to learn.
    let step = Step { eta, loss: zero - 0.5 * of.s2 * eta * unit.cross };
    Some(if eta.is_finite() { step } else { Step { eta: 0.0, loss: zero } })
}

/// The best η and λ of one step with forgetting; `None` where the prior does not determine them. λ = 1 where nothing
/// drifts.
pub fn best_forgetting(prior: &Prior) -> Option<Online> {
    let of = prior.linear()?;
    let loss = |forgetting| best_step_with(prior, forgetting).map_or(f64::INFINITY, |step| step.loss);
    let forgetting = if of.drift > 0.0 { best_factor(loss) } else { 1.0 };
    Some(Online::Forgetting { eta: best_step_with(prior, forgetting)?.eta, forgetting })
}

/// The best constant η of LMS; `None` where the prior does not determine it.
pub fn best_lms(prior: &Prior) -> Option<Online> {
    best_lms_with(prior, 1.0).map(|(learner, _)| learner)
}

/// The best η and α of leaky LMS; `None` where the prior does not determine them.
pub fn best_leaky_lms(prior: &Prior) -> Option<Online> {
    let loss = |forgetting| best_lms_with(prior, forgetting).map_or(f64::INFINITY, |(_, loss)| loss);
    best_lms_with(prior, best_factor(loss)).map(|(learner, _)| learner)
}

fn best_lms_with(prior: &Prior, forgetting: f64) -> Option<(Online, f64)> {
    let of = prior.linear()?;
    let learner = |eta| Online::Lms { eta, forgetting };
    // Without noise, drift and leak every pair has the same best step.
    let one = of.s2 / of.fourth();
    let loss = |eta| last_loss(learner(eta), prior).unwrap_or(f64::INFINITY);
    let plain = forgetting == 1.0 && of.noise == 0.0 && of.drift == 0.0;
    let eta = if plain { one } else { minimise(STEPS.0 * one, STEPS.1 * one, loss) };
    Some((learner(eta), loss(eta)))
}

/// The best constant η of normalised LMS: 1 without noise; `None` where the prior does not determine it.
pub fn best_nlms(prior: &Prior) -> Option<Online> {
    determined(Online::Nlms { eta: 1.0 }, prior).map(|_| Online::Nlms { eta: 1.0 })
}

/// The best factor λ in (0, 1] by a loss that is a function of it.
pub(super) fn best_factor(loss: impl Fn(f64) -> f64) -> f64 {
    let factor = (-minimise_roughly(DECAY.0, DECAY.1, |decay| loss((-decay).exp()))).exp();
    if loss(1.0) <= loss(factor) { 1.0 } else { factor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::descent;
    use crate::reference::draw::Draw;
    use crate::reference::{Problem, ridge};

    /// Means, and their standard errors, of a loss after each pair.
    fn measured(problems: &[Problem], losses: impl Fn(&Problem) -> Vec<f64>) -> Vec<(f64, f64)> {
        let all: Vec<Vec<f64>> = problems.iter().map(losses).collect();
        let n = all.len() as f64;
        let after = |pairs: usize| {
            let mean = all.iter().map(|losses| losses[pairs]).sum::<f64>() / n;
            let error = (all.iter().map(|losses| (losses[pairs] - mean).powi(2)).sum::<f64>() / n / n).sqrt();
            (mean, error)
        };
        (0..all[0].len()).map(after).collect()
    }

    fn assert_within_errors(name: &str, expected: &[f64], measured: &[(f64, f64)]) {
        assert_eq!(expected.len(), measured.len());
        for (pairs, (expected, (mean, error))) in expected.iter().zip(measured).enumerate() {
            assert!((expected - mean).abs() <= 4.0 * error + 1e-12, "{name} {pairs}: {mean} ± {error}, not {expected}");
        }
    }

    #[test]
    fn online_learners_agree_with_monte_carlo_after_every_pair() {
        let base = Draw { outputs: 3, ..Draw::default() };
        let drifting = Draw { dim: 5, context: 12, range: 2.0, noise: 0.1, drift: 0.3, ..base };
        for (seed, draw) in [base, Draw { noise: 0.4, normal: true, dim: 4, ..base }, drifting].into_iter().enumerate()
        {
            let (prior, problems) = (draw.prior(), draw.problems(90 + seed as u64, 4_000));
            let mut learners = vec![
                best_forgetting(&prior).unwrap(),
                best_lms(&prior).unwrap(),
                best_leaky_lms(&prior).unwrap(),
                Online::Forgetting { eta: 2.0, forgetting: 0.8 },
                Online::Lms { eta: 0.7, forgetting: 0.9 },
            ];
            learners.extend(best_nlms(&prior));
            for learner in learners {
                let losses = |problem: &Problem| {
                    learner.after_each_pair(problem).iter().map(|weights| problem.loss(weights)).collect()
                };
                let expected = loss_by_pairs(learner, &prior).unwrap();
                assert_within_errors(&format!("{learner:?} {draw:?}"), &expected, &measured(&problems, losses));
            }
        }
    }

    #[test]
    fn normalised_lms_lms_and_least_squares_have_the_textbook_forms() {
        let draw = Draw::default();
        let (prior, zero) = (draw.prior(), 5.0 / 12.0);
        let nlms = loss_by_pairs(best_nlms(&prior).unwrap(), &prior).unwrap();
        let Online::Lms { eta, .. } = best_lms(&prior).unwrap() else { panic!("LMS") };
        assert!((eta - 1.111).abs() < 5e-4, "{eta}");
        let lms = loss_by_pairs(Online::Lms { eta, forgetting: 1.0 }, &prior).unwrap();
        let exact = least_squares_by_pairs(&prior).unwrap();
        for t in 0..=10 {
            assert!((nlms[t] - zero * 0.9f64.powi(t as i32)).abs() < 1e-12);
            assert!((lms[t] - zero * (1.0f64 - 1.0 / (9.0 + 144.0 / 80.0)).powi(t as i32)).abs() < 1e-12);
            assert!((exact[t] - zero * (1.0 - t as f64 / 10.0)).abs() < 1e-12);
        }
        let few = Draw { context: 6, outputs: 2, ..draw };
        let losses = |problem: &Problem| {
            let part = |t: usize| Problem {
                x: problem.x.columns(0, t).into_owned(),
                y: problem.y.columns(0, t).into_owned(),
                ..problem.clone()
            };
            let loss = |t: usize| {
                if t == 0 {
                    problem.loss(&nalgebra::DMatrix::zeros(2, 10))
                } else {
                    problem.loss(&ridge::least_squares(&part(t)))
                }
            };
            (0..=6).map(loss).collect()
        };
        let expected = least_squares_by_pairs(&few.prior()).unwrap();
        assert_within_errors("least squares", &expected, &measured(&few.problems(95, 1_500), losses));
    }

    #[test]
    fn forgetting_pays_where_weights_drift_and_nowhere_else() {
        let drifting = Draw { dim: 5, context: 20, range: 2.0, noise: 0.1, drift: 0.3, ..Draw::default() };
        let Online::Forgetting { forgetting, .. } = best_forgetting(&drifting.prior()).unwrap() else { panic!() };
        assert!((forgetting - 0.944).abs() < 2e-3, "{forgetting}");
        let still = best_forgetting(&Draw { drift: 0.0, ..drifting }.prior()).unwrap();
        assert!(matches!(still, Online::Forgetting { forgetting, .. } if forgetting == 1.0), "{still:?}");
        let leaky = |draw: Draw| best_leaky_lms(&draw.prior()).unwrap();
        assert!(matches!(leaky(Draw::default()), Online::Lms { forgetting, .. } if forgetting == 1.0));
        let (plain, faded) = (best_lms(&drifting.prior()).unwrap(), leaky(drifting));
        assert!(last_loss(faded, &drifting.prior()) <= last_loss(plain, &drifting.prior()));
    }

    #[test]
    fn known_numbers() {
        let prior = Draw::default().prior();
        let step = best_step(&prior).unwrap();
        assert!((step.eta - 6.061).abs() < 5e-4 && (step.loss - 0.2062).abs() < 5e-5, "{step:?}");
        assert!(
            (last_loss(Online::Forgetting { eta: 0.0, forgetting: 1.0 }, &prior).unwrap() - 5.0 / 12.0).abs() < 1e-12
        );
        let wide = best_step(&Draw { range: 2.0, ..Draw::default() }.prior()).unwrap();
        assert!((wide.eta * 4.0 - step.eta).abs() < 1e-12 && (wide.loss / 4.0 - step.loss).abs() < 1e-12);
    }

    #[test]
    fn agrees_with_monte_carlo() {
        let base = Draw::default();
        let cases = [
            base,
            Draw { outputs: 1, ..base },
            Draw { dim: 3, outputs: 2, context: 20, range: 2.0, weight_scale: 0.5, noise: 0.7, ..base },
            Draw { dim: 5, outputs: 1, context: 2, range: 3.0, weight_scale: 3.0, noise: 2.0, ..base },
            Draw { dim: 4, outputs: 4, context: 6, range: 0.5, weight_scale: 0.1, noise: 0.05, ..base },
            Draw { dim: 1, outputs: 1, context: 5, weight_scale: 2.0, noise: 1.0, normal: true, ..base },
        ];
        for (seed, draw) in cases.into_iter().enumerate() {
            let step = best_step(&draw.prior()).unwrap();
            let problems = draw.problems(seed as u64, 20_000);
            // The literal step, of size 1: everything else about η is a parabola in it.
            let (mut cross, mut square, mut losses) = (0.0, 0.0, Vec::new());
            for problem in &problems {
                let weights = descent::steps(problem, 1.0, 1);
                let answer = &weights * &problem.query;
                cross += answer.dot(&problem.target);
                square += answer.norm_squared();
                losses.push(problem.loss(&(weights * step.eta)));
            }
            let n = losses.len() as f64;
            let mean = losses.iter().sum::<f64>() / n;
            let error = (losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / n / n).sqrt();
            assert!((mean - step.loss).abs() < 4.0 * error, "{draw:?} {mean} ± {error}, not {}", step.loss);
            let one_step = Online::Forgetting { eta: step.eta, forgetting: 1.0 };
            assert!((last_loss(one_step, &draw.prior()).unwrap() - step.loss).abs() < 1e-12 * step.loss.max(1.0));
            assert!((cross / square / step.eta - 1.0).abs() < 0.04, "{draw:?} {} not {}", cross / square, step.eta);
        }
    }
}
