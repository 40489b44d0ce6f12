//! The lab's vocabulary: how references are called, and the answer in one sentence.
//!
//! Owns the thresholds between "equal to", "close to" and "not yet". Knows nothing of where the words stand.

use super::numbers::{cosine, percent, significant};
use super::theme::Ink;
use crate::reference::Reference;
use crate::train::{Equivalence, Measurement};

/// Relative prediction difference up to which a model counts as equal to a reference.
const EQUAL: f64 = 0.03;
/// The same for "close to".
const CLOSE: f64 = 0.15;
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
pub fn ink(reference: Reference) -> Ink {
    match reference {
        Reference::Zero => Ink::Zero,
        Reference::Gd(_) | Reference::GdPlusPlus => Ink::Gd,
        Reference::LeastSquares
        | Reference::Ridge
        | Reference::RecursiveLeastSquares
        | Reference::Kalman
        | Reference::Bayes => Ink::LeastSquares,
    }
}

/// How equal a model is to its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    Close,
    NotYet,
}

impl Verdict {
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
    match Verdict::of(equal) {
        Verdict::Equal => format!("equal to {to}"),
        Verdict::Close => format!("close to {to}"),
        Verdict::NotYet if equal.nearest == equal.reference => format!("not {to} yet, though nothing else is nearer"),
        Verdict::NotYet => format!("not {to} yet: nearest is {}", phrase(equal.nearest)),
    }
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
