//! The one driver of graphs on the CPU: block by block of sixteen packed sequences, over all cores.
//!
//! Owns the way from tensors to packed blocks and back, the memory of a block, and the order in which gradients are
//! added. Sums over blocks are taken in their order, so the result does not depend on the number of threads.

use std::ops::Range;
use std::sync::Arc;

use dfdx::prelude::{Cpu, HasShape, PutTape, ReshapeTo, Tape, TensorFromVec};
use rayon::prelude::*;

use super::linear::OneMatrix;
use super::param::{Derived, ParamSource};
use super::{Graph, Node, places as places_of};
use crate::nn::step::{AnyStep, Grads, NodeId, ParamId, Step, TOKENS, Values};
use crate::nn::tensor::{DeviceResult, GradTarget, Input, Matrix, Tensor3, Tokens, numbers, untape};
use crate::simd::{Buffer, LANES, Lane, PackedBatch, unpack, unpack_add};

/// Sums of the weights' gradients that are taken side by side, at most.
const GROUPS: usize = 16;

/// Lanes of tokens and memory that make it worth while to begin another such sum.
const GROUP_LANES: usize = 2048;

/// The graph's result, (B, length · width).
pub fn run<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    graph: Graph<Cpu, T>,
) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let one = OneMatrix::if_cheaper(&graph.nodes, input.shape().0);
    run_as(device, input, graph, one)
}

/// The same, with the form given.
pub(super) fn run_as<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    graph: Graph<Cpu, T>,
    one: Option<OneMatrix>,
) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let mut tape = T::default();
    let ((batch, ..), grad_target) = (input.shape(), input.grad_target);
    let size = graph.size().numbers();
    let (packed, rows) = match input.tokens {
        Tokens::Packed(packed) => (packed, None),
        Tokens::Rows(rows) => {
            // A tensor that was permuted is copied here: gradients, too, are added in the order of the rows.
            let rows = untape(rows.try_contiguous()?, &mut tape);
            let grid = (rows.shape().1, rows.shape().2);
            (Arc::new(PackedBatch::of_rows(&numbers(&rows)?, grid)), Some(rows))
        }
    };
    let params = Params::read(graph.params, &mut tape)?;
    let mut kept = Vec::new();
    let (nodes, matrix) = match &one {
        None => (graph.nodes, None),
        Some(one) => (one.nodes(ParamId(0)), Some([one.forward(&params.values, &mut kept)])),
    };
    let kernel = Kernel::new(nodes, grad_target, T::OWNS_TAPE);
    let weights = matrix.as_ref().map_or(&params.values[..], |matrix| matrix);
    let (results, mut blocks) = kernel.forward_all(weights, &packed, size, T::OWNS_TAPE);
    let out = device.try_tensor_from_vec(results, (batch, size))?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let grad_out = gradients.get_or_alloc_mut(&result)?;
        let weights = matrix.as_ref().map_or(&params.values[..], |matrix| matrix);
        let (grad_tokens, mut grads) = kernel.backward_all(weights, &packed, &mut blocks, (grad_out, size));
        if let Some(rows) = rows.filter(|_| grad_target != GradTarget::Weights) {
            add_to_rows(gradients.get_or_alloc_mut(&rows)?, &rows, &grad_tokens);
        }
        if grad_target != GradTarget::Query {
            if let Some(one) = &one {
                let grad_matrix = std::mem::replace(&mut grads, zeros_like(&params.values));
                one.backward(&params.values, &kept, &grad_matrix[0], &mut grads);
            }
            params.add(&mut grads);
            for (param, given) in &params.given {
                let sums = gradients.get_or_alloc_mut(given)?;
                sums.iter_mut().zip(&grads[*param]).for_each(|(sum, grad)| *sum += grad);
            }
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

fn zeros_like(params: &[Vec<f32>]) -> Vec<Vec<f32>> {
    params.iter().map(|param| vec![0.0; param.len()]).collect()
}

/// Adds the gradients by the tokens, block by block, to that by the tensor.
fn add_to_rows(sums: &mut [f32], rows: &Tensor3<Cpu>, grad_tokens: &[Buffer]) {
    let length = rows.shape().1 * rows.shape().2;
    let blocks = sums.par_chunks_mut((LANES * length).max(1)).zip(grad_tokens);
    blocks.for_each(|(rows, lanes)| unpack_add(&lanes[..length], rows));
}

/// The weights of a graph.
pub(super) struct Params {
    /// By number.
    pub values: Vec<Vec<f32>>,
    given: Vec<(usize, Matrix<Cpu>)>,
    derived: Vec<(usize, Derived)>,
}

impl Params {
    pub fn read<T: Tape<f32, Cpu>>(sources: Vec<ParamSource<Cpu, T>>, tape: &mut T) -> DeviceResult<Self, Cpu> {
        let mut params = Self { values: Vec::new(), given: Vec::new(), derived: Vec::new() };
        for (i, source) in sources.into_iter().enumerate() {
            let values = match source {
                ParamSource::Given(weight) => {
                    let weight = untape(weight.try_contiguous()?, tape);
                    let values = numbers(&weight)?;
                    params.given.push((i, weight));
                    values
                }
                ParamSource::Derived(derived) => {
                    let values = derived.forward(&params.values);
                    params.derived.push((i, derived));
                    values
                }
            };
            params.values.push(values);
        }
        Ok(params)
    }

    /// Turns the gradients by derived weights into those by given ones.
    fn add(&self, grads: &mut [Vec<f32>]) {
        for (i, derived) in self.derived.iter().rev() {
            let grad = std::mem::take(&mut grads[*i]);
            derived.backward(&self.values, &grad, grads);
        }
    }
}

/// A graph as it is run on one block.
struct Kernel {
    /// Of every node; `None` of the tokens.
    steps: Vec<Option<AnyStep>>,
    /// Where the sequence of each node lies in a block's memory; behind each what its step saves.
    places: Vec<Range<usize>>,
    /// Where the gradient by it lies; nowhere if that by the tokens is not needed.
    grad_places: Vec<Range<usize>>,
    lanes: usize,
    /// Where the step of each node adds up over blocks.
    sums: Vec<Range<usize>>,
    grad_target: Option<GradTarget>,
}

impl Kernel {
    fn new(nodes: Vec<Node>, grad_target: GradTarget, keeps: bool) -> Self {
        let steps = || nodes.iter().filter_map(|node| node.step.as_ref());
        let readers = || steps().filter(|step| step.reads().contains(&TOKENS));
        let leaves_out = grad_target == GradTarget::Weights && readers().all(Step::leaves_out_unneeded);
        let size = |i: usize| nodes[i].size.numbers();
        let grad_places = places_of((0..nodes.len()).map(|i| if i == 0 && leaves_out { 0 } else { size(i) }));
        let saved = |node: &Node| node.step.as_ref().map_or(0, Step::saved);
        let own = |(i, node): (usize, &Node)| if i == 0 { 0 } else { node.size.numbers() + saved(node) };
        let whole = places_of(nodes.iter().enumerate().map(own));
        let lanes = whole.last().map_or(0, |last| last.end);
        let places = whole.into_iter().enumerate().map(|(i, Range { start, .. })| match i {
            0 => start..start,
            _ => start..start + size(i),
        });
        let places = places.collect();
        Self {
            places,
            grad_places,
            lanes,
            sums: places_of(nodes.iter().map(|node| node.step.as_ref().map_or(0, Step::sums))),
            steps: nodes.into_iter().map(|node| node.step).collect(),
            grad_target: keeps.then_some(grad_target),
        }
    }

    fn values<'a>(&'a self, params: &'a [Vec<f32>], tokens: &'a [Lane], memory: &'a [Lane]) -> Values<'a> {
        Values { tokens, memory, places: &self.places, params, grad_target: self.grad_target }
    }

    /// The steps, with the number of the node of each.
    fn steps(&self) -> impl DoubleEndedIterator<Item = (usize, &AnyStep)> {
        self.steps.iter().enumerate().filter_map(|(node, step)| step.as_ref().map(|step| (node, step)))
    }

    fn last(&self) -> NodeId {
        NodeId(self.steps.len() - 1)
    }

    /// The results, row-major with `size` numbers a sequence, and the memory of each block where it `keeps` it.
    fn forward_all(
        &self,
        params: &[Vec<f32>],
        packed: &PackedBatch,
        size: usize,
        keeps: bool,
    ) -> (Vec<f32>, Vec<Buffer>) {
        let mut results = vec![0.0; packed.sequences * size];
        let blocks: Vec<Option<Buffer>> = results
            .par_chunks_mut((LANES * size).max(1))
            .zip(&packed.blocks)
            .map(|(rows, tokens)| {
                let mut memory = Buffer::uninit(self.lanes);
                self.forward(params, tokens, &mut memory);
                unpack(self.values(params, tokens, &memory).of(self.last()), rows);
                keeps.then_some(memory)
            })
            .collect();
        (results, blocks.into_iter().flatten().collect())
    }

    fn forward(&self, params: &[Vec<f32>], tokens: &[Lane], memory: &mut [Lane]) {
        for (node, step) in self.steps() {
            let place = &self.places[node];
            let (before, now) = memory.split_at_mut(place.start);
            let (out, saved) = now.split_at_mut(place.len());
            step.forward(self.values(params, tokens, before), &mut saved[..step.saved()], out);
        }
    }

    /// The gradients by all sequences of each block, those by the tokens first, where they are needed, and the
    /// gradients by the weights.
    fn backward_all(
        &self,
        params: &[Vec<f32>],
        packed: &PackedBatch,
        memories: &mut [Buffer],
        (grad_out, size): (&[f32], usize),
    ) -> (Vec<Buffer>, Vec<Vec<f32>>) {
        let keeps = self.grad_target != Some(GradTarget::Weights);
        let lanes = packed.blocks.iter().map(|tokens| tokens.len() + self.lanes).sum::<usize>();
        let many = memories.len().div_ceil((lanes / GROUP_LANES).clamp(1, GROUPS)).max(1);
        let groups: Vec<(Vec<Buffer>, Vec<Vec<f32>>)> = memories
            .par_chunks_mut(many)
            .zip(packed.blocks.par_chunks(many))
            .zip(grad_out.par_chunks((many * LANES * size).max(1)))
            .map(|((memories, tokens), rows)| {
                let (mut kept, mut by) = (Vec::new(), zeros_like(params));
                let mut sums = Buffer::zeros(self.sums.last().map_or(0, |last| last.end));
                let blocks = memories.iter_mut().zip(tokens).zip(rows.chunks((LANES * size).max(1)));
                for ((memory, tokens), rows) in blocks {
                    let grads =
                        self.backward(params, (tokens, memory), &Buffer::packed(rows, size), (&mut by, &mut sums));
                    kept.extend(keeps.then_some(grads));
                }
                self.steps().for_each(|(node, step)| step.finish(&sums[self.sums[node].clone()], &mut by));
                (kept, by)
            })
            .collect();
        let mut groups = groups.into_iter();
        let (mut grad_tokens, mut grads) = groups.next().unwrap_or_else(|| (Vec::new(), zeros_like(params)));
        for (kept, sums) in groups {
            grad_tokens.extend(kept);
            for (grad, sum) in grads.iter_mut().zip(sums) {
                grad.iter_mut().zip(sum).for_each(|(grad, sum)| *grad += sum);
            }
        }
        (grad_tokens, grads)
    }

    fn backward(
        &self,
        params: &[Vec<f32>],
        (tokens, memory): (&[Lane], &mut [Lane]),
        grad_out: &[Lane],
        (by, sums): (&mut [Vec<f32>], &mut [Lane]),
    ) -> Buffer {
        let mut grads = Buffer::zeros(self.grad_places.last().map_or(0, |last| last.end));
        let last = grads.len() - grad_out.len();
        grads[last..].copy_from_slice(grad_out);
        for (node, step) in self.steps().rev() {
            let (place, grad_place) = (&self.places[node], &self.grad_places[node]);
            let (before, now) = memory.split_at_mut(place.start);
            let (earlier, grad_out) = grads.split_at_mut(grad_place.start);
            let sums = &mut sums[self.sums[node].clone()];
            let mut grads = Grads { memory: earlier, places: &self.grad_places, params: by, sums };
            let saved = &mut now[place.len()..][..step.saved()];
            step.backward(self.values(params, tokens, before), saved, &grad_out[..grad_place.len()], &mut grads);
        }
        grads
    }
}
