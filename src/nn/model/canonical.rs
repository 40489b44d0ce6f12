//! The distance between learnt weights and those of a construction.
//!
//! Different weights can give the same model: where two of them are multiplied, a factor can move from one to the
//! other. A model lists its weights with such factors divided out, beside the constructed values where it has a
//! construction, and omits weights that the construction multiplies by zero.

/// Weights after their symmetries are divided out, and the constructed values.
#[derive(Clone, Debug, PartialEq)]
pub struct Canonical {
    /// "Λ", "2.C".
    pub name: String,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Row-major.
    pub learnt: Vec<f32>,
    /// As many; `None` for a model without a construction.
    pub constructed: Option<Vec<f32>>,
}

impl Canonical {
    pub fn new(
        name: impl Into<String>,
        columns: usize,
        learnt: Vec<f32>,
        constructed: impl Into<Option<Vec<f32>>>,
    ) -> Self {
        let shape = (learnt.len() / columns, columns);
        Self { name: name.into(), shape, learnt, constructed: constructed.into() }
    }
}

/// Root mean square, over the parts, of ‖learnt − constructed‖/‖constructed‖, or of ‖learnt‖ where the constructed
/// value is zero. `None` for a model without a construction.
pub fn parameter_difference(parts: &[Canonical]) -> Option<f64> {
    let square = |part: &Canonical| {
        let constructed = part.constructed.as_ref()?;
        let apart: f64 = part.learnt.iter().zip(constructed).map(|(l, c)| f64::from(l - c).powi(2)).sum();
        let whole: f64 = constructed.iter().map(|c| f64::from(*c).powi(2)).sum();
        Some(apart / if whole == 0.0 { 1.0 } else { whole })
    };
    let squares: f64 = parts.iter().map(square).sum::<Option<f64>>()?;
    (!parts.is_empty()).then(|| (squares / parts.len() as f64).sqrt())
}

/// The weight divided by ±its norm, so that its product with the constructed one is not negative, and that factor.
pub fn unit(weight: &[f32], constructed: &[f32]) -> (Vec<f32>, f32) {
    let norm = weight.iter().map(|w| w * w).sum::<f32>().sqrt();
    let along: f32 = weight.iter().zip(constructed).map(|(w, c)| w * c).sum();
    let factor = if along < 0.0 { -norm } else { norm };
    (weight.iter().map(|w| w / if factor == 0.0 { 1.0 } else { factor }).collect(), factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_weight_has_the_sign_of_the_constructed_one() {
        let (weight, factor) = unit(&[0.0, -4.0, 3.0], &[0.0, 1.0, 0.0]);
        assert_eq!((weight, factor), (vec![0.0, 0.8, -0.6], -5.0));
        assert_eq!(unit(&[0.0], &[1.0]), (vec![0.0], 0.0));
    }

    #[test]
    fn parts_count_equally_at_any_scale() {
        let part = |learnt: f32, constructed: f32| Canonical::new("", 1, vec![learnt], vec![constructed]);
        assert_eq!(parameter_difference(&[]), None);
        assert_eq!(parameter_difference(&[part(150.0, 100.0), part(1.5, 1.0)]), Some(0.5));
        assert_eq!(parameter_difference(&[part(0.25, 0.0)]), Some(0.25));
        assert_eq!(parameter_difference(&[part(1.5, 1.0), Canonical { constructed: None, ..part(1.0, 1.0) }]), None);
    }
}
