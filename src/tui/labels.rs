//! The lab's vocabulary: the names of references, and the answer in one sentence.
//!
//! Owns the thresholds between "equal to", "close to" and "closest to". Knows nothing of layout.

pub mod claims;
pub mod cost;
mod reference;

pub use reference::{iterations, label, mark, marks, phrase, role, short_label, stroke};

use super::numbers::{cosine, count, percent, significant};
use crate::train::{Equivalence, Measurement, NEAR};
use crate::uncertainty::with_error;

/// Relative prediction difference up to which a model counts as equal to a reference.
const EQUAL: f64 = 0.03;
/// Loss gap below which a model is better than gradient descent.
const BEYOND: f64 = -0.5;
/// Sensitivity cosine from which a model counts as equal to a reference.
const ALIGNED: f64 = 0.999;

/// How equal a model is to its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    Equal,
    Close,
    Neither,
}

impl Closeness {
    /// By a relative prediction difference alone.
    pub fn of_difference(difference: f64) -> Self {
        match difference {
            d if d <= EQUAL => Self::Equal,
            d if d <= NEAR => Self::Close,
            _ => Self::Neither,
        }
    }

    /// Equal to the reference that the measures are about; close to whichever is the nearest.
    pub fn of(equal: &Equivalence) -> Self {
        let equals = equal.prediction_difference_relative <= EQUAL && equal.sensitivity_cosine >= ALIGNED;
        match equal.nearest_within() {
            Some(_) if equals && equal.is_nearest(equal.reference) => Self::Equal,
            Some(_) => Self::Close,
            None => Self::Neither,
        }
    }

    pub fn glyph(self) -> &'static str {
        match self {
            Self::Equal => "●",
            Self::Close => "◐",
            Self::Neither => "○",
        }
    }
}

/// The answer in a sentence: "equal to one GD step", "closest to 10 GD steps or 5 GD steps: predictions differ by 9.7
/// %". Names one GD step only where nothing else is nearer, and nothing at all where all are far away.
pub fn answer(equal: &Equivalence) -> String {
    let to = phrase(equal.reference);
    let distance = percent(equal.nearest_distance());
    let others = || equal.ties.iter().copied().filter(|tie| *tie != equal.nearest).map(phrase);
    match (Closeness::of(equal), equal.nearest_within()) {
        (Closeness::Equal, _) => format!("equal to {to}"),
        (Closeness::Close | Closeness::Neither, Some(nearest)) if nearest == equal.reference => {
            format!("close to {to}: predictions differ by {distance}")
        }
        (Closeness::Close | Closeness::Neither, Some(nearest)) => {
            let names = [phrase(nearest)].into_iter().chain(others().take(1)).collect::<Vec<_>>().join(" or ");
            format!("closest to {names}: predictions differ by {distance}")
        }
        (Closeness::Close | Closeness::Neither, None) if equal.loss_gap < BEYOND => {
            format!("better than {to}, and far from every reference")
        }
        (Closeness::Close | Closeness::Neither, None) => {
            format!("far from every reference: differs from {} by {distance}", label(equal.nearest))
        }
    }
}

/// "0.37 ± 0.02 × GD-1": over the same tasks for both, so the error is that of the ratio.
fn relative_loss(equal: &Equivalence) -> String {
    format!("{} × {}", with_error(1.0 + equal.loss_gap, equal.loss_gap_standard_error), label(equal.reference))
}

/// "step 3,412 of 4,000", the first number in at least so many columns; beyond the last step of the schedule "step
/// 4,532 (4,000 planned)".
pub fn progress(step: u64, steps: u64, columns: usize) -> String {
    let (now, total) = (count(step), count(steps));
    if step > steps { format!("step {now} ({total} planned)") } else { format!("step {now:>columns$} of {total}") }
}

/// Between two numbers of the evidence.
pub const BETWEEN: &str = "   ";

/// The numbers behind the answer, the most important first. In one line of `width` columns the loss itself is left out
/// where it does not fit, and then the error of its ratio.
pub fn evidence(measurement: &Measurement, width: usize) -> Vec<String> {
    let equal = &measurement.equivalence;
    let own = with_error(measurement.eval_loss, measurement.eval_loss_standard_error);
    let plain = format!("loss {} × {}", significant(1.0 + equal.loss_gap, 4), label(equal.reference));
    let losses = [format!("loss {own} = {}", relative_loss(equal)), format!("loss {}", relative_loss(equal)), plain];
    let with = |loss: String| {
        vec![
            format!("predictions differ by {}", percent(equal.prediction_difference_relative)),
            format!("sensitivity cosine {}", cosine(equal.sensitivity_cosine)),
            loss,
        ]
    };
    let fits = |parts: &Vec<String>| parts.join(BETWEEN).chars().count() <= width;
    let [full, short, plain] = losses.map(with);
    [full, short].into_iter().find(fits).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::{Closeness, answer, label, phrase};
    use crate::reference::Reference::{self, Gd, GdForgetting, LeastSquares, Zero};
    use crate::train::Equivalence;

    fn equivalence(difference: f64, cosine: f64, nearest: Reference) -> Equivalence {
        Equivalence {
            reference: Gd(1),
            prediction_difference: difference,
            prediction_difference_relative: difference,
            sensitivity_cosine: cosine,
            sensitivity_difference: 0.0,
            loss_gap: 0.0,
            loss_gap_standard_error: 0.0,
            state_cosine: None,
            read_state_cosine: None,
            compared_tasks: 64,
            parameter_difference: None,
            nearest,
            ties: vec![],
            distances: vec![(nearest, difference)],
        }
    }

    #[test]
    fn the_answer_says_no_more_than_the_numbers() {
        let said = |difference, cosine, nearest| answer(&equivalence(difference, cosine, nearest));
        assert_eq!(said(0.018, 0.9995, Gd(1)), "equal to one GD step");
        assert_eq!(said(0.018, 0.99, Gd(1)), "close to one GD step: predictions differ by 1.8 %");
        assert_eq!(said(0.9, 0.1, Zero), "far from every reference: differs from zero by 90 %");
        assert_eq!(said(0.4, 0.5, Gd(1)), "far from every reference: differs from GD-1 by 40 %");
        assert_eq!(said(4e10, 0.0, LeastSquares), "far from every reference: differs from least squares by 4e12 %");
        assert_eq!(said(f64::NAN, f64::NAN, Zero), "far from every reference: differs from zero by –");
        assert_eq!(Closeness::of(&equivalence(f64::NAN, f64::NAN, Zero)), Closeness::Neither);
        let found = Equivalence { loss_gap: -0.99, ..equivalence(0.99, 0.0, Zero) };
        assert_eq!(answer(&found), "better than one GD step, and far from every reference");
        assert_eq!([label(Gd(3)), phrase(Gd(3))], ["GD-3", "3 GD steps"]);
    }

    #[test]
    fn one_gradient_step_is_not_named_where_another_reference_is_nearer() {
        // As `drift` ends: equal to one GD step by no means, and by no threshold "not yet".
        let drift = Equivalence {
            prediction_difference_relative: 0.025,
            distances: vec![(Gd(1), 0.025), (GdForgetting, 0.019)],
            ..equivalence(0.019, 0.9999, GdForgetting)
        };
        assert_eq!(answer(&drift), "closest to one GD step with forgetting: predictions differ by 1.9 %");
        let tied = Equivalence { ties: vec![Gd(1)], ..drift };
        assert_eq!(answer(&tied), "equal to one GD step");
        let transformer = Equivalence { ties: vec![Gd(5)], ..equivalence(0.097, 0.9, Gd(10)) };
        assert_eq!(answer(&transformer), "closest to 10 GD steps or 5 GD steps: predictions differ by 9.7 %");
    }
}
