//! Which learner explains a model's answers best, whatever its step size, forgetting, momentum or penalty.
//!
//! References choose their parameters so that their own loss is least. Here each chooses them so that its answers are
//! as near to the model's as they can be: on the first half of the held-out tasks; how well that works is measured on
//! the second half. Explained is 1 − Σ ‖f − g‖² / Σ ‖f‖², the share of the answers' variance, whose mean is zero by
//! symmetry.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::HeldOut;
use super::distance::mean;
use crate::reference::{Loss, Prior, Problem, Reference, Spectrum, Tuned, Tuner};
use crate::task::Objective;

/// A learner with the parameters that bring it nearest to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub tuned: Tuned,
    /// The share of the variance of the model's answers that it explains, at most 1; negative where it explains
    /// nothing.
    pub explained: f64,
    /// mean ‖f − g‖₂ over the scale of all distances: what is left.
    pub distance: f64,
}

/// The families that are fitted, those with fewer parameters first.
pub const FAMILIES: [Reference; 26] = [
    Reference::Gd(1),
    Reference::Gd(2),
    Reference::Gd(3),
    Reference::Gd(5),
    Reference::Gd(10),
    Reference::Lms,
    Reference::Nlms,
    Reference::Ridge,
    Reference::LeastSquares,
    Reference::Cg(1),
    Reference::Cg(2),
    Reference::Cg(3),
    Reference::Cg(5),
    Reference::Newton(1),
    Reference::Newton(2),
    Reference::Newton(3),
    Reference::Newton(5),
    Reference::GdForgetting,
    Reference::LeakyLms,
    Reference::RlsForgetting,
    Reference::GdPlusPlus,
    Reference::GdPlusPlusQuery,
    Reference::GdFree(2),
    Reference::GdMomentum(3),
    Reference::GdMomentum(5),
    Reference::GdFree(3),
];

/// Fits every family to a model's answers to the held-out tasks, (B, d_out), the best explanation first.
///
/// # Errors
/// The task is not a regression: its answers are logits, of which the families know nothing.
pub fn fit(answers: &[f32], held_out: &HeldOut, objective: Objective) -> Result<Vec<Fit>> {
    ensure!(objective == Objective::SquaredError, "fits are for regression; the answers of this task are logits");
    ensure!(
        answers.iter().all(|answer| answer.is_finite()),
        "the model's answers are not finite: there is nothing to fit"
    );
    let outputs = held_out.batch().shape.outputs;
    let answered = |(problem, answer): (Problem, &[f32])| Problem {
        target: nalgebra::DVector::from_iterator(outputs, answer.iter().map(|answer| f64::from(*answer))),
        ..problem
    };
    let problems: Vec<Problem> = held_out.problems().into_iter().zip(answers.chunks(outputs)).map(answered).collect();
    let (fitted, judged) = problems.split_at(problems.len() / 2);
    // The answers are the model's, so nothing is known of how they come about.
    let unknown = Prior { loss: Loss::Squared, weight_scale: None, moments: None, ..held_out.prior() };
    let tuner = Tuner::new(&unknown, fitted);
    let spectra: Vec<Spectrum> = judged.par_iter().map(Spectrum::of).collect();
    let variance: f64 = judged.iter().map(|problem| problem.target.norm_squared()).sum();
    let one = |family: Reference| {
        let tuned = tuner.tune(family);
        let left = |(problem, spectrum): (&Problem, &Spectrum)| {
            let along = spectrum.along(&problem.query);
            (tuned.answer(problem, spectrum, &along) - &problem.target).norm()
        };
        let left: Vec<f64> = judged.par_iter().zip(&spectra).map(left).collect();
        let squares: f64 = left.iter().map(|left| left * left).sum();
        Fit { tuned, explained: 1.0 - squares / variance, distance: mean(&left) / held_out.scale() }
    };
    let mut fits: Vec<Fit> = FAMILIES.into_iter().map(one).collect();
    // A stable sort: among equals the one with fewer parameters comes first.
    fits.sort_by(|a, b| rounded(b).total_cmp(&rounded(a)));
    Ok(fits)
}

/// Explained shares closer than this are equal.
fn rounded(fit: &Fit) -> f64 {
    let share = if fit.explained.is_nan() { f64::NEG_INFINITY } else { fit.explained };
    (share * 1e6).round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    /// The answers of a learner to the held-out tasks.
    fn answers(held_out: &HeldOut, tuned: Tuned) -> Vec<f32> {
        let answer = |problem: &Problem| (tuned.weights(problem) * &problem.query).data.as_vec().clone();
        held_out.problems().iter().flat_map(answer).map(|answer| answer as f32).collect()
    }

    #[test]
    fn a_learner_of_a_family_is_found_again_with_its_parameters() {
        let (_, preset) = preset::find("drift").unwrap();
        let held_out = HeldOut::watched(&preset, &preset.task, &|_| true).unwrap();
        let plain = Tuned::plain(Reference::GdForgetting);
        let hidden = Tuned { eta: Some(1.7), forgetting: Some(0.9), ..plain };
        let fits = fit(&answers(&held_out, hidden), &held_out, Objective::SquaredError).unwrap();
        assert_eq!(fits[0].tuned.reference, Reference::GdForgetting);
        let Tuned { eta, forgetting, .. } = fits[0].tuned;
        assert!((eta.unwrap() - 1.7).abs() < 0.02 && (forgetting.unwrap() - 0.9).abs() < 0.005, "{:?}", fits[0]);
        assert!(fits[0].explained > 0.9999 && fits[0].distance < 0.01, "{:?}", fits[0]);

        let hidden = Tuned { etas: Some([0.6, 2.0, 0.0]), ..Tuned::plain(Reference::GdFree(2)) };
        let fits = fit(&answers(&held_out, hidden), &held_out, Objective::SquaredError).unwrap();
        assert!(matches!(fits[0].tuned.reference, Reference::GdFree(2)), "{:?}", fits[0]);
        let [small, large, _] = fits[0].tuned.etas.unwrap();
        assert!((small - 0.6).abs() < 1e-3 && (large - 2.0).abs() < 1e-3, "{small} {large}");
    }

    #[test]
    fn logits_and_numbers_that_are_not_finite_are_refused() {
        let (_, preset) = preset::find("first-look").unwrap();
        let held_out = HeldOut::watched(&preset, &preset.task, &|_| true).unwrap();
        let zeros = vec![f32::NAN; held_out.batch().target.len()];
        assert!(fit(&zeros, &held_out, Objective::SquaredError).is_err());
        assert!(fit(&zeros, &held_out, Objective::CrossEntropy).is_err());
    }
}
