//! A network over token sequences, written down first and run afterwards as one operation.
//!
//! A model writes `tokens.project(w).convolve(taps, bias).apply(Function::Silu)` and so on; each call only records a
//! step. [`Sequence::run`] then runs all steps. On the CPU each block of sixteen sequences goes through the whole program
//! while its numbers are in the cache, and back again, unless the program is better run as one matrix ([`linear`]); on
//! other devices every step is a composition of dfdx's operations.
//! The steps are in [`super::operation`]; here is only how they are joined.

mod linear;

use std::cell::RefCell;
use std::ops::Range;

use dfdx::prelude::{Cpu, HasShape, PutTape, Tape};

use super::blocks::{self, Kernel, Operands, untape};
use super::buffer::Buffer;
use super::entrywise::Function;
use super::lanes::Lane;
use super::operation::{Given, Grads, NodeId, Operation, Tensors, Weight};
use super::softmax_attend::Heads;
use crate::nn::{Device, DeviceResult, Input, Matrix, Tensor3};

/// The steps so far, each of which makes a sequence.
pub struct GraphBuilder<D: Device, T> {
    steps: RefCell<Vec<Step>>,
    weights: RefCell<Vec<Matrix<D, T>>>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    size: Size,
}

/// Tokens of a sequence, and numbers of a token.
#[derive(Clone, Copy, Debug)]
struct Size {
    length: usize,
    width: usize,
}

/// A sequence that a program will make: (B, length, width).
pub struct Sequence<'p, D: Device, T> {
    program: &'p GraphBuilder<D, T>,
    place: NodeId,
    size: Size,
}

impl<D: Device, T> Clone for Sequence<'_, D, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device, T> Copy for Sequence<'_, D, T> {}

impl<D: Device, T: Tape<f32, D>> GraphBuilder<D, T> {
    /// A program that is given tokens of this shape: (B, length, width).
    pub fn new((_, length, width): (usize, usize, usize)) -> Self {
        let tokens = Step { operation: Operation::Tokens, size: Size { length, width } };
        Self { steps: RefCell::new(vec![tokens]), weights: RefCell::default() }
    }

    /// What the program is given.
    pub fn tokens(&self) -> Sequence<'_, D, T> {
        Sequence { program: self, place: 0, size: self.steps.borrow()[0].size }
    }

    fn record(&self, operation: Operation, size: Size) -> Sequence<'_, D, T> {
        let mut steps = self.steps.borrow_mut();
        steps.push(Step { operation, size });
        Sequence { program: self, place: steps.len() - 1, size }
    }

    fn weight(&self, weight: Matrix<D, T>) -> Weight {
        let mut weights = self.weights.borrow_mut();
        weights.push(weight);
        weights.len() - 1
    }
}

impl<'p, D: Device, T: Tape<f32, D>> Sequence<'p, D, T> {
    pub fn length(self) -> usize {
        self.size.length
    }

    pub fn width(self) -> usize {
        self.size.width
    }

    fn then(self, operation: Operation, width: usize) -> Self {
        self.program.record(operation, Size { width, ..self.size })
    }

    fn operation(self) -> Operation {
        self.program.steps.borrow()[self.place].operation
    }

    /// The last tokens, as many. Of a product, they are the product of the last tokens.
    pub fn last(self, length: usize) -> Self {
        let Self { program, size, .. } = self;
        match self.operation() {
            _ if length == size.length => self,
            Operation::Project(x, weight, sizes) => {
                let few = program.record(Operation::Last(x), Size { length, width: sizes.0 });
                few.then(Operation::Project(few.place, weight, sizes), sizes.1)
            }
            _ => self.copy(length),
        }
    }

    fn copy(self, length: usize) -> Self {
        self.program.record(Operation::Last(self.place), Size { length, ..self.size })
    }

    /// Where these lie, with a copy in place of one that is there already: an operation adds to all their gradients.
    fn distinct<const N: usize>(sequences: [Self; N]) -> [NodeId; N] {
        let mut places = sequences.map(|sequence| sequence.place);
        for i in 1..N {
            if places[..i].contains(&places[i]) {
                places[i] = sequences[i].copy(sequences[i].size.length).place;
            }
        }
        places
    }

    /// x + y.
    pub fn plus(self, other: Self) -> Self {
        self.then(Operation::Plus(Self::distinct([self, other])), self.size.width)
    }

    /// x ⊙ y.
    pub fn times(self, other: Self) -> Self {
        self.then(Operation::Times(Self::distinct([self, other])), self.size.width)
    }

    /// f(x), number by number.
    pub fn apply(self, function: Function) -> Self {
        self.then(Operation::Apply(function, self.place), self.size.width)
    }

    /// Every token plus a row (1, width).
    pub fn plus_row(self, row: Matrix<D, T>) -> Self {
        self.then(Operation::PlusRow(self.place, self.program.weight(row)), self.size.width)
    }

    /// Every token times a row (1, width), entry by entry.
    pub fn times_row(self, row: Matrix<D, T>) -> Self {
        self.then(Operation::TimesRow(self.place, self.program.weight(row)), self.size.width)
    }

    /// x W, with a matrix (width, its columns). Where x is itself a product with a matrix that widens, the two matrices
    /// are multiplied first: they are fewer than the tokens.
    pub fn project(self, weight: Matrix<D, T>) -> Self {
        let sizes = *weight.shape();
        let weight = self.program.weight(weight);
        let operation = match self.operation() {
            Operation::Project(x, first, (inner, middle)) if inner < middle => {
                Operation::ProjectTwice(x, [first, weight], [inner, middle, sizes.1])
            }
            _ => Operation::Project(self.place, weight, sizes),
        };
        self.then(operation, sizes.1)
    }

    /// x W + c, with a matrix (width, its columns) and a row.
    pub fn affine(self, weight: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let wide = weight.shape().1;
        let weights = [weight, bias].map(|weight| self.program.weight(weight));
        self.then(Operation::Affine(self.place, weights), wide)
    }

    /// Every token with mean 0 and mean square 1, times a row plus a row (1, width). See `op/normalise.rs`.
    pub fn normalise(self, gain: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let weights = [gain, bias].map(|weight| self.program.weight(weight));
        self.then(Operation::Normalise(self.place, weights), self.size.width)
    }

    /// What these queries, of the last tokens, take from all: causal attention with softmax, in heads.
    pub fn softmax_attend(self, [keys, values]: [Self; 2], heads: usize) -> Self {
        let places = Self::distinct([self, keys, values]);
        let heads = Heads { count: heads, units: self.size.width };
        self.then(Operation::SoftmaxAttend(places, heads), self.size.width)
    }

    /// A short causal convolution of every channel. See [`super::CausalConv`].
    pub fn convolve(self, taps: Matrix<D, T>, bias: Matrix<D, T>) -> Self {
        let weights = [taps, bias].map(|weight| self.program.weight(weight));
        self.then(Operation::Convolve(self.place, weights), self.size.width)
    }

    /// The last states, as many, of a diagonal recurrence over complex numbers. See [`super::DiagonalScan`].
    pub fn scan(self, spectrum: Matrix<D, T>, length: usize) -> Self {
        let spectrum = self.program.weight(spectrum);
        self.program.record(Operation::DiagonalScan(self.place, spectrum), Size { length, ..self.size })
    }

    /// What the network answers to the input: (B, length, width) of this sequence.
    pub fn run(self, input: Input<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
        let device = input.tokens.device().clone();
        device.run(input, self.graph())
    }

    /// The program up to here, without the steps that it does not need; its weights, which carry their tapes, go with it.
    fn graph(self) -> Graph<D, T> {
        let mut steps = self.program.steps.borrow()[..=self.place].to_vec();
        let mut needed = vec![false; steps.len()];
        (needed[0], needed[self.place]) = (true, true);
        for (place, step) in steps.iter_mut().enumerate().rev() {
            if needed[place] {
                step.operation.reads().into_iter().for_each(|read| needed[read] = true);
            } else {
                *step = Step { operation: Operation::Unused, size: Size { length: 0, width: 0 } };
            }
        }
        Graph { steps, weights: self.program.weights.take() }
    }
}

/// Δ, x, B and C of a scan whose recurrence depends on the token, and A. Answers come as many as C has tokens.
pub struct Selection<'p, D: Device, T> {
    pub step: Sequence<'p, D, T>,
    pub input: Sequence<'p, D, T>,
    pub write: Sequence<'p, D, T>,
    pub read: Sequence<'p, D, T>,
    pub rate: Matrix<D, T>,
}

impl<'p, D: Device, T: Tape<f32, D>> Selection<'p, D, T> {
    fn scan(self, operation: fn([NodeId; 4], Weight, usize) -> Operation) -> Sequence<'p, D, T> {
        let Self { step, input, write, read, rate } = self;
        let program = step.program;
        let parts = Sequence::distinct([step, input, write, read]);
        let operation = operation(parts, program.weight(rate), write.size.width);
        program.record(operation, Size { length: read.size.length, width: input.size.width })
    }

    /// Every entry of the state forgets at its own speed. See [`super::SelectiveScan`].
    pub fn by_channel(self) -> Sequence<'p, D, T> {
        self.scan(Operation::SelectiveScan)
    }

    /// Heads forget as a whole, one token after the other. See [`super::HeadScan`].
    pub fn by_head(self) -> Sequence<'p, D, T> {
        self.scan(Operation::HeadScan)
    }

    /// Heads forget as a whole, all tokens at once. See [`super::HeadScan`].
    pub fn by_matrix(self) -> Sequence<'p, D, T> {
        self.scan(Operation::MaskedAttend)
    }
}

/// A program that is to be run; the answer is what its last step makes.
pub struct Graph<D: Device, T> {
    steps: Vec<Step>,
    weights: Vec<Matrix<D, T>>,
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: Device, T: Tape<f32, D>>(input: Input<D, T>, graph: Graph<D, T>) -> DeviceResult<Tensor3<D, T>, D> {
    let mut tape = T::default();
    let mut values = vec![untape(input.tokens, &mut tape)];
    let weights: Vec<Matrix<D>> = graph.weights.into_iter().map(|weight| untape(weight, &mut tape)).collect();
    for Step { operation, size } in graph.steps.into_iter().skip(1) {
        let given = Tensors { values: &values, weights: &weights };
        let value = operation.compose::<D, T>(&given, size.length)?;
        values.push(untape(value, &mut tape));
    }
    let answer = values.swap_remove(values.len() - 1);
    Ok(answer.put_tape(tape))
}

/// The fast form on the CPU.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    graph: Graph<Cpu, T>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    if linear::pays(&graph, input.tokens.shape().0) {
        return linear::run(device, input, graph);
    }
    in_blocks(device, input, graph)
}

/// Where the sequence of each step lies in memory, one after the other.
fn places(steps: &[Step]) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |step: &Step| {
        let start = end;
        end += step.size.length * step.size.width;
        start..end
    };
    steps.iter().map(place).collect()
}

/// Step by step, sixteen sequences side by side.
fn in_blocks<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    graph: Graph<Cpu, T>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let Graph { steps, weights } = graph;
    let places = places(&steps);
    let size = steps.last().map_or((0, 0), |step| (step.size.length, step.size.width));
    let operations = steps.iter().map(|step| step.operation).collect();
    let operands = Operands { inputs: vec![input.tokens], weights, grad_target: input.grad_target };
    blocks::run(device, operands, size, |weights| Fused { operations, places, weights })
}

struct Fused {
    operations: Vec<Operation>,
    /// Where the sequence of each step lies in a block's memory, one after the other.
    places: Vec<Range<usize>>,
    weights: Vec<Vec<f32>>,
}

impl Fused {
    fn lanes(&self) -> usize {
        self.places.last().map_or(0, |place| place.end)
    }

    fn given<'a>(&'a self, lanes: &'a [Lane]) -> Given<'a> {
        Given { lanes, places: &self.places, weights: &self.weights }
    }
}

impl Kernel for Fused {
    /// Every sequence, besides the tokens.
    fn saved(&self) -> usize {
        self.lanes()
    }

    fn forward(&self, inputs: &[Buffer], saved: &mut [Lane], out: &mut [Lane]) {
        for (operation, place) in self.operations.iter().zip(&self.places) {
            let (before, now) = saved.split_at_mut(place.start);
            let now = &mut now[..place.len()];
            match operation {
                Operation::Tokens => now.copy_from_slice(&inputs[0]),
                _ => operation.forward(self.given(before), now),
            }
        }
        out.copy_from_slice(&saved[saved.len() - out.len()..]);
    }

    fn backward(&self, _inputs: &[Buffer], saved: &mut [Lane], grad_out: &[Lane], grads: blocks::Grads<'_>) {
        let mut memory = Buffer::zeros(self.lanes());
        let last = memory.len() - grad_out.len();
        memory[last..].copy_from_slice(grad_out);
        for (operation, place) in self.operations.iter().zip(&self.places).rev() {
            let (before, now) = memory.split_at_mut(place.start);
            let mut grads = Grads { lanes: before, places: &self.places, weights: grads.weights };
            operation.backward(self.given(saved), &now[..place.len()], &mut grads);
        }
        for (sum, grad) in grads.inputs[0].iter_mut().zip(memory.iter()) {
            *sum = *grad;
        }
    }
}

#[cfg(test)]
mod tests;
