//! The solution z of A z = b for each of a batch of positive definite matrices, with its gradient.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `matrix` A | positive definite | (B, d, d) |
//! | `right` b | right-hand sides | (B, d, m) |
//! | M | A⁻¹, by elimination in double precision, on the host and off the tape | (B, d, d) |
//!
//! On the tape is only one step of refinement, z = z₀ + M (b − A z₀) with z₀ = M b held fixed. Its value is z, only more
//! exact, and its gradient is the true one: ∂z = M (∂b − ∂A z₀), the implicit function theorem (Amos & Kolter 2017,
//! 1703.00443, sec. 3; Krantz & Parks 2002). So one form serves on any device, and nothing is unrolled.

use dfdx::prelude::{HasShape, Tape, TryAdd, TryMatMul, TrySub};

use super::Device;
use crate::nn::{Cube, Outcome};

/// z: (B, d, m).
pub fn solve<D: Device, T: Tape<f32, D>>(matrix: Cube<D, T>, right: Cube<D, T>) -> Outcome<Cube<D, T>, D> {
    let device = matrix.device().clone();
    let (batch, dim, _) = *matrix.shape();
    let inverses: Vec<f32> = matrix.as_vec().chunks(dim * dim).flat_map(|a| inverse(a, dim)).collect();
    let inverses: Cube<D> = device.try_tensor_from_vec(inverses, (batch, dim, dim))?;
    let right_alone: Cube<D> = device.try_tensor_from_vec(right.as_vec(), *right.shape())?;
    let start = inverses.clone().try_matmul(right_alone)?; // z₀
    let rest = right.try_sub(matrix.try_matmul(start.clone())?)?; // b − A z₀
    inverses.retaped::<T>().try_matmul(rest)?.try_add(start)
}

/// The inverse of a positive definite matrix (d, d), by Gauss and Jordan's elimination; such a matrix needs no pivoting.
pub fn inverse(matrix: &[f32], dim: usize) -> Vec<f32> {
    let width = 2 * dim;
    let mut rows = vec![0.0f64; dim * width];
    for (i, row) in rows.chunks_mut(width).enumerate() {
        row.iter_mut().zip(&matrix[i * dim..][..dim]).for_each(|(entry, a)| *entry = f64::from(*a));
        row[dim + i] = 1.0;
    }
    for column in 0..dim {
        let mut pivot = rows[column * width..][..width].to_vec();
        let first = pivot[column];
        pivot.iter_mut().for_each(|entry| *entry /= first);
        for (i, row) in rows.chunks_mut(width).enumerate() {
            if i == column {
                row.copy_from_slice(&pivot);
            } else {
                let factor = row[column];
                row.iter_mut().zip(&pivot).for_each(|(entry, p)| *entry -= factor * p);
            }
        }
    }
    rows.chunks(width).flat_map(|row| &row[dim..]).map(|entry| *entry as f32).collect()
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    /// A = Rᵀ R + I, as plain numbers.
    fn positive(random: &mut Random, device: &Cpu, dim: usize) -> Vec<f32> {
        let r = random.matrix(device, (dim, dim));
        let eye: Vec<f32> = (0..dim * dim).map(|i| f32::from(u8::from(i % (dim + 1) == 0))).collect();
        let eye = device.tensor_from_vec(eye, (dim, dim));
        (r.clone().permute::<_, Axes2<1, 0>>().matmul(r) + eye).as_vec()
    }

    #[test]
    fn the_solution_solves_and_its_gradient_is_that_of_the_textbook() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(4), 4);
        let a: Vec<f32> = (0..3).flat_map(|_| positive(&mut random, &device, dim)).collect();
        let a: Cube<Cpu> = device.tensor_from_vec(a, (3, dim, dim));
        let (b, weights) = (random.cube(&device, (3, dim, 1)), random.cube(&device, (3, dim, 1)));
        let z = solve(a.leaky_trace(), b.leaky_trace()).unwrap();
        let values = z.as_vec();
        assert_close(
            &a.clone().matmul(device.tensor_from_vec(values.clone(), (3, dim, 1))).as_vec(),
            &b.as_vec(),
            1e-5,
        );

        // ∂b = A⁻¹ ∂z, and ∂A = −∂b zᵀ.
        let gradients = (z * weights.clone()).sum::<Rank0, _>().backward();
        let by_right = solve(a.clone(), weights).unwrap().as_vec();
        assert_close(&gradients.get(&b).as_vec(), &by_right, 1e-5);
        let outer = |(w, z): (&[f32], &[f32])| w.iter().flat_map(|w| z.iter().map(move |z| -w * z)).collect::<Vec<_>>();
        let by_matrix: Vec<f32> = by_right.chunks(dim).zip(values.chunks(dim)).flat_map(outer).collect();
        assert_close(&gradients.get(&a).as_vec(), &by_matrix, 1e-5);
    }
}
