//! What a task is trained and measured by.
//!
//! Owns the two losses as plain numbers; training has them once more, on tensors.

use serde::Serialize;

/// How wrong an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// ½ ‖ŷ − y‖² / d_out.
    SquaredError,
    /// −Σ y log softmax(ŷ), the answer being logits and y one-hot.
    CrossEntropy,
}

impl Objective {
    /// In a word or two: "squared error".
    pub fn name(self) -> &'static str {
        match self {
            Self::SquaredError => "squared error",
            Self::CrossEntropy => "cross-entropy",
        }
    }

    /// The loss of one answer: (d_out) against (d_out).
    pub fn loss(self, answer: &[f32], target: &[f32]) -> f64 {
        let pairs = || answer.iter().zip(target).map(|(a, t)| (f64::from(*a), f64::from(*t)));
        match self {
            Self::SquaredError => 0.5 * pairs().map(|(a, t)| (a - t).powi(2)).sum::<f64>() / answer.len() as f64,
            Self::CrossEntropy => {
                let most = pairs().map(|(a, _)| a).fold(f64::MIN, f64::max);
                let whole = most + pairs().map(|(a, _)| (a - most).exp()).sum::<f64>().ln();
                pairs().map(|(a, t)| t * (whole - a)).sum()
            }
        }
    }

    /// The loss of each answer: (B, d_out) against (B, d_out).
    pub fn losses(self, answers: &[f32], targets: &[f32], outputs: usize) -> Vec<f64> {
        answers.chunks(outputs).zip(targets.chunks(outputs)).map(|(answer, target)| self.loss(answer, target)).collect()
    }

    /// Answers in the form in which they are compared with others: (B, d_out). Logits lose their mean over the classes,
    /// since a constant that is added to all of them changes no probability.
    pub fn comparable(self, mut answers: Vec<f32>, outputs: usize) -> Vec<f32> {
        if self == Self::CrossEntropy {
            for answer in answers.chunks_mut(outputs) {
                let mean = answer.iter().sum::<f32>() / outputs as f32;
                answer.iter_mut().for_each(|logit| *logit -= mean);
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_what_they_are_called() {
        assert!((Objective::SquaredError.loss(&[1.0, -1.0], &[0.0, 1.0]) - 1.25).abs() < 1e-12);
        let even = Objective::CrossEntropy.loss(&[7.0; 4], &[0.0, 1.0, 0.0, 0.0]);
        assert!((even - 4f64.ln()).abs() < 1e-12);
        let sure = Objective::CrossEntropy.loss(&[900.0, 0.0], &[0.0, 1.0]);
        assert!((sure - 900.0).abs() < 1e-9, "{sure}");
        assert!(Objective::CrossEntropy.loss(&[f32::NAN, 0.0], &[0.0, 1.0]).is_nan());
    }

    #[test]
    fn a_constant_added_to_all_logits_makes_no_difference() {
        let shifted = Objective::CrossEntropy.comparable(vec![1.0, 2.0, 6.0, 11.0, 12.0, 16.0], 3);
        assert_eq!(shifted[..3], [-2.0, -1.0, 3.0]);
        assert_eq!(shifted[..3], shifted[3..]);
        assert_eq!(Objective::SquaredError.comparable(vec![1.0, 2.0], 2), [1.0, 2.0]);
    }
}
