//! Matrices that are copied to shared memory before they are read, where there are too many weights for a
//! multiprocessor's cache: each number is then fetched from the GPU's memory once for all sequences of a block.

use super::super::buffers::Analysis;
use super::super::program::{Kernel, NodeId, Program, WeightSource};
use super::Writer;

/// Numbers that are copied at once, at most: 16 KiB.
const MOST: usize = 4096;

/// Numbers of the matrix that a projection reads; `None` if it is made of other weights, or cannot be copied by fours.
fn count(program: &Program, node: NodeId) -> Option<usize> {
    let Kernel::Project { weight, .. } = program.nodes[node].kernel else { return None };
    let weight = &program.weights[weight];
    let count = weight.count();
    (matches!(weight.source, WeightSource::Parameter) && count.is_multiple_of(4) && count <= MOST).then_some(count)
}

/// The most numbers that projections of one phase read.
pub fn largest(program: &Program, analysis: &Analysis) -> usize {
    let phase = |id: usize| analysis.together[id].clone().filter_map(|node| count(program, node)).sum::<usize>();
    (0..program.nodes.len()).filter(|id| analysis.needed[*id]).map(phase).filter(|sum| *sum <= MOST).max().unwrap_or(0)
}

impl Writer<'_> {
    /// Copies the matrices of projections that are computed in one phase, or their transposed ones; where each then is.
    pub fn copy_matrices(&mut self, nodes: &[NodeId], transposed: bool) -> Vec<Option<String>> {
        let (mut end, mut calls, mut places) = (0, Vec::new(), Vec::new());
        for node in nodes {
            let found = count(&self.training.program, *node).filter(|count| end + count <= self.stage);
            let from = found.and_then(|_| self.matrix(*node, transposed));
            places.push(found.zip(from).map(|(count, from)| {
                let to = format!("memory + TRAIN::REDUCE + {end}");
                calls.push(format!("copy_matrix<{count}>(id, {from}, {to})"));
                end += count;
                to
            }));
        }
        // Beside the phase before, if that reads no copies.
        let copies = !calls.is_empty();
        if self.reads_copies || self.pending.is_empty() {
            self.phase(&calls);
        } else {
            self.pending.append(&mut calls);
        }
        self.reads_copies |= copies;
        places
    }

    /// Where a projection's matrix lies, if that is at a multiple of 16 bytes.
    fn matrix(&self, node: NodeId, transposed: bool) -> Option<String> {
        let Kernel::Project { weight, .. } = self.training.program.nodes[node].kernel else { return None };
        let place = if transposed { self.transpose(weight)? } else { self.weight(weight) };
        self.is_aligned(weight).then_some(place)
    }
}
