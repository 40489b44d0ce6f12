//! The spectrum of HiPPO-N, the normal part of the HiPPO-LegS matrix.
//!
//! A_{nk} = −½ on the diagonal, −√(n+½)√(k+½) below it and +√(n+½)√(k+½) above (S5, 2208.04933, section 4.2 and B.1; S4D,
//! 2206.11893, section 4.1). So A = −½ I + K with K skew-symmetric, and its eigenvalues are −½ ± iω, where ω² are the
//! eigenvalues of −K², each twice.

/// ω of the n pairs of eigenvalues of HiPPO-N of size 2n, least first.
pub fn frequencies(n: usize) -> Vec<f64> {
    let size = 2 * n;
    let root = |i: usize| (i as f64 + 0.5).sqrt();
    let skew = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Less => root(i) * root(j),
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => -root(i) * root(j),
    };
    // KᵀK = −K².
    let entry = |i: usize, j: usize| (0..size).map(|k| skew(k, i) * skew(k, j)).sum::<f64>();
    let mut matrix: Vec<Vec<f64>> = (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect();
    diagonalise(&mut matrix);
    let mut squares: Vec<f64> = (0..size).map(|i| matrix[i][i]).collect();
    squares.sort_by(f64::total_cmp);
    squares.iter().step_by(2).map(|square| square.max(0.0).sqrt()).collect()
}

/// Jacobi's method: rotates a symmetric matrix until nothing is left beside its diagonal.
fn diagonalise(matrix: &mut [Vec<f64>]) {
    let size = matrix.len();
    for _sweep in 0..30 {
        let beside: f64 = (0..size).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| matrix[i][j].powi(2)).sum();
        let along: f64 = (0..size).map(|i| matrix[i][i].powi(2)).sum();
        if beside <= 1e-28 * along {
            return;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(matrix, p, q);
            }
        }
    }
}

/// Makes the entry (p, q) zero, p < q.
fn rotate(matrix: &mut [Vec<f64>], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    for row in matrix.iter_mut() {
        (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
    }
    let (upper, lower) = matrix.split_at_mut(q);
    for (a, b) in upper[p].iter_mut().zip(&mut lower[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectrum_is_that_of_the_matrix() {
        // Of size two, K = [0 √¾; −√¾ 0].
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
