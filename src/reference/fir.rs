//! The best linear filter of the last tokens of a sampled signal: what a linear recurrence should be held to.
//!
//! A filter of length L answers with a fixed linear function of the last L tokens, of which the newest is the query and
//! the others are pairs: ŷ = H₀ x_q + Σ_{j=1}^{L−1} (H_j x_{N+1−j} + K_j y_{N+1−j}). H and K are those of the least
//! mean squared error over tuning problems. Unlike the references it learns over tasks and not within one.

use nalgebra::{DMatrix, DVector};

use super::Problem;

/// Singular values of the tokens' second moments below this share of the largest count as 0.
const RANK: f64 = 1e-14;

/// A finite impulse response filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Fir {
    /// L, the tokens that it reads.
    length: usize,
    /// [H₀ H₁ K₁ H₂ K₂ …]: (d_out, d + (L − 1)(d + d_out)).
    taps: DMatrix<f64>,
}

impl Fir {
    /// The best filter of L tokens on these problems; all zero where there are none.
    pub fn best(length: usize, tuning: &[Problem]) -> Self {
        let Some(first) = tuning.first() else { return Self { length, taps: DMatrix::zeros(0, 0) } };
        let (width, outputs) = (tokens(length, first).len(), first.target.len());
        let (mut square, mut cross) = (DMatrix::zeros(width, width), DMatrix::zeros(outputs, width));
        for problem in tuning {
            let tokens = tokens(length, problem);
            square.ger(1.0, &tokens, &tokens, 1.0);
            cross.ger(1.0, &problem.target, &tokens, 1.0);
        }
        let svd = square.svd(true, true);
        let cutoff = RANK * svd.singular_values.max();
        let inverse = svd.pseudo_inverse(cutoff);
        Self { length, taps: inverse.map_or_else(|_| DMatrix::zeros(outputs, width), |inverse| cross * inverse) }
    }

    /// What the first output answers to an impulse in the first number of x, 0, 1, … tokens before the query, and of y,
    /// 1, 2, … tokens before it.
    pub fn impulse(&self) -> (Vec<f64>, Vec<f64>) {
        let outputs = self.taps.nrows();
        let tap = |column: usize| self.taps.get((0, column)).copied().unwrap_or(0.0);
        let earlier = self.length.saturating_sub(1);
        // d + (L − 1)(d + d_out) columns.
        let dim = (self.taps.ncols() - earlier * outputs) / self.length.max(1);
        let token = |back: usize| if back == 0 { 0 } else { dim + (back - 1) * (dim + outputs) };
        let signal = (0..self.length).map(|back| tap(token(back))).collect();
        (signal, (1..=earlier).map(|back| tap(token(back) + dim)).collect())
    }

    /// ŷ: (d_out).
    pub fn answer(&self, problem: &Problem) -> DVector<f64> {
        &self.taps * tokens(self.length, problem)
    }
}

/// The last L tokens, the newest first; zeros where the context is shorter.
fn tokens(length: usize, problem: &Problem) -> DVector<f64> {
    let (d, outputs, pairs) = (problem.x.nrows(), problem.y.nrows(), problem.x.ncols());
    let mut all = problem.query.as_slice().to_vec();
    for back in 1..length {
        match pairs.checked_sub(back) {
            Some(pair) => {
                all.extend(problem.x.column(pair).iter());
                all.extend(problem.y.column(pair).iter());
            }
            None => all.resize(all.len() + d + outputs, 0.0),
        }
    }
    DVector::from_vec(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// u = a cos ωt + b sin ωt at t = 0 … 5 with its slope, the query at 6: two earlier tokens determine it for fixed
    /// ω.
    fn wave(a: f64, b: f64) -> Problem {
        let u = |t: f64| a * (0.5 * t).cos() + b * (0.5 * t).sin();
        let slope = |t: f64| 0.5 * (b * (0.5 * t).cos() - a * (0.5 * t).sin());
        Problem {
            x: DMatrix::from_fn(1, 6, |_, t| u(t as f64)),
            y: DMatrix::from_fn(1, 6, |_, t| slope(t as f64)),
            query: DVector::from_element(1, u(6.0)),
            target: DVector::from_element(1, slope(6.0)),
        }
    }

    #[test]
    fn a_filter_finds_the_slope_of_a_wave_of_known_frequency() {
        let waves: Vec<_> = (0..20).map(|i| wave((i as f64).sin(), (2.0 * i as f64).cos())).collect();
        let other = wave(0.3, -1.2);
        let error = |length| (Fir::best(length, &waves).answer(&other) - &other.target).norm();
        assert!(error(1) > 0.05, "the query alone: {}", error(1));
        assert!(error(2) < 1e-6, "a token more: {}", error(2));
        assert!(error(9) < 1e-6, "more tokens than there are");
        let filter = Fir::best(2, &waves);
        let (signal, slope) = filter.impulse();
        let answer = signal[0] * other.query[0] + signal[1] * other.x[5] + slope[0] * other.y[5];
        assert!((answer - filter.answer(&other)[0]).abs() < 1e-12);
    }
}
