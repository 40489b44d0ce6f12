//! The operations that a [`super::GraphBuilder`] is made of, and the one list of them.
//!
//! Each has two forms: a composition of dfdx's operations for any device, and kernels that work on one block of sixteen
//! sequences on the CPU, forwards and backwards. The kernels of an operation stand in its own file beside the definition.

use std::ops::Range;

use dfdx::prelude::{HasShape, NoneTape, Tape, TryAdd, TryMatMul, TryMul};

use super::entrywise::{self, Function};
use super::lanes::{Lane, ZERO};
use super::softmax_attend::Heads;
use super::{Attended, CausalConv, Device, DiagonalScan, HeadScan, SelectiveScan};
use super::{
    causal_conv, diagonal_scan, head_scan, masked_attend, normalise, project, selective_scan, slice, softmax_attend,
};
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// A sequence in a program, by the number of the step that makes it.
pub type NodeId = usize;

/// A weight of a program, by its number.
pub type Weight = usize;

/// What is done to which sequences, with which weights. Sizes that the numbers do not show are part of it.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// What the program is given.
    Tokens,
    /// A step that no other reads.
    Unused,
    /// The last tokens, as many as the step's length.
    Last(NodeId),
    Plus([NodeId; 2]),
    Times([NodeId; 2]),
    Apply(Function, NodeId),
    PlusRow(NodeId, Weight),
    TimesRow(NodeId, Weight),
    /// x W, with (a, b).
    Project(NodeId, Weight, (usize, usize)),
    /// x W + c.
    Affine(NodeId, [Weight; 2]),
    /// With gain and bias.
    Normalise(NodeId, [Weight; 2]),
    /// Causal attention of queries, keys and values.
    SoftmaxAttend([NodeId; 3], Heads),
    /// x W V, with (a, h) and (h, b): W V is taken first, for a is less than h.
    ProjectTwice(NodeId, [Weight; 2], [usize; 3]),
    /// With taps and bias.
    Convolve(NodeId, [Weight; 2]),
    /// The last states, as many as the step's length; with λ and g.
    DiagonalScan(NodeId, Weight),
    /// Over Δ, x, B and C, with A and so many states in a channel.
    SelectiveScan([NodeId; 4], Weight, usize),
    /// The same in heads.
    HeadScan([NodeId; 4], Weight, usize),
    /// The same in heads, by masked attention.
    MaskedAttend([NodeId; 4], Weight, usize),
}

/// The sequences and weights that a composition reads.
pub struct Tensors<'a, D: Device> {
    pub values: &'a [Tensor3<D>],
    pub weights: &'a [Matrix<D>],
}

/// The sequences of one block and the weights, as kernels read them.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub lanes: &'a [Lane],
    /// Where each sequence lies.
    pub places: &'a [Range<usize>],
    pub weights: &'a [Vec<f32>],
}

/// Where kernels add the gradients of one block, sequences and weights as in [`Given`].
pub struct Grads<'a> {
    pub lanes: &'a mut [Lane],
    pub places: &'a [Range<usize>],
    pub weights: &'a mut [Vec<f32>],
}

impl<D: Device> Tensors<'_, D> {
    fn of<T: Tape<f32, D>>(&self, place: NodeId) -> Tensor3<D, T> {
        self.values[place].retaped::<T>()
    }

    fn all<T: Tape<f32, D>>(&self, places: [NodeId; 4]) -> [Tensor3<D, T>; 4] {
        places.map(|place| self.of(place))
    }

    fn weight<T: Tape<f32, D>>(&self, weight: Weight) -> Matrix<D, T> {
        self.weights[weight].retaped::<T>()
    }
}

impl<'a> Given<'a> {
    fn of(self, place: NodeId) -> &'a [Lane] {
        &self.lanes[self.places[place].clone()]
    }

    fn all<const N: usize>(self, places: [NodeId; N]) -> [&'a [Lane]; N] {
        places.map(|place| self.of(place))
    }

    fn weight(self, weight: Weight) -> &'a [f32] {
        &self.weights[weight]
    }

    fn each<const N: usize>(self, weights: [Weight; N]) -> [&'a [f32]; N] {
        weights.map(|weight| self.weight(weight))
    }
}

impl Grads<'_> {
    /// A program never gives an operation the same sequence or weight twice.
    fn of<const N: usize, const M: usize>(
        &mut self,
        places: [NodeId; N],
        weights: [Weight; M],
    ) -> ([&mut [Lane]; N], [&mut [f32]; M]) {
        let lanes = self.lanes.get_disjoint_mut(places.map(|place| self.places[place].clone()));
        let weights = self.weights.get_disjoint_mut(weights);
        (
            lanes.unwrap_or_else(|_| [(); N].map(|()| &mut [][..])),
            weights.map_or_else(|_| [(); M].map(|()| &mut [][..]), |weights| weights.map(Vec::as_mut_slice)),
        )
    }
}

impl Operation {
    /// The sequences that it reads.
    pub fn reads(self) -> Vec<NodeId> {
        match self {
            Self::Tokens | Self::Unused => Vec::new(),
            Self::Last(x)
            | Self::Apply(_, x)
            | Self::PlusRow(x, _)
            | Self::TimesRow(x, _)
            | Self::Project(x, ..)
            | Self::ProjectTwice(x, ..)
            | Self::Affine(x, _)
            | Self::Normalise(x, _)
            | Self::Convolve(x, _)
            | Self::DiagonalScan(x, _) => vec![x],
            Self::Plus(parts) | Self::Times(parts) => parts.to_vec(),
            Self::SoftmaxAttend(parts, _) => parts.to_vec(),
            Self::SelectiveScan(parts, ..) | Self::HeadScan(parts, ..) | Self::MaskedAttend(parts, ..) => {
                parts.to_vec()
            }
        }
    }

    /// Made of dfdx's operations, for any device: a sequence of `length` tokens.
    pub fn compose<D: Device, T: Tape<f32, D>>(
        self,
        given: &Tensors<'_, D>,
        length: usize,
    ) -> DeviceResult<Tensor3<D, T>, D> {
        match self {
            Self::Tokens | Self::Unused => Ok(given.of(0)),
            Self::Last(x) => last(given.of(x), length),
            Self::Plus([x, y]) => given.of::<T>(x).try_add(given.of::<NoneTape>(y).retaped::<T>()),
            Self::Times([x, y]) => given.of::<T>(x).try_mul(given.of::<NoneTape>(y).retaped::<T>()),
            Self::Apply(function, x) => function.compose(given.of(x)),
            Self::PlusRow(x, row) => entrywise::plus_row(given.of(x), given.weight(row)),
            Self::TimesRow(x, row) => entrywise::times_row(given.of(x), given.weight(row)),
            Self::Project(x, weight, _) => project::project(given.of(x), given.weight(weight)),
            Self::Affine(x, [weight, bias]) => {
                entrywise::plus_row(project::project(given.of(x), given.weight(weight))?, given.weight(bias))
            }
            Self::Normalise(x, [gain, bias]) => normalise::compose(given.of(x), given.weight(gain), given.weight(bias)),
            Self::SoftmaxAttend([queries, keys, values], heads) => {
                let (queries, keys, values) = (given.of(queries), given.of(keys), given.of(values));
                softmax_attend::compose(Attended { queries, keys, values }, heads.count)
            }
            Self::ProjectTwice(x, [first, second], _) => {
                project::project(given.of(x), given.weight::<T>(first).try_matmul(given.weight::<T>(second))?)
            }
            Self::Convolve(x, [taps, bias]) => causal_conv::compose(CausalConv {
                input: given.of(x),
                taps: given.weight(taps),
                bias: given.weight(bias),
            }),
            Self::DiagonalScan(x, spectrum) => {
                let scan = DiagonalScan { input: given.of(x), spectrum: given.weight(spectrum) };
                diagonal_scan::compose(scan, length)
            }
            Self::SelectiveScan(parts, rate, _) => {
                let ([step, input, write, read], rate) = (given.all(parts), given.weight(rate));
                selective_scan::compose(SelectiveScan { step, input, write, read, rate })
            }
            Self::HeadScan(parts, rate, _) => {
                let ([step, input, write, read], rate) = (given.all(parts), given.weight(rate));
                selective_scan::compose(HeadScan { step, input, write, read, rate }.by_channel()?)
            }
            Self::MaskedAttend(parts, rate, _) => {
                let ([step, input, write, read], rate) = (given.all(parts), given.weight(rate));
                HeadScan { step, input, write, read, rate }.by_matrix()
            }
        }
    }

    /// Writes the result of one block to `out`.
    pub fn forward(self, given: Given<'_>, out: &mut [Lane]) {
        match self {
            Self::Tokens | Self::Unused => {}
            Self::Last(x) => out.copy_from_slice(tail(given.of(x), out.len())),
            Self::Plus([x, y]) => {
                out.copy_from_slice(given.of(x));
                entrywise::add(given.of(y), out);
            }
            Self::Times([x, y]) => {
                out.fill(ZERO);
                entrywise::add_products(given.of(x), given.of(y), out);
            }
            Self::Apply(function, x) => entrywise::apply(function, given.of(x), out),
            Self::PlusRow(x, row) => {
                out.copy_from_slice(given.of(x));
                entrywise::add_row(given.weight(row), out);
            }
            Self::TimesRow(x, row) => {
                out.fill(ZERO);
                entrywise::add_times_row(given.of(x), given.weight(row), out);
            }
            Self::Project(x, weight, sizes) => project::forward(given.of(x), given.weight(weight), sizes, out),
            Self::Affine(x, [weight, bias]) => {
                project::forward_affine(given.of(x), (given.weight(weight), given.weight(bias)), out);
            }
            Self::Normalise(x, [gain, bias]) => {
                normalise::forward(given.of(x), given.weight(gain), given.weight(bias), out);
            }
            Self::SoftmaxAttend(parts, heads) => softmax_attend::forward(given.all(parts), heads, out),
            Self::ProjectTwice(x, weights, sizes) => {
                project::forward_twice(given.of(x), given.each(weights), sizes, out);
            }
            Self::Convolve(x, [taps, bias]) => {
                causal_conv::forward(given.of(x), given.weight(taps), given.weight(bias), out);
            }
            Self::DiagonalScan(x, spectrum) => diagonal_scan::forward(given.of(x), given.weight(spectrum), out),
            Self::SelectiveScan(parts, rate, states) => {
                selective_scan::forward(given.all(parts), given.weight(rate), states, out);
            }
            Self::HeadScan(parts, rate, states) => {
                head_scan::forward(given.all(parts), given.weight(rate), states, out);
            }
            Self::MaskedAttend(parts, rate, states) => {
                masked_attend::forward(given.all(parts), given.weight(rate), states, out);
            }
        }
    }

    /// Adds the gradients of one block that follow from ∂out.
    pub fn backward(self, given: Given<'_>, grad_out: &[Lane], grads: &mut Grads<'_>) {
        match self {
            Self::Tokens | Self::Unused | Self::Last(_) | Self::Plus(_) | Self::Times(_) => {
                self.through(given, grad_out, grads)
            }
            Self::Apply(..) | Self::PlusRow(..) | Self::TimesRow(..) => self.through(given, grad_out, grads),
            Self::Project(x, weight, sizes) => {
                let ([grad_x], [grad_weight]) = grads.of([x], [weight]);
                project::backward((given.of(x), given.weight(weight)), sizes, grad_out, grad_x, grad_weight);
            }
            Self::ProjectTwice(x, weights, sizes) => {
                let ([grad_x], grad_weights) = grads.of([x], weights);
                project::backward_twice((given.of(x), given.each(weights)), sizes, grad_out, grad_x, grad_weights);
            }
            Self::Affine(x, [weight, bias]) => {
                let ([grad_x], [grad_weight, grad_bias]) = grads.of([x], [weight, bias]);
                let sizes = (grad_weight.len() / grad_bias.len(), grad_bias.len());
                project::backward((given.of(x), given.weight(weight)), sizes, grad_out, grad_x, grad_weight);
                entrywise::grad_added_row(grad_out, grad_bias);
            }
            Self::Normalise(x, [gain, bias]) => {
                let ([grad_x], [grad_gain, grad_bias]) = grads.of([x], [gain, bias]);
                normalise::backward((given.of(x), given.weight(gain)), grad_out, grad_x, grad_gain, grad_bias);
            }
            Self::SoftmaxAttend(parts, heads) => {
                let (grad_parts, []) = grads.of(parts, []);
                softmax_attend::backward(given.all(parts), heads, grad_out, grad_parts);
            }
            Self::Convolve(x, [taps, bias]) => {
                let ([grad_x], [grad_taps, grad_bias]) = grads.of([x], [taps, bias]);
                causal_conv::backward((given.of(x), given.weight(taps)), grad_out, grad_x, grad_taps, grad_bias);
            }
            Self::DiagonalScan(x, spectrum) => {
                let ([grad_x], [grad_spectrum]) = grads.of([x], [spectrum]);
                diagonal_scan::backward((given.of(x), given.weight(spectrum)), grad_out, grad_x, grad_spectrum);
            }
            Self::SelectiveScan(parts, rate, states) => {
                let (grad_parts, [grad_rate]) = grads.of(parts, [rate]);
                selective_scan::backward(
                    (given.all(parts), given.weight(rate)),
                    states,
                    grad_out,
                    grad_parts,
                    grad_rate,
                );
            }
            Self::HeadScan(parts, rate, states) => {
                let (grad_parts, [grad_rate]) = grads.of(parts, [rate]);
                head_scan::backward((given.all(parts), given.weight(rate)), states, grad_out, grad_parts, grad_rate);
            }
            Self::MaskedAttend(parts, rate, states) => {
                let (grad_parts, [grad_rate]) = grads.of(parts, [rate]);
                masked_attend::backward(
                    (given.all(parts), given.weight(rate)),
                    states,
                    grad_out,
                    grad_parts,
                    grad_rate,
                );
            }
        }
    }

    /// The same, of those that treat every number alike.
    fn through(self, given: Given<'_>, grad_out: &[Lane], grads: &mut Grads<'_>) {
        match self {
            Self::Last(x) => {
                let ([grad_x], []) = grads.of([x], []);
                let skipped = grad_x.len() - grad_out.len();
                entrywise::add(grad_out, &mut grad_x[skipped..]);
            }
            Self::Plus(places) => {
                let (by, []) = grads.of(places, []);
                by.into_iter().for_each(|by| entrywise::add(grad_out, by));
            }
            Self::Times([x, y]) => {
                let ([grad_x, grad_y], []) = grads.of([x, y], []);
                entrywise::add_products(given.of(y), grad_out, grad_x);
                entrywise::add_products(given.of(x), grad_out, grad_y);
            }
            Self::Apply(function, x) => {
                let ([grad_x], []) = grads.of([x], []);
                entrywise::apply_backward(function, given.of(x), grad_out, grad_x);
            }
            Self::PlusRow(x, row) => {
                let ([grad_x], [grad_row]) = grads.of([x], [row]);
                entrywise::add(grad_out, grad_x);
                entrywise::grad_added_row(grad_out, grad_row);
            }
            Self::TimesRow(x, row) => {
                let ([grad_x], [grad_row]) = grads.of([x], [row]);
                entrywise::add_times_row(grad_out, given.weight(row), grad_x);
                entrywise::grad_multiplied_row(given.of(x), grad_out, grad_row);
            }
            _ => {}
        }
    }
}

/// The last tokens of every sequence.
fn last<D: Device, T: Tape<f32, D>>(x: Tensor3<D, T>, count: usize) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, width) = *x.shape();
    slice(x, (0..batch, length - count..length, 0..width))
}

fn tail(lanes: &[Lane], count: usize) -> &[Lane] {
    &lanes[lanes.len() - count..]
}
