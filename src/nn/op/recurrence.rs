//! A recurrent layer: a cell reads one token of a sequence after the other.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | x_t | what the layer reads | (B, T, w) |
//! | W, U, b | of each gate, which reads x_t W + b + h U | (w, n), (n, n), (1, n) |
//! | h_t, c_t | what the cell carries from token to token; without c it leaves it alone | (n) |
//!
//! Owns the way through the tokens and the gradients by the weights; what a step does, in every form, says the [`Cell`].
//! What the gates read of the tokens does not depend on h, so it is computed for all tokens first.

use std::fmt::Debug;
use std::marker::PhantomData;

use dfdx::prelude::{
    Axes3, Cpu, HasShape, PermuteTo, PutTape, ReshapeTo, SplitTape, Tape, TryAdd, TryMatMul, TryStack,
};
use multiversion::multiversion;

use super::Device;
use super::blocks::{Grads, Kernel, Operands, run};
use super::buffer::Buffer;
use super::entrywise::grad_added_row;
use super::lanes::{Lane, ZERO};
use super::outer::add_outer;
use super::project::{add_row_times, add_times_column, write_row};
use crate::nn::{DeviceResult, GradTarget, Matrix, Tensor3};

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

    /// What the bias of a gate starts at.
    fn bias(_gate: usize) -> f32 {
        0.0
    }

    /// The definition: one step of one sequence.
    fn define(carried: &mut CellState<Vec<f32>>, reads: impl Fn(usize, &[f32]) -> Vec<f32>);

    /// One step of a batch, made of dfdx's operations: (B, n). The tape goes on in h.
    fn step<D: Device, T: Tape<f32, D>>(
        carried: CellState<Matrix<D, T>>,
        reads: impl Fn(usize, Matrix<D, T>) -> DeviceResult<Matrix<D, T>, D>,
    ) -> DeviceResult<CellState<Matrix<D, T>>, D>;

    /// One step of a block: turns x_t W + b of the gates into the gates, and writes h and c behind those before.
    fn forward(past: RecurrentWeights<'_>, now: StepBuffers<'_>);

    /// Turns the gradients by h_t and c_t, in `by`, into those by h and c before, and the gates into the gradients by what
    /// they were made of.
    fn backward(past: RecurrentWeights<'_>, now: StepBuffers<'_>, by: CellState<&mut [Lane]>);
}

/// The U of every gate, as steps in lanes use them.
#[derive(Clone, Copy)]
pub struct RecurrentWeights<'a> {
    weights: &'a [Vec<f32>],
}

impl RecurrentWeights<'_> {
    /// out += h U of this gate.
    #[inline(always)]
    pub fn add(self, gate: usize, h: &[Lane], out: &mut [Lane]) {
        add_row_times(h, &self.weights[3 * gate + 1], out);
    }

    /// Adds to the gradient by what the gate reads the part that follows from its slope.
    #[inline(always)]
    pub fn add_back(self, gate: usize, grad: &[Lane], grad_h: &mut [Lane]) {
        add_times_column(&self.weights[3 * gate + 1], grad, grad_h);
    }
}

/// Gates that a cell has at most.
pub const MOST_GATES: usize = 4;

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

/// A layer of this cell over sequences.
pub struct Recurrence<D: Device, T, C> {
    pub inputs: Tensor3<D, T>,
    /// W, U and b of every gate.
    pub gates: Vec<[Matrix<D, T>; 3]>,
    /// So many h of the last tokens are wanted.
    pub asked: usize,
    pub grad_target: GradTarget,
    pub cell: PhantomData<C>,
}

/// Made of dfdx's operations, for any device: (B, asked, n).
pub fn compose<D: Device, T: Tape<f32, D>, C: Cell>(layer: Recurrence<D, T, C>) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, width) = *layer.inputs.shape();
    let device = layer.inputs.device().clone();
    // Time before batch, so that the tokens of one time lie together.
    let by_time = layer.inputs.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(length * batch, width))?;
    let (by_time, mut tape) = by_time.split_tape();
    let (mut tokens, mut past): (Vec<Tensor3<D>>, Vec<Matrix<D>>) = Default::default();
    let mut units = 0;
    for [weight, from_past, bias] in layer.gates {
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
        if t + layer.asked >= length && t + 1 < length {
            all.push(carried.h.retaped::<T>());
        }
    }
    // The last h carries the tape of all steps.
    all.push(carried.h);
    let (all, steps) = all.try_stack()?.try_permute::<_, Axes3<1, 0, 2>>()?.split_tape();
    Ok(all.put_tape(tape.merge(steps)))
}

/// The fast form on the CPU.
pub fn fused<T: Tape<f32, Cpu>, C: Cell>(
    device: &Cpu,
    layer: Recurrence<Cpu, T, C>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let (_, length, width) = *layer.inputs.shape();
    let units = layer.gates.first().map_or(0, |[_, _, bias]| bias.shape().1);
    let weights = layer.gates.into_iter().flatten().collect();
    let operands = Operands { inputs: vec![layer.inputs], weights, grad_target: layer.grad_target };
    let (sizes, grad_target) = (Sizes { length, width, units }, layer.grad_target);
    run(device, operands, (layer.asked, units), |weights| Fused::<C> { weights, sizes, grad_target, cell: PhantomData })
}

#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    width: usize,
    units: usize,
}

struct Fused<C> {
    /// W, U and b of every gate.
    weights: Vec<Vec<f32>>,
    sizes: Sizes,
    grad_target: GradTarget,
    cell: PhantomData<C>,
}

/// What a block remembers: each gate at all tokens, h and c before the first and after every token, and what a gate reads
/// besides.
struct Memory<'a> {
    gates: &'a mut [Lane],
    h: &'a mut [Lane],
    c: &'a mut [Lane],
    other: &'a mut [Lane],
    sizes: Sizes,
}

impl<'a> Memory<'a> {
    fn lanes<C: Cell>(Sizes { length, units, .. }: Sizes) -> [usize; 4] {
        let carried = (length + 1) * units;
        let other = if C::READS_OTHER.is_some() { length * units } else { 0 };
        [C::GATES.len() * length * units, carried, if C::HAS_C { carried } else { 0 }, other]
    }

    fn of<C: Cell>(lanes: &'a mut [Lane], sizes: Sizes) -> Self {
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
fn gates_at(lanes: &mut [Lane], t: usize, Sizes { length, units, .. }: Sizes) -> [&mut [Lane]; MOST_GATES] {
    let mut gates: [&mut [Lane]; MOST_GATES] = Default::default();
    for (place, gate) in gates.iter_mut().zip(lanes.chunks_exact_mut(length * units)) {
        *place = &mut gate[t * units..][..units];
    }
    gates
}

impl<C: Cell> Kernel for Fused<C> {
    fn saved(&self) -> usize {
        Memory::lanes::<C>(self.sizes).iter().sum()
    }

    fn forward(&self, inputs: &[Buffer], saved: &mut [Lane], out: &mut [Lane]) {
        let mut memory = Memory::of::<C>(saved, self.sizes);
        forward_block::<C>(&self.weights, &inputs[0], &mut memory);
        out.copy_from_slice(&memory.h[memory.h.len() - out.len()..]);
    }

    fn backward(&self, inputs: &[Buffer], saved: &mut [Lane], grad_out: &[Lane], grads: Grads<'_>) {
        let Sizes { length, width, units } = self.sizes;
        let mut memory = Memory::of::<C>(saved, self.sizes);
        backward_block::<C>(&self.weights, &mut memory, grad_out);
        let gates = memory.gates.chunks_exact(length * units).zip(grads.weights.as_chunks_mut::<3>().0);
        for (gate, (grad, [grad_weight, grad_past, grad_bias])) in gates.enumerate() {
            let read = if C::READS_OTHER == Some(gate) { &*memory.other } else { &memory.h[..length * units] };
            add_outer_sums(&inputs[0], grad, (width, units), grad_weight);
            add_outer_sums(read, grad, (units, units), grad_past);
            grad_added_row(grad, grad_bias);
            if self.grad_target != GradTarget::Weights {
                add_back(grad, &self.weights[3 * gate], (width, units), &mut grads.inputs[0]);
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_outer_sums(x: &[Lane], y: &[Lane], sizes: (usize, usize), sums: &mut [f32]) {
    add_outer(x, y, sizes, sums);
}

/// Adds the gradient by the inputs that follows from a gate's slopes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_back(grad: &[Lane], weight: &[f32], (width, units): (usize, usize), grad_inputs: &mut [Lane]) {
    for (grad, grad_input) in grad.chunks_exact(units).zip(grad_inputs.chunks_exact_mut(width)) {
        add_times_column(weight, grad, grad_input);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block<C: Cell>(weights: &[Vec<f32>], inputs: &[Lane], memory: &mut Memory<'_>) {
    let Sizes { length, width, units } = memory.sizes;
    let gates = memory.gates.chunks_exact_mut(length * units).zip(weights.as_chunks::<3>().0);
    for (gate, [weight, _, bias]) in gates {
        for (sums, input) in gate.chunks_exact_mut(units).zip(inputs.chunks_exact(width)) {
            write_row(bias, sums);
            add_row_times(input, weight, sums);
        }
    }
    memory.h[..units].fill(ZERO);
    memory.c.iter_mut().take(units).for_each(|c| *c = ZERO);
    for t in 0..length {
        C::forward(RecurrentWeights { weights }, memory.at(t, &mut []));
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block<C: Cell>(weights: &[Vec<f32>], memory: &mut Memory<'_>, grad_out: &[Lane]) {
    let sizes = memory.sizes;
    let asked = grad_out.len() / sizes.units;
    let [mut grad_h, mut grad_c, mut scratch] = [(); 3].map(|()| Buffer::zeros(sizes.units));
    for t in (0..sizes.length).rev() {
        if let Some(asked) = (t + asked).checked_sub(sizes.length) {
            let grad_answer = &grad_out[asked * sizes.units..][..sizes.units];
            for (sum, grad) in grad_h.as_flattened_mut().iter_mut().zip(grad_answer.as_flattened()) {
                *sum += grad;
            }
        }
        C::backward(
            RecurrentWeights { weights },
            memory.at(t, &mut scratch),
            CellState { h: &mut grad_h, c: &mut grad_c },
        );
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Backward, OwnedTape, Rank0, SumTo, Trace};

    use super::*;
    use crate::nn::model::{Gru, Lstm, Rnn};
    use crate::nn::op::check::{Random, assert_close};

    type Owned = OwnedTape<f32, Cpu>;

    /// Values, and the gradients of a weighted sum of them by inputs and weights.
    fn measure<C: Cell>(
        form: fn(Recurrence<Cpu, Owned, C>) -> Tensor3<Cpu, Owned>,
        (batch, asked): (usize, usize),
    ) -> Vec<Vec<f32>> {
        let (device, mut random, sizes) = (Cpu::default(), Random::new(11), (3, 5));
        let inputs = random.tensor3(&device, (batch, 4, sizes.0));
        let shapes = [sizes, (sizes.1, sizes.1), (1, sizes.1)];
        let gates: Vec<[Matrix<Cpu>; 3]> =
            C::GATES.iter().map(|_| shapes.map(|shape| random.matrix(&device, shape))).collect();
        let out = form(Recurrence {
            inputs: inputs.leaky_trace(),
            gates: gates.iter().map(|gate| gate.each_ref().map(Trace::leaky_trace)).collect(),
            asked,
            grad_target: GradTarget::All,
            cell: PhantomData,
        });
        let values = out.as_vec();
        let sum = random.tensor3(&device, *out.shape());
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let grad_weights = gates.iter().flatten().map(|weight| gradients.get(weight).as_vec());
        [values, gradients.get(&inputs).as_vec()].into_iter().chain(grad_weights).collect()
    }

    fn both_forms_agree<C: Cell>() {
        for sizes in [(37, 4), (37, 1), (1, 2)] {
            let fast = measure::<C>(|layer| fused(&Cpu::default(), layer).unwrap(), sizes);
            let plain = measure::<C>(|layer| compose(layer).unwrap(), sizes);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        both_forms_agree::<Rnn>();
        both_forms_agree::<Gru>();
        both_forms_agree::<Lstm>();
    }
}
