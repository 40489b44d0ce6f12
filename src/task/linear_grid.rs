//! Linear regression on a grid: every cell has a pair, y_ij = W_ij x_ij + σ ε, and W is a smooth random field.
//!
//! | here | meaning |
//! |---|---|
//! | `length` ℓ | how far the field is alike, in cells |
//! | W_ij | (d_out, d); every entry is a Gaussian field with E W_ij W_kl = s_w² exp(−((i − k)² + (j − l)²) / 2ℓ²) |
//! | query | the cell in the middle: its x is x_q, its y, without noise, the target |
//!
//! The context is all other cells, row by row, so that N = rows · columns − 1 and the query stands after N/2 of them.
//! Near cells say more about W at the query than far ones, whether they lie beside it or above it; in the order of the
//! tokens a cell above is a whole row away.
//!
//! The covariance is a product of one over rows and one over columns, K = K_rows ⊗ K_columns, so a field of independent
//! N(0, 1) numbers Ξ becomes one with covariance K by W = L_rows Ξ L_columnsᵀ with L Lᵀ = K.

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::variates::{sample_normal, sample_uniform};
use super::{Outputs, Shape};
use crate::bounds;

/// Added to the diagonal of a covariance of 1, because the covariance of a very smooth field is singular to rounding.
const JITTER: f64 = 1e-9;

/// Linear regression with a new field of weights for every sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearGrid {
    /// d, the width of x.
    #[serde(deserialize_with = "bounds::dim")]
    pub dim: usize,
    /// Whether y is a scalar or as wide as x.
    pub outputs: Outputs,
    /// Odd, so that there is a row in the middle.
    #[serde(deserialize_with = "bounds::side")]
    pub rows: usize,
    /// Odd as well.
    #[serde(deserialize_with = "bounds::side")]
    pub columns: usize,
    /// r: x ~ U(−r/2, r/2)^d.
    #[serde(deserialize_with = "bounds::scale")]
    pub range: f64,
    /// ℓ, in cells.
    #[serde(deserialize_with = "bounds::scale")]
    pub length: f64,
    /// s_w, the standard deviation of an entry of W.
    #[serde(default = "bounds::one", deserialize_with = "bounds::scale")]
    pub weight_scale: f64,
    /// σ, the standard deviation of the noise on context targets.
    #[serde(default, deserialize_with = "bounds::noise")]
    pub noise: f64,
}

impl LinearGrid {
    pub fn shape(&self) -> Shape {
        let outputs = match self.outputs {
            Outputs::Scalar => 1,
            Outputs::Vector => self.dim,
        };
        Shape { dim: self.dim, outputs, context: self.rows * self.columns - 1 }
    }

    /// Returns an error if there is no cell in the middle, or no other cell.
    pub fn check(&self) -> Result<()> {
        for (name, count) in [("rows", self.rows), ("columns", self.columns)] {
            ensure!(
                count % 2 == 1,
                "task.{name}: {count} is even: the query is the cell in the middle, so give an odd number"
            );
        }
        ensure!(self.rows * self.columns > 1, "task.rows: a grid of one cell has no context");
        Ok(())
    }

    pub fn describe(&self) -> String {
        let Self { dim, rows, columns, range, length, noise, .. } = self;
        format!("linear regression on a grid, {rows} × {columns} cells  d {dim}  r {range}  length {length}  σ {noise}")
    }

    /// Samples one task into row-major slices: x (N, d), y (N, d_out), query (d), target (d_out).
    pub fn sample(&self, rng: &mut impl Rng, x: &mut [f32], y: &mut [f32], query: &mut [f32], target: &mut [f32]) {
        let (dim, outputs) = (query.len(), target.len());
        let (cells, middle) = (self.rows * self.columns, y.len() / outputs / 2);
        let factors = [self.rows, self.columns].map(|count| factor(count, self.length));
        let mut numbers = vec![0.0; cells * dim * outputs];
        sample_normal(rng, self.weight_scale as f32, &mut numbers);
        let fields: Vec<Vec<f32>> = numbers.chunks(cells).map(|numbers| correlate(numbers, &factors)).collect();
        let apply = |cell: usize, x: &[f32], y: &mut [f32]| {
            for (row, y) in fields.chunks(dim).zip(y) {
                *y = row.iter().zip(x).map(|(field, x)| field[cell] * x).sum();
            }
        };
        sample_uniform(rng, self.range as f32, x);
        sample_uniform(rng, self.range as f32, query);
        for (pair, (x, y)) in x.chunks(dim).zip(y.chunks_mut(outputs)).enumerate() {
            apply(pair + usize::from(pair >= middle), x, y);
        }
        apply(middle, query, target);
        if self.noise > 0.0 {
            let mut noise = vec![0.0; y.len()];
            sample_normal(rng, self.noise as f32, &mut noise);
            y.iter_mut().zip(noise).for_each(|(y, noise)| *y += noise);
        }
    }
}

/// L with L Lᵀ = K, K_ij = exp(−(i − j)² / 2ℓ²), (count, count), row-major: Cholesky's factor, lower triangular.
fn factor(count: usize, length: f64) -> Vec<f64> {
    let mut lower = vec![0.0; count * count];
    for i in 0..count {
        for j in 0..=i {
            let distance = (i - j) as f64 / length;
            let covariance = (-0.5 * distance * distance).exp() + if i == j { JITTER } else { 0.0 };
            let known: f64 = (0..j).map(|k| lower[i * count + k] * lower[j * count + k]).sum();
            let left = covariance - known;
            lower[i * count + j] = if i == j { left.max(JITTER).sqrt() } else { left / lower[j * count + j] };
        }
    }
    lower
}

/// L_rows Ξ L_columnsᵀ, with Ξ (rows, columns), row-major.
fn correlate(numbers: &[f32], [of_rows, of_columns]: &[Vec<f64>; 2]) -> Vec<f32> {
    let [rows, columns] = [of_rows, of_columns].map(|factor| factor.len().isqrt());
    let mut along_rows = vec![0.0; rows * columns];
    for (sums, numbers) in along_rows.chunks_mut(columns).zip(numbers.chunks(columns)) {
        for (sum, factor) in sums.iter_mut().zip(of_columns.chunks(columns)) {
            *sum = factor.iter().zip(numbers).map(|(factor, number)| factor * f64::from(*number)).sum::<f64>();
        }
    }
    let entry = |(row, column): (usize, usize)| {
        let terms = of_rows[row * rows..][..rows].iter().enumerate();
        terms.map(|(k, factor)| factor * along_rows[k * columns + column]).sum::<f64>() as f32
    };
    (0..rows * columns).map(|cell| entry((cell / columns, cell % columns))).collect()
}
