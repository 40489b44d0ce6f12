//! A reference that can be run.
//!
//! Owns which algorithm a name stands for once its parameters are chosen. Does not choose them.

use nalgebra::DMatrix;

use super::{Filter, Gauss, Loss, Problem, Reference, Spectrum, logistic, recursive};

/// A reference with its step sizes chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    pub reference: Reference,
    /// What it descends on.
    pub loss: Loss,
    /// η, for gradient descent.
    pub eta: Option<f64>,
    /// λ, for ridge.
    pub lambda: Option<f64>,
    /// γ, for preconditioned descent.
    pub gamma: Option<f64>,
    /// What a sequential reference believes of the weights before it reads.
    pub gauss: Option<Gauss>,
}

impl Tuned {
    /// The reference without any parameter: step sizes and penalties that are not given count as 0.
    pub fn plain(reference: Reference) -> Self {
        Self { reference, loss: Loss::Squared, eta: None, lambda: None, gamma: None, gauss: None }
    }

    /// What the reference does to the spectrum of a context; none for those that must read one pair at a time, and for
    /// descent on another loss than the squared error.
    ///
    /// Recursive least squares has one, as it ends where ridge does.
    pub fn filter(&self) -> Option<Filter> {
        let eta = self.eta.unwrap_or(0.0);
        let lambda = self.lambda.unwrap_or(0.0);
        match self.reference {
            Reference::Zero => Some(Filter::Zero),
            Reference::Gd(_) if self.loss == Loss::CrossEntropy => None,
            Reference::Gd(steps) => Some(Filter::Descent { eta, steps }),
            Reference::GdPlusPlus => Some(Filter::Preconditioned { eta, gamma: self.gamma.unwrap_or(0.0) }),
            Reference::LeastSquares => Some(Filter::LeastSquares),
            Reference::Ridge | Reference::RecursiveLeastSquares => Some(Filter::Ridge { lambda }),
            Reference::Kalman | Reference::Bayes => match self.gauss {
                Some(gauss) if gauss.drift > 0.0 => None,
                _ => Some(Filter::Ridge { lambda }),
            },
        }
    }

    /// W after the whole context: (d_out, d). The answer is W x_q and its sensitivity ∂ŷ/∂x_q is W.
    pub fn weights(&self, problem: &Problem) -> DMatrix<f64> {
        match self.filter() {
            Some(Filter::Zero) => DMatrix::zeros(problem.y.nrows(), problem.x.nrows()),
            Some(filter) => Spectrum::of(problem).weights(filter),
            None => self.read(problem),
        }
    }

    /// [`Self::weights`], from a decomposition that several references share. `spectrum` is that of `problem`.
    pub fn weights_from(&self, spectrum: &Spectrum, problem: &Problem) -> DMatrix<f64> {
        match self.filter() {
            Some(filter) => spectrum.weights(filter),
            None => self.read(problem),
        }
    }

    /// W after 0, 1, …, N pairs: N + 1 matrices (d_out, d), the last of them [`Self::weights`] up to rounding.
    ///
    /// Descent on a part of the context keeps 1/N, with the N of the whole, before its sum: GD-1 is then the running sum
    /// Σ_{i≤t} y_i x_iᵀ η/N, and a step size that suits N pairs cannot diverge on fewer.
    pub fn running_weights(&self, problem: &Problem) -> Vec<DMatrix<f64>> {
        self.running_weights_from(&Spectrum::after_each_pair(problem).collect::<Vec<_>>(), problem)
    }

    /// [`Self::running_weights`], from decompositions that several references share: those of [`Spectrum::running`].
    pub fn running_weights_from(&self, spectra: &[Spectrum], problem: &Problem) -> Vec<DMatrix<f64>> {
        let sequential = self.gauss.filter(|gauss| {
            // Without noise a filter loses to rounding what the decomposition keeps.
            gauss.drift > 0.0 || (gauss.noise > 0.0 && self.reference == Reference::RecursiveLeastSquares)
        });
        match (sequential, self.filter()) {
            (Some(gauss), _) => recursive::after_each_pair(problem, gauss),
            (None, Some(filter)) => spectra.iter().map(|spectrum| spectrum.weights(filter)).collect(),
            (None, None) => (0..=problem.x.ncols()).map(|pairs| self.descend(problem, pairs)).collect(),
        }
    }

    fn read(&self, problem: &Problem) -> DMatrix<f64> {
        match self.gauss {
            Some(gauss) => recursive::last(problem, gauss),
            None => self.descend(problem, problem.x.ncols()),
        }
    }

    /// W on the first `pairs` pairs, by as many steps on the logistic loss as the name says.
    fn descend(&self, problem: &Problem, pairs: usize) -> DMatrix<f64> {
        let steps = if let Reference::Gd(steps) = self.reference { steps } else { 0 };
        logistic::steps(problem, pairs, self.eta.unwrap_or(0.0), steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::draw::{Draw, close};
    use crate::reference::{Tuner, descent, ridge};

    #[test]
    fn running_weights_end_at_the_weights() {
        let base = Draw { outputs: 2, ..Draw::default() };
        for draw in [base, Draw { noise: 0.3, ..base }, Draw { noise: 0.3, drift: 0.2, ..base }] {
            let (prior, problems) = (draw.prior(), draw.problems(40, 50));
            let tuner = Tuner::new(&prior, &problems);
            for reference in Reference::ALL {
                let tuned = tuner.tune(reference);
                for problem in &problems[..5] {
                    let after_each_pair = tuned.running_weights(problem);
                    let spectrum = Spectrum::of(problem);
                    assert_eq!(after_each_pair.len(), 11);
                    assert_eq!(after_each_pair[0].norm(), 0.0);
                    assert!(close(&after_each_pair[10], &tuned.weights(problem), 1e-6), "{reference} {draw:?}");
                    assert_eq!(tuned.weights(problem), tuned.weights_from(&spectrum, problem));
                }
            }
        }
    }

    #[test]
    fn running_descent_on_classes_ends_at_the_weights() {
        let (prior, problems) = Draw { dim: 4, outputs: 3, ..Draw::default() }.classes(42, 50);
        let tuner = Tuner::new(&prior, &problems);
        for reference in [Reference::Zero, Reference::Gd(1), Reference::Gd(3)] {
            let tuned = tuner.tune(reference);
            let after_each_pair = tuned.running_weights(&problems[0]);
            assert_eq!((after_each_pair.len(), after_each_pair[0].norm()), (11, 0.0));
            assert_eq!(after_each_pair[10], tuned.weights(&problems[0]));
        }
    }

    #[test]
    fn running_least_squares_is_that_of_the_part() {
        let problem = &Draw { dim: 4, ..Draw::default() }.problems(41, 1)[0];
        let after_each_pair = Tuned::plain(Reference::LeastSquares).running_weights(problem);
        let running_ridge = Tuned { lambda: Some(0.3), ..Tuned::plain(Reference::Ridge) }.running_weights(problem);
        let running_gd = Tuned { eta: Some(5.0), ..Tuned::plain(Reference::Gd(3)) }.running_weights(problem);
        for t in 1..=10 {
            let (x, y) = (problem.x.columns(0, t).into_owned(), problem.y.columns(0, t).into_owned());
            let part = Problem { x, y, ..problem.clone() };
            assert!(close(&after_each_pair[t], &ridge::least_squares(&part), 1e-7));
            assert!(close(&running_ridge[t], &ridge::ridge(&part, 0.3), 1e-9));
            // The divisor of the part is t, so its step is t/N as large.
            assert!(close(&running_gd[t], &descent::steps(&part, 0.5 * t as f64, 3), 1e-9));
        }
    }
}
