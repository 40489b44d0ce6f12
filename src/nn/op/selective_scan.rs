//! The selective scan: a linear recurrence whose decay, input and readout depend on the token.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `step` Δ | how much of the token is taken in, and how much is forgotten for it | (B, T, E) |
//! | `input` x | what is written | (B, T, E) |
//! | `write` B, `read` C | where it is written, and from where it is read | (B, T, N) |
//! | `rate` A | how fast each entry of the state forgets; negative | (E, N) |
//!
//! h_t[e, n] = exp(Δ_t[e] A[e, n]) h_{t−1}[e, n] + Δ_t[e] B_t[n] x_t[e]; y_t[e] = Σ_n C_t[n] h_t[e, n], and the result is y:
//! (B, T, E). Source: Mamba 2312.00752, algorithm 2, with Δ B for B̄ as in the paper's code.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::blocks::{Kernel, Operands, Slopes, run};
use super::join::join;
use super::lanes::{LANES, Lane, ZERO, add_product};
use super::slice::slice;
use crate::nn::{Cube, Matrix, Outcome};

/// What the scan runs over.
pub struct SelectiveScan<D: super::Device, T> {
    /// (B, T, E).
    pub step: Cube<D, T>,
    /// (B, T, E).
    pub input: Cube<D, T>,
    /// (B, T, N).
    pub write: Cube<D, T>,
    /// (B, T, N).
    pub read: Cube<D, T>,
    /// (E, N).
    pub rate: Matrix<D, T>,
}

/// The definition: every state of one sequence, each (E, N). `parts`: Δ, x and B of it.
pub fn selective_states(parts: [&[f32]; 3], rate: &[f32], (wide, states): (usize, usize)) -> Vec<Vec<f32>> {
    let [step, input, write] = parts;
    let mut state = vec![0.0; wide * states];
    let mut history = Vec::new();
    for t in 0..step.len() / wide {
        for e in 0..wide {
            let (delta, x) = (step[t * wide + e], input[t * wide + e]);
            for n in 0..states {
                let h = &mut state[e * states + n];
                *h = (delta * rate[e * states + n]).exp() * *h + delta * write[t * states + n] * x;
            }
        }
        history.push(state.clone());
    }
    history
}

/// Made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(scan: SelectiveScan<D, T>) -> Outcome<Cube<D, T>, D> {
    let SelectiveScan { step, input, write, read, rate } = scan;
    let (batch, length, wide) = *step.shape();
    let states = rate.shape().1;
    let all = (batch, wide, states);
    let at = |cube: &Cube<D, T>, t: usize| {
        let width = cube.shape().2;
        slice(cube.retaped::<T>(), (0..batch, t..t + 1, 0..width))?.try_reshape_like(&(batch, width))
    };
    let mut state: Option<Cube<D, T>> = None;
    let mut answers: Vec<Matrix<D, T>> = Vec::new();
    for t in 0..length {
        let delta = at(&step, t)?; // (B, E)
        let write = at(&write, t)?.try_broadcast_like::<_, Axis<1>>(&all)?;
        let input = delta.retaped::<T>().try_mul(at(&input, t)?)?.try_broadcast_like::<_, Axis<2>>(&all)?;
        let update = input.try_mul(write)?;
        let rate = rate.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&all)?;
        let decay = delta.try_broadcast_like::<_, Axis<2>>(&all)?.try_mul(rate)?.try_exp()?;
        let next = match state {
            // What the first step forgets is nothing, but Δ's tape is there.
            None => join(update, decay),
            Some(state) => state.try_mul(decay)?.try_add(update)?,
        };
        let read = at(&read, t)?.try_broadcast_like::<_, Axis<1>>(&all)?;
        answers.push(next.retaped::<T>().try_mul(read)?.try_sum::<_, Axis<2>>()?);
        state = Some(next);
    }
    let out = answers.try_stack()?.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(batch, length, wide))?;
    let inputs = [step, input, write, read].into_iter().chain(state);
    Ok(inputs.fold(join(out, rate), join))
}

/// The fast form on the CPU.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, scan: SelectiveScan<Cpu, T>) -> Outcome<Cube<Cpu, T>, Cpu> {
    let (wide, states) = *scan.rate.shape();
    let operands = Operands { inputs: vec![scan.step, scan.input, scan.write, scan.read], weights: vec![scan.rate] };
    run(device, operands, wide, |weights| Fused { rate: weights.concat(), wide, states })
}

struct Fused {
    rate: Vec<f32>,
    /// E.
    wide: usize,
    /// N.
    states: usize,
}

impl Kernel for Fused {
    /// h_t and exp(Δ_t A) after every token: (T · E · N) lanes each.
    type Saved = [Vec<Lane>; 2];

    fn forward(&self, inputs: &[Vec<Lane>], out: &mut [Lane]) -> [Vec<Lane>; 2] {
        forward_block(self, inputs, out)
    }

    fn backward(&self, inputs: &[Vec<Lane>], saved: &[Vec<Lane>; 2], by_out: &[Lane], slopes: &mut Slopes) {
        backward_block(self, inputs, saved, by_out, slopes);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block(scan: &Fused, inputs: &[Vec<Lane>], out: &mut [Lane]) -> [Vec<Lane>; 2] {
    let Fused { rate, wide, states } = scan;
    let [step, input, write, read] = [0, 1, 2, 3].map(|i| inputs[i].as_slice());
    let size = wide * states;
    let mut history = vec![ZERO; step.len() * states];
    let mut decays = vec![ZERO; step.len() * states];
    for t in 0..step.len() / wide {
        let (write, read) = (&write[t * states..][..*states], &read[t * states..][..*states]);
        let (before, now) = history.split_at_mut(t * size);
        for e in 0..*wide {
            let (delta, x) = (&step[t * wide + e], &input[t * wide + e]);
            let mut taken = ZERO;
            add_product(&mut taken, delta, x);
            for n in 0..*states {
                let at = e * states + n;
                let decay = &mut decays[t * size + at];
                for l in 0..LANES {
                    decay[l] = (delta[l] * rate[at]).exp();
                }
                let state = &mut now[at];
                if t > 0 {
                    add_product(state, decay, &before[(t - 1) * size + at]);
                }
                add_product(state, &taken, &write[n]);
                add_product(&mut out[t * wide + e], &read[n], state);
            }
        }
    }
    [history, decays]
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block(
    scan: &Fused,
    inputs: &[Vec<Lane>],
    [history, decays]: &[Vec<Lane>; 2],
    by_out: &[Lane],
    slopes: &mut Slopes,
) {
    let Fused { rate, wide, states } = scan;
    let [step, input, write, read] = [0, 1, 2, 3].map(|i| inputs[i].as_slice());
    let [by_step, by_input, by_write, by_read] = &mut slopes.inputs[..] else { return };
    let size = wide * states;
    let mut by_rate = vec![ZERO; size];
    // ∂h_t.
    let mut by_state = vec![ZERO; size];
    for t in (0..step.len() / wide).rev() {
        for e in 0..*wide {
            let place = t * wide + e;
            let (delta, x, answer) = (&step[place], &input[place], &by_out[place]);
            // ∂(Δ x), and the part of ∂Δ that comes through the decay.
            let (mut by_taken, mut by_delta) = (ZERO, ZERO);
            for n in 0..*states {
                let (at, token) = (e * states + n, t * states + n);
                let (slope, decay) = (&mut by_state[at], &decays[t * size + at]);
                add_product(slope, answer, &read[token]);
                add_product(&mut by_read[token], answer, &history[t * size + at]);
                add_product(&mut by_taken, slope, &write[token]);
                for l in 0..LANES {
                    by_write[token][l] += slope[l] * delta[l] * x[l];
                    slope[l] *= decay[l];
                }
                if t > 0 {
                    let before = &history[(t - 1) * size + at];
                    for l in 0..LANES {
                        let by_exponent = slope[l] * before[l];
                        by_delta[l] += by_exponent * rate[at];
                        by_rate[at][l] += by_exponent * delta[l];
                    }
                }
            }
            add_product(&mut by_step[place], &by_taken, x);
            add_product(&mut by_input[place], &by_taken, delta);
            for l in 0..LANES {
                by_step[place][l] += by_delta[l];
            }
        }
    }
    for (sum, lane) in slopes.weights[0].iter_mut().zip(&by_rate) {
        *sum = lane.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Tape = OwnedTape<f32, Cpu>;
    type Form = dyn Fn(&Cpu, SelectiveScan<Cpu, Tape>) -> Cube<Cpu, Tape>;

    /// Values, and the gradients of a weighted sum of them, by all five operands.
    fn measure(form: &Form, batch: usize, (wide, states): (usize, usize)) -> [Vec<f32>; 6] {
        let (device, mut random, length) = (Cpu::default(), Random::new(13), 5);
        let mut cube = |width| random.cube(&device, (batch, length, width));
        let [step, input, write, read, sum] = [wide, wide, states, states, wide].map(&mut cube);
        let rate = random.matrix(&device, (wide, states));
        let out = form(
            &device,
            SelectiveScan {
                step: step.leaky_trace(),
                input: input.leaky_trace(),
                write: write.leaky_trace(),
                read: read.leaky_trace(),
                rate: rate.leaky_trace(),
            },
        );
        let values = out.as_vec();
        assert_close(&values, &defined([&step, &input, &write, &read], &rate), 1e-5);
        let gradients = (out * sum).sum::<Rank0, _>().backward();
        let [a, b, c, d] = [&step, &input, &write, &read].map(|cube| gradients.get(cube).as_vec());
        [values, a, b, c, d, gradients.get(&rate).as_vec()]
    }

    fn defined(cubes: [&Cube<Cpu>; 4], rate: &Matrix<Cpu>) -> Vec<f32> {
        let (wide, states) = *rate.shape();
        let (batch, length, _) = *cubes[0].shape();
        let [step, input, write, read] = cubes.map(|cube| cube.as_vec());
        let mut answers = Vec::new();
        for b in 0..batch {
            let [d, x] = [&step, &input].map(|rows| &rows[b * length * wide..][..length * wide]);
            let [w, r] = [&write, &read].map(|rows| &rows[b * length * states..][..length * states]);
            let history = selective_states([d, x, w], &rate.as_vec(), (wide, states));
            for (state, read) in history.iter().zip(r.chunks(states)) {
                answers.extend(state.chunks(states).map(|h| h.iter().zip(read).map(|(h, c)| h * c).sum::<f32>()));
            }
        }
        answers
    }

    #[test]
    fn definition_composition_and_fused_form_agree_in_value_and_gradient() {
        for (batch, sizes) in [(1, (1, 1)), (37, (3, 2))] {
            let fast = measure(&|device, scan| fused(device, scan).unwrap(), batch, sizes);
            let plain = measure(&|_, scan| compose(scan).unwrap(), batch, sizes);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }
}
