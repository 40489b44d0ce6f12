//! A block's phases for some of its sequences: sampling, forwards, and backwards.

use super::super::buffers::root;
use super::super::phases::{GradMode, Places, backward, forward};
use super::super::program::NodeId;
use super::{Loss, Writer};

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
            if self.analysis.needed[id] && root(program, id).0 == id {
                self.compute(id, self.value(id));
            }
        }
    }

    /// The phases of a node's kernel, which writes its result to this place.
    fn compute(&mut self, id: NodeId, place: String) {
        let program = &self.training.program;
        let phases = forward(&Places {
            program,
            node: &program.nodes[id],
            value: &|node| self.value(node),
            weight: &|weight| self.weight(weight),
            turned: &|weight| self.turned(weight),
            own: place,
            kept: self.own_or_none(self.buffers.kept[id]),
            scratch: String::new(),
            grad: String::new(),
            grad_of: &|_| (GradMode::None, String::new()),
            grad_weight: &|weight| self.grad_weight(weight),
        });
        self.phases(phases, &mut Vec::new());
    }

    /// A result as the backward pass finds it.
    fn value_again(&self, node: NodeId) -> String {
        let (at, offset) = root(&self.training.program, node);
        match self.buffers.repeated[at] {
            // The same words for the same place: a gradient may stand there, and steps look whether it does.
            Some(buffer) if offset == 0 => self.place(buffer),
            Some(buffer) => format!("{} + {offset} * LANES", self.place(buffer)),
            None => self.value(node),
        }
    }

    /// From the loss to the sums of gradients.
    pub fn pass_backward(&mut self) {
        let (program, outputs) = (&self.training.program, self.training.outputs);
        let last = program.nodes.len() - 1;
        let skipped = program.nodes[last].size.count() - outputs;
        let answer = format!("{} + {skipped} * LANES", self.value(last));
        let grad = self.own_or_none(self.buffers.grads[last]);
        let [losses, loss, target] =
            [self.buffers.losses, self.buffers.loss, self.buffers.target].map(|buffer| self.place(buffer));
        let (name, share) = match self.training.loss {
            Loss::SquaredError => ("squared_error", format!("1.0f / ({outputs} * (float)orders.batch)")),
            Loss::CrossEntropy => ("cross_entropy", "1.0f / (float)orders.batch".to_owned()),
        };
        let mut calls = vec![format!(
            "{name}<{outputs}>(id, {answer}, {target}, first + id.lane < orders.batch ? {share} : 0.0f, \
             {grad} + {skipped} * LANES, {losses})"
        )];
        if skipped > 0 {
            calls.push(format!("EACH(i, {skipped}) OF({grad}, i) = 0.0f"));
        }
        self.phase(&calls);
        let mut beside = vec![
            format!("sum_outputs<{outputs}>(id, {losses}, {loss})"),
            format!("sum_lanes<1>(id, {loss}, sums + {})", self.parameters),
        ];
        let mut written = vec![false; program.nodes.len()];
        let mut again = vec![false; program.nodes.len()];
        for (id, node) in program.nodes.iter().enumerate().rev() {
            if !self.analysis.needed[id] || !self.analysis.wanted[id] {
                continue;
            }
            for read in node.kernel.reads() {
                let (at, _) = root(program, read);
                if self.buffers.repeated[at].is_some() && !again[at] {
                    again[at] = true;
                    self.compute(at, self.value_again(at));
                }
            }
            let modes: Vec<(NodeId, GradMode)> = node
                .kernel
                .reads()
                .into_iter()
                .map(|read| match (self.analysis.wanted[read], std::mem::replace(&mut written[read], true)) {
                    (false, _) => (read, GradMode::None),
                    (true, false) => (read, GradMode::Set),
                    (true, true) => (read, GradMode::Add),
                })
                .collect();
            let mode = |node: NodeId| modes.iter().find(|(read, _)| *read == node).map_or(GradMode::None, |m| m.1);
            let phases = backward(&Places {
                program,
                node,
                value: &|node| self.value_again(node),
                weight: &|weight| self.weight(weight),
                turned: &|weight| self.turned(weight),
                own: self.value(id),
                kept: self.own_or_none(self.buffers.kept[id]),
                scratch: self.own_or_none(self.buffers.scratch[id]),
                grad: self.own_or_none(self.buffers.grads[id]),
                grad_of: &|node| (mode(node), self.own_or_none(self.buffers.grads[node])),
                grad_weight: &|weight| self.grad_weight(weight),
            });
            self.phases(phases, &mut beside);
        }
        beside.into_iter().for_each(|call| self.phase(&[call]));
    }
}
