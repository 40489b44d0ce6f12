//! A gradient that is not too long.

use dfdx::prelude::{BroadcastTo, Cpu, HasShape, Rank0, SumTo, TryAdd, TryMul};

use crate::nn::{Device, DeviceResult, Matrix, Scalar, numbers, squares};

/// The definition, made of dfdx's operations, for any device: no number is read back.
pub fn portable<D: Device>(gradient: &mut [Matrix<D>], most: f32) -> DeviceResult<(), D> {
    let mut squares: Option<Scalar<D>> = None;
    for part in gradient.iter() {
        let square = part.clone().try_square()?.try_sum::<Rank0, _>()?;
        squares = Some(match squares {
            Some(sum) => sum.try_add(square)?,
            None => square,
        });
    }
    let Some(squares) = squares else { return Ok(()) };
    let scale = squares.try_sqrt()?.try_clamp(most, f32::MAX)?.try_recip()?.try_mul(most)?;
    for part in gradient {
        let shape = *part.shape();
        *part = part.clone().try_mul(scale.clone().try_broadcast_like(&shape)?)?;
    }
    Ok(())
}

/// The fast form: nothing is done to a gradient that is short enough.
pub fn fused(gradient: &mut [Matrix<Cpu>], most: f32) -> DeviceResult<(), Cpu> {
    let mut parts = gradient.iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
    let norm = parts.iter().map(|part| squares(part)).sum::<f32>().sqrt();
    if norm <= most {
        return Ok(());
    }
    for (part, numbers) in gradient.iter_mut().zip(&mut parts) {
        numbers.iter_mut().for_each(|number| *number *= most / norm);
        part.copy_from(numbers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::TensorFromVec;

    use super::*;
    use crate::nn::check::{Random, assert_close};

    #[test]
    fn the_fused_form_equals_the_portable_form_on_long_and_short_gradients() {
        let (device, mut random) = (Cpu::default(), Random::new(8));
        let parts = [random.matrix(&device, (5, 7)), random.matrix(&device, (3, 1))];
        for most in [0.1, 1e6] {
            let (mut fast, mut plain) = (parts.clone(), parts.clone());
            fused(&mut fast, most).unwrap();
            portable(&mut plain, most).unwrap();
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(&fast.as_vec(), &plain.as_vec(), 1e-6);
            }
        }
    }

    #[test]
    fn a_gradient_that_is_no_number_stays_none() {
        let device = Cpu::default();
        let mut gradient = [device.tensor_from_vec(vec![f32::NAN, 1.0], (1, 2))];
        fused(&mut gradient, 1.0).unwrap();
        assert!(gradient[0].as_vec()[0].is_nan());
    }
}
