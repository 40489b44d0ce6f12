//! The program of a preset's network, from its graph.

use anyhow::Result;
use dfdx::prelude::{Cpu, HasShape, NoneTape, TensorFromVec};

use crate::nn::graph::gpu::lower;
use crate::nn::graph::gpu::program::Program;
use crate::nn::graph::{GraphBuilder, Size};
use crate::nn::model::{Architecture, GdConstants, ModelSpec, Setting};
use crate::nn::{Matrix, Net, Param};
use crate::task::{Layout, Shape, Stream, rng};

/// The program of an architecture's network for this task. Returns an error if one of its steps has no kernel.
///
/// The network is built once more, on the CPU, with weights that are all equal to the number of their parameter:
/// a graph holds tensors, and dfdx does not say from which parameter a tensor came.
pub fn program(spec: &ModelSpec, shape: Shape, layout: Layout) -> Result<Program> {
    let setting = Setting { shape, layout, gd_constants: GdConstants::default() };
    let device = Cpu::default();
    let mut net = spec.build(&device, setting, &mut rng(0, Stream::Init, 0, 0))?;
    let mut shapes = Vec::new();
    for (number, Param { value, .. }) in net.params_mut().into_iter().enumerate() {
        let (rows, columns) = *value.shape();
        *value = device.try_tensor_from_vec(vec![number as f32; rows * columns], (rows, columns))?;
        shapes.push((rows, columns));
    }
    let builder = GraphBuilder::of(Size { length: layout.tokens(shape), width: layout.width(shape) });
    let graph = net.record::<NoneTape>(builder.tokens()).graph();
    let parameter = |weight: &Matrix<Cpu>| weight.as_vec().first().map_or(0, |number| *number as usize);
    lower(&graph, &shapes, parameter)
}
