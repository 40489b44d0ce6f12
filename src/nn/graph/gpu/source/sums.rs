//! What a block does before its sequences and after them: sums of gradients, and weights that are made of others.

use std::fmt::Write;

use super::super::phases::{derive, derive_backward};
use super::super::program::WeightId;
use super::{Writer, sources};

impl Writer<'_> {
    /// Sums start at zero, and weights that are made of others are made.
    pub fn begin(&mut self) {
        let program = &self.training.program;
        let all = self.slices * (self.parameters + 1 + self.derived);
        let mut groups = vec![vec![format!("EACH_WEIGHT(i, {all}) sums[i] = 0.0f")]];
        let mut depths = Vec::new();
        for id in 0..program.weights.len() {
            let depth = sources(program, id).into_iter().map(|source| depths[source] + 1).max().unwrap_or(0);
            let call = derive(program, id, &|weight| self.weight(weight));
            // A parameter is there from the start, and so is the constant matrix after the first phase.
            depths.push(if call.is_some() { depth.max(1) } else { 0 });
            if let Some(call) = call {
                groups.resize_with(groups.len().max(depths[id]), Vec::new);
                groups[depths[id] - 1].push(call);
            }
        }
        groups.iter().for_each(|calls| self.phase(calls));
    }

    /// Gradients by derived weights lead back to parameters; then the block writes its sums.
    pub fn settle(&mut self) {
        let program = &self.training.program;
        if self.slices > 1 {
            let (all, slices) = (self.parameters + 1 + self.derived, self.slices);
            self.phase(&[format!(
                "EACH_WEIGHT(i, {all}) for (int slice = 1; slice < {slices}; ++slice) \
                 sums[i] += sums[slice * {all} + i]"
            )]);
        }
        let (mut calls, mut busy): (Vec<String>, Vec<WeightId>) = Default::default();
        for id in (0..program.weights.len()).rev() {
            let grad = (&|weight| self.weight(weight) as String, &|weight| self.grad_weight(weight) as String);
            let Some(call) = derive_backward(program, id, (grad.0, grad.1)) else { continue };
            let sources = sources(program, id);
            if busy.contains(&id) || sources.iter().any(|source| busy.contains(source)) {
                self.phase(&calls);
                (calls, busy) = Default::default();
            }
            calls.push(call);
            busy.extend(sources);
        }
        self.phase(&calls);
        let all = self.parameters + 1;
        let mut line = String::new();
        let _ = write!(line, "PHASE(EACH_WEIGHT(i, {all}) orders.partials[(size_t)block * {all} + i] = sums[i])");
        self.line(&line);
    }
}
