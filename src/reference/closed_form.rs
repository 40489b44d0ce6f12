//! The best single gradient step, by formula.
//!
//! | here | meaning |
//! |---|---|
//! | s², m₄ | E x², E x⁴ of one coordinate of an input |
//! | G | X Xᵀ / N |
//! | B | Y Xᵀ / N = W G + E Xᵀ / N, with E the noise on targets |
//!
//! One step from 0 ends with η B. Its error W − η B, averaged over the query, W and the noise, gives for each output
//!
//! loss(η) = ½ s² [ s_w² (d − 2 η d s² + η² E tr G²) + η² σ² d s² / N ],
//!
//! since E ‖ε Xᵀ/N‖² = σ² E tr G / N. The noise thus acts like σ² d s² / (N s_w²) more in E tr G²: what counts is its
//! ratio to the weights. Knows nothing of actual problems.

use super::Prior;

/// A step size with the loss that it leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// η.
    pub eta: f64,
    /// Expected loss, ½ E ‖ŷ − y‖² / d_out.
    pub loss: f64,
}

/// E tr G² for N inputs with independent coordinates of mean 0.
///
/// Of the N² pairs of inputs, N are one input twice and give E ‖x‖⁴; the others give E (x·x′)² = d s⁴.
pub fn trace_of_square(dim: usize, context: usize, (s2, m4): (f64, f64)) -> f64 {
    let (d, n) = (dim as f64, context.max(1) as f64);
    (d * m4 + d * (d - 1.0) * s2 * s2) / n + (1.0 - 1.0 / n) * d * s2 * s2
}

/// The expected loss of one step of size η; none where the prior does not determine it. η = 0 predicts zero.
pub fn loss_at(prior: &Prior, eta: f64) -> Option<f64> {
    let (s2, m4, weights, noise) = prior.isotropic()?;
    let (d, n) = (prior.shape.dim as f64, prior.shape.context.max(1) as f64);
    let square = trace_of_square(prior.shape.dim, prior.shape.context, (s2, m4));
    let bias = weights * (d - 2.0 * eta * d * s2 + eta * eta * square);
    Some(0.5 * s2 * (bias + eta * eta * noise * d * s2 / n))
}

/// The best η of one step, and its loss; none where the prior does not determine them.
pub fn best_step(prior: &Prior) -> Option<Step> {
    let (s2, m4, weights, noise) = prior.isotropic()?;
    let (d, n) = (prior.shape.dim as f64, prior.shape.context.max(1) as f64);
    let square = trace_of_square(prior.shape.dim, prior.shape.context, (s2, m4)) + noise * d * s2 / (n * weights);
    let eta = d * s2 / square;
    let loss = 0.5 * weights * s2 * d * (1.0 - eta * s2);
    // Weights or inputs that are always 0 leave nothing to learn.
    if eta.is_finite() { Some(Step { eta, loss }) } else { Some(Step { eta: 0.0, loss: 0.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::descent;
    use crate::reference::draw::Draw;

    #[test]
    fn known_numbers() {
        let prior = Draw::default().prior();
        let step = best_step(&prior).unwrap();
        assert!((step.eta - 6.061).abs() < 5e-4 && (step.loss - 0.2062).abs() < 5e-5, "{step:?}");
        assert!((loss_at(&prior, 0.0).unwrap() - 5.0 / 12.0).abs() < 1e-12);
        let wide = best_step(&Draw { range: 2.0, ..Draw::default() }.prior()).unwrap();
        assert!((wide.eta * 4.0 - step.eta).abs() < 1e-12 && (wide.loss / 4.0 - step.loss).abs() < 1e-12);
    }

    #[test]
    fn agrees_with_monte_carlo() {
        let base = Draw::default();
        let cases = [
            base,
            Draw { outputs: 1, ..base },
            Draw { dim: 3, outputs: 2, context: 20, range: 2.0, weight_scale: 0.5, noise: 0.7, ..base },
            Draw { dim: 5, outputs: 1, context: 2, range: 3.0, weight_scale: 3.0, noise: 2.0, ..base },
            Draw { dim: 4, outputs: 4, context: 6, range: 0.5, weight_scale: 0.1, noise: 0.05, ..base },
            Draw { dim: 1, outputs: 1, context: 5, weight_scale: 2.0, noise: 1.0, normal: true, ..base },
        ];
        for (seed, draw) in cases.into_iter().enumerate() {
            let step = best_step(&draw.prior()).unwrap();
            let problems = draw.problems(seed as u64, 20_000);
            // The literal step, of size 1: everything else about η is a parabola in it.
            let (mut cross, mut square, mut losses) = (0.0, 0.0, Vec::new());
            for problem in &problems {
                let weights = descent::steps(problem, 1.0, 1);
                let answer = &weights * &problem.query;
                cross += answer.dot(&problem.target);
                square += answer.norm_squared();
                losses.push(problem.loss(&(weights * step.eta)));
            }
            let n = losses.len() as f64;
            let mean = losses.iter().sum::<f64>() / n;
            let error = (losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / n / n).sqrt();
            assert!((mean - step.loss).abs() < 4.0 * error, "{draw:?} {mean} ± {error}, not {}", step.loss);
            assert!((loss_at(&draw.prior(), step.eta).unwrap() - step.loss).abs() < 1e-12 * step.loss.max(1.0));
            assert!((cross / square / step.eta - 1.0).abs() < 0.04, "{draw:?} {} not {}", cross / square, step.eta);
        }
    }
}
