//! A program that is linear in its tokens, run as one product with a matrix that is made from the weights alone.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `tokens` x | the tokens of a sequence, one after the other | (T·w) |
//! | `answers` y | what the program makes of them: y = K x | (m) |
//! | `matrix` K | | (m, T·w) |
//! | `met` G | Σ ∂y xᵀ over the batch | (m, T·w) |
//!
//! One layer of a linear recurrence that is read at the query is a convolution read at its last place, and K is its
//! kernel (S4 2111.00396, section 2.4). Here the steps make it, whatever they are: row o of K is what comes back to the
//! tokens of one sequence for ∂y = e_o. On the way back ∂x = Kᵀ ∂y; and since Σ ⟨∂y, P x⟩ over the batch is
//! Σ_o ⟨e_o, P G_o⟩, the weights get the gradient of m sequences G_o, instead of that of the whole batch.

use std::ops::Range;

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

use super::super::blocks::untape;
use super::super::buffer::Buffer;
use super::super::host::numbers;
use super::super::lanes::dot;
use super::super::operation::{Operation, Weight};
use super::super::{diagonal_scan, project};
use super::{Graph, Step, places};
use crate::nn::{DeviceResult, GradTarget, Input, Matrix, Tensor3};

/// Whether a program is linear, and cheaper by its matrix than step by step for so many sequences. In operations: one
/// sequence for each answer goes through the steps, and each of the batch meets the matrix; otherwise each of the
/// batch goes through the steps. The way back costs twice as much either way.
pub fn pays<D: super::Device, T>(graph: &Graph<D, T>, batch: usize) -> bool {
    let size = |step: Option<&Step>| step.map_or(0, |step| step.size.length * step.size.width);
    let (tokens, answers) = (size(graph.steps.first()), size(graph.steps.last()));
    flops(&graph.steps).is_some_and(|flops| answers * flops + batch * 2 * answers * tokens < batch * flops)
}

/// Operations of a linear program on one sequence. None: it is not linear.
fn flops(steps: &[Step]) -> Option<usize> {
    let numbers = |step: &Step| step.size.length * step.size.width;
    let of = |step: &Step| match step.operation {
        Operation::Tokens | Operation::Unused | Operation::Last(_) => Some(0),
        Operation::Plus(_) | Operation::TimesRow(..) => Some(numbers(step)),
        Operation::Project(_, _, (inner, _)) | Operation::ProjectTwice(_, _, [inner, ..]) => {
            Some(2 * inner * numbers(step))
        }
        // Two complex products and a sum for each pair of numbers.
        Operation::DiagonalScan(x, _) => Some(7 * numbers(&steps[x])),
        _ => None,
    };
    steps.iter().map(of).sum()
}

/// The answers of a linear program: (B, length, width).
pub fn run<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    graph: Graph<Cpu, T>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let (mut tape, grad_target) = (T::default(), input.grad_target);
    let tokens = untape(input.tokens.try_contiguous()?, &mut tape);
    let weights = graph.weights.into_iter().map(|weight| Ok(untape(weight.try_contiguous()?, &mut tape)));
    let weights = weights.collect::<DeviceResult<Vec<Matrix<Cpu>>, Cpu>>()?;
    let size = graph.steps.last().map_or((0, 0), |step| (step.size.length, step.size.width));
    let linear = Linear::new(&graph.steps, weights.iter().map(numbers).collect::<DeviceResult<_, Cpu>>()?);
    let count = tokens.shape().num_elements();
    let mut x = Buffer::zeroed(count);
    tokens.copy_into(&mut x.as_flattened_mut()[..count]);
    let made = linear.matrix();
    let y = each_times(&x.as_flattened()[..count], &made.matrix, linear.answers());
    let out = device.try_tensor_from_vec(y, (tokens.shape().0, size.0, size.1))?;
    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let grad_out = gradients.get_or_alloc_mut(&result)?.clone();
        if grad_target != GradTarget::Weights {
            add_each_times_transposed(&grad_out, &made.matrix, linear.answers(), gradients.get_or_alloc_mut(&tokens)?);
        }
        if grad_target != GradTarget::Query {
            let met = meet(&grad_out, &x.as_flattened()[..count], linear.answers(), linear.tokens());
            let grad_weights = linear.grad_weights(&met, &made.grads);
            for (weight, grads) in weights.iter().zip(grad_weights) {
                gradients.get_or_alloc_mut(weight)?.iter_mut().zip(grads).for_each(|(sum, grad)| *sum += grad);
            }
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// The steps, on one sequence at a time.
struct Linear {
    operations: Vec<Operation>,
    /// Where the sequence of each step lies in memory, one after the other.
    places: Vec<Range<usize>>,
    /// Those of the program, and after them the products of two.
    weights: Vec<Vec<f32>>,
    products: Vec<Product>,
}

/// A product of two weights, (a, h) and (h, b).
struct Product {
    of: [Weight; 2],
    sizes: [usize; 3],
}

/// K, and the gradients by all sequences for each of its rows, which the way back reads again.
struct Made {
    matrix: Vec<f32>,
    grads: Vec<Buffer>,
}

impl Linear {
    fn new(steps: &[Step], mut weights: Vec<Vec<f32>>) -> Self {
        let mut products = Vec::new();
        let operation = |step: &Step| match step.operation {
            Operation::ProjectTwice(x, of, sizes) => {
                weights.push(project::chained(of.map(|weight| &weights[weight][..]), sizes));
                products.push(Product { of, sizes });
                Operation::Project(x, weights.len() - 1, (sizes[0], sizes[2]))
            }
            operation => operation,
        };
        let operations = steps.iter().map(operation).collect();
        Self { operations, places: places(steps), weights, products }
    }

    /// Numbers of a sequence's tokens.
    fn tokens(&self) -> usize {
        self.places.first().map_or(0, Range::len)
    }

    /// Numbers of a sequence's answers.
    fn answers(&self) -> usize {
        self.places.last().map_or(0, Range::len)
    }

    fn memory(&self) -> Buffer {
        Buffer::zeroed(self.places.last().map_or(0, |place| place.end))
    }

    /// K, row by row.
    fn matrix(&self) -> Made {
        let grads = |answer: usize| {
            let mut grads = self.memory();
            grads.as_flattened_mut()[answer] = 1.0;
            self.back(grads.as_flattened_mut());
            grads
        };
        let grads: Vec<Buffer> = self.places.last().cloned().unwrap_or_default().map(grads).collect();
        let rows = grads.iter().flat_map(|grads| &grads.as_flattened()[..self.tokens()]);
        Made { matrix: rows.copied().collect(), grads }
    }

    /// The gradients by the program's weights, from G.
    fn grad_weights(&self, met: &[f32], grads: &[Buffer]) -> Vec<Vec<f32>> {
        let mut grad_weights: Vec<Vec<f32>> = self.weights.iter().map(|weight| vec![0.0; weight.len()]).collect();
        for (tokens, grads) in met.chunks_exact(self.tokens().max(1)).zip(grads) {
            let mut values = self.memory();
            values.as_flattened_mut()[..tokens.len()].copy_from_slice(tokens);
            self.forth(values.as_flattened_mut());
            self.add_by_weights(values.as_flattened(), grads.as_flattened(), &mut grad_weights);
        }
        let grad_products = grad_weights.split_off(grad_weights.len() - self.products.len());
        for (Product { of, sizes }, grad_product) in self.products.iter().zip(&grad_products) {
            if let Ok(by) = grad_weights.get_disjoint_mut(*of) {
                let weights = of.map(|weight| &self.weights[weight][..]);
                project::unchain(weights, *sizes, grad_product, by.map(Vec::as_mut_slice));
            }
        }
        grad_weights
    }

    /// From the tokens at the start of the memory to all other sequences.
    fn forth(&self, memory: &mut [f32]) {
        for (operation, place) in self.operations.iter().zip(&self.places) {
            let (before, now) = memory.split_at_mut(place.start);
            let now = &mut now[..place.len()];
            let of = |x: usize| &before[self.places[x].clone()];
            match *operation {
                Operation::Last(x) => now.copy_from_slice(&of(x)[of(x).len() - now.len()..]),
                Operation::Plus([x, y]) => {
                    now.copy_from_slice(of(x));
                    add(of(y), now);
                }
                Operation::TimesRow(x, row) => add_times_row(of(x), &self.weights[row], now),
                Operation::Project(x, weight, sizes) => project::forward_one(of(x), &self.weights[weight], sizes, now),
                Operation::DiagonalScan(x, spectrum) => {
                    diagonal_scan::forward_one(of(x), &self.weights[spectrum], now);
                }
                _ => {}
            }
        }
    }

    /// From the gradient by the answers at the end of the memory to those by all other sequences.
    fn back(&self, memory: &mut [f32]) {
        for (operation, place) in self.operations.iter().zip(&self.places).rev() {
            let (before, now) = memory.split_at_mut(place.start);
            let now = &now[..place.len()];
            let at = |x: usize| self.places[x].clone();
            match *operation {
                Operation::Last(x) => {
                    let skipped = at(x).len() - now.len();
                    add(now, &mut before[at(x)][skipped..]);
                }
                Operation::Plus(parts) => parts.into_iter().for_each(|x| add(now, &mut before[at(x)])),
                Operation::TimesRow(x, row) => add_times_row(now, &self.weights[row], &mut before[at(x)]),
                Operation::Project(x, weight, sizes) => {
                    project::backward_one(now, &self.weights[weight], sizes, &mut before[at(x)]);
                }
                Operation::DiagonalScan(x, spectrum) => {
                    diagonal_scan::backward_one(now, &self.weights[spectrum], &mut before[at(x)]);
                }
                _ => {}
            }
        }
    }

    /// Adds the gradients of one sequence by all weights, products among them.
    fn add_by_weights(&self, values: &[f32], grads: &[f32], grad_weights: &mut [Vec<f32>]) {
        for (operation, place) in self.operations.iter().zip(&self.places) {
            let (of, grad_out) = (|x: usize| &values[self.places[x].clone()], &grads[place.clone()]);
            match *operation {
                Operation::TimesRow(x, row) => {
                    let grad_row = &mut grad_weights[row];
                    let width = grad_row.len();
                    for (x, grad_out) in of(x).chunks_exact(width).zip(grad_out.chunks_exact(width)) {
                        grad_row.iter_mut().zip(x).zip(grad_out).for_each(|((sum, x), grad)| *sum += x * grad);
                    }
                }
                Operation::Project(x, weight, sizes) => {
                    project::grad_weight_of_one(of(x), grad_out, sizes, &mut grad_weights[weight]);
                }
                Operation::DiagonalScan(x, spectrum) => {
                    let given = (of(x), &self.weights[spectrum][..]);
                    diagonal_scan::grad_spectrum_of_one(given, grad_out, &mut grad_weights[spectrum]);
                }
                _ => {}
            }
        }
    }
}

fn add(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn add_times_row(x: &[f32], row: &[f32], out: &mut [f32]) {
    for (x, out) in x.chunks_exact(row.len()).zip(out.chunks_exact_mut(row.len())) {
        out.iter_mut().zip(x).zip(row).for_each(|((out, x), factor)| *out += x * factor);
    }
}

/// Sequences that one core takes at a time: a part of at most so many, so that sums over them have an order.
fn part(batch: usize) -> usize {
    batch.div_ceil(16).max(256)
}

/// y = K x of every sequence.
fn each_times(tokens: &[f32], matrix: &[f32], answers: usize) -> Vec<f32> {
    let size = matrix.len() / answers.max(1);
    let batch = tokens.len() / size.max(1);
    let mut out = vec![0.0; batch * answers];
    let parts = out.par_chunks_mut(part(batch) * answers.max(1)).zip(tokens.par_chunks((part(batch) * size).max(1)));
    parts.for_each(|(out, tokens)| times(tokens, matrix, answers, out));
    out
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn times(tokens: &[f32], matrix: &[f32], answers: usize, out: &mut [f32]) {
    let size = matrix.len() / answers;
    for (x, out) in tokens.chunks_exact(size).zip(out.chunks_exact_mut(answers)) {
        out.iter_mut().zip(matrix.chunks_exact(size)).for_each(|(out, row)| *out = dot(row, x));
    }
}

/// Adds ∂x = Kᵀ ∂y of every sequence.
fn add_each_times_transposed(grad_out: &[f32], matrix: &[f32], answers: usize, grad_tokens: &mut [f32]) {
    let size = matrix.len() / answers.max(1);
    let sequences = grad_tokens.par_chunks_exact_mut(size.max(1)).zip(grad_out.par_chunks_exact(answers.max(1)));
    sequences.for_each(|(grad_x, grad_out)| {
        for (grad, row) in grad_out.iter().zip(matrix.chunks_exact(size)) {
            grad_x.iter_mut().zip(row).for_each(|(sum, k)| *sum += grad * k);
        }
    });
}

/// G, in the order of the parts of the batch.
fn meet(grad_out: &[f32], tokens: &[f32], answers: usize, size: usize) -> Vec<f32> {
    let many = part(tokens.len() / size.max(1));
    let sums = |(grad_out, tokens): (&[f32], &[f32])| {
        let mut met = vec![0.0; answers * size];
        add_outer(grad_out, tokens, (answers, size), &mut met);
        met
    };
    let parts = grad_out.par_chunks((many * answers).max(1)).zip(tokens.par_chunks((many * size).max(1)));
    let parts: Vec<Vec<f32>> = parts.map(sums).collect();
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |mut met, part| {
        add(&part, &mut met);
        met
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_outer(grad_out: &[f32], tokens: &[f32], (answers, size): (usize, usize), met: &mut [f32]) {
    for (grad_out, x) in grad_out.chunks_exact(answers).zip(tokens.chunks_exact(size)) {
        for (grad, row) in grad_out.iter().zip(met.chunks_exact_mut(size)) {
            row.iter_mut().zip(x).for_each(|(sum, x)| *sum += grad * x);
        }
    }
}
