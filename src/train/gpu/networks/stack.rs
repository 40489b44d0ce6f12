//! The layers of stacks: diagonal recurrences, Mamba and Mamba-2.

use super::{Builder, TAPS};
use crate::nn::graph::Discretization;
use crate::nn::graph::gpu::program::{Derivation, Kernel, NodeId, WeightId};
use crate::nn::model::{ChannelMixing, Mamba2Spec, MambaSpec};
use crate::nn::step::Activation;

/// A layer of a stack.
#[derive(Clone)]
pub enum Layer {
    Diagonal { law: Discretization, states: usize, block: ChannelMixing },
    S4d { states: usize, block: ChannelMixing },
    Mamba(MambaSpec),
    Mamba2(Mamba2Spec),
}

impl Builder {
    pub fn stack(&mut self, query: usize, outputs: usize, width: usize, layers: &[Layer]) {
        let encode = self.param(self.size(0).width, width);
        let tokens = self.until(0, query + 1);
        let mut tokens = self.project(tokens, encode);
        for (number, layer) in layers.iter().enumerate() {
            let asked = if number + 1 == layers.len() { 1 } else { query + 1 };
            let update = match layer {
                Layer::Diagonal { law, states, block } => self.diagonal(tokens, asked, (*law, *states, *block)),
                Layer::S4d { states, block } => self.s4d(tokens, asked, *states, *block),
                Layer::Mamba(spec) => self.mamba(tokens, asked, spec),
                Layer::Mamba2(spec) => self.mamba2(tokens, asked, spec),
            };
            let last = self.last(tokens, asked);
            tokens = self.plus(last, update);
        }
        let decode = self.param(width, outputs);
        let last = self.last(tokens, 1);
        self.push(Kernel::Project { x: last, weight: decode, bias: None }, 1, outputs);
    }

    /// The feedthrough and the gated unit after a recurrence.
    fn mixing(&mut self, y: NodeId, tokens: NodeId, block: ChannelMixing) -> NodeId {
        let wide = self.size(tokens).width;
        let feedthrough = self.param(1, wide);
        let through = self.last(tokens, self.size(y).length);
        let through = self.same(Kernel::TimesRow(through, feedthrough), y);
        let y = self.plus(y, through);
        match block {
            ChannelMixing::Bare => y,
            ChannelMixing::Gated => {
                let (value, gate) = (self.param(wide, wide), self.param(wide, wide));
                let g = self.apply(Activation::Gelu, y);
                let (value, gate) = (self.project(g, value), self.project(g, gate));
                let gate = self.apply(Activation::Sigmoid, gate);
                self.times(value, gate)
            }
        }
    }

    fn diagonal(
        &mut self,
        tokens: NodeId,
        asked: usize,
        (law, n, block): (Discretization, usize, ChannelMixing),
    ) -> NodeId {
        let wide = self.size(tokens).width;
        let rows = [(); 3].map(|()| self.param(1, n));
        let (write, read) = (self.param(wide, 2 * n), self.param(2 * n, wide));
        let spectrum = self.program.derive(Derivation::Spectrum(law, rows), (4, n));
        let written = self.project(tokens, write);
        let states = self.push(Kernel::DiagonalScan { x: written, spectrum }, asked, 2 * n);
        let y = self.project(states, read);
        self.mixing(y, tokens, block)
    }

    fn s4d(&mut self, tokens: NodeId, asked: usize, n: usize, block: ChannelMixing) -> NodeId {
        let wide = self.size(tokens).width;
        let all = wide * n;
        let (damping, frequency) = (self.param(1, all), self.param(1, all));
        let (step, read) = (self.param(1, wide), self.param(2 * all, 1));
        let steps = self.program.derive(Derivation::Repeat(step, n), (1, all));
        let rows = [damping, frequency, steps];
        let spectrum = self.program.derive(Derivation::Spectrum(Discretization::ZeroOrderHold, rows), (4, all));
        let owners = self.program.derive(Derivation::Owners { each: n }, (wide, 2 * all));
        let readout = self.program.derive(Derivation::Grouped(read, wide), (2 * all, wide));
        let spread = self.project(tokens, owners);
        let states = self.push(Kernel::DiagonalScan { x: spread, spectrum }, asked, 2 * all);
        let y = self.project(states, readout);
        self.mixing(y, tokens, block)
    }

    fn convolve(&mut self, x: NodeId, taps: WeightId, bias: WeightId) -> NodeId {
        let y = self.same(Kernel::Convolve { x, taps, bias }, x);
        self.apply(Activation::Silu, y)
    }

    fn mamba(&mut self, tokens: NodeId, asked: usize, spec: &MambaSpec) -> NodeId {
        let (wide, inner, n) = (spec.width, spec.inner, spec.states);
        let rank = wide.div_ceil(16);
        let (in_x, in_z) = (self.param(wide, inner), self.param(wide, inner));
        let (write, read) = (self.param(inner, n), self.param(inner, n));
        let (down, up) = (self.param(inner, rank), self.param(rank, inner));
        let out = self.param(inner, wide);
        let (taps, bias) = (self.param(TAPS, inner), self.param(1, inner));
        let (step, log, feedthrough) = (self.param(1, inner), self.param(inner, n), self.param(1, inner));
        let rate = self.program.derive(Derivation::NegativeExp(log), (inner, n));
        let x = self.project(tokens, in_x);
        let x = self.convolve(x, taps, bias);
        let delta = self.project(x, down);
        let delta = self.affine(delta, [up, step]);
        let delta = self.apply(Activation::Softplus, delta);
        let written = self.project(x, write);
        let last = self.last(x, asked);
        let reads = self.project(last, read);
        let scan = Kernel::SelectiveScan { parts: [delta, x, written, reads], rate, heads: 0 };
        let answer = self.push(scan, asked, inner);
        let through = self.push(Kernel::TimesRow(last, feedthrough), asked, inner);
        let gate = self.last(tokens, asked);
        let gate = self.project(gate, in_z);
        let gate = self.apply(Activation::Silu, gate);
        let answer = self.plus(answer, through);
        let answer = self.times(answer, gate);
        self.project(answer, out)
    }

    fn mamba2(&mut self, tokens: NodeId, asked: usize, spec: &Mamba2Spec) -> NodeId {
        let (wide, inner, n, heads) = (spec.width, spec.inner, spec.states, spec.heads);
        let reading =
            |b: &mut Self, columns: usize| [b.param(wide, columns), b.param(TAPS, columns), b.param(1, columns)];
        let [x, write, read] = [inner, n, n].map(|columns| reading(self, columns));
        let (gate, down, out) = (self.param(wide, inner), self.param(wide, heads), self.param(inner, wide));
        let (step, log, feedthrough) = (self.param(1, heads), self.param(1, heads), self.param(1, heads));
        let rate = self.program.derive(Derivation::NegativeExp(log), (1, heads));
        let through = self.program.derive(Derivation::Repeat(feedthrough, inner / heads), (1, inner));
        let length = self.size(tokens).length;
        let delta = self.project(tokens, down);
        let delta = self.same(Kernel::PlusRow(delta, step), delta);
        let delta = self.apply(Activation::Softplus, delta);
        let of = |b: &mut Self, from: NodeId, [mix, taps, bias]: [WeightId; 3]| {
            let mixed = b.project(from, mix);
            b.convolve(mixed, taps, bias)
        };
        let x = of(self, tokens, x);
        let written = of(self, tokens, write);
        // The answer to a token needs C of the tokens that the convolution reaches back to.
        let near = self.last(tokens, length.min(asked + TAPS - 1));
        let reads = of(self, near, read);
        let reads = self.last(reads, asked);
        let scan = Kernel::SelectiveScan { parts: [delta, x, written, reads], rate, heads };
        let answer = self.push(scan, asked, inner);
        let last = self.last(x, asked);
        let through = self.push(Kernel::TimesRow(last, through), asked, inner);
        let few = self.last(tokens, asked);
        let gate = self.project(few, gate);
        let gate = self.apply(Activation::Silu, gate);
        let answer = self.plus(answer, through);
        let answer = self.times(answer, gate);
        self.project(answer, out)
    }
}
