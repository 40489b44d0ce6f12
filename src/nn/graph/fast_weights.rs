//! The query's read of fast weights, as a step.

use dfdx::tensor::Tape;

use super::{Sequence, Size};
use crate::nn::step::{FastWeights, Vectors};
use crate::nn::tensor::Backend;

impl<'g, D: Backend, T: Tape<f32, D>> FastWeights<Sequence<'g, D, T>> {
    /// What the query reads: one token.
    pub fn read(self) -> Sequence<'g, D, T> {
        let size = Size { length: 1, width: self.values.map_or(1, Sequence::width) };
        let step = self.map(|sequence| Vectors { of: sequence.node, width: sequence.size.width });
        self.keys.graph.record(step, size)
    }
}
