//! Which numbers of a sequence a kernel keeps, and from when to when; see [`super::memory`] for where.

use std::ops::RangeInclusive;

use super::memory::Buffer;
use super::phases::{node_memory, reads_inputs_again};
use super::program::{Kernel, NodeId, Program};
use super::source::Training;
use crate::nn::step::Activation;

/// Numbers of a sequence from which on it pays to do without a buffer of their own.
const LARGE: usize = 256;

/// Numbers of a block by what they are.
pub struct Buffers {
    pub all: Vec<Buffer>,
    pub values: Vec<Option<usize>>,
    pub kept: Vec<Option<usize>>,
    pub scratch: Vec<Option<usize>>,
    pub grads: Vec<Option<usize>>,
    /// A result that is computed again for the backward pass.
    pub repeated: Vec<Option<usize>>,
    pub target: usize,
    pub losses: usize,
    pub loss: usize,
    pub sampled: usize,
}

/// What is known of a program before it is laid out.
pub struct Analysis {
    /// Whether the gradient by a step's result is needed.
    pub wanted: Vec<bool>,
    /// Whether the answer depends on a step.
    pub needed: Vec<bool>,
    /// The steps that are computed in one phase with a step: projections of one sequence that follow on each other.
    pub together: Vec<RangeInclusive<usize>>,
}

impl Analysis {
    pub fn of(program: &Program) -> Self {
        let count = program.nodes.len();
        let (mut wanted, mut needed) = (vec![false; count], vec![false; count]);
        needed[count - 1] = true;
        for (id, node) in program.nodes.iter().enumerate().rev() {
            if needed[id] {
                node.kernel.reads().into_iter().for_each(|read| needed[read] = true);
            }
        }
        for (id, node) in program.nodes.iter().enumerate() {
            wanted[id] = node.kernel.has_weights() || node.kernel.reads().into_iter().any(|read| wanted[read]);
        }
        let mut together: Vec<RangeInclusive<usize>> = (0..count).map(|id| id..=id).collect();
        for id in 1..count {
            let read = |id: usize| {
                let Kernel::Project { x, .. } = program.nodes[id].kernel else { return None };
                needed[id].then_some(x)
            };
            if read(id).is_some() && read(id) == read(id - 1) {
                let all = *together[id - 1].start()..=id;
                all.clone().for_each(|id| together[id] = all.clone());
            }
        }
        Self { wanted, needed, together }
    }
}

/// Where the result of a step is found: part of another's, where nothing has to be moved.
pub fn root(program: &Program, mut node: NodeId) -> (NodeId, usize) {
    let mut offset = 0;
    while let Kernel::Part { x, first, factor } = program.nodes[node].kernel {
        let fits = first + program.nodes[node].size.numbers() <= program.nodes[x].size.numbers();
        if factor != 1.0 || !fits {
            break;
        }
        (node, offset) = (x, offset + first);
    }
    (node, offset)
}

impl Buffers {
    /// Forwards step i at the time i + 1, the loss at n + 1, backwards step i at 2n + 3 − i; tasks are sampled at 0.
    /// Steps that are computed together take from the first one's time to the last one's.
    pub fn of(training: &Training, analysis: &Analysis, workers: usize) -> Self {
        let Training { program, outputs, .. } = training;
        let n = program.nodes.len();
        let (first, last) = (|id: usize| *analysis.together[id].start(), |id: usize| *analysis.together[id].end());
        let (back_begin, back_end) = (|id: usize| 2 * n + 3 - last(id), |id: usize| 2 * n + 3 - first(id));
        let mut ends = vec![0; n];
        let mut begins = vec![0; n];
        for (id, node) in program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]) {
            let again = analysis.wanted[id] && reads_inputs_again(node);
            for read in node.kernel.reads() {
                let (at, _) = root(program, read);
                // An activation or a norm that is computed again is not kept.
                let end = if again && !is_repeated(program, analysis, at) { back_end(id) } else { last(id) + 1 };
                ends[at] = ends[at].max(end);
                begins[read] = begins[read].max(id);
            }
            let (at, _) = root(program, id);
            let own_again = analysis.wanted[id] && matches!(node.kernel, Kernel::SoftmaxTokens(_));
            let end = if own_again { back_end(id) } else { last(id) + 1 };
            ends[at] = ends[at].max(end).max(if id == n - 1 { n + 1 } else { 0 });
        }
        let mut buffers = Self {
            all: Vec::new(),
            values: vec![None; n],
            kept: vec![None; n],
            scratch: vec![None; n],
            grads: vec![None; n],
            repeated: vec![None; n],
            target: 0,
            losses: 0,
            loss: 0,
            sampled: 0,
        };
        buffers.target = buffers.add(*outputs, 0..=n + 1);
        buffers.losses = buffers.add(*outputs, n + 1..=2 * n + 4);
        buffers.loss = buffers.add(1, n + 1..=2 * n + 4);
        buffers.sampled = buffers.add(training.sampling.kept(), 0..=0);
        for (id, node) in program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]) {
            if root(program, id).0 == id {
                let begin = if id == 0 { 0 } else { first(id) + 1 };
                buffers.values[id] = Some(buffers.add(node.size.numbers(), begin..=ends[id].max(begin)));
            }
            if is_repeated(program, analysis, id) {
                let readers = readers_of_part(program, analysis, id);
                let begin = readers.iter().map(|reader| back_begin(*reader)).min().unwrap_or(0);
                let end = readers.iter().map(|reader| back_end(*reader)).max().unwrap_or(0);
                buffers.repeated[id] = Some(buffers.add(node.size.numbers(), begin..=end));
            }
            let grads_input = node.kernel.reads().iter().any(|read| analysis.wanted[*read]);
            let memory = node_memory(program, node, grads_input, workers);
            if memory.kept > 0 {
                let end = if analysis.wanted[id] { back_end(id) } else { last(id) + 1 };
                buffers.kept[id] = Some(buffers.add(memory.kept, first(id) + 1..=end));
            }
            if analysis.wanted[id] {
                if memory.scratch > 0 {
                    buffers.scratch[id] = Some(buffers.add(memory.scratch, back_begin(id)..=back_end(id)));
                }
                let begin = if id == n - 1 { n + 1 } else { back_begin(begins[id]) };
                buffers.grads[id] =
                    match buffers.repeated[id].or(buffers.values[id]).filter(|_| in_place(program, analysis, id)) {
                        Some(value) => {
                            buffers.all[value].life = *buffers.all[value].life.start()..=back_end(id);
                            Some(value)
                        }
                        None => Some(buffers.add(node.size.numbers(), begin..=back_end(id))),
                    };
            }
        }
        buffers
    }

    fn add(&mut self, count: usize, life: RangeInclusive<usize>) -> usize {
        self.all.push(Buffer { count, life });
        self.all.len() - 1
    }
}

/// The steps that read a step's result.
fn readers<'a>(program: &'a Program, analysis: &'a Analysis, node: NodeId) -> impl Iterator<Item = NodeId> + 'a {
    let all = program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]);
    all.filter(move |(_, other)| other.kernel.reads().contains(&node)).map(|(id, _)| id)
}

/// The steps that read a step's result or a part of it that is not moved.
fn readers_of_part(program: &Program, analysis: &Analysis, node: NodeId) -> Vec<NodeId> {
    let all = (0..program.nodes.len()).filter(|id| analysis.needed[*id] && root(program, *id).0 != node);
    all.filter(|id| program.nodes[*id].kernel.reads().iter().any(|read| root(program, *read).0 == node)).collect()
}

/// Whether a result is computed again for the backward pass: an activation or a norm of many numbers, read by
/// projections alone.
pub fn is_repeated(program: &Program, analysis: &Analysis, node: NodeId) -> bool {
    let large = program.nodes[node].size.numbers() >= LARGE;
    let cheap = matches!(
        program.nodes[node].kernel,
        Kernel::Apply(Activation::Gelu | Activation::Relu, _) | Kernel::Normalise { .. }
    );
    let projects = |reader: NodeId| matches!(program.nodes[reader].kernel, Kernel::Project { .. });
    let all = readers_of_part(program, analysis, node);
    large && cheap && analysis.wanted[node] && !all.is_empty() && all.into_iter().all(projects)
}

/// Whether the gradient by a step's result may stand where the result stood: the one step that reads it reads each
/// number just before it writes its gradient, and the step itself does not look at its result again.
#[expect(clippy::wildcard_enum_match_arm, reason = "only these steps can write in place")]
pub fn in_place(program: &Program, analysis: &Analysis, node: NodeId) -> bool {
    let mut readers = readers(program, analysis, node);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
    let reader = &program.nodes[reader];
    let reads_once = match reader.kernel {
        Kernel::Apply(..) => !is_repeated(program, analysis, node),
        Kernel::DiagonalScan { .. } => reader.size.length > 1,
        Kernel::Project { .. } => program.nodes[node].size.numbers() >= LARGE,
        _ => false,
    };
    let looks_again = matches!(program.nodes[node].kernel, Kernel::SoftmaxTokens(_) | Kernel::Tokens);
    reads_once && !looks_again
}
