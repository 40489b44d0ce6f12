//! What a reference costs in arithmetic.
//!
//! Counts floating-point operations for one query with its context, an addition and a multiplication being one each.
//! Owns the formulas, which are those of the textbook forms, leading orders exact. Measures nothing.
//!
//! Moments are G: N d(d+1), being symmetric, and B: 2Nod, with o = d_out.
//!
//! | reference | operations |
//! |---|---|
//! | zero | 0 |
//! | gd-k | the cheaper of the next two |
//! | – from the data | first step (from W = 0) 2Nod + od; each further one (W X − Y) Xᵀ: 4Nod + No + 2od |
//! | – from the moments | od; each further step W G − B: 2od² + 3od |
//! | gd-k-free, gd-k-momentum | as gd-k; momentum 3od a step more |
//! | gd-1-forgetting | gd-1, and od a pair for the factor |
//! | gd-k on classes | first step, residual Y − 1/C: No + 2Nod + od; each further one, softmax 4No: 4Nod + 5No + 2od |
//! | gd++ | G; (I − γG) x for N + 1 inputs: (N+1)(2d² + 2d); then gd-1; with the query 2d² more for its part in G |
//! | lms, nlms | N pairs: W x, error, update: 4od + 2o each; leaky od more, normalised 2d more |
//! | cg-k | the moments; each iteration, row by row: 2d² + 10d |
//! | newton-k | the moments; M₀: d²; each iteration 2M − M G M: 4d³ + 2d²; B M: 2od² |
//! | ridge | the moments; λ: d; Cholesky: d³/3; two triangular solves: 2od² |
//! | least squares | the moments; a symmetric eigenproblem with vectors: 9d³; B V φ Vᵀ: 4od² + od |
//! | recursive least squares | N pairs: P x, xᵀPx, k, W and P: 4d² + 3d + 4od + o each; with forgetting d² more |
//! | kalman | the same, and d for the drift before each pair but the first |
//! | gd-1-distance | gd-1, with a weight for each pair in place of η/N: 2Nod + No |
//! | kriging | G: N(N+1)d; K ∘ G + σ²: N(N+1)/2 + N; Cholesky: N³/3; triangular solves: 2oN²; Σ k ∘ α: No + 2Nod |
//! | bayes | that of ridge, of the Kalman filter where weights drift, or of kriging on a grid |
//!
//! Each but zero adds 2od for the answer W x_q.

use super::{Algorithm, Field, Filter, Online, ProblemShape, Reference, Tuned};

impl Tuned {
    /// Operations for one query with its context of N pairs; see the table at the top of the file.
    pub fn flops(&self, shape: ProblemShape) -> u64 {
        let ProblemShape { dim, outputs, context } = shape;
        let (d, o, n) = (dim as u64, outputs as u64, context as u64);
        let first = 2 * n * o * d + o * d;
        let moments = n * d * (d + 1) + 2 * n * o * d;
        let descent = |steps: u32, more: u64| {
            let further = u64::from(steps.saturating_sub(1));
            let from_data = first.saturating_add(further.saturating_mul(4 * n * o * d + n * o + 2 * o * d + more));
            let from_moments =
                (moments + o * d).saturating_add(further.saturating_mul(2 * o * d * d + 3 * o * d + more));
            from_data.min(from_moments)
        };
        let preconditioned = n * d * (d + 1) + (n + 1) * (2 * d * d + 2 * d) + first;
        let ridge = moments + d + d * d * d / 3 + 2 * o * d * d;
        let recursive = n * (4 * d * d + 3 * d + 4 * o * d + o);
        let lms = n * (4 * o * d + 2 * o);
        let learning = match self.algorithm() {
            Algorithm::Spectral(Filter::Zero) => return 0,
            Algorithm::Spectral(_) if self.reference == Reference::RecursiveLeastSquares => recursive,
            Algorithm::Spectral(_) if self.reference == Reference::RlsForgetting => recursive + n * d * d,
            Algorithm::Spectral(Filter::Descent { steps: 0, .. } | Filter::Momentum { steps: 0, .. }) => return 0,
            Algorithm::Spectral(Filter::Descent { steps, .. }) => descent(steps, 0),
            Algorithm::Spectral(Filter::Free { etas }) => {
                descent(etas.iter().filter(|eta| **eta != 0.0).count() as u32, 0)
            }
            Algorithm::Spectral(Filter::Momentum { steps, .. }) => descent(steps, 3 * o * d),
            Algorithm::Spectral(Filter::Preconditioned { .. }) => preconditioned,
            Algorithm::Spectral(Filter::Newton { iterations, .. }) => {
                let each = 4 * d * d * d + 2 * d * d;
                moments + d * d + 2 * o * d * d + u64::from(iterations).saturating_mul(each)
            }
            Algorithm::Spectral(Filter::Ridge { .. }) => ridge,
            Algorithm::Spectral(Filter::LeastSquares) => moments + 9 * d * d * d + 4 * o * d * d + o * d,
            Algorithm::ConjugateGradients { iterations } => {
                moments + u64::from(iterations).saturating_mul(o * (2 * d * d + 10 * d))
            }
            Algorithm::QueryJoined { .. } => preconditioned + 2 * d * d,
            Algorithm::Online(Online::Forgetting { .. }) => first + n * o * d,
            Algorithm::Online(Online::Lms { .. }) if self.reference == Reference::LeakyLms => lms + n * o * d,
            Algorithm::Online(Online::Lms { .. }) => lms,
            Algorithm::Online(Online::Nlms { .. }) => lms + 2 * n * d,
            Algorithm::Recursive(_) if self.reference == Reference::RlsForgetting => recursive + n * d * d,
            Algorithm::Recursive(_) => recursive + n.saturating_sub(1) * d,
            Algorithm::ByDistance(_) => 2 * n * o * d + n * o,
            Algorithm::Kriging(_) => Field::kriging_flops(shape),
            Algorithm::Logistic { steps: 0, .. } => return 0,
            Algorithm::Logistic { steps, .. } => {
                let further = u64::from(steps - 1).saturating_mul(4 * n * o * d + 5 * n * o + 2 * o * d);
                (first + n * o).saturating_add(further)
            }
        };
        learning.saturating_add(2 * o * d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Gauss, Loss};

    #[test]
    fn one_step_costs_its_sum_and_its_answer() {
        let shape = ProblemShape { dim: 10, outputs: 10, context: 10 };
        let flops = |reference| Tuned::plain(reference).flops(shape);
        assert_eq!(flops(Reference::Zero), 0);
        assert_eq!(flops(Reference::Gd(1)), 2_000 + 100 + 200);
        // X Xᵀ once, and 2 d_out d² a step.
        assert_eq!(flops(Reference::Gd(2)), 1_100 + 2_000 + 100 + 2_000 + 300 + 200);
        assert_eq!(flops(Reference::Gd(10)) - flops(Reference::Gd(5)), 5 * (2_000 + 300));
        // One number to predict: two steps are cheaper from the data, ten are not.
        let scalar = |k| Tuned::plain(Reference::Gd(k)).flops(ProblemShape { outputs: 1, ..shape });
        assert_eq!(scalar(2) - scalar(1), 400 + 10 + 20);
        assert_eq!(scalar(10) - scalar(9), 200 + 30);
        let cg = |k| flops(Reference::Cg(k));
        assert_eq!(cg(3) - cg(2), 10 * (200 + 100));
        assert_eq!(flops(Reference::Lms), 10 * (400 + 20) + 200);
        assert!(flops(Reference::Ridge) < flops(Reference::LeastSquares));
        assert!(flops(Reference::Gd(u32::MAX)) > 1 << 40);
        let classes = |k| Tuned { loss: Loss::CrossEntropy, ..Tuned::plain(Reference::Gd(k)) }.flops(shape);
        assert_eq!(classes(1), flops(Reference::Gd(1)) + 100);
        assert_eq!(classes(2) - classes(1), 4_000 + 500 + 200);
    }

    #[test]
    fn bayes_costs_what_it_runs() {
        let shape = ProblemShape { dim: 4, outputs: 1, context: 7 };
        let with = |reference, drift| {
            let gauss = Some(Gauss { weight_scale: 1.0, noise: 0.1, drift, forgetting: 1.0 });
            Tuned { gauss, ..Tuned::plain(reference) }.flops(shape)
        };
        assert_eq!(with(Reference::Bayes, 0.0), with(Reference::Ridge, 0.0));
        assert_eq!(with(Reference::Bayes, 0.1), with(Reference::Kalman, 0.1));
    }
}
