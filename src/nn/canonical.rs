//! How near learnt weights are to those of a construction.
//!
//! Weights that differ can make the same model: where two of them are multiplied, a factor may wander from one to the
//! other. A model that has a construction gives its weights with such factors divided out, each beside what the theory
//! has in its place, and leaves out what the construction multiplies by zero; owns the distance between the two.

/// Weights after their symmetries are divided out, and what the construction has there.
#[derive(Clone, Debug, PartialEq)]
pub struct Canonical {
    /// "Λ", "2.C".
    pub name: String,
    pub learnt: Vec<f32>,
    pub gd_constants: Vec<f32>,
}

/// Root mean square, over the parts, of ‖learnt − theory‖/‖theory‖, or of ‖learnt‖ where the theory has zero. None for a
/// model without a construction.
pub fn parameter_difference(parts: &[Canonical]) -> Option<f64> {
    let square = |part: &Canonical| {
        let apart: f64 = part.learnt.iter().zip(&part.gd_constants).map(|(l, t)| f64::from(l - t).powi(2)).sum();
        let whole: f64 = part.gd_constants.iter().map(|t| f64::from(*t).powi(2)).sum();
        apart / if whole == 0.0 { 1.0 } else { whole }
    };
    (!parts.is_empty()).then(|| (parts.iter().map(square).sum::<f64>() / parts.len() as f64).sqrt())
}

/// A weight of norm 1 that points the way the theory's does, and the factor that was taken out of it.
pub fn unit(weight: &[f32], gd_constants: &[f32]) -> (Vec<f32>, f32) {
    let norm = weight.iter().map(|w| w * w).sum::<f32>().sqrt();
    let along: f32 = weight.iter().zip(gd_constants).map(|(w, t)| w * t).sum();
    let factor = if along < 0.0 { -norm } else { norm };
    (weight.iter().map(|w| w / if factor == 0.0 { 1.0 } else { factor }).collect(), factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_points_the_way_of_the_theory() {
        let (weight, factor) = unit(&[0.0, -4.0, 3.0], &[0.0, 1.0, 0.0]);
        assert_eq!((weight, factor), (vec![0.0, 0.8, -0.6], -5.0));
        assert_eq!(unit(&[0.0], &[1.0]), (vec![0.0], 0.0));
    }

    #[test]
    fn parts_count_alike_whatever_their_scale() {
        let part = |learnt: f32, gd_constants: f32| Canonical {
            name: String::new(),
            learnt: vec![learnt],
            gd_constants: vec![gd_constants],
        };
        assert_eq!(parameter_difference(&[]), None);
        assert_eq!(parameter_difference(&[part(150.0, 100.0), part(1.5, 1.0)]), Some(0.5));
        assert_eq!(parameter_difference(&[part(0.25, 0.0)]), Some(0.25));
    }
}
