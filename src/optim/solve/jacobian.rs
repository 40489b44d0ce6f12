//! The derivative of a network's answer to one task by all its weights, by one backward pass for each output.

use dfdx::prelude::{Backward, Rank0, SumTo, TryMul};
use dfdx::tensor::OwnedTape;
use nalgebra::DMatrix;

use crate::nn::{Device, DeviceResult, Matrix, Net, numbers};

/// The answer to one task, linearised.
pub struct Jacobian {
    /// Jᵀ: (weights, d_out), the weights in the network's order.
    pub rows: DMatrix<f64>,
    /// (d_out).
    pub answer: Vec<f32>,
}

impl Jacobian {
    /// `answer` computes the answer to the one task on a fresh tape: (1, d_out).
    pub fn of<D: Device>(
        net: &impl Net<D>,
        outputs: usize,
        answer: &dyn Fn() -> DeviceResult<Matrix<D, OwnedTape<f32, D>>, D>,
    ) -> DeviceResult<Self, D> {
        let params = net.params();
        let (mut rows, mut answered) = (Vec::new(), Vec::new());
        for output in 0..outputs {
            let answer = answer()?;
            if output == 0 {
                answered = numbers(&answer)?;
            }
            let chosen = (0..outputs).map(|k| f32::from(u8::from(k == output))).collect();
            let chosen: Matrix<D> = answer.device().try_tensor_from_vec(chosen, (1, outputs))?;
            let mut gradients = answer.try_mul(chosen)?.try_sum::<Rank0, _>()?.try_backward()?;
            for param in &params {
                // Zero where the answer does not depend on it.
                gradients.try_alloc_for(&param.value)?;
                rows.extend(numbers(&gradients.get(&param.value))?.into_iter().map(f64::from));
            }
        }
        Ok(Self { rows: DMatrix::from_vec(rows.len() / outputs, outputs, rows), answer: answered })
    }
}
