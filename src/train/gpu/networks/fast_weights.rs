//! The fast-weight models: projections, gates, and a memory of pairs that is read once.

use super::{Builder, FLOOR};
use crate::nn::Activation;
use crate::nn::graph::gpu::program::{FastWeightParts, Kernel, NodeId, ScaleRule};
use crate::nn::model::{
    DeltaNetSpec, DeltaProductSpec, GatedDeltaNetSpec, MesaSpec, RetNetSpec, Retention, StepSize, TttSpec,
};
use crate::task::Shape;

impl Builder {
    /// Keys, values and the query, with so many pairs a token.
    fn pairs(&mut self, Shape { dim, outputs, .. }: Shape, products: usize) -> [NodeId; 3] {
        let width = dim + outputs;
        let [wq, wk, wv] = [dim, products * dim, products * outputs].map(|columns| self.param(width, columns));
        let keys = self.project(0, wk);
        let keys = self.split(keys, products);
        let values = self.project(0, wv);
        let values = self.split(values, products);
        let asking = self.last(0, 1);
        [keys, values, self.project(asking, wq)]
    }

    /// Every token as several.
    fn split(&mut self, x: NodeId, count: usize) -> NodeId {
        let size = self.size(x);
        match count {
            1 => x,
            _ => self.push(Kernel::Part { x, first: 0, factor: 1.0 }, size.length * count, size.width / count),
        }
    }

    /// A memory without erasing and decay.
    fn memory(&mut self, shape: Shape, products: usize) -> FastWeightParts {
        let [keys, values, query] = self.pairs(shape, products);
        let pairs = (self.size(0).length - 1) * products;
        let (erase, beside, decay) = (None, None, None);
        FastWeightParts { keys, values: Some(values), query, erase, beside, decay, constant: 1.0, pairs, block: 1 }
    }

    fn gate(&mut self, gates: usize, activation: Activation) -> NodeId {
        let mix = self.linear(self.size(0).width, gates);
        let gate = self.affine(0, mix);
        self.apply(activation, gate)
    }

    fn scale(&mut self, x: NodeId, rates: Option<NodeId>, rule: ScaleRule) -> NodeId {
        self.same(Kernel::ScaleVectors { x, rates, rule }, x)
    }

    fn read(&mut self, parts: FastWeightParts) -> NodeId {
        let outputs = parts.values.map_or(1, |values| self.size(values).width);
        self.push(Kernel::FastWeights(parts), 1, outputs)
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
        let memory = self.memory(shape, 1);
        let rates = self.gate(1, Activation::Sigmoid);
        let memory = self.delta_rule(memory, rates, spec.step);
        self.read(memory);
    }

    pub fn ttt(&mut self, spec: &TttSpec, shape: Shape) {
        let memory = self.memory(shape, 1);
        let rates = self.gate(1, Activation::Sigmoid);
        let memory = self.delta_rule(memory, rates, spec.step);
        self.read(FastWeightParts { block: spec.block, ..memory });
    }

    pub fn delta_product(&mut self, spec: &DeltaProductSpec, shape: Shape) {
        let memory = self.memory(shape, spec.products);
        let rates = self.gate(spec.products, Activation::Sigmoid);
        let rates = self.split(rates, spec.products);
        let memory = self.delta_rule(memory, rates, spec.step);
        self.read(memory);
    }

    pub fn gated_delta_net(&mut self, spec: &GatedDeltaNetSpec, shape: Shape) {
        let memory = self.memory(shape, 1);
        let rates = self.gate(1, Activation::Sigmoid);
        let memory = self.delta_rule(memory, rates, spec.step);
        let decay = self.gate(spec.decays(shape), Activation::Sigmoid);
        let erase = memory.erase.map(|keys| match self.size(decay).width {
            1 => self.scale(keys, Some(decay), ScaleRule::Rate),
            _ => self.times(keys, decay),
        });
        self.read(FastWeightParts { erase, decay: Some(decay), ..memory });
    }

    pub fn longhorn(&mut self, shape: Shape) {
        let memory = self.memory(shape, 1);
        let rates = self.gate(1, Activation::Softplus);
        let keys = self.scale(memory.keys, Some(rates), ScaleRule::Implicit);
        self.read(FastWeightParts { keys, erase: Some(memory.keys), ..memory });
    }

    pub fn retnet(&mut self, spec: &RetNetSpec, shape: Shape) {
        let memory = self.memory(shape, 1);
        match spec.decay {
            Retention::Fixed(kept) => self.read(FastWeightParts { constant: kept as f32, ..memory }),
            Retention::Gated => {
                let decay = Some(self.gate(shape.dim, Activation::Sigmoid));
                self.read(FastWeightParts { decay, ..memory })
            }
        };
    }

    pub fn mlstm(&mut self, shape: Shape) {
        let memory = self.memory(shape, 1);
        let input = self.gate(1, Activation::Softplus);
        let keys = self.scale(memory.keys, Some(input), ScaleRule::Rate);
        let decay = Some(self.gate(1, Activation::Sigmoid));
        let memory = FastWeightParts { keys, decay, ..memory };
        let normaliser = self.read(FastWeightParts { values: None, ..memory });
        let answer = self.read(memory);
        self.scale(answer, Some(normaliser), ScaleRule::Normaliser);
    }

    pub fn rwkv7(&mut self, shape: Shape) {
        let memory = self.memory(shape, 1);
        let (keys, d) = (memory.keys, shape.dim);
        let decay = Some(self.gate(d, Activation::Sigmoid));
        let rate = self.gate(d, Activation::Sigmoid);
        let [removal, replacement] = [(); 2].map(|()| self.param(1, d));
        let scaled = self.same(Kernel::TimesRow(keys, removal), keys);
        let erase = self.scale(scaled, None, ScaleRule::UnitLength);
        let raised = self.times(keys, rate);
        let size = self.size(keys);
        let negative = self.push(Kernel::Part { x: keys, first: 0, factor: -1.0 }, size.length, size.width);
        let change = self.plus(raised, negative);
        let change = self.same(Kernel::TimesRow(change, replacement), change);
        let beside = Some(self.times(erase, rate));
        let keys = self.plus(keys, change);
        self.read(FastWeightParts { keys, erase: Some(erase), beside, decay, ..memory });
    }

    pub fn mesa(&mut self, spec: &MesaSpec, shape: Shape) {
        let parts = self.pairs(shape, 1);
        let log = self.param(1, shape.dim);
        self.push(Kernel::Mesa { parts, log, steps: spec.steps, floor: FLOOR }, 1, shape.outputs);
    }
}
