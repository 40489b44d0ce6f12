//! Which reference a model's answers are nearest to, and whether another is as near.
//!
//! All distances are mean ‖f(x_q) − g(x_q)‖₂ over one scale, [`HeldOut::scale`]: the mean norm of the true answers.
//! Divided by its own norm instead, a reference with answers of larger norm would look nearer than one with smaller.

use rayon::prelude::*;

use super::HeldOut;
use super::distance::{distances, mean, paired_difference};
use crate::reference::Reference;

/// A model farther than this from every reference has no nearest one.
pub const NEAR: f64 = 0.15;

/// References differ in distance if the difference exceeds so many standard errors.
const ERRORS: f64 = 2.0;

/// Of the references that differ on a task, the best learner: the Kalman filter where weights drift, ridge where
/// targets are noisy, else least squares. `None` where none of them is defined.
pub fn best_learner(distinct: impl Iterator<Item = Reference> + Clone) -> Option<Reference> {
    let best = [Reference::Kalman, Reference::Ridge, Reference::LeastSquares];
    best.into_iter().find(|best| distinct.clone().any(|reference| reference == *best))
}

/// The distances of a model from the references.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    /// Of every reference that equals no simpler one.
    pub all: Vec<(Reference, f64)>,
    /// The reference with the least distance, however large.
    pub least: Reference,
    /// Those whose distance is not larger than the least by more than twice the paired standard error.
    pub ties: Vec<Reference>,
}

/// Compares answers, (B, d_out), with those of every reference.
pub fn measure(answers: &[f32], held_out: &HeldOut) -> Distances {
    let (outputs, scale) = (held_out.batch().shape.outputs, held_out.scale());
    let each: Vec<(Reference, Vec<f64>)> = held_out
        .distinct()
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|(reference, solved)| (reference, distances(answers, solved, outputs)))
        .collect();
    let all: Vec<(Reference, f64)> = each.iter().map(|(reference, each)| (*reference, mean(each) / scale)).collect();
    let least = (0..all.len()).min_by(|a, b| all[*a].1.total_cmp(&all[*b].1));
    let Some(least) = least else { return Distances { all, least: Reference::Zero, ties: Vec::new() } };
    let ties = (0..all.len()).into_par_iter().filter(|other| {
        let further = paired_difference(&each[*other].1, &each[least].1);
        *other != least && further.mean <= ERRORS * further.standard_error
    });
    let ties = ties.map(|other| all[other].0).collect();
    Distances { least: all[least].0, ties, all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_learner_is_the_most_general_of_those_that_differ() {
        use Reference::{Gd, Kalman, LeastSquares, Ridge, Zero};
        let best = |distinct: &[Reference]| best_learner(distinct.iter().copied());
        assert_eq!(best(&[Zero, Gd(1), LeastSquares]), Some(LeastSquares));
        assert_eq!(best(&[Zero, LeastSquares, Ridge, Kalman]), Some(Kalman));
        assert_eq!(best(&[Zero, Gd(1)]), None);
    }
}
