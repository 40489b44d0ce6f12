//! The claims of a preset, as data: `innerloop verify` trains and checks them.

use std::fmt;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::reference::Reference;

/// A claim: a quantity, measured after a number of steps, lies within bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    pub measure: Quantity,
    /// The greatest absolute value.
    #[serde(default)]
    pub within: Option<f64>,
    #[serde(default)]
    pub at_least: Option<f64>,
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The training step after which it is measured, on all held-out tasks.
    pub after: u64,
    /// For which share of the seeds it must hold, in (0, 1].
    #[serde(default = "all_seeds")]
    pub for_seeds: f64,
    /// Fields of the task that are changed for the measurement, as by `--set`: off the training distribution. The
    /// references keep the step sizes and penalties that they chose on the task as it was.
    #[serde(default)]
    pub set: Vec<(String, String)>,
}

fn all_seeds() -> f64 {
    1.0
}

/// A quantity that a claim can be about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Quantity {
    /// Loss divided by the loss of GD-1, minus 1.
    LossGap,
    /// Relative prediction difference to GD-1.
    PredictionDifference,
    /// Mean cosine between the model's sensitivity to the query and GD-1's.
    SensitivityCosine,
    /// Mean |cosine| between the hidden state, as it is, and Σ y xᵀ.
    StateCosine,
    /// The same for a state that is read through weights that the model learns.
    ReadStateCosine,
    /// Relative difference of the weights to the construction's, their symmetries divided out.
    ParameterDifference,
    /// Held-out loss divided by that of a reference.
    LossOver(Reference),
    /// Median held-out loss divided by that of a reference.
    MedianOver(Reference),
    /// The loss of one reference divided by that of another; independent of the model.
    ReferenceLossOver(Reference, Reference),
    /// The floating-point operations of one reference for a query divided by those of another; independent of the
    /// model.
    ReferenceOperationsOver(Reference, Reference),
    /// Held-out loss divided by that of the best linear filter of so many tokens, the query among them.
    LossOverFir(usize),
    /// Held-out loss divided by that of another preset of the same task after its own last claim, trained with the same
    /// seed. Only `innerloop verify`, which trains both, checks it.
    LossOverPreset(String),
    /// What the model keeps from one token to the next after a context of so many pairs, over what it keeps after so
    /// many others: 1 for a state of fixed size. A model that reads all tokens at once: what it keeps meanwhile.
    KeptOver(usize, usize),
    /// Operations of the last token of a context of so many pairs, over those with so many others.
    OperationsOver(usize, usize),
    /// On a grid, how much the cells right above and below the query's count, over those right beside it.
    WeightAboveOverBeside,
    /// R² of a learner's answers as a linear map of the query's token after so many layers; 0 is the embedding.
    LinearProbe { layer: usize, learner: Reference },
    /// Relative difference between the answers from the state and those by weights between tokens, of a model that is a
    /// recurrence and an attention in one.
    FormDifference,
    /// Relative prediction difference to a reference.
    DistanceTo(Reference),
    /// 1 if this reference is the nearest, or as near as the nearest within the sampling error, else 0; a claim about
    /// it takes no bound and means 1.
    Nearest(Reference),
    /// 1 if every reference is too far away to be called the nearest, else 0; a claim about it takes no bound and means
    /// 1.
    NearestNone,
}

impl Claim {
    /// Checks the bounds and the changed fields. A step beyond the preset's last is allowed: `--steps` may have
    /// shortened the run.
    ///
    /// # Errors
    /// A bound is missing or not finite, `Nearest` has one, or `set` changes a field outside the task.
    pub fn check(&self) -> Result<()> {
        let bounds = [self.within, self.at_least, self.at_most];
        let given = bounds.iter().flatten().count();
        ensure!(bounds.iter().flatten().all(|bound| bound.is_finite()), "claims: a bound must be a finite number");
        if self.is_about_nearest() {
            ensure!(given == 0, "claims: Nearest needs no bound; it means that this reference is the nearest");
        } else {
            ensure!(given > 0, "claims: give within, at_least or at_most with each measure");
        }
        ensure!(self.for_seeds > 0.0 && self.for_seeds <= 1.0, "claims: for_seeds must be above 0 and at most 1");
        let task = self.set.iter().all(|(key, _)| key.starts_with("task."));
        ensure!(task, "claims: set can change fields of the task only, such as task.range");
        Ok(())
    }

    /// What [`Self::set`] changes: keys and values.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.set.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the claim holds if it held for so many of so many seeds.
    pub fn holds_for(&self, held: usize, seeds: usize) -> bool {
        // The share may be a rounded decimal: .67 of three seeds is two of them.
        held as f64 >= (self.for_seeds - 0.01) * seeds as f64
    }

    /// The other preset whose training the claim needs.
    pub fn other_preset(&self) -> Option<&str> {
        if let Quantity::LossOverPreset(name) = &self.measure { Some(name) } else { None }
    }

    fn is_about_nearest(&self) -> bool {
        matches!(self.measure, Quantity::Nearest(_) | Quantity::NearestNone)
    }

    /// Whether the claim holds for a measured value; false for NaN.
    pub fn holds(&self, value: f64) -> bool {
        let least = if self.is_about_nearest() { Some(1.0) } else { self.at_least };
        !value.is_nan()
            && self.within.is_none_or(|bound| value.abs() <= bound)
            && least.is_none_or(|bound| value >= bound)
            && self.at_most.is_none_or(|bound| value <= bound)
    }
}

impl fmt::Display for Claim {
    /// "loss gap within 0.01 after 4000 steps".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.measure)?;
        for (word, bound) in [("within", self.within), ("at least", self.at_least), ("at most", self.at_most)] {
            if let Some(bound) = bound {
                write!(f, " {word} {bound}")?;
            }
        }
        for (key, value) in &self.set {
            write!(f, " at {}={value}", key.strip_prefix("task.").unwrap_or(key))?;
        }
        write!(f, " after {} steps", self.after)?;
        if self.for_seeds < 1.0 {
            write!(f, " for {:.0} % of seeds", 100.0 * self.for_seeds)?;
        }
        Ok(())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LossGap => f.write_str("loss gap to gd-1"),
            Self::PredictionDifference => f.write_str("prediction difference to gd-1"),
            Self::SensitivityCosine => f.write_str("sensitivity cosine with gd-1"),
            Self::StateCosine => f.write_str("state cosine with Σ y xᵀ"),
            Self::ReadStateCosine => f.write_str("cosine of the state, as read out, with Σ y xᵀ"),
            Self::ParameterDifference => f.write_str("weights' difference to the construction"),
            Self::LossOver(reference) => write!(f, "loss over that of {reference}"),
            Self::MedianOver(reference) => write!(f, "median loss over that of {reference}"),
            Self::ReferenceLossOver(one, other) => write!(f, "loss of {one} over that of {other}"),
            Self::ReferenceOperationsOver(one, other) => write!(f, "operations of {one} over those of {other}"),
            Self::LossOverFir(length) => write!(f, "loss over that of the best linear filter of {length} tokens"),
            Self::LossOverPreset(name) => write!(f, "loss over that of the preset {name}"),
            Self::KeptOver(pairs, others) => write!(f, "memory at {pairs} pairs over that at {others}"),
            Self::OperationsOver(pairs, others) => {
                write!(f, "operations of a token at {pairs} pairs over those at {others}")
            }
            Self::WeightAboveOverBeside => f.write_str("weight of the cells above and below over that of those beside"),
            Self::LinearProbe { layer, learner } => write!(f, "R² of {learner} in layer {layer}"),
            Self::FormDifference => f.write_str("difference of the recurrence's answers from the attention's"),
            Self::DistanceTo(reference) => write!(f, "prediction difference to {reference}"),
            Self::Nearest(reference) => write!(f, "nearest is {reference}"),
            Self::NearestNone => f.write_str("no reference is near"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(measure: Quantity) -> Claim {
        Claim { measure, within: None, at_least: None, at_most: None, after: 10, for_seeds: 1.0, set: Vec::new() }
    }

    #[test]
    fn bounds_hold_on_both_sides_and_never_for_nan() {
        let gap = Claim { within: Some(0.01), ..claim(Quantity::LossGap) };
        assert!(gap.holds(-0.01) && gap.holds(0.01) && !gap.holds(0.011) && !gap.holds(f64::NAN));
        let cosine = Claim { at_least: Some(0.9), at_most: Some(0.99), ..claim(Quantity::StateCosine) };
        assert!(cosine.holds(0.95) && !cosine.holds(0.8) && !cosine.holds(0.999));
        let nearest = claim(Quantity::Nearest(Reference::Gd(1)));
        assert!(nearest.holds(1.0) && !nearest.holds(0.0) && !nearest.holds(f64::NAN));
    }

    #[test]
    fn a_claim_holds_for_its_share_of_seeds() {
        let all = claim(Quantity::LossGap);
        assert!(all.holds_for(3, 3) && !all.holds_for(2, 3));
        let most = Claim { for_seeds: 0.67, within: Some(0.1), ..all };
        assert!(most.holds_for(2, 3) && !most.holds_for(1, 3) && most.holds_for(4, 5) && !most.holds_for(3, 5));
        assert_eq!(most.to_string(), "loss gap to gd-1 within 0.1 after 10 steps for 67 % of seeds");
        assert!(Claim { for_seeds: 0.0, ..most.clone() }.check().is_err() && most.check().is_ok());
    }

    #[test]
    fn a_claim_is_displayed_with_its_bounds_and_changes() {
        let gap = Claim { within: Some(0.01), ..claim(Quantity::LossGap) };
        assert_eq!(gap.to_string(), "loss gap to gd-1 within 0.01 after 10 steps");
        assert!(gap.check().is_ok());
        let shifted = |key: &str| Claim { set: vec![(key.to_owned(), "2.0".to_owned())], ..gap.clone() };
        assert_eq!(shifted("task.range").to_string(), "loss gap to gd-1 within 0.01 at range=2.0 after 10 steps");
        assert!(shifted("task.range").check().is_ok() && shifted("train.lr").check().is_err());
        assert!(claim(Quantity::LossGap).check().is_err(), "a claim without a bound");
        assert!(claim(Quantity::Nearest(Reference::Zero)).check().is_ok());
        assert!(Claim { within: Some(f64::NAN), ..claim(Quantity::LossGap) }.check().is_err());
    }
}
