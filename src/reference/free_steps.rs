//! The best step sizes of a few steps of gradient descent, each with a size of its own.
//!
//! The answer is φ₀ a₀ + φ₁ a₁ + …, with φ(μ) = Σ φⱼ μʲ the filter's polynomial and aⱼ = B Gʲ x_q, so the mean loss is
//! a quadratic form in the coefficients. In each step size, the others being fixed, it is a parabola: each is set to
//! its best value in turn until none moves. Owns that iteration; does not know where the form comes from.

use super::filter::FREE_STEPS;

/// Passes over all step sizes at most; a pass costs next to nothing.
const PASSES: usize = 20_000;
/// Where the iteration starts, as multiples of the best size of a single step. Apart from each other: between equal
/// sizes nothing would decide which one grows.
const STARTS: [[f64; FREE_STEPS]; 3] = [[0.5, 1.0, 2.0], [1.0, 0.01, -0.01], [1.0, 0.1, 0.01]];

/// The mean loss of a polynomial filter: constant − 2 linear · φ + φᵀ square φ.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuadraticForm {
    pub linear: [f64; FREE_STEPS],
    pub square: [[f64; FREE_STEPS]; FREE_STEPS],
}

impl QuadraticForm {
    /// The loss of steps of these sizes, less the loss of none.
    fn loss(&self, etas: &[f64; FREE_STEPS]) -> f64 {
        let left = residual(etas.iter().copied());
        let phi: [f64; FREE_STEPS] = std::array::from_fn(|j| -left[j + 1]);
        dot(&phi, &self.square.map(|row| dot(&row, &phi))) - 2.0 * dot(&self.linear, &phi)
    }

    /// The sum of two forms.
    pub fn plus(self, other: Self) -> Self {
        Self {
            linear: std::array::from_fn(|i| self.linear[i] + other.linear[i]),
            square: std::array::from_fn(|i| std::array::from_fn(|j| self.square[i][j] + other.square[i][j])),
        }
    }
}

/// The best sizes of `steps` steps, at most [`FREE_STEPS`], in rising order; 0 for those that are not made. `one` is
/// the best size of a single step.
pub fn best(form: &QuadraticForm, steps: usize, one: f64) -> [f64; FREE_STEPS] {
    // The iteration stops in the nearest of several valleys: one of steps alike in size, one of a step and its
    // corrections.
    let candidates = STARTS.map(|ratios| descend(form, steps.min(FREE_STEPS), ratios.map(|ratio| ratio * one)));
    let best = candidates.into_iter().min_by(|a, b| form.loss(a).total_cmp(&form.loss(b)));
    let mut etas = best.unwrap_or_default();
    etas[..steps.min(FREE_STEPS)].sort_by(f64::total_cmp);
    etas
}

/// From these sizes on, each in turn to its best value.
fn descend(form: &QuadraticForm, steps: usize, start: [f64; FREE_STEPS]) -> [f64; FREE_STEPS] {
    let mut etas = [0.0; FREE_STEPS];
    etas[..steps].copy_from_slice(&start[..steps]);
    let scale = start.iter().fold(0.0f64, |most, eta| most.max(eta.abs()));
    for _ in 0..PASSES {
        let before = etas;
        for chosen in 0..steps {
            let others = residual((0..steps).filter(|step| *step != chosen).map(|step| etas[step]));
            // 1 − μ φ = (1 − η μ) R with R the others' residual, so φ = (1 − R)/μ + η R.
            let base: [f64; FREE_STEPS] = std::array::from_fn(|j| -others[j + 1]);
            let along: [f64; FREE_STEPS] = std::array::from_fn(|j| others[j]);
            let curved: [f64; FREE_STEPS] = form.square.map(|row| dot(&row, &along));
            let eta = (dot(&form.linear, &along) - dot(&curved, &base)) / dot(&curved, &along);
            etas[chosen] = if eta.is_finite() { eta } else { 0.0 };
        }
        let moved = etas.iter().zip(before).map(|(eta, before)| (eta - before).abs()).fold(0.0, f64::max);
        if moved <= 1e-12 * scale {
            break;
        }
    }
    etas
}

/// The coefficients of Π (1 − η μ), of at most [`FREE_STEPS`] − 1 factors, from the constant on.
fn residual(etas: impl Iterator<Item = f64>) -> [f64; FREE_STEPS + 1] {
    let mut polynomial = [0.0; FREE_STEPS + 1];
    polynomial[0] = 1.0;
    for eta in etas {
        for j in (1..=FREE_STEPS).rev() {
            polynomial[j] -= eta * polynomial[j - 1];
        }
    }
    polynomial
}

fn dot(a: &[f64; FREE_STEPS], b: &[f64; FREE_STEPS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of (1 − μ φ)² over eigenvalues.
    fn form(values: &[f64]) -> QuadraticForm {
        let moment = |power: usize| values.iter().map(|value| value.powi(power as i32)).sum::<f64>();
        QuadraticForm {
            linear: std::array::from_fn(|j| moment(j + 1)),
            square: std::array::from_fn(|i| std::array::from_fn(|j| moment(i + j + 2))),
        }
    }

    #[test]
    fn as_many_steps_as_eigenvalues_invert_exactly() {
        let found = best(&form(&[0.5, 2.0]), 2, 1.0);
        assert!((found[0] - 0.5).abs() < 1e-8 && (found[1] - 2.0).abs() < 1e-8 && found[2] == 0.0, "{found:?}");
        let found = best(&form(&[0.5, 1.0, 4.0]), 3, 1.0);
        for (eta, value) in found.into_iter().zip([4.0, 1.0, 0.5]) {
            assert!((eta * value - 1.0).abs() < 1e-5, "{found:?}");
        }
    }

    #[test]
    fn one_step_is_the_parabola_s_own_and_no_step_moves_for_the_better() {
        let form = form(&[0.1, 0.3, 0.9, 1.4]);
        assert!((best(&form, 1, 1.0)[0] - form.linear[0] / form.square[0][0]).abs() < 1e-12);
        let found = best(&form, 2, 1.0);
        for moved in [[0.01, 0.0], [-0.01, 0.0], [0.0, 0.01], [0.0, -0.01]] {
            assert!(form.loss(&found) < form.loss(&[found[0] + moved[0], found[1] + moved[1], 0.0]));
        }
        // A step more never costs: with a third of size 0 nothing is lost.
        assert!(form.loss(&best(&form, 3, 1.0)) <= form.loss(&found) + 1e-12);
    }
}
