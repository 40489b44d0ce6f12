//! A recurrent layer: a cell reads one token of a sequence after the other.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | x_t | what the layer reads | (B, T, w) |
//! | W, U, b | of each gate, which reads x_t W + b + h U | (w, n), (n, n), (1, n) |
//! | h_t, c_t | what the cell carries from token to token; c only in some cells | (n) |
//!
//! This file owns the way through the tokens and the gradients by the weights; the [`Cell`] defines, in every form,
//! what happens at one token. What the gates read of the tokens does not depend on h, so it is computed for all
//! tokens first.

mod gru;
mod lstm;
mod rnn;

pub use gru::Gru;
pub use lstm::Lstm;
pub use rnn::Rnn;

use std::fmt::Debug;
use std::marker::PhantomData;

use dfdx::prelude::{Axes3, HasShape, PermuteTo, PutTape, ReshapeTo, SplitTape, Tape, TryAdd, TryMatMul, TryStack};
use multiversion::multiversion;

use super::row::grad_added_row;
use super::{AnyStep, Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3};
use crate::simd::gemm::{add_outer, add_row_times, add_times_column, write_row};
use crate::simd::{Buffer, Lane, ZERO};

/// What a layer carries from token to token. A cell without c leaves it alone.
#[derive(Clone, Debug)]
pub struct CellState<X> {
    pub h: X,
    pub c: X,
}

/// The step of a recurrent layer in three forms. `reads(gate, h)` is x_t W + b + h U of that gate.
pub trait Cell: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
    /// The gates' symbols.
    const GATES: &'static [&'static str];
    /// Whether the cell carries a c.
    const HAS_C: bool = false;
    /// The gate that reads something else than h, which the step computes.
    const READS_OTHER: Option<usize> = None;

    /// The layer as a step in the list.
    fn listed(layer: Recurrent<Self>) -> AnyStep;

    /// What the bias of a gate starts at.
    fn bias(_gate: usize) -> f32 {
        0.0
    }

    /// The definition: one step of one sequence.
    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>);

    /// One step of a batch, made of dfdx's operations: (B, n). The tape goes on in h.
    fn step<D: Backend, T: Tape<f32, D>>(
        carried: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D>;

    /// One step of a block: turns x_t W + b of the gates into the gates, and writes h and c behind those before.
    fn forward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>);

    /// Turns the gradients by h_t and c_t into those by h and c before, and the gates into the gradients by their sums
    /// x_t W + b + h U.
    fn backward(weights: RecurrentWeights<'_>, now: StepBuffers<'_>, grads: CellState<&mut [Lane]>);
}

/// U of every gate.
#[derive(Clone, Copy)]
pub struct RecurrentWeights<'a> {
    weights: [&'a [f32]; MOST_GATES],
}

impl RecurrentWeights<'_> {
    /// out += h U of this gate.
    #[inline(always)]
    pub fn add(self, gate: usize, h: &[Lane], out: &mut [Lane]) {
        add_row_times(h, self.weights[gate], out);
    }

    /// Adds to the gradient by what the gate reads the part that follows from its slope.
    #[inline(always)]
    pub fn add_back(self, gate: usize, grad: &[Lane], grad_h: &mut [Lane]) {
        add_times_column(self.weights[gate], grad, grad_h);
    }
}

/// Gates that a cell has at most.
const MOST_GATES: usize = 4;

/// What a step in lanes reads and writes: (n) each. A backward step finds what the forward step left.
pub struct StepBuffers<'a> {
    /// Empty past the cell's last gate.
    pub gates: [&'a mut [Lane]; MOST_GATES],
    pub before: CellState<&'a [Lane]>,
    pub after: CellState<&'a mut [Lane]>,
    /// What [`Cell::READS_OTHER`] reads; empty where there is no such gate.
    pub other: &'a mut [Lane],
    /// For what a backward step has to put somewhere.
    pub scratch: &'a mut [Lane],
}

/// A layer of this cell over sequences. The result is the last h, as many as `last` says: (B, last, n).
#[derive(Clone, Debug)]
pub struct Recurrent<C> {
    pub inputs: NodeId,
    /// W, U and b of every gate.
    pub gates: Vec<[ParamId; 3]>,
    pub sizes: RecurrentSizes,
    pub last: usize,
    pub cell: PhantomData<C>,
}

/// T, w and n.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentSizes {
    pub length: usize,
    pub width: usize,
    pub units: usize,
}

impl<C: Cell> Step for Recurrent<C> {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.inputs]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let inputs = given.of::<T>(self.inputs);
        let (device, (batch, length, width)) = (inputs.device().clone(), *inputs.shape());
        // Time before batch, so that the tokens of one time lie together.
        let by_time = inputs.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(length * batch, width))?;
        let (by_time, mut tape) = by_time.split_tape();
        let (mut tokens, mut past): (Vec<Tensor3<D>>, Vec<Matrix<D>>) = Default::default();
        let mut units = 0;
        for gate in &self.gates {
            let [weight, from_past, bias] = gate.map(|param| given.param::<T>(param));
            units = bias.shape().1;
            // A product with ones, because dfdx walks a broadcast index by index.
            let ones: Matrix<D> = device.try_ones_like(&(length * batch, 1))?;
            let everywhere = ones.retaped::<T>().try_matmul(bias)?;
            let sum = by_time.retaped::<T>().try_matmul(weight)?.try_add(everywhere)?;
            let (tensor3, done) = sum.try_reshape_like(&(length, batch, units))?.split_tape();
            let (from_past, its) = from_past.split_tape();
            tape = tape.merge(done).merge(its);
            tokens.push(tensor3);
            past.push(from_past);
        }
        let zero: Matrix<D> = device.try_zeros_like(&(batch, units))?;
        let mut carried = CellState { h: zero.retaped::<T>(), c: zero.retaped::<T>() };
        let mut all = Vec::with_capacity(length);
        for t in 0..length {
            let reads = |gate: usize, h: Matrix<D, T>| {
                // These slices do not overlap and nothing else reads what they cut: dfdx's own slice will do.
                let token = tokens[gate].retaped::<T>().try_slice((t..t + 1, 0..batch, 0..units))?;
                h.try_matmul(past[gate].clone())?.try_add(token.try_reshape_like(&(batch, units))?)
            };
            carried = C::step(carried, reads)?;
            if t + self.last >= length && t + 1 < length {
                all.push(carried.h.retaped::<T>());
            }
        }
        // The last h carries the tape of all steps.
        all.push(carried.h);
        let (all, steps) = all.try_stack()?.try_permute::<_, Axes3<1, 0, 2>>()?.split_tape();
        Ok(all.put_tape(tape.merge(steps)))
    }

    fn saved(&self) -> usize {
        SavedLanes::lanes::<C>(self.sizes).iter().sum()
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        let mut memory = SavedLanes::of::<C>(saved, self.sizes);
        let gates = self.params(&given);
        forward_block::<C>(&gates, given.of(self.inputs), &mut memory);
        out.copy_from_slice(&memory.h[memory.h.len() - out.len()..]);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let RecurrentSizes { length, width, units } = self.sizes;
        let mut memory = SavedLanes::of::<C>(saved, self.sizes);
        let params = self.params(&given);
        backward_block::<C>(&params, &mut memory, grad_out);
        let gates = memory.gates.chunks_exact(length * units).zip(&self.gates).zip(&params);
        for (gate, ((grad, ids), [weight, ..])) in gates.enumerate() {
            let read = if C::READS_OTHER == Some(gate) { &*memory.other } else { &memory.h[..length * units] };
            let ([grad_inputs], [grad_weight, grad_past, grad_bias]) = grads.of([self.inputs], *ids);
            add_outer_sums(given.of(self.inputs), grad, (width, units), grad_weight);
            add_outer_sums(read, grad, (units, units), grad_past);
            grad_added_row(grad, grad_bias);
            add_back(grad, weight, (width, units), grad_inputs);
        }
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        let sizes = RecurrentSizes { length: 1, ..self.sizes };
        let memory = vec![ZERO; SavedLanes::lanes::<C>(sizes).iter().sum()];
        Some(Box::new(CellReader { layer: Self { sizes, ..self.clone() }, memory }))
    }
}

impl<C: Cell> Recurrent<C> {
    /// W, U and b of every gate.
    fn params<'a>(&self, given: &Values<'a>) -> Vec<[&'a [f32]; 3]> {
        self.gates.iter().map(|gate| gate.map(|param| given.param(param))).collect()
    }
}

/// U of every gate; nothing past the last.
fn recurrent<'a>(gates: &[[&'a [f32]; 3]]) -> RecurrentWeights<'a> {
    let mut weights: [&[f32]; MOST_GATES] = Default::default();
    weights.iter_mut().zip(gates).for_each(|(place, [_, past, _])| *place = past);
    RecurrentWeights { weights }
}

/// What a block saves: each gate at all tokens, h and c before the first and after every token, and what a gate
/// reads besides.
struct SavedLanes<'a> {
    gates: &'a mut [Lane],
    h: &'a mut [Lane],
    c: &'a mut [Lane],
    other: &'a mut [Lane],
    sizes: RecurrentSizes,
}

impl<'a> SavedLanes<'a> {
    fn lanes<C: Cell>(RecurrentSizes { length, units, .. }: RecurrentSizes) -> [usize; 4] {
        let carried = (length + 1) * units;
        let other = if C::READS_OTHER.is_some() { length * units } else { 0 };
        [C::GATES.len() * length * units, carried, if C::HAS_C { carried } else { 0 }, other]
    }

    fn of<C: Cell>(lanes: &'a mut [Lane], sizes: RecurrentSizes) -> Self {
        let [gates, h, c, _] = Self::lanes::<C>(sizes);
        let (gates, rest) = lanes.split_at_mut(gates);
        let (h, rest) = rest.split_at_mut(h);
        let (c, other) = rest.split_at_mut(c);
        Self { gates, h, c, other, sizes }
    }

    #[inline(always)]
    fn at<'m>(&'m mut self, t: usize, scratch: &'m mut [Lane]) -> StepBuffers<'m> {
        let units = self.sizes.units;
        let (h_before, h) = pair(self.h, t, units);
        let (c_before, c) = pair(self.c, t, units);
        StepBuffers {
            gates: gates_at(self.gates, t, self.sizes),
            before: CellState { h: h_before, c: c_before },
            after: CellState { h, c },
            other: if self.other.is_empty() { &mut [] } else { &mut self.other[t * units..][..units] },
            scratch,
        }
    }
}

/// What a layer carries, as the memory of a block of one token.
struct CellReader<C> {
    layer: Recurrent<C>,
    memory: Vec<Lane>,
}

impl<C: Cell> TokenReader for CellReader<C> {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let (params, units) = (self.layer.params(&given), self.layer.sizes.units);
        let mut memory = SavedLanes::of::<C>(&mut self.memory, self.layer.sizes);
        memory.h.copy_within(units.., 0);
        if C::HAS_C {
            memory.c.copy_within(units.., 0);
        }
        continue_block::<C>(&params, given.of(self.layer.inputs), &mut memory);
        out.copy_from_slice(&memory.h[units..]);
    }
}

/// What is carried before and after token t; nothing of what a cell has not.
#[inline(always)]
fn pair(lanes: &mut [Lane], t: usize, units: usize) -> (&[Lane], &mut [Lane]) {
    if lanes.is_empty() {
        return (&[], &mut []);
    }
    let (before, after) = lanes[t * units..][..2 * units].split_at_mut(units);
    (before, after)
}

#[inline(always)]
fn gates_at(
    lanes: &mut [Lane],
    t: usize,
    RecurrentSizes { length, units, .. }: RecurrentSizes,
) -> [&mut [Lane]; MOST_GATES] {
    let mut gates: [&mut [Lane]; MOST_GATES] = Default::default();
    for (place, gate) in gates.iter_mut().zip(lanes.chunks_exact_mut(length * units)) {
        *place = &mut gate[t * units..][..units];
    }
    gates
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_outer_sums(x: &[Lane], y: &[Lane], sizes: (usize, usize), sums: &mut [f32]) {
    add_outer(x, y, sizes, sums);
}

/// Adds the gradient by the inputs that follows from that by a gate's sums; nothing where it is not needed.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_back(grad: &[Lane], weight: &[f32], (width, units): (usize, usize), grad_inputs: &mut [Lane]) {
    for (grad, grad_input) in grad.chunks_exact(units).zip(grad_inputs.chunks_exact_mut(width)) {
        add_times_column(weight, grad, grad_input);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block<C: Cell>(params: &[[&[f32]; 3]], inputs: &[Lane], memory: &mut SavedLanes<'_>) {
    memory.h[..memory.sizes.units].fill(ZERO);
    memory.c.iter_mut().take(memory.sizes.units).for_each(|c| *c = ZERO);
    run::<C>(params, inputs, memory);
}

/// From the h and c that are there before the first token.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn continue_block<C: Cell>(params: &[[&[f32]; 3]], inputs: &[Lane], memory: &mut SavedLanes<'_>) {
    run::<C>(params, inputs, memory);
}

#[inline(always)]
fn run<C: Cell>(params: &[[&[f32]; 3]], inputs: &[Lane], memory: &mut SavedLanes<'_>) {
    let RecurrentSizes { length, width, units } = memory.sizes;
    let gates = memory.gates.chunks_exact_mut(length * units).zip(params);
    for (gate, [weight, _, bias]) in gates {
        for (sums, input) in gate.chunks_exact_mut(units).zip(inputs.chunks_exact(width)) {
            write_row(bias, sums);
            add_row_times(input, weight, sums);
        }
    }
    for t in 0..length {
        C::forward(recurrent(params), memory.at(t, &mut []));
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block<C: Cell>(params: &[[&[f32]; 3]], memory: &mut SavedLanes<'_>, grad_out: &[Lane]) {
    let sizes = memory.sizes;
    let last = grad_out.len() / sizes.units;
    let [mut grad_h, mut grad_c, mut scratch] = [(); 3].map(|()| Buffer::zeros(sizes.units));
    for t in (0..sizes.length).rev() {
        if let Some(answer) = (t + last).checked_sub(sizes.length) {
            let grad_answer = &grad_out[answer * sizes.units..][..sizes.units];
            for (sum, grad) in grad_h.as_flattened_mut().iter_mut().zip(grad_answer.as_flattened()) {
                *sum += grad;
            }
        }
        C::backward(recurrent(params), memory.at(t, &mut scratch), CellState { h: &mut grad_h, c: &mut grad_c });
    }
}
