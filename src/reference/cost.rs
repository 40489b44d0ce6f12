//! What a reference costs in arithmetic.
//!
//! Counts floating-point operations for one query with its context, an addition and a multiplication being one each.
//! Owns the formulas, which are those of the textbook forms, leading orders exact. Measures nothing.
//!
//! | reference | operations, with o = d_out |
//! |---|---|
//! | zero | 0 |
//! | gd-k | first step (from W = 0) 2Nod + od; each further one (W X − Y) Xᵀ: 4Nod + No + 2od |
//! | gd-k on classes | first step, residual Y − 1/C before it: No + 2Nod + od; each further one, softmax 4No: 4Nod + 5No + 2od |
//! | gd++ | G: N d(d+1); (I − γG) x for N + 1 inputs: (N+1)(2d² + 2d); then gd-1 |
//! | ridge | X Xᵀ: N d(d+1), being symmetric; Y Xᵀ: 2Nod; λ: d; Cholesky: d³/3; two triangular solves: 2od² |
//! | least squares | the same moments; a symmetric eigenproblem with vectors: 9d³; B V φ Vᵀ: 4od² + od |
//! | recursive least squares | N pairs: P x, xᵀPx, k, W and P: 4d² + 3d + 4od + o each |
//! | kalman | the same, and d for the drift before each pair but the first |
//! | bayes | that of ridge, or of the Kalman filter where weights drift |
//!
//! Each but zero adds 2od for the answer W x_q.

use super::{Loss, ProblemShape, Reference, Tuned};

impl Tuned {
    /// Operations for one query with its context of N pairs; see the table at the top of the file.
    pub fn flops(&self, shape: ProblemShape) -> u64 {
        let ProblemShape { dim, outputs, context } = shape;
        let (d, o, n) = (dim as u64, outputs as u64, context as u64);
        let step = 2 * n * o * d + o * d;
        let moments = n * d * (d + 1) + 2 * n * o * d;
        let ridge = moments + d + d * d * d / 3 + 2 * o * d * d;
        let recursive = n * (4 * d * d + 3 * d + 4 * o * d + o);
        let learning = match self.reference {
            Reference::Zero | Reference::Gd(0) => return 0,
            Reference::Gd(k) if self.loss == Loss::CrossEntropy => {
                (step + n * o).saturating_add(u64::from(k - 1).saturating_mul(2 * step + 5 * n * o))
            }
            Reference::Gd(k) => step.saturating_add(u64::from(k - 1).saturating_mul(2 * step + n * o)),
            Reference::GdPlusPlus => n * d * (d + 1) + (n + 1) * (2 * d * d + 2 * d) + step,
            Reference::LeastSquares => moments + 9 * d * d * d + 4 * o * d * d + o * d,
            Reference::Ridge => ridge,
            Reference::RecursiveLeastSquares => recursive,
            Reference::Kalman => recursive + n.saturating_sub(1) * d,
            Reference::Bayes => match self.filter() {
                Some(_) => ridge,
                None => recursive + n.saturating_sub(1) * d,
            },
        };
        learning.saturating_add(2 * o * d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Gauss;

    #[test]
    fn one_step_costs_its_sum_and_its_answer() {
        let shape = ProblemShape { dim: 10, outputs: 10, context: 10 };
        let flops = |reference| Tuned::plain(reference).flops(shape);
        assert_eq!(flops(Reference::Zero), 0);
        assert_eq!(flops(Reference::Gd(1)), 2_000 + 100 + 200);
        assert_eq!(flops(Reference::Gd(2)) - flops(Reference::Gd(1)), 4_000 + 100 + 200);
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
            let gauss = Some(Gauss { weight_scale: 1.0, noise: 0.1, drift });
            Tuned { gauss, ..Tuned::plain(reference) }.flops(shape)
        };
        assert_eq!(with(Reference::Bayes, 0.0), with(Reference::Ridge, 0.0));
        assert_eq!(with(Reference::Bayes, 0.1), with(Reference::Kalman, 0.1));
    }
}
