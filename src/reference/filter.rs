//! What a batch learner makes of each direction of the data.
//!
//! With G = X Xᵀ/N = V diag(μ) Vᵀ and B = Y Xᵀ/N, these batch learners end with W = B V diag(φ(μ)) Vᵀ. Owns the
//! functions φ; knows nothing of decompositions.

/// Step sizes that a descent with free steps can have at most.
pub const FREE_STEPS: usize = 3;

/// φ: by what factor the moment B is passed on in a direction in which inputs have the mean square μ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// φ = 0.
    Zero,
    /// k steps: φ = (1 − (1 − η μ)ᵏ) / μ, which is η for one.
    Descent { eta: f64, steps: u32 },
    /// Steps of sizes η₁, η₂, η₃: φ = (1 − Π (1 − ηⱼ μ)) / μ. A size of 0 is no step.
    Free { etas: [f64; FREE_STEPS] },
    /// k steps w ← w + η (1 − μ w) + β (w − w′) from w = w′ = 0, w′ being the w of the step before: φ = w.
    Momentum { eta: f64, momentum: f64, steps: u32 },
    /// GD++: φ = η (1 − γ μ)², once for the context and once for the query.
    Preconditioned { eta: f64, gamma: f64 },
    /// Newton–Schulz from M₀ = α G/μ_max²: φ = (1 − (1 − α (μ/μ_max)²)^(2ᵏ)) / μ.
    Newton { alpha: f64, iterations: u32 },
    /// φ = 1 / (μ + λ/N).
    Ridge { lambda: f64 },
    /// φ = 1/μ, and 0 where there are no data.
    LeastSquares,
}

/// What φ depends on besides μ.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// N, the divisor in G.
    pub pairs: f64,
    /// μ_max, the largest eigenvalue of G.
    pub largest: f64,
    /// μ at or below counts as 0 where it would be divided by.
    pub cutoff: f64,
}

/// Eigenvalues below this share of the largest are rounding, and count as 0.
pub(super) const RANK: f64 = 1e-12;

impl Context {
    /// Of these eigenvalues and N. Where one is NaN, so is the cutoff.
    pub fn of(values: &[f64], pairs: f64) -> Self {
        let largest = values.iter().fold(0.0f64, |most, &value| if value > most { value } else { most });
        let cutoff = if values.iter().any(|value| value.is_nan()) { f64::NAN } else { RANK * largest };
        Self { pairs, largest, cutoff }
    }
}

impl Filter {
    /// φ(μ).
    pub fn gain(self, value: f64, context: Context) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Descent { eta, steps } => descent(value, eta, f64::from(steps)),
            Self::Free { etas } => {
                let add = |(gain, rest): (f64, f64), eta: &f64| (gain + eta * rest, rest * (1.0 - eta * value));
                etas.iter().fold((0.0, 1.0), add).0
            }
            Self::Momentum { eta, momentum, steps } => {
                let step = |(w, before): (f64, f64), _| (w + eta * (1.0 - value * w) + momentum * (w - before), w);
                (0..steps).fold((0.0, 0.0), step).0
            }
            Self::Preconditioned { eta, gamma } => eta * (1.0 - gamma * value).powi(2),
            Self::Newton { .. } if value <= context.cutoff => 0.0,
            Self::Newton { alpha, iterations } => {
                let share = value / context.largest;
                // The same geometric sum as that of descent, in α (μ/μ_max)², times the step from G to 1/μ.
                let first = alpha * share / context.largest;
                first * descent(share * share, alpha, 2f64.powi(i32::try_from(iterations).unwrap_or(i32::MAX))) / alpha
            }
            Self::Ridge { lambda } if lambda > 0.0 => 1.0 / (value + lambda / context.pairs),
            Self::Ridge { .. } | Self::LeastSquares if value <= context.cutoff => 0.0,
            Self::Ridge { .. } | Self::LeastSquares => 1.0 / value,
        }
    }
}

/// (1 − (1 − η μ)ᵏ) / μ without the loss of digits that small μ would bring; k is a whole number.
fn descent(value: f64, eta: f64, k: f64) -> f64 {
    let step = eta * value;
    if k == 1.0 || step == 0.0 {
        eta * k
    } else if step < 0.1 {
        -(k * (-step).ln_1p()).exp_m1() / value
    } else {
        (1.0 - (1.0 - step).powf(k)) / value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { pairs: 10.0, largest: 0.7, cutoff: 1e-13 };

    #[test]
    fn descent_is_the_geometric_sum() {
        for value in [0.0, 1e-14, 1e-3, 0.02, 0.1, 0.7] {
            for steps in [0, 1, 2, 7, 100] {
                let sum: f64 = (0..steps).map(|j| 2.5 * (1.0f64 - 2.5 * value).powi(j)).sum();
                let gain = Filter::Descent { eta: 2.5, steps: steps as u32 }.gain(value, CONTEXT);
                assert!((gain - sum).abs() <= 1e-12 * sum, "{value} {steps}: {gain} not {sum}");
                let momentum = Filter::Momentum { eta: 2.5, momentum: 0.0, steps: steps as u32 };
                assert!((momentum.gain(value, CONTEXT) - sum).abs() <= 1e-12 * sum);
            }
            let equal = Filter::Free { etas: [2.5; 3] }.gain(value, CONTEXT);
            assert!((equal - Filter::Descent { eta: 2.5, steps: 3 }.gain(value, CONTEXT)).abs() <= 1e-12 * equal);
        }
    }

    #[test]
    fn newton_is_the_literal_iteration() {
        for value in [1e-6, 0.02, 0.3, 0.7] {
            let mut inverse = 1.3 * value / (0.7 * 0.7);
            for iterations in 0..6 {
                let gain = Filter::Newton { alpha: 1.3, iterations }.gain(value, CONTEXT);
                assert!((gain / inverse - 1.0).abs() < 1e-11, "{value} {iterations}: {gain} not {inverse}");
                inverse = 2.0 * inverse - inverse * value * inverse;
            }
        }
    }

    #[test]
    fn directions_without_data_are_left_alone() {
        assert_eq!(Filter::LeastSquares.gain(1e-17, CONTEXT), 0.0);
        assert_eq!(Filter::Ridge { lambda: 0.0 }.gain(1e-17, CONTEXT), 0.0);
        assert_eq!(Filter::Newton { alpha: 1.0, iterations: 2 }.gain(0.0, CONTEXT), 0.0);
        assert!(Filter::LeastSquares.gain(f64::NAN, Context { cutoff: f64::NAN, ..CONTEXT }).is_nan());
    }
}
