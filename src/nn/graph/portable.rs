//! A graph as a composition of dfdx's operations, for any device.

use dfdx::prelude::{HasShape, PutTape, ReshapeTo, Tape};

use super::param::ParamSource;
use super::{Graph, Node};
use crate::nn::step::{Step, Tensors};
use crate::nn::tensor::{Backend, DeviceResult, Input, Matrix, Tensor3, untape};

/// The graph's result, (B, length · width).
pub fn run<D: Backend, T: Tape<f32, D>>(input: Input<D, T>, graph: Graph<D, T>) -> DeviceResult<Matrix<D, T>, D> {
    let (mut tape, size) = (T::default(), graph.size().numbers());
    let rows = input.into_rows()?;
    let (device, batch) = (rows.device().clone(), rows.shape().0);
    let mut params: Vec<Matrix<D>> = Vec::new();
    for source in graph.params {
        let value = match source {
            ParamSource::Given(weight) => weight,
            ParamSource::Derived(derived) => derived.portable::<D, T>(&device, &params)?,
        };
        params.push(untape(value, &mut tape));
    }
    let mut values: Vec<Tensor3<D>> = Vec::new();
    let mut tokens = Some(rows);
    for Node { step, size } in graph.nodes {
        let value = match (tokens.take(), step) {
            (Some(rows), _) => rows.try_reshape_like(&(batch, size.length, size.width))?,
            (None, Some(step)) => step.portable::<D, T>(&Tensors { values: &values, params: &params })?,
            // No other node needs it.
            (None, None) => values[0].retaped::<T>(),
        };
        values.push(untape(value, &mut tape));
    }
    let answer = values.swap_remove(values.len() - 1);
    answer.put_tape(tape).try_reshape_like(&(batch, size))
}
