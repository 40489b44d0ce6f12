//! What a batch learner makes of each direction of the data.
//!
//! With G = X Xᵀ/N = V diag(μ) Vᵀ and B = Y Xᵀ/N, every batch reference ends with W = B V diag(φ(μ)) Vᵀ. Owns the
//! functions φ; knows nothing of decompositions.

/// φ: by what factor the moment B is passed on in a direction in which inputs have the mean square μ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// φ = 0.
    Zero,
    /// k steps: φ = (1 − (1 − η μ)ᵏ) / μ, which is η for one.
    Descent { eta: f64, steps: u32 },
    /// GD++: φ = η (1 − γ μ)², once for the context and once for the query.
    Preconditioned { eta: f64, gamma: f64 },
    /// φ = 1 / (μ + λ/N).
    Ridge { lambda: f64 },
    /// φ = 1/μ, and 0 where there are no data.
    LeastSquares,
}

impl Filter {
    /// φ(μ) for a context of N pairs; μ at or below `cutoff` counts as 0 where it would be divided by.
    pub fn gain(self, value: f64, pairs: f64, cutoff: f64) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Descent { eta, steps } => descent(value, eta, steps),
            Self::Preconditioned { eta, gamma } => eta * (1.0 - gamma * value).powi(2),
            Self::Ridge { lambda } if lambda > 0.0 => 1.0 / (value + lambda / pairs),
            Self::Ridge { .. } | Self::LeastSquares if value <= cutoff => 0.0,
            Self::Ridge { .. } | Self::LeastSquares => 1.0 / value,
        }
    }
}

/// (1 − (1 − η μ)ᵏ) / μ without the loss of digits that small μ would bring.
fn descent(value: f64, eta: f64, steps: u32) -> f64 {
    let (step, k) = (eta * value, f64::from(steps));
    if steps == 1 || step == 0.0 {
        eta * k
    } else if step < 0.1 {
        -(k * (-step).ln_1p()).exp_m1() / value
    } else {
        (1.0 - (1.0 - step).powi(i32::try_from(steps).unwrap_or(i32::MAX))) / value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_is_the_geometric_sum() {
        for value in [0.0, 1e-14, 1e-3, 0.02, 0.1, 0.7] {
            for steps in [0, 1, 2, 7, 100] {
                let sum: f64 = (0..steps).map(|j| 2.5 * (1.0f64 - 2.5 * value).powi(j)).sum();
                let gain = Filter::Descent { eta: 2.5, steps: steps as u32 }.gain(value, 1.0, 0.0);
                assert!((gain - sum).abs() <= 1e-12 * sum, "{value} {steps}: {gain} not {sum}");
            }
        }
    }

    #[test]
    fn directions_without_data_are_left_alone() {
        assert_eq!(Filter::LeastSquares.gain(1e-17, 10.0, 1e-13), 0.0);
        assert_eq!(Filter::Ridge { lambda: 0.0 }.gain(1e-17, 10.0, 1e-13), 0.0);
        assert!(Filter::LeastSquares.gain(f64::NAN, 10.0, f64::NAN).is_nan());
    }
}
