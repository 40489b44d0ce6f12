//! Every row of a matrix with mean 0 and mean square 1: x̂ = (x − μ)/√(σ² + ε).
//!
//! Source: Ba, Kiros & Hinton 2016 (1607.06450), equation 4, before gain and bias. dfdx's own walks broadcasts index by
//! index and takes twenty times as long.

use dfdx::prelude::*;
use rayon::prelude::*;

use crate::nn::{Matrix, Outcome};

/// ε.
pub const EPSILON: f32 = 1e-5;

/// Rows for one thread to begin with.
const ROWS_AT_ONCE: usize = 64;

/// The definition: normalises one row and gives 1/√(σ² + ε).
pub fn normalise_row(row: &mut [f32]) -> f32 {
    let n = row.len() as f32;
    let mean = row.iter().sum::<f32>() / n;
    row.iter_mut().for_each(|x| *x -= mean);
    let inverse = 1.0 / (row.iter().map(|x| x * x).sum::<f32>() / n + EPSILON).sqrt();
    row.iter_mut().for_each(|x| *x *= inverse);
    inverse
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(rows: Matrix<D, T>) -> Outcome<Matrix<D, T>, D> {
    rows.try_normalize::<Axis<1>>(EPSILON)
}

/// The fast form: one operation on the tape.
pub fn fused<T: Tape<f32, Cpu>>(rows: Matrix<Cpu, T>) -> Outcome<Matrix<Cpu, T>, Cpu> {
    let (rows, mut tape) = rows.split_tape();
    let shape = *rows.shape();
    let width = shape.1;
    let mut values = vec![0.0; shape.0 * width];
    rows.copy_into(&mut values);
    let inverses: Vec<f32> = values.par_chunks_mut(width).with_min_len(ROWS_AT_ONCE).map(normalise_row).collect();
    let out = rows.device().try_tensor_from_vec(values, shape)?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let by_out = gradients.get_or_alloc_mut(&result)?.to_vec();
        let normal = result.as_vec();
        let by_rows = gradients.get_or_alloc_mut(&rows)?;
        let slopes = by_out.par_chunks(width).zip(normal.par_chunks(width)).zip(&inverses);
        by_rows.par_chunks_mut(width).with_min_len(ROWS_AT_ONCE).zip(slopes).for_each(|(sum, ((go, x), inverse))| {
            let n = width as f32;
            let mean = go.iter().sum::<f32>() / n;
            let along = go.iter().zip(x).map(|(go, x)| go * x).sum::<f32>() / n;
            for ((sum, go), x) in sum.iter_mut().zip(go).zip(x) {
                *sum += inverse * (go - mean - along * x);
            }
        });
        Ok(())
    });
    Ok(out.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Matrix<Cpu, OwnedTape<f32, Cpu>>;

    fn run(form: fn(Taped) -> Taped) -> [Vec<f32>; 2] {
        let (device, mut random) = (Cpu::default(), Random::new(5));
        let (rows, weights) = (random.matrix(&device, (70, 6)), random.matrix(&device, (70, 6)));
        let out = form(rows.leaky_trace());
        let values = out.as_vec();
        [values, (out * weights).sum::<Rank0, _>().backward().get(&rows).as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        let (fast, plain) = (run(|rows| fused(rows).unwrap()), run(|rows| compose(rows).unwrap()));
        assert_close(&fast[0], &plain[0], 1e-5);
        assert_close(&fast[1], &plain[1], 1e-5);
    }
}
