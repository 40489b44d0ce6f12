//! A linear layer on every row, with what bends it: φ(x W + b).
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `rows` x | | (R, a) |
//! | `weight` W | | (a, c) |
//! | `bias` b | none: zero | (1, c) |
//! | `bend` φ | none: the sum as it is | |

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

use super::elementary;
use super::host::numbers;
use super::lanes::{LANES, Lane, ZERO};
use super::tiles::{TILE, add_tile};
use crate::nn::{Activation, Matrix, Outcome};

/// What is multiplied, added and bent.
pub struct Affine<D: super::Device, T> {
    pub rows: Matrix<D, T>,
    pub weight: Matrix<D, T>,
    pub bias: Option<Matrix<D, T>>,
    pub bend: Option<Activation>,
    /// Whether somebody will ask for the gradient by the rows.
    pub by_rows: bool,
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(affine: Affine<D, T>) -> Outcome<Matrix<D, T>, D> {
    let count = affine.rows.shape().0;
    let mut sum = affine.rows.try_matmul(affine.weight)?;
    if let Some(bias) = affine.bias {
        // A product with ones, because dfdx walks a broadcast index by index.
        let ones: Matrix<D> = bias.device().try_ones_like(&(count, 1))?;
        sum = sum.try_add(ones.retaped::<T>().try_matmul(bias)?)?;
    }
    match affine.bend {
        Some(bend) => bend.apply(sum),
        None => Ok(sum),
    }
}

/// Multiplications that are worth waking another thread for.
const WORTH_SHARING: usize = 1 << 16;

/// Rows of which the gradients by the weights are summed at once; these sums are added in order. It depends on sizes
/// only, so that results do not depend on the number of threads.
fn rows_at_once(count: usize, (inputs, outputs): (usize, usize)) -> usize {
    if count * inputs * outputs < WORTH_SHARING {
        count.max(1)
    } else {
        count.div_ceil(16).max(32).next_multiple_of(TILE)
    }
}

/// The fast form: one operation on the tape, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, affine: Affine<Cpu, T>) -> Outcome<Matrix<Cpu, T>, Cpu> {
    let Affine { rows, weight, bias, bend, by_rows } = affine;
    let (rows, tape) = rows.try_contiguous()?.split_tape();
    let (weight, weight_tape) = weight.try_contiguous()?.split_tape();
    let mut tape = tape.merge(weight_tape);
    let bias = match bias {
        None => None,
        Some(bias) => {
            let (bias, bias_tape) = bias.try_contiguous()?.split_tape();
            tape = tape.merge(bias_tape);
            Some(bias)
        }
    };
    let (count, size) = (rows.shape().0, *weight.shape());
    let (inputs, outputs) = size;
    let at_once = rows_at_once(count, size);

    let (x, w) = (numbers(&rows), numbers(&weight));
    let start = bias.as_ref().map_or_else(|| vec![0.0; outputs], numbers);
    let (panels, start) = (panels(&w, size), panels_of_row(&start));
    let mut values = vec![0.0; count * outputs];
    values.par_chunks_mut(at_once * outputs).zip(x.par_chunks(at_once * inputs)).for_each(|(values, x)| {
        add_product((x, inputs), &panels, &start, (values, outputs));
    });
    // What φ was given; nobody asks for it without φ.
    let given = if bend.is_some() && T::OWNS_TAPE { values.clone() } else { Vec::new() };
    if let Some(bend) = bend {
        values.par_chunks_mut(at_once * outputs).for_each(|values| bend_all(bend, values));
    }
    let out = device.try_tensor_from_vec(values, (count, outputs))?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let mut by_out = gradients.get_or_alloc_mut(&result)?.to_vec();
        if let Some(bend) = bend {
            let chunks = by_out.par_chunks_mut(at_once * outputs).zip(given.par_chunks(at_once * outputs));
            chunks.for_each(|(by_out, given)| times_slopes(bend, given, by_out));
        }
        if by_rows {
            let turned: Vec<f32> = (0..inputs * outputs).map(|i| w[i % inputs * outputs + i / inputs]).collect();
            let turned = self::panels(&turned, (outputs, inputs));
            let start = vec![ZERO; inputs.div_ceil(LANES)];
            let sum = gradients.get_or_alloc_mut(&rows)?;
            let chunks = sum.par_chunks_mut(at_once * inputs).zip(by_out.par_chunks(at_once * outputs));
            chunks.for_each(|(sum, by_out)| add_product((by_out, outputs), &turned, &start, (sum, inputs)));
        }
        let chunks = x.par_chunks(at_once * inputs).zip(by_out.par_chunks(at_once * outputs));
        let parts: Vec<_> = chunks.map(|(x, by_out)| weight_sums((x, inputs), (by_out, outputs))).collect();
        let sum = gradients.get_or_alloc_mut(&weight)?;
        parts.iter().for_each(|(part, _)| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        if let Some(bias) = &bias {
            let sum = gradients.get_or_alloc_mut(bias)?;
            parts.iter().for_each(|(_, part)| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// A row-major matrix in panels of sixteen columns, missing ones zero: (⌈columns / 16⌉, rows) lanes.
fn panels(matrix: &[f32], (rows, columns): (usize, usize)) -> Vec<Lane> {
    let places = (0..columns).step_by(LANES).flat_map(|first| (0..rows).map(move |row| (row, first)));
    places.map(|(row, first)| lane(&matrix[row * columns + first..(row + 1) * columns])).collect()
}

fn panels_of_row(row: &[f32]) -> Vec<Lane> {
    row.chunks(LANES).map(lane).collect()
}

/// The first sixteen numbers; zeros where there are fewer.
#[inline(always)]
fn lane(numbers: &[f32]) -> Lane {
    if let Some(full) = numbers.first_chunk() {
        return *full;
    }
    let mut lane = ZERO;
    lane.iter_mut().zip(numbers).for_each(|(lane, number)| *lane = *number);
    lane
}

/// out += x W + b.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn add_product((x, inputs): (&[f32], usize), panels: &[Lane], bias: &[Lane], (out, outputs): (&mut [f32], usize)) {
    for ((panel, bias), first) in panels.chunks_exact(inputs).zip(bias).zip((0..outputs).step_by(LANES)) {
        for (x, out) in x.chunks(TILE * inputs).zip(out.chunks_mut(TILE * outputs)) {
            // Past the last row stands the last one again; its sums are not used.
            let last = x.len() / inputs - 1;
            let [x0, x1, x2, x3]: [&[f32]; TILE] = std::array::from_fn(|i| &x[i.min(last) * inputs..][..inputs]);
            let mut sums = [*bias; TILE];
            let columns = x0.iter().zip(x1).zip(x2).zip(x3).map(|(((x0, x1), x2), x3)| [*x0, *x1, *x2, *x3]);
            add_tile(&mut sums, columns.zip(panel));
            for (out, sum) in out.chunks_exact_mut(outputs).zip(&sums) {
                let out = &mut out[first..];
                if let Some(full) = out.first_chunk_mut::<LANES>() {
                    full.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
                } else {
                    out.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
                }
            }
        }
    }
}

/// xᵀ ∂out and the sum of ∂out over these rows: the gradients by W and b.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn weight_sums((x, inputs): (&[f32], usize), (by_out, outputs): (&[f32], usize)) -> (Vec<f32>, Vec<f32>) {
    let (mut by_weight, mut by_bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
    let mut panel = vec![ZERO; by_out.len() / outputs];
    for first in (0..outputs).step_by(LANES) {
        let some = LANES.min(outputs - first);
        let mut sum = ZERO;
        for (lane_of, row) in panel.iter_mut().zip(by_out.chunks_exact(outputs)) {
            *lane_of = lane(&row[first..]);
            sum.iter_mut().zip(&*lane_of).for_each(|(sum, slope)| *sum += slope);
        }
        by_bias[first..first + some].copy_from_slice(&sum[..some]);
        for input in (0..inputs).step_by(TILE) {
            let mut sums = [ZERO; TILE];
            let rows = x.chunks_exact(inputs).map(|row| &row[input..]);
            if input + TILE <= inputs {
                add_tile(&mut sums, rows.map(|row| std::array::from_fn(|i| row[i])).zip(&panel));
            } else {
                let four = |row: &[f32]| std::array::from_fn(|i| row.get(i).copied().unwrap_or(0.0));
                add_tile(&mut sums, rows.map(four).zip(&panel));
            }
            for (row, sum) in by_weight[input * outputs..].chunks_exact_mut(outputs).zip(&sums) {
                row[first..first + some].copy_from_slice(&sum[..some]);
            }
        }
    }
    (by_weight, by_bias)
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn bend_all(bend: Activation, values: &mut [f32]) {
    match bend {
        Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
        Activation::Gelu => values.iter_mut().for_each(|x| *x = elementary::gelu(*x).0),
        Activation::Tanh => values.iter_mut().for_each(|x| *x = elementary::tanh(*x)),
    }
}

/// Multiplies each gradient by φ' of what φ was given.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn times_slopes(bend: Activation, given: &[f32], gradients: &mut [f32]) {
    let each = gradients.iter_mut().zip(given);
    match bend {
        Activation::Relu => each.for_each(|(slope, x)| *slope = if *x > 0.0 { *slope } else { 0.0 }),
        Activation::Gelu => each.for_each(|(slope, x)| *slope *= elementary::gelu(*x).1),
        Activation::Tanh => each.for_each(|(slope, x)| {
            let out = elementary::tanh(*x);
            *slope *= 1.0 - out * out;
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Affine<Cpu, OwnedTape<f32, Cpu>>;
    type Form = fn(Taped) -> Matrix<Cpu, OwnedTape<f32, Cpu>>;

    /// Values and the gradients of a weighted sum of them, by rows, weight and bias.
    fn measure(form: Form, (count, inputs, outputs): (usize, usize, usize), bend: Option<Activation>) -> [Vec<f32>; 4] {
        let (device, mut random) = (Cpu::default(), Random::new(5));
        let (rows, sum) = (random.matrix(&device, (count, inputs)), random.matrix(&device, (count, outputs)));
        let (weight, bias) = (random.matrix(&device, (inputs, outputs)), random.matrix(&device, (1, outputs)));
        let affine = Affine {
            rows: rows.leaky_trace(),
            weight: weight.leaky_trace(),
            bias: Some(bias.leaky_trace()),
            bend,
            by_rows: true,
        };
        let out = form(affine);
        let values = out.as_vec();
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        [values, gradients.get(&rows).as_vec(), gradients.get(&weight).as_vec(), gradients.get(&bias).as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        for sizes in [(1, 1, 1), (3, 5, 2), (70, 6, 33), (130, 21, 40)] {
            for bend in [None, Some(Activation::Relu), Some(Activation::Gelu), Some(Activation::Tanh)] {
                let fast = measure(|affine| fused(&Cpu::default(), affine).unwrap(), sizes, bend);
                let plain = measure(|affine| compose(affine).unwrap(), sizes, bend);
                for (fast, plain) in fast.iter().zip(&plain) {
                    assert_close(fast, plain, 1e-5);
                }
            }
        }
    }
}
