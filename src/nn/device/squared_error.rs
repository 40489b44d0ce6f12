//! ½ · mean over the batch of ‖ŷ − y‖² / d_out.

use dfdx::prelude::*;

use crate::nn::tensor::{Backend, DeviceResult, Matrix, Scalar, numbers, squares};

/// The definition, made of dfdx's operations, for any device.
pub fn portable<D: Backend, T: Tape<f32, D>>(answer: Matrix<D, T>, target: Matrix<D>) -> DeviceResult<Scalar<D, T>, D> {
    answer.try_sub(target)?.try_square()?.try_mean::<Rank0, _>()?.try_mul(0.5f32)
}

/// The fast form: one operation on the tape.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    answer: Matrix<Cpu, T>,
    target: &Matrix<Cpu>,
) -> DeviceResult<Scalar<Cpu, T>, Cpu> {
    // So that the gradient's numbers lie in the same order.
    let (answer, mut tape) = answer.try_contiguous()?.split_tape();
    let mut errors = numbers(&answer)?;
    errors.iter_mut().zip(numbers(target)?).for_each(|(answer, target)| *answer -= target);
    let count = errors.len() as f32;
    let out: Scalar<Cpu> = device.try_tensor_from_vec(vec![0.5 * squares(&errors) / count], ())?;
    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let grad_loss = gradients.get_or_alloc_mut(&result)?[0];
        let grad_answer = gradients.get_or_alloc_mut(&answer)?;
        grad_answer.iter_mut().zip(errors).for_each(|(sum, error)| *sum += grad_loss * error / count);
        Ok(())
    });
    Ok(out.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{Random, assert_close};

    #[test]
    fn the_fused_form_equals_the_portable_form_in_value_and_gradient() {
        let (device, mut random) = (Cpu::default(), Random::new(4));
        let (answer, target) = (random.matrix(&device, (13, 3)), random.matrix(&device, (13, 3)));
        let fast = fused(&device, answer.leaky_trace(), &target).unwrap();
        let plain = portable(answer.leaky_trace(), target.clone()).unwrap();
        assert_close(&fast.as_vec(), &plain.as_vec(), 1e-6);
        let (fast, plain) = (fast.backward().get(&answer), plain.backward().get(&answer));
        assert_close(&fast.as_vec(), &plain.as_vec(), 1e-6);
    }

    #[test]
    fn an_answer_may_lie_in_memory_in_another_order() {
        let (device, mut random) = (Cpu::default(), Random::new(4));
        let (wide, target) = (random.matrix(&device, (3, 13)), random.matrix(&device, (13, 3)));
        let transposed: Matrix<Cpu> = wide.permute::<_, Axes2<1, 0>>();
        let (fast, plain) =
            (fused(&device, transposed.clone(), &target).unwrap(), portable(transposed, target).unwrap());
        assert_close(&fast.as_vec(), &plain.as_vec(), 1e-6);
    }
}
