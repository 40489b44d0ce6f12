//! The fast-weight models: projections, gates, and a memory of pairs that is read once.

use super::Builder;
use crate::nn::Activation;
use crate::nn::graph::gpu::program::{FastWeightParts, Kernel, NodeId, ScaleRule};
use crate::nn::model::{DeltaNetSpec, GatedDeltaNetSpec, StepSize};
use crate::task::Shape;

impl Builder {
    /// A memory without erasing and decay.
    fn memory(&mut self, Shape { dim, outputs, .. }: Shape) -> FastWeightParts {
        let width = dim + outputs;
        let [wq, wk, wv] = [dim, dim, outputs].map(|columns| self.param(width, columns));
        let (keys, values) = (self.project(0, wk), self.project(0, wv));
        let asking = self.last(0, 1);
        let query = self.project(asking, wq);
        let pairs = self.size(0).length - 1;
        FastWeightParts { keys, values, query, erase: None, beside: None, decay: None, pairs, block: 1 }
    }

    fn gate(&mut self, gates: usize, activation: Activation) -> NodeId {
        let mix = self.linear(self.size(0).width, gates);
        let gate = self.affine(0, mix);
        self.apply(activation, gate)
    }

    fn scale(&mut self, x: NodeId, rates: Option<NodeId>, rule: ScaleRule) -> NodeId {
        self.same(Kernel::ScaleVectors { x, rates, rule }, x)
    }

    fn read(&mut self, parts: FastWeightParts) {
        let outputs = self.size(parts.values).width;
        self.push(Kernel::FastWeights(parts), 1, outputs);
    }

    fn delta_rule(&mut self, parts: FastWeightParts, rates: NodeId, step: StepSize) -> FastWeightParts {
        let (rule, parts) = match step {
            StepSize::Normalised => (ScaleRule::Normalised, parts),
            StepSize::Plain => (ScaleRule::Rate, parts),
            StepSize::UnitKeys => {
                let [keys, query] =
                    [parts.keys, parts.query].map(|vectors| self.scale(vectors, None, ScaleRule::UnitLength));
                (ScaleRule::Rate, FastWeightParts { keys, query, ..parts })
            }
        };
        FastWeightParts { keys: self.scale(parts.keys, Some(rates), rule), erase: Some(parts.keys), ..parts }
    }

    pub fn delta_net(&mut self, spec: &DeltaNetSpec, shape: Shape) {
        let memory = self.memory(shape);
        let rates = self.gate(1, Activation::Sigmoid);
        let memory = self.delta_rule(memory, rates, spec.step);
        self.read(memory);
    }

    pub fn gated_delta_net(&mut self, spec: &GatedDeltaNetSpec, shape: Shape) {
        let memory = self.memory(shape);
        let rates = self.gate(1, Activation::Sigmoid);
        let memory = self.delta_rule(memory, rates, spec.step);
        let decay = Some(self.gate(spec.decays(shape), Activation::Sigmoid));
        self.read(FastWeightParts { decay, ..memory });
    }

    pub fn longhorn(&mut self, shape: Shape) {
        let memory = self.memory(shape);
        let rates = self.gate(1, Activation::Softplus);
        let keys = self.scale(memory.keys, Some(rates), ScaleRule::Implicit);
        self.read(FastWeightParts { keys, erase: Some(memory.keys), ..memory });
    }
}
