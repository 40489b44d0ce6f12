//! A block's phases for some of its sequences: sampling, forwards, and backwards.

use super::super::buffers::root;
use super::super::phases::{Beside, GradMode, Phase, Places, backward, forward};
use super::super::program::NodeId;
use super::Writer;
use crate::task::Objective;

impl Writer<'_> {
    pub fn sample(&mut self) {
        let (tokens, target) = (self.value(0), self.place(self.buffers.target));
        let kept = self.place(self.buffers.sampled);
        let size = self.training.program.nodes[0].size;
        let phases = self.training.sampling.phases((size, self.training.outputs), (&tokens, &target, &kept));
        phases.iter().for_each(|calls| self.phase(calls));
    }

    pub fn pass_forward(&mut self) {
        let program = &self.training.program;
        for id in 0..program.nodes.len() {
            let together: Vec<NodeId> = self.analysis.together[id].clone().collect();
            if self.analysis.needed[id] && root(program, id).0 == id && together[0] == id {
                let copies = self.copy_matrices(&together, false);
                let reads_copies = copies.iter().any(Option::is_some);
                let besides = Beside::forward(program, &together, copies);
                let all = together.iter().zip(besides).map(|(id, beside)| self.computed(*id, self.value(*id), beside));
                self.phases(in_one(all.collect()), &mut Vec::new());
                self.reads_copies = reads_copies;
            }
        }
    }

    /// The phases of a node's kernel, which writes its result to this place.
    fn computed(&self, id: NodeId, place: String, beside: Beside) -> Vec<Phase> {
        let program = &self.training.program;
        forward(&Places {
            program,
            node: &program.nodes[id],
            value: &|node| self.value(node),
            weight: &|weight| self.weight(weight),
            is_aligned: &|weight| self.is_aligned(weight),
            transpose: &|weight| self.transpose(weight),
            own: place,
            kept: self.own_or_none(self.buffers.kept[id]),
            scratch: String::new(),
            grad: String::new(),
            grad_of: &|_| (GradMode::None, String::new()),
            grad_replaces: &|_| false,
            grad_weight: &|weight| self.grad_weight(weight),
            beside,
        })
    }

    /// A result as the backward pass finds it.
    fn value_again(&self, node: NodeId) -> String {
        let (at, offset) = root(&self.training.program, node);
        match self.buffers.repeated[at] {
            Some(buffer) if offset == 0 => self.place(buffer),
            Some(buffer) => format!("{} + {offset} * LANES", self.place(buffer)),
            None => self.value(node),
        }
    }

    /// Whether the gradient by a result lies where the backward pass finds that result.
    fn grad_replaces(&self, node: NodeId) -> bool {
        let (at, offset) = root(&self.training.program, node);
        let value = self.buffers.repeated[at].or(self.buffers.values[at]);
        let place = |buffer: Option<usize>| buffer.map(|buffer| self.layout.places[buffer]);
        offset == 0 && place(value) == place(self.buffers.grads[node])
    }

    /// From the loss to the sums of gradients.
    pub fn pass_backward(&mut self) {
        let (program, outputs) = (&self.training.program, self.training.outputs);
        let last = program.nodes.len() - 1;
        let skipped = program.nodes[last].size.numbers() - outputs;
        let answer = format!("{} + {skipped} * LANES", self.value(last));
        let grad = self.own_or_none(self.buffers.grads[last]);
        let [losses, loss, target] =
            [self.buffers.losses, self.buffers.loss, self.buffers.target].map(|buffer| self.place(buffer));
        let (name, share) = match self.training.objective {
            Objective::SquaredError => ("squared_error", format!("1.0f / ({outputs} * (float)orders.batch)")),
            Objective::CrossEntropy => ("cross_entropy", "1.0f / (float)orders.batch".to_owned()),
        };
        let mut calls = vec![format!(
            "{name}<{outputs}>(id, {answer}, {target}, first + id.lane < orders.batch ? {share} : 0.0f, \
             {grad} + {skipped} * LANES, {losses})"
        )];
        if skipped > 0 {
            calls.push(format!("EACH(i, {skipped}) OF({grad}, i) = 0.0f"));
        }
        self.phase(&calls);
        let mut last_calls = vec![
            format!("sum_outputs<{outputs}>(id, {losses}, {loss})"),
            format!("sum_lanes<1>(id, {loss}, sums + {})", self.parameters),
        ];
        let mut written = vec![false; program.nodes.len()];
        let mut again = vec![false; program.nodes.len()];
        for id in (0..program.nodes.len()).rev() {
            let mut together: Vec<NodeId> = self.analysis.together[id].clone().collect();
            if !self.analysis.needed[id] || !self.analysis.wanted[id] || together.last() != Some(&id) {
                continue;
            }
            together.reverse();
            for id in &together {
                for read in program.nodes[*id].kernel.reads() {
                    let (at, _) = root(program, read);
                    if self.buffers.repeated[at].is_some() && !std::mem::replace(&mut again[at], true) {
                        let phases = self.computed(at, self.value_again(at), Beside::alone());
                        self.phases(phases, &mut Vec::new());
                    }
                }
            }
            let goes_on = program.nodes[id].kernel.reads().iter().any(|read| self.analysis.wanted[*read]);
            let copies = if goes_on { self.copy_matrices(&together, true) } else { vec![None; together.len()] };
            let reads_copies = copies.iter().any(Option::is_some);
            let besides = Beside::backward(program, &together, copies);
            let all = together.into_iter().zip(besides).map(|(id, beside)| self.gone_back(id, &mut written, beside));
            let phases = in_one(all.collect());
            self.phases(phases, &mut last_calls);
            self.reads_copies = reads_copies;
        }
        last_calls.into_iter().for_each(|call| self.phase(&[call]));
    }

    /// The phases from the gradient by a node's result to those by its inputs and weights.
    fn gone_back(&self, id: NodeId, written: &mut [bool], beside: Beside) -> Vec<Phase> {
        let program = &self.training.program;
        let node = &program.nodes[id];
        let mut mode = |read: NodeId| match (self.analysis.wanted[read], std::mem::replace(&mut written[read], true)) {
            (false, _) => (read, GradMode::None),
            (true, false) => (read, GradMode::Set),
            (true, true) => (read, GradMode::Add),
        };
        let modes: Vec<(NodeId, GradMode)> = node.kernel.reads().into_iter().map(&mut mode).collect();
        let mode = |node: NodeId| modes.iter().find(|(read, _)| *read == node).map_or(GradMode::None, |m| m.1);
        backward(&Places {
            program,
            node,
            value: &|node| self.value_again(node),
            weight: &|weight| self.weight(weight),
            is_aligned: &|weight| self.is_aligned(weight),
            transpose: &|weight| self.transpose(weight),
            own: self.value(id),
            kept: self.own_or_none(self.buffers.kept[id]),
            scratch: self.own_or_none(self.buffers.scratch[id]),
            grad: self.own_or_none(self.buffers.grads[id]),
            grad_of: &|node| (mode(node), self.own_or_none(self.buffers.grads[node])),
            grad_replaces: &|node| self.grad_replaces(node),
            grad_weight: &|weight| self.grad_weight(weight),
            beside,
        })
    }
}

/// The phases of one step, or the calls of several that have a phase each, in one.
fn in_one(mut all: Vec<Vec<Phase>>) -> Vec<Phase> {
    if all.len() == 1 {
        return all.remove(0);
    }
    let calls = all.into_iter().flatten().flat_map(|phase| match phase {
        Phase::Calls(calls) => calls,
        Phase::Over { phases, .. } => phases.concat(),
    });
    vec![Phase::Calls(calls.collect())]
}
