//! The lab's vocabulary: the names of references, and the answer in one sentence.
//!
//! Owns the thresholds between "equal to", "close to" and "closest to". Knows nothing of layout.

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
/// Relative prediction difference to every reference from which a model is far from all.
const FAR: f64 = 2.0;
/// Loss gap below which a model is better than gradient descent.
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

/// The line style that a reference has everywhere, where colours do not tell.
pub fn stroke(reference: Reference) -> Stroke {
    match reference {
        Reference::Gd(1) => Stroke::Dashed,
        Reference::Zero => Stroke::Dotted,
        Reference::Gd(_)
        | Reference::GdPlusPlus
        | Reference::LeastSquares
        | Reference::Ridge
        | Reference::RecursiveLeastSquares
        | Reference::Kalman
        | Reference::Bayes => Stroke::DashDot,
    }
}

/// The mark of a reference's points. The model's is "●".
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
    Neither,
}

impl Closeness {
    /// By a relative prediction difference alone.
    pub fn of_difference(difference: f64) -> Self {
        match difference {
            d if d <= EQUAL => Self::Equal,
            d if d <= CLOSE => Self::Close,
            _ => Self::Neither,
        }
    }

    pub fn of(equal: &Equivalence) -> Self {
        let difference = equal.prediction_difference_relative;
        if difference <= EQUAL && equal.sensitivity_cosine >= ALIGNED {
            Self::Equal
        } else if difference <= CLOSE {
            Self::Close
        } else {
            Self::Neither
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

/// The answer in a sentence: "equal to one GD step", "closest to 10 GD steps: loss 0.37 × GD-1".
pub fn answer(equal: &Equivalence) -> String {
    let to = phrase(equal.reference);
    match Closeness::of(equal) {
        Closeness::Equal => format!("equal to {to}"),
        Closeness::Close => format!("close to {to}"),
        Closeness::Neither if beyond(equal) => format!("better than {to}, and like no reference"),
        Closeness::Neither if !near_anything(equal) => {
            let distance = equal.distances.iter().find(|(reference, _)| *reference == equal.nearest);
            let distance = distance.map_or(f64::NAN, |(_, distance)| *distance);
            format!("far from every reference: differs from {} by {}", label(equal.nearest), percent(distance))
        }
        Closeness::Neither if equal.nearest == equal.reference => format!("closest to {to}, but not equal to it"),
        Closeness::Neither => format!("closest to {}: loss {}", phrase(equal.nearest), relative_loss(equal)),
    }
}

/// Whether a model does better than every reference: its loss is far below, and its predictions differ from all.
fn beyond(equal: &Equivalence) -> bool {
    equal.loss_gap < BEYOND && equal.distances.iter().all(|(_, distance)| *distance > UNLIKE)
}

fn near_anything(equal: &Equivalence) -> bool {
    equal.distances.iter().any(|(_, distance)| *distance <= FAR)
}

/// "0.37 × GD-1".
fn relative_loss(equal: &Equivalence) -> String {
    format!("{} × {}", significant(1.0 + equal.loss_gap, 4), label(equal.reference))
}

/// The numbers behind the answer, the most important first. `short` leaves the loss itself out.
pub fn evidence(measurement: &Measurement, short: bool) -> Vec<String> {
    let equal = &measurement.equivalence;
    let loss = relative_loss(equal);
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
    fn the_answer_says_no_more_than_the_numbers() {
        let said = |difference, cosine, nearest| answer(&equivalence(difference, cosine, nearest));
        assert_eq!(said(0.018, 0.9995, Gd(1)), "equal to one GD step");
        assert_eq!(said(0.018, 0.99, Gd(1)), "close to one GD step");
        assert_eq!(said(0.9, 0.1, Zero), "closest to predicting zero: loss 1.000 × GD-1");
        assert_eq!(said(0.4, 0.5, Gd(1)), "closest to one GD step, but not equal to it");
        assert_eq!(said(4e10, 0.0, LeastSquares), "far from every reference: differs from least squares by 4e12 %");
        assert_eq!(said(f64::NAN, f64::NAN, Zero), "far from every reference: differs from zero by –");
        assert_eq!(Closeness::of(&equivalence(f64::NAN, f64::NAN, Zero)), Closeness::Neither);
        let found = Equivalence { loss_gap: -0.99, ..equivalence(0.99, 0.0, Zero) };
        assert_eq!(answer(&found), "better than one GD step, and like no reference");
        assert_eq!([label(Gd(3)), phrase(Gd(3))], ["GD-3", "3 GD steps"]);
    }
}
