//! The loss that a model is trained on.

use dfdx::prelude::{Axis, HasShape, MeanTo, Rank0, TryMul};
use dfdx::tensor::Tape;

use crate::nn::{Device, DeviceResult, Matrix, Scalar};
use crate::task::Objective;

/// The mean over the batch of [`Objective::loss`], on the answers' tape.
pub fn mean_loss<D: Device, T: Tape<f32, D>>(
    objective: Objective,
    answer: Matrix<D, T>,
    target: Matrix<D>,
) -> DeviceResult<Scalar<D, T>, D> {
    match objective {
        Objective::SquaredError => target.device().clone().squared_error(answer, target),
        Objective::CrossEntropy => {
            let outputs = target.shape().1 as f32;
            answer.try_log_softmax::<Axis<1>>()?.try_mul(target)?.try_mean::<Rank0, _>()?.try_mul(-outputs)
        }
    }
}

/// The one number of a tensor.
pub fn number<D: Device, T>(tensor: &Scalar<D, T>) -> f32 {
    tensor.as_vec().first().copied().unwrap_or(f32::NAN)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, Cpu, TensorFromVec, Trace};

    use super::*;

    #[test]
    fn the_loss_on_tensors_is_the_loss_in_numbers() {
        let device = Cpu::default();
        let answers = vec![0.3, -1.2, 2.0, 0.0, 0.7, -0.4];
        let targets = vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        for objective in [Objective::SquaredError, Objective::CrossEntropy] {
            let losses = objective.losses(&answers, &targets, 3);
            let matrix = |values: &Vec<f32>| device.tensor_from_vec(values.clone(), (2, 3));
            let loss = mean_loss(objective, matrix(&answers), matrix(&targets)).unwrap();
            assert!((f64::from(number(&loss)) - 0.5 * (losses[0] + losses[1])).abs() < 1e-6, "{objective:?}");
            let traced = matrix(&answers);
            let gradients = mean_loss(objective, traced.leaky_trace(), matrix(&targets)).unwrap().backward();
            for (i, slope) in gradients.get(&traced).as_vec().into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut answers = answers.clone();
                    answers[i] += by;
                    objective.losses(&answers, &targets, 3).iter().sum::<f64>() / 2.0
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((f64::from(slope) - expected).abs() < 1e-4, "{objective:?} {i}: {slope} not {expected}");
            }
        }
    }
}
