//! The parameters that are chosen, against known values and against each other.

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
            let answer = tuned.answer(problem, &spectrum, &spectrum.along(&problem.query));
            *sum += 0.5 * (answer - &problem.target).norm_squared() / (problem.target.len() * problems.len()) as f64;
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
    let [zero, one, plus] = mean_losses(&tuner, [Reference::Zero, Reference::Gd(1), Reference::GdPlusPlus], &held_out);
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
    let (prior, problems) = Draw { dim: 4, outputs: 3, range: 2.0, context: 20, ..Draw::default() }.classes(61, 256);
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
        let loss_of = |wanted| Reference::ALL.into_iter().zip(losses).find(|(reference, _)| *reference == wanted);
        let [(_, kalman), (_, bayes)] = [Reference::Kalman, Reference::Bayes].map(|wanted| loss_of(wanted).unwrap());
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
                let spectrum = Spectrum::of(problem);
                let answer = tuned.answer(problem, &spectrum, &spectrum.along(&problem.query));
                assert!((answer - tuned.weights(problem) * &problem.query).norm() < 1e-9, "{tuned:?}");
            }
        }
    }
}

/// By the same program as [`KNOWN`]: conjugate gradients on the whole context, least mean squares after all pairs.
#[test]
fn learners_of_the_whole_context_and_of_one_pass_reach_the_known_losses() {
    let draw = Draw::default();
    let (tuner, held_out) = (Tuner::new(&draw.prior(), &draw.problems(62, 2_048)), draw.problems(63, 6_000));
    let references = [1, 2, 3, 5].map(Reference::Cg);
    for (reached, known) in mean_losses(&tuner, references, &held_out).into_iter().zip([0.197, 0.130, 0.096, 0.061]) {
        assert!((reached / known - 1.0).abs() < 0.03, "{reached} not {known}");
    }
    let online = mean_losses(&tuner, [Reference::Nlms, Reference::Lms, Reference::LeakyLms], &held_out);
    for (reached, known) in online.into_iter().zip([0.1453, 0.1577, 0.1577]) {
        assert!((reached / known - 1.0).abs() < 0.03, "{reached} not {known}");
    }
    // Each Newton step squares what is left.
    let newton = mean_losses(&tuner, [1, 2, 3, 5].map(Reference::Newton), &held_out);
    assert!(newton.is_sorted_by(|a, b| a > b) && newton[0] < 0.4167, "{newton:?}");
}

#[test]
fn two_free_steps_are_a_small_one_and_a_large_one() {
    let draw = Draw::default();
    let tuner = Tuner::new(&draw.prior(), &draw.problems(64, 12_000));
    let [small, large, none] = tuner.tune(Reference::GdFree(2)).etas.unwrap();
    assert!((small - 4.0).abs() < 0.1 && (large - 11.6).abs() < 0.4 && none == 0.0, "{small} {large}");
    let held_out = draw.problems(65, 6_000);
    let references = [Reference::GdFree(2), Reference::Gd(2), Reference::GdFree(3), Reference::GdMomentum(3)];
    let [two, equal, three, momentum] = mean_losses(&tuner, references, &held_out);
    assert!((two / 0.141 - 1.0).abs() < 0.03 && two < equal && three < two, "{two} {equal} {three}");
    assert!(momentum < mean_losses(&tuner, [Reference::Gd(3)], &held_out)[0] && momentum > 0.98 * three);
}

#[test]
fn what_a_formula_gives_a_search_finds_too() {
    let draw = Draw { dim: 5, outputs: 3, context: 20, range: 2.0, noise: 0.1, drift: 0.3, ..Draw::default() };
    let (known, problems) = (draw.prior(), draw.problems(66, 3_000));
    let searched = Tuner::new(&Prior { moments: None, ..known }, &problems);
    for reference in [Reference::GdForgetting, Reference::Lms, Reference::LeakyLms] {
        let (formula, search) = (tune(reference, &known, &problems), searched.tune(reference));
        let close = |a: Option<f64>, b: Option<f64>| a.zip(b).is_none_or(|(a, b)| (a / b - 1.0).abs() < 0.1);
        assert!(close(formula.eta, search.eta), "{reference}: η {:?} {:?}", formula.eta, search.eta);
        assert!(close(formula.forgetting, search.forgetting), "{reference}: {formula:?} {search:?}");
    }
    let forgetting = searched.tune(Reference::RlsForgetting).forgetting.unwrap();
    assert!((0.5..0.95).contains(&forgetting), "{forgetting}");
}

#[test]
fn of_learners_that_could_forget_the_simplest_name_is_the_one_that_cannot() {
    let still = Draw::default();
    let drifting = Draw { dim: 5, context: 20, range: 2.0, noise: 0.1, drift: 0.3, ..still };
    let simplest =
        |draw: Draw, reference| tune(reference, &draw.prior(), &draw.problems(67, 300)).simplest(&draw.prior());
    assert_eq!(simplest(still, Reference::GdForgetting), Reference::Gd(1));
    assert_eq!(simplest(still, Reference::LeakyLms), Reference::Lms);
    assert_eq!(simplest(still, Reference::RlsForgetting), Reference::LeastSquares);
    for reference in [Reference::GdForgetting, Reference::RlsForgetting, Reference::Kalman] {
        assert_eq!(simplest(drifting, reference), reference);
    }
}

#[test]
fn with_the_query_in_its_sums_preconditioning_is_worth_less() {
    let draw = Draw { dim: 5, outputs: 1, range: 2.0, ..Draw::default() };
    let tuner = Tuner::new(&draw.prior(), &draw.problems(68, 4_000));
    let held_out = draw.problems(69, 12_000);
    let [without, with] = mean_losses(&tuner, [Reference::GdPlusPlus, Reference::GdPlusPlusQuery], &held_out);
    assert!((without / 0.096 - 1.0).abs() < 0.05 && (with / 0.120 - 1.0).abs() < 0.05, "{without} {with}");
}
