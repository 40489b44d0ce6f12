//! The lab's vocabulary: how references are called, and the answer in one sentence.
//!
//! Owns the thresholds between "equal to", "close to" and "not yet". Knows nothing of where the words stand.

pub mod claims;
pub mod cost;

use super::numbers::{cosine, percent, significant};
use super::theme::Role;
use super::widget::braille::Stroke;
use crate::reference::Reference;
use crate::train::{Equivalence, Measurement};

/// Relative prediction difference up to which a model counts as equal to a reference.
const EQUAL: f64 = 0.03;
/// The same for "close to".
const CLOSE: f64 = 0.15;
/// Relative difference from which a model is near nothing.
const FAR: f64 = 2.0;
/// Loss gap below which a model is no worse version of gradient descent.
const BEYOND: f64 = -0.5;
/// Relative prediction difference to every reference from which a model is like none.
const UNLIKE: f64 = 0.5;
/// Sensitivity cosine from which a model counts as equal to a reference.
const ALIGNED: f64 = 0.999;

/// A short name for labels: "GD-1".
pub fn label(reference: Reference) -> String {
    match reference {
        Reference::Zero => "zero".to_owned(),
        Reference::Gd(k) => format!("GD-{k}"),
        Reference::GdPlusPlus => "GD++".to_owned(),
        Reference::LeastSquares => "least squares".to_owned(),
        Reference::Ridge => "ridge".to_owned(),
        Reference::RecursiveLeastSquares => "RLS".to_owned(),
        Reference::Kalman => "Kalman filter".to_owned(),
        Reference::Bayes => "Bayes".to_owned(),
    }
}

/// A name for sentences: "one GD step".
pub fn phrase(reference: Reference) -> String {
    match reference {
        Reference::Zero => "predicting zero".to_owned(),
        Reference::Gd(1) => "one GD step".to_owned(),
        Reference::Gd(k) => format!("{k} GD steps"),
        Reference::GdPlusPlus => "preconditioned GD".to_owned(),
        Reference::LeastSquares => "least squares".to_owned(),
        Reference::Ridge => "ridge regression".to_owned(),
        Reference::RecursiveLeastSquares => "recursive least squares".to_owned(),
        Reference::Kalman => "the Kalman filter".to_owned(),
        Reference::Bayes => "the Bayes optimum".to_owned(),
    }
}

/// The colour that a reference has everywhere.
pub fn role(reference: Reference) -> Role {
    match reference {
        Reference::Zero => Role::Zero,
        Reference::Gd(_) | Reference::GdPlusPlus => Role::Gd,
        Reference::LeastSquares
        | Reference::Ridge
        | Reference::RecursiveLeastSquares
        | Reference::Kalman
        | Reference::Bayes => Role::LeastSquares,
    }
}

/// The line that a reference has everywhere, for where colours cannot tell.
pub fn stroke(reference: Reference) -> Stroke {
    match reference {
        Reference::Gd(1) => Stroke::Dashed,
        Reference::Zero => Stroke::Dotted,
        _ => Stroke::DashDot,
    }
}

/// The mark that a reference's points have. The model's is "●".
pub fn mark(reference: Reference) -> &'static str {
    match reference {
        Reference::Zero => "○",
        Reference::Gd(_) => "△",
        Reference::GdPlusPlus => "▽",
        Reference::LeastSquares | Reference::Ridge | Reference::RecursiveLeastSquares => "□",
        Reference::Kalman | Reference::Bayes => "◇",
    }
}

/// How equal a model is to its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    Equal,
    Close,
    NotYet,
}

impl Closeness {
    /// Of a relative prediction difference alone.
    pub fn of_difference(difference: f64) -> Self {
        match difference {
            d if d <= EQUAL => Self::Equal,
            d if d <= CLOSE => Self::Close,
            _ => Self::NotYet,
        }
    }

    pub fn of(equal: &Equivalence) -> Self {
        let difference = equal.prediction_difference_relative;
        if difference <= EQUAL && equal.sensitivity_cosine >= ALIGNED {
            Self::Equal
        } else if difference <= CLOSE {
            Self::Close
        } else {
            Self::NotYet
        }
    }

    pub fn glyph(self) -> &'static str {
        match self {
            Self::Equal => "●",
            Self::Close => "◐",
            Self::NotYet => "○",
        }
    }
}

/// The answer, without digits: "equal to one GD step".
pub fn answer(equal: &Equivalence) -> String {
    let to = phrase(equal.reference);
    match Closeness::of(equal) {
        Closeness::Equal => format!("equal to {to}"),
        Closeness::Close => format!("close to {to}"),
        Closeness::NotYet if beyond(equal) => format!("better than {to}, and like no reference"),
        // Further away than the reference is from zero: "nearest" would say too much.
        Closeness::NotYet if !near_anything(equal) => "far from every reference".to_owned(),
        Closeness::NotYet if equal.nearest == equal.reference => format!("not {to} yet, though nothing else is nearer"),
        Closeness::NotYet => format!("not {to} yet: nearest is {}", phrase(equal.nearest)),
    }
}

/// Whether a model has found something that no reference does: its loss is far below, and its answers are others.
fn beyond(equal: &Equivalence) -> bool {
    equal.loss_gap < BEYOND && equal.distances.iter().all(|(_, distance)| *distance > UNLIKE)
}

fn near_anything(equal: &Equivalence) -> bool {
    equal.distances.iter().any(|(_, distance)| *distance <= FAR)
}

/// The digits behind the answer, most telling first. `short` leaves the loss itself out.
pub fn evidence(measurement: &Measurement, short: bool) -> Vec<String> {
    let equal = &measurement.equivalence;
    let loss = format!("{} × {}", significant(1.0 + equal.loss_gap, 4), label(equal.reference));
    vec![
        format!("predictions differ by {}", percent(equal.prediction_difference_relative)),
        format!("sensitivity cosine {}", cosine(equal.sensitivity_cosine)),
        if short { format!("loss {loss}") } else { format!("loss {} = {loss}", significant(measurement.eval_loss, 4)) },
    ]
}

#[cfg(test)]
mod tests {
    use super::{Closeness, answer, label, phrase};
    use crate::reference::Reference::{self, Gd, LeastSquares, Zero};
    use crate::train::Equivalence;

    fn equivalence(difference: f64, cosine: f64, nearest: Reference) -> Equivalence {
        Equivalence {
            reference: Gd(1),
            prediction_difference: difference,
            prediction_difference_relative: difference,
            sensitivity_cosine: cosine,
            sensitivity_difference: 0.0,
            loss_gap: 0.0,
            state_cosine: None,
            parameter_difference: None,
            nearest,
            distances: vec![(nearest, difference)],
        }
    }

    #[test]
    fn the_answer_is_no_better_than_the_digits() {
        let said = |difference, cosine, nearest| answer(&equivalence(difference, cosine, nearest));
        assert_eq!(said(0.018, 0.9995, Gd(1)), "equal to one GD step");
        assert_eq!(said(0.018, 0.99, Gd(1)), "close to one GD step");
        assert_eq!(said(0.9, 0.1, Zero), "not one GD step yet: nearest is predicting zero");
        assert_eq!(said(0.4, 0.5, Gd(1)), "not one GD step yet, though nothing else is nearer");
        assert_eq!(said(4e10, 0.0, LeastSquares), "far from every reference");
        assert_eq!(said(f64::NAN, f64::NAN, Zero), "far from every reference");
        assert_eq!(Closeness::of(&equivalence(f64::NAN, f64::NAN, Zero)), Closeness::NotYet);
        let found = Equivalence { loss_gap: -0.99, ..equivalence(0.99, 0.0, Zero) };
        assert_eq!(answer(&found), "better than one GD step, and like no reference");
        assert_eq!([label(Gd(3)), phrase(Gd(3))], ["GD-3", "3 GD steps"]);
    }
}
