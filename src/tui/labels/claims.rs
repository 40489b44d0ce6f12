//! A claim in words: what is measured, within which bounds, and the measured value.
//!
//! Owns how each quantity is written, in per cent or as a plain number. Knows nothing of layout.

use super::label;
use crate::preset::{Claim, Quantity};
use crate::reference::Reference;
use crate::tui::numbers::{count, percent, short, signed_percent, significant};

/// What is measured: "predictions differ from GD-1's".
pub fn quantity(claim: &Claim) -> String {
    let main = label(Reference::Gd(1));
    match &claim.measure {
        Quantity::LossGap => format!("loss against {main}'s"),
        Quantity::PredictionDifference => format!("predictions differ from {main}'s"),
        Quantity::SensitivityCosine => format!("sensitivity, cosine with {main}'s"),
        Quantity::StateCosine => "state, cosine with Σ y xᵀ".to_owned(),
        Quantity::ReadStateCosine => "state as read, cosine with Σ y xᵀ".to_owned(),
        Quantity::ParameterDifference => "relative distance from the constructed weights".to_owned(),
        Quantity::LossOver(reference) => format!("loss over {}'s", label(*reference)),
        Quantity::MedianOver(reference) => format!("median loss over {}'s", label(*reference)),
        Quantity::ReferenceLossOver(one, other) => format!("loss of {} over {}'s", label(*one), label(*other)),
        Quantity::ReferenceOperationsOver(one, other) => {
            format!("operations of {} over {}'s", label(*one), label(*other))
        }
        Quantity::LossOverFir(length) => format!("loss over a {length}-token linear filter's"),
        Quantity::LossOverPreset(name) => format!("loss over that of {name}"),
        Quantity::KeptOver(pairs, others) => format!("memory at {pairs} pairs over {others}"),
        Quantity::OperationsOver(pairs, others) => format!("operations at {pairs} pairs over {others}"),
        Quantity::WeightAboveOverBeside => "weight of a cell above over one beside".to_owned(),
        Quantity::LinearProbe { layer, learner } => format!("R² of {} in layer {layer}", label(*learner)),
        Quantity::FormDifference => "recurrence and attention differ".to_owned(),
        Quantity::DistanceTo(reference) => format!("predictions differ from {}'s", label(*reference)),
        Quantity::Nearest(reference) => format!("{} is the nearest", label(*reference)),
        Quantity::NearestNone => "no reference is near".to_owned(),
    }
}

/// The word of the glossary that says most about what is measured.
pub fn term(claim: &Claim) -> &'static str {
    match &claim.measure {
        Quantity::PredictionDifference | Quantity::DistanceTo(_) => "predictions differ by",
        Quantity::SensitivityCosine => "sensitivity",
        Quantity::StateCosine | Quantity::ReadStateCosine => "Σ y xᵀ",
        Quantity::ParameterDifference => "constructed",
        Quantity::LinearProbe { .. } => "linear probe",
        Quantity::FormDifference => "attention form",
        Quantity::Nearest(_) | Quantity::NearestNone => "nearest",
        Quantity::ReferenceLossOver(..) | Quantity::ReferenceOperationsOver(..) | Quantity::LossOverFir(_) => {
            "reference"
        }
        Quantity::LossGap | Quantity::LossOver(_) | Quantity::MedianOver(_) | Quantity::LossOverPreset(_) => "loss",
        Quantity::KeptOver(..) | Quantity::OperationsOver(..) => "token",
        Quantity::WeightAboveOverBeside => "query",
    }
}

/// How the values of a quantity are written.
enum Unit {
    /// A change, with its sign.
    Change,
    Percent,
    Factor,
    Cosine,
    /// R².
    Share,
    YesOrNo,
}

fn unit(quantity: &Quantity) -> Unit {
    match quantity {
        Quantity::LossGap => Unit::Change,
        Quantity::PredictionDifference
        | Quantity::ParameterDifference
        | Quantity::FormDifference
        | Quantity::DistanceTo(_) => Unit::Percent,
        Quantity::LossOver(_)
        | Quantity::MedianOver(_)
        | Quantity::ReferenceLossOver(..)
        | Quantity::ReferenceOperationsOver(..)
        | Quantity::LossOverFir(_)
        | Quantity::LossOverPreset(_)
        | Quantity::KeptOver(..)
        | Quantity::OperationsOver(..)
        | Quantity::WeightAboveOverBeside => Unit::Factor,
        Quantity::SensitivityCosine | Quantity::StateCosine | Quantity::ReadStateCosine => Unit::Cosine,
        Quantity::LinearProbe { .. } => Unit::Share,
        Quantity::Nearest(_) | Quantity::NearestNone => Unit::YesOrNo,
    }
}

/// The bounds: "at most 3 %", "0.9 to 1.1 ×"; empty where the quantity has none. Says for which share of the seeds,
/// where not for all.
pub fn bounds(claim: &Claim) -> String {
    let number = |bound: f64| match unit(&claim.measure) {
        Unit::Change if bound < 0.0 => format!("−{} %", short(-bound * 100.0)),
        Unit::Change | Unit::Percent => format!("{} %", short(bound * 100.0)),
        // As it is written: 1.001 must not read as 1.
        Unit::Factor => format!("{bound} ×"),
        Unit::Cosine | Unit::Share | Unit::YesOrNo => bound.to_string(),
    };
    let share = (claim.for_seeds < 1.0).then(|| format!("for {:.0} % of seeds", 100.0 * claim.for_seeds));
    if let (Some(least), Some(most), None) = (claim.at_least, claim.at_most, claim.within) {
        let [least, most] = [least, most].map(number);
        let unit = most.rsplit_once(' ').map_or("", |(_, unit)| unit);
        let range = format!("{} to {most}", least.trim_end_matches(unit).trim_end());
        return [range].into_iter().chain(share).collect::<Vec<_>>().join(", ");
    }
    let parts = [(claim.within, "±"), (claim.at_least, "at least "), (claim.at_most, "at most ")];
    let parts = parts.into_iter().filter_map(|(bound, word)| Some(format!("{word}{}", number(bound?))));
    parts.chain(share).collect::<Vec<_>>().join(", ")
}

/// A measured value.
pub fn value(claim: &Claim, value: f64) -> String {
    match unit(&claim.measure) {
        Unit::YesOrNo if value == 1.0 => "yes".to_owned(),
        Unit::YesOrNo => "no".to_owned(),
        Unit::Change => signed_percent(value),
        Unit::Percent => percent(value),
        // Truncated and not rounded: a cosine just below 1 must not read as 1.
        Unit::Cosine if value.is_finite() => ((value * 1e6).trunc() / 1e6).to_string(),
        Unit::Factor => format!("{} ×", significant(value, 3)),
        Unit::Cosine | Unit::Share => significant(value, 3),
    }
}

/// When it is measured: "after 4,000 steps".
pub fn moment(claim: &Claim) -> String {
    match claim.after {
        0 => "before the first step".to_owned(),
        after => format!("after {} steps", count(after)),
    }
}

/// The tasks on which it is measured, where they are not those of the training: "range 2".
pub fn shift(claim: &Claim) -> String {
    let field = |(key, value): &(String, String)| format!("{} {value}", key.trim_start_matches("task."));
    claim.set.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// The mark of a claim: held, not held, not known.
pub fn mark(held: Option<bool>) -> &'static str {
    match held {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "·",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_as_a_sentence_would() {
        let claim = |measure| Claim {
            measure,
            within: None,
            at_least: None,
            at_most: None,
            after: 4000,
            for_seeds: 1.0,
            set: vec![],
        };
        let said = |claim: &Claim, measured| [quantity(claim), bounds(claim), value(claim, measured)];
        let gap = Claim { within: Some(0.01), ..claim(Quantity::LossGap) };
        assert_eq!(said(&gap, 0.00013), ["loss against GD-1's", "±1 %", "+0.013 %"]);
        let below = Claim { at_most: Some(-0.4), ..claim(Quantity::LossGap) };
        assert_eq!(said(&below, -0.51), ["loss against GD-1's", "at most −40 %", "−51 %"]);
        let cosine = Claim { at_least: Some(0.999), ..claim(Quantity::SensitivityCosine) };
        assert_eq!(said(&cosine, 0.99978)[1..], ["at least 0.999", "0.99978"]);
        let over = Claim { at_most: Some(1.01), ..claim(Quantity::LossOver(Reference::Ridge)) };
        assert_eq!(said(&over, 1.0), ["loss over ridge's", "at most 1.01 ×", "1.00 ×"]);
        let same = Claim { at_least: Some(0.999), at_most: Some(1.001), ..over.clone() };
        assert_eq!(bounds(&same), "0.999 to 1.001 ×");
        let share = Claim { at_least: Some(-0.5), ..below.clone() };
        assert_eq!(bounds(&share), "−50 to −40 %");
        let nearest = claim(Quantity::Nearest(Reference::Gd(1)));
        assert_eq!(said(&nearest, 1.0), ["GD-1 is the nearest", "", "yes"]);
        assert_eq!(said(&cosine, f64::NAN)[2], "–");
        let moved = Claim { after: 0, set: vec![("task.range".to_owned(), "2.0".to_owned())], ..nearest };
        assert_eq!([moment(&moved), moment(&over)], ["before the first step", "after 4,000 steps"]);
        assert_eq!([shift(&moved), shift(&over)], ["range 2.0", ""]);
    }
}
