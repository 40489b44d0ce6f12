//! Initial values of weights.

use rand::{Rng, RngCore};
use rand_distr::StandardNormal;

type Sample = dyn FnOnce(&mut dyn RngCore, (usize, usize)) -> Vec<f32>;

/// How the entries of a matrix start. Sampled when the matrix is built, so a start that is never used costs nothing.
pub struct Start(Box<Sample>);

impl Start {
    /// From a function of the generator and the shape (rows, columns) to the values, row-major.
    pub fn new(sample: impl FnOnce(&mut dyn RngCore, (usize, usize)) -> Vec<f32> + 'static) -> Self {
        Self(Box::new(sample))
    }

    /// The values of a matrix of this shape (rows, columns), row-major.
    pub fn values(self, rng: &mut dyn RngCore, shape: (usize, usize)) -> Vec<f32> {
        (self.0)(rng, shape)
    }

    /// The same with a function applied to every entry.
    pub fn map(self, function: impl Fn(f32) -> f32 + 'static) -> Self {
        Self::new(move |rng, shape| self.values(rng, shape).into_iter().map(function).collect())
    }
}

/// Every entry from one function of the generator.
fn each(sample: impl Fn(&mut dyn RngCore) -> f32 + 'static) -> Start {
    Start::new(move |rng, (rows, columns)| (0..rows * columns).map(|_| sample(rng)).collect())
}

/// The same number everywhere.
pub fn constant(value: f32) -> Start {
    each(move |_| value)
}

/// An entry as a function of its row and column, both from 0.
pub fn entries(entry: impl Fn(usize, usize) -> f32 + 'static) -> Start {
    Start::new(move |_, (rows, columns)| (0..rows * columns).map(|i| entry(i / columns, i % columns)).collect())
}

/// These values, row-major.
pub fn values(values: impl Into<Vec<f32>>) -> Start {
    let values = values.into();
    Start::new(move |_, _| values.clone())
}

/// `value` where row = first + column, 0 elsewhere: it selects the entries of a row from `first` on.
pub fn shifted_diagonal(first: usize, value: f64) -> Start {
    Start::new(move |_, shape| shifted_diagonal_values(shape, first, value))
}

/// The values of a [`shifted_diagonal`] of this shape (rows, columns), row-major.
pub fn shifted_diagonal_values((rows, columns): (usize, usize), first: usize, value: f64) -> Vec<f32> {
    let entry = |i: usize| if i / columns == first + i % columns { value as f32 } else { 0.0 };
    (0..rows * columns).map(entry).collect()
}

/// U(low, high).
pub fn uniform(low: f32, high: f32) -> Start {
    each(move |rng| rng.gen_range(low..high))
}

/// U(−r, r) with r = 1/√inputs.
pub fn fan_in(inputs: usize) -> Start {
    let range = (inputs as f32).sqrt().recip();
    uniform(-range, range)
}

/// N(0, std²).
pub fn normal(std: f32) -> Start {
    Start::new(move |rng, (rows, columns)| normals(rng, rows * columns, std))
}

/// `count` samples of N(0, std²).
pub fn normals(rng: &mut dyn RngCore, count: usize, std: f32) -> Vec<f32> {
    (0..count).map(|_| std * rng.sample::<f32, _>(StandardNormal)).collect()
}

/// A matrix (inputs, outputs) that keeps the variance of activations and gradients through tanh, the logistic function
/// or no activation: U(−r, r) with r² = 6/(inputs + outputs). Glorot & Bengio 2010, equation 16.
pub fn glorot() -> Start {
    Start::new(|rng, (inputs, outputs)| {
        let range = (6.0 / (inputs + outputs) as f32).sqrt();
        (0..inputs * outputs).map(|_| rng.gen_range(-range..range)).collect()
    })
}

/// A matrix (inputs, outputs) before a ReLU, which halves the mean square: N(0, 2/inputs). He et al. 2015 (1502.01852),
/// equation 10.
pub fn he() -> Start {
    Start::new(|rng, (inputs, outputs)| normals(rng, inputs * outputs, (2.0 / inputs as f32).sqrt()))
}

/// A random orthogonal matrix (n, n), so that repeated products neither vanish nor explode. Saxe et al. 2013
/// (1312.6120).
pub fn orthogonal() -> Start {
    Start::new(|rng, (n, _)| gram_schmidt(rng, n))
}

/// Normal rows, made orthonormal one after the other: (n, n), row-major.
fn gram_schmidt(rng: &mut dyn RngCore, n: usize) -> Vec<f32> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    while rows.len() < n {
        let mut row: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
        for earlier in &rows {
            let along = dot(&row, earlier);
            row.iter_mut().zip(earlier).for_each(|(r, o)| *r -= along * o);
        }
        let length = dot(&row, &row).sqrt();
        // A row in the span of the earlier ones is sampled again.
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
    fn the_rows_of_an_orthogonal_matrix_are_orthonormal() {
        let n = 12;
        let q = orthogonal().values(&mut rng(1, Stream::Init, 0, 0), (n, n));
        for (i, a) in q.chunks(n).enumerate() {
            for (j, b) in q.chunks(n).enumerate() {
                let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f32::from(u8::from(i == j))).abs() < 1e-5);
            }
        }
    }
}
