//! A row, (1, n), in each row of a matrix.

use dfdx::prelude::{Axis, BroadcastTo, Cpu, HasShape, OnesTensor, ReshapeTo, Tape, TryMatMul};

use crate::nn::{DeviceResult, Matrix};

/// Made of dfdx's operations, for any device. No copy: a card reads the row again and again.
pub fn compose<D: super::Device, T: Tape<f32, D>>(row: Matrix<D, T>, rows: usize) -> DeviceResult<Matrix<D, T>, D> {
    let width = row.shape().1;
    row.try_reshape_like(&(width,))?.try_broadcast_like::<_, Axis<0>>(&(rows, width))
}

/// The fast form on the CPU: a product with ones, because there dfdx walks a broadcast index by index.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, row: Matrix<Cpu, T>, rows: usize) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let ones: Matrix<Cpu> = device.try_ones_like(&(rows, 1))?;
    ones.retaped::<T>().try_matmul(row)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Matrix<Cpu, OwnedTape<f32, Cpu>>;

    /// Values, and the gradient of a weighted sum of them by the row.
    fn measure(form: fn(&Cpu, Taped) -> Taped) -> [Vec<f32>; 2] {
        let (device, mut random) = (Cpu::default(), Random::new(5));
        let (row, weights) = (random.matrix(&device, (1, 6)), random.matrix(&device, (70, 6)));
        let out = form(&device, row.leaky_trace());
        let gradient = (out.retaped::<NoneTape>().as_vec(), (out * weights).sum::<Rank0, _>().backward().get(&row));
        [gradient.0, gradient.1.as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        let fast = measure(|device, row| fused(device, row, 70).unwrap());
        let plain = measure(|_, row| compose(row, 70).unwrap());
        assert_close(&fast[0], &plain[0], 1e-6);
        assert_close(&fast[1], &plain[1], 1e-5);
    }
}
