//! The loss that a task's models are trained on and measured by, on plain numbers. Training has the same on tensors.

use serde::Serialize;

/// The loss of an answer ŷ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// ½ ‖ŷ − y‖² / d_out.
    SquaredError,
    /// −Σ y log softmax(ŷ) of logits ŷ and a one-hot y.
    CrossEntropy,
}

impl Objective {
    /// "squared error" or "cross-entropy".
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
                let max = pairs().map(|(a, _)| a).fold(f64::MIN, f64::max);
                let log_sum_exp = max + pairs().map(|(a, _)| (a - max).exp()).sum::<f64>().ln();
                pairs().map(|(a, t)| t * (log_sum_exp - a)).sum()
            }
        }
    }

    /// The loss of each answer: (B, d_out) against (B, d_out).
    pub fn losses(self, answers: &[f32], targets: &[f32], outputs: usize) -> Vec<f64> {
        answers.chunks(outputs).zip(targets.chunks(outputs)).map(|(answer, target)| self.loss(answer, target)).collect()
    }

    /// Answers as the equivalence measures compare them: (B, d_out). The mean over the classes is subtracted from
    /// logits, because a constant that is added to all of them changes no probability.
    pub fn comparable(self, mut answers: Vec<f32>, outputs: usize) -> Vec<f32> {
        match self {
            Self::SquaredError => {}
            Self::CrossEntropy => answers.chunks_mut(outputs).for_each(|logits| {
                let mean = logits.iter().sum::<f32>() / outputs as f32;
                logits.iter_mut().for_each(|logit| *logit -= mean);
            }),
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_equal_their_formulas() {
        assert!((Objective::SquaredError.loss(&[1.0, -1.0], &[0.0, 1.0]) - 1.25).abs() < 1e-12);
        let uniform = Objective::CrossEntropy.loss(&[7.0; 4], &[0.0, 1.0, 0.0, 0.0]);
        assert!((uniform - 4f64.ln()).abs() < 1e-12);
        let confident = Objective::CrossEntropy.loss(&[900.0, 0.0], &[0.0, 1.0]);
        assert!((confident - 900.0).abs() < 1e-9, "{confident}");
        assert!(Objective::CrossEntropy.loss(&[f32::NAN, 0.0], &[0.0, 1.0]).is_nan());
    }

    #[test]
    fn a_constant_added_to_all_logits_changes_nothing() {
        let shifted = Objective::CrossEntropy.comparable(vec![1.0, 2.0, 6.0, 11.0, 12.0, 16.0], 3);
        assert_eq!(shifted[..3], [-2.0, -1.0, 3.0]);
        assert_eq!(shifted[..3], shifted[3..]);
        assert_eq!(Objective::SquaredError.comparable(vec![1.0, 2.0], 2), [1.0, 2.0]);
    }
}
