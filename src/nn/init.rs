//! Random weights before the first step.

use rand::Rng;
use rand_distr::StandardNormal;

/// Draws of N(0, spread²).
pub fn normals(rng: &mut impl Rng, count: usize, spread: f32) -> Vec<f32> {
    (0..count).map(|_| spread * rng.sample::<f32, _>(StandardNormal)).collect()
}

/// A matrix (inputs, outputs) that keeps the spread of what passes, forwards and backwards, through tanh, the logistic
/// function or nothing: U(−r, r) with r² = 6/(inputs + outputs). Glorot & Bengio 2010, equation 16.
pub fn glorot(rng: &mut impl Rng, (inputs, outputs): (usize, usize)) -> Vec<f32> {
    let range = (6.0 / (inputs + outputs) as f32).sqrt();
    (0..inputs * outputs).map(|_| rng.gen_range(-range..range)).collect()
}

/// A matrix (inputs, outputs) for what passes through ReLU, which halves the square: N(0, 2/inputs). He et al. 2015
/// (1502.01852), equation 10.
pub fn he(rng: &mut impl Rng, (inputs, outputs): (usize, usize)) -> Vec<f32> {
    normals(rng, inputs * outputs, (2.0 / inputs as f32).sqrt())
}

/// A random rotation or reflection (n, n), so that repeated products neither fade nor grow: normal rows, made orthonormal
/// one after the other. Saxe et al. 2013 (1312.6120).
pub fn orthogonal(rng: &mut impl Rng, n: usize) -> Vec<f32> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    while rows.len() < n {
        let mut row: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
        for other in &rows {
            let along = dot(&row, other);
            row.iter_mut().zip(other).for_each(|(r, o)| *r -= along * o);
        }
        let length = dot(&row, &row).sqrt();
        // A row that lies among the others is drawn again.
        if length > 1e-6 {
            row.iter_mut().for_each(|r| *r /= length);
            rows.push(row);
        }
    }
    rows.into_iter().flatten().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::orthogonal;
    use crate::task::{Stream, rng};

    #[test]
    fn an_orthogonal_matrix_keeps_lengths_and_angles() {
        let n = 12;
        let q = orthogonal(&mut rng(1, Stream::Init, 0, 0), n);
        for (i, a) in q.chunks(n).enumerate() {
            for (j, b) in q.chunks(n).enumerate() {
                let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f32::from(u8::from(i == j))).abs() < 1e-5);
            }
        }
    }
}
