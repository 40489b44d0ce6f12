//! The solution z of A z = b for each of a batch of positive definite matrices, with its gradient.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `matrix` A | positive definite | (B, d, d) |
//! | `right` b | right-hand sides | (B, d, m) |
//! | M | A⁻¹, off the tape: see [`eliminate`] and [`approach`] | (B, d, d) |
//!
//! On the tape is only one step of refinement, z = z₀ + M (b − A z₀) with z₀ = M b held fixed. Its value is z, only more
//! exact, and its gradient is the true one: ∂z = M (∂b − ∂A z₀), the implicit function theorem (Amos & Kolter 2017,
//! 1703.00443, sec. 3; Krantz & Parks 2002). So one form serves on any device, and nothing is unrolled.

use dfdx::prelude::{
    Axes2, Axis, BroadcastTo, Cpu, HasShape, NoneTape, SumTo, Tape, TensorFromVec, TryAdd, TryDiv, TryMatMul, TryMul,
    TrySub,
};
use dfdx::tensor::Tensor;

use super::Device;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// z: (B, d, m).
pub fn solve<D: Device, T: Tape<f32, D>>(
    matrix: Tensor3<D, T>,
    right: Tensor3<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let inverses = matrix.device().invert(matrix.retaped::<NoneTape>())?;
    let start = inverses.clone().try_matmul(right.retaped::<NoneTape>())?; // z₀
    let rest = right.try_sub(matrix.try_matmul(start.clone())?)?; // b − A z₀
    inverses.retaped::<T>().try_matmul(rest)?.try_add(start)
}

/// All inverses by elimination in double precision, on the host.
pub fn gauss_jordan(device: &Cpu, matrices: &Tensor3<Cpu>) -> DeviceResult<Tensor3<Cpu>, Cpu> {
    let shape = *matrices.shape();
    let inverses = matrices.as_vec().chunks(shape.1 * shape.2).flat_map(|a| inverse(a, shape.1)).collect();
    device.try_tensor_from_vec(inverses, shape)
}

/// Doubles the exact digits 27 times: enough for a condition number of 10⁷, beyond which single precision has none left.
const DOUBLINGS: usize = 27;

/// All inverses by products alone, for a device from which nothing should come back: M ← M + M (I − A M), from
/// M = I / tr A, which is near enough for a positive definite A. Source: Schulz 1933; Ben-Israel 1965.
pub fn newton_schulz<D: Device>(matrices: Tensor3<D>) -> DeviceResult<Tensor3<D>, D> {
    let device = matrices.device().clone();
    let all = *matrices.shape();
    let (batch, dim, _) = all;
    let eye = (0..dim * dim).map(|i| f32::from(u8::from(i.is_multiple_of(dim + 1))));
    let eye: Matrix<D> = device.try_tensor_from_vec(eye.collect(), (dim, dim))?;
    let eye = eye.try_broadcast_like::<_, Axis<0>>(&all)?;
    let trace: Tensor<(usize,), f32, D> = matrices.clone().try_mul(eye.clone())?.try_sum::<_, Axes2<1, 2>>()?;
    debug_assert_eq!(trace.shape().0, batch);
    let mut inverses = eye.clone().try_div(trace.try_broadcast_like::<_, Axes2<1, 2>>(&all)?)?;
    for _ in 0..DOUBLINGS {
        let rest = eye.clone().try_sub(matrices.clone().try_matmul(inverses.clone())?)?;
        inverses = inverses.clone().try_add(inverses.try_matmul(rest)?)?;
    }
    Ok(inverses)
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
    fn products_alone_come_to_the_inverses_of_elimination() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(6), 5);
        for scale in [1.0f32, 30.0] {
            let a: Vec<f32> = (0..3).flat_map(|_| positive(&mut random, &device, dim)).collect();
            // Condition numbers of about ten and of about ten thousand.
            let a = a.iter().enumerate().map(|(i, a)| {
                let one = f32::from(u8::from((i % (dim * dim)).is_multiple_of(dim + 1)));
                (a - one) * scale * scale + one
            });
            let a: Tensor3<Cpu> = device.tensor_from_vec(a.collect(), (3, dim, dim));
            let exact = gauss_jordan(&device, &a).unwrap().as_vec();
            assert_close(&newton_schulz(a).unwrap().as_vec(), &exact, 1e-6 * scale * scale);
        }
    }

    #[test]
    fn the_solution_solves_and_its_gradient_is_that_of_the_textbook() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(4), 4);
        let a: Vec<f32> = (0..3).flat_map(|_| positive(&mut random, &device, dim)).collect();
        let a: Tensor3<Cpu> = device.tensor_from_vec(a, (3, dim, dim));
        let (b, weights) = (random.tensor3(&device, (3, dim, 1)), random.tensor3(&device, (3, dim, 1)));
        let z = solve(a.leaky_trace(), b.leaky_trace()).unwrap();
        let values = z.as_vec();
        assert_close(
            &a.clone().matmul(device.tensor_from_vec(values.clone(), (3, dim, 1))).as_vec(),
            &b.as_vec(),
            1e-5,
        );

        // ∂b = A⁻¹ ∂z, and ∂A = −∂b zᵀ.
        let gradients = (z * weights.clone()).sum::<Rank0, _>().backward();
        let grad_right = solve(a.clone(), weights).unwrap().as_vec();
        assert_close(&gradients.get(&b).as_vec(), &grad_right, 1e-5);
        let outer = |(w, z): (&[f32], &[f32])| w.iter().flat_map(|w| z.iter().map(move |z| -w * z)).collect::<Vec<_>>();
        let by_matrix: Vec<f32> = grad_right.chunks(dim).zip(values.chunks(dim)).flat_map(outer).collect();
        assert_close(&gradients.get(&a).as_vec(), &by_matrix, 1e-5);
    }
}
