//! The eigenvalues of HiPPO-N, the normal part of the HiPPO-LegS matrix.
//!
//! A_{nk} = −½ on the diagonal, −√(n+½)√(k+½) below it and +√(n+½)√(k+½) above (S5, 2208.04933, section 4.2 and B.1;
//! S4D, 2206.11893, section 4.1). So A = −½ I + K with K skew-symmetric, and its eigenvalues are −½ ± iω.
//!
//! With a_j = j + ½, the partial sums s_i = Σ_{j<i} √a_j v_j and S the last of them, K v = λ v implies
//! (s_{i+1} − ½S)(λ + a_i) = (s_i − ½S)(λ − a_i). So ∏ (λ − a_i)/(λ + a_i) = −1; each factor has modulus 1 at λ = iω,
//! and the phases add up to Σ_i arctan(ω/a_i) = π (k + ½) for the k-th frequency.

use std::f64::consts::PI;

/// ω of the n pairs of eigenvalues of HiPPO-N of size 2n, least first.
pub fn frequencies(n: usize) -> Vec<f64> {
    let mut omega = 0.0;
    let frequency = |k| {
        let target = PI * (k as f64 + 0.5);
        // The sum of phases is concave and increasing, so Newton's method from below does not overshoot.
        for _step in 0..100 {
            let (phase, derivative) = phases(2 * n, omega);
            let change = (target - phase) / derivative;
            omega += change;
            if change.abs() <= 1e-14 * omega {
                break;
            }
        }
        omega
    };
    (0..n).map(frequency).collect()
}

/// Σ_i arctan(ω/a_i), and its derivative by ω.
fn phases(size: usize, omega: f64) -> (f64, f64) {
    (0..size).map(|i| i as f64 + 0.5).fold((0.0, 0.0), |(phase, derivative), a| {
        (phase + (omega / a).atan(), derivative + a / (a * a + omega * omega))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_equal_the_eigenvalues_of_the_matrix() {
        // For size 2, K = [0 √¾; −√¾ 0].
        assert!((frequencies(1)[0] - 0.75f64.sqrt()).abs() < 1e-12);
        // The trace of −K² is Σ_{i≠j} (i+½)(j+½), and each ω² counts twice.
        let n = 8;
        let roots: Vec<f64> = (0..2 * n).map(|i| i as f64 + 0.5).collect();
        let trace = roots.iter().sum::<f64>().powi(2) - roots.iter().map(|r| r * r).sum::<f64>();
        let found = frequencies(n);
        assert!((2.0 * found.iter().map(|w| w * w).sum::<f64>() / trace - 1.0).abs() < 1e-9);
        // The determinant of K is a square of a Pfaffian: the product of all (i+½) over the signs, here ∏ ω².
        let product: f64 = found.iter().map(|w| 2.0 * w.ln()).sum();
        assert!((product - roots.iter().map(|r| r.ln()).sum::<f64>()).abs() < 1e-6, "{found:?}");
    }
}
