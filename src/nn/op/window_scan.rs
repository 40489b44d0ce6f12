//! The window recurrence of the GD-SSM, read out at the query.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `decay` Λ | what is kept of each entry of the state | (d, d) |
//! | `mix` Q | how the rows of a window multiply each other | (3, 3) |
//! | `pick` D | which row of the last window is asked about | (3, 1) |
//! | X_t | the window (x_t, y_t, x_{t+1}), stride two | (3, d) |
//!
//! S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, and the result is S_N (X_Nᵀ D): (d). Source: arXiv 2410.11687, section 3.
//!
//! Only S_N reaches the loss, and the query is known before the first window is read. So what the answer's change with
//! each weight is can be summed up in the forward pass already, in memory that does not grow with the context: S_N itself,
//! R_N = ∂S_N/∂Λ with R_t = Λ ⊙ R_{t−1} + S_{t−1}, and ∂(S_N q)/∂Q. The backward pass is a few products with ∂answer.
//!
//! Without S_N, as Σ_t Σ_a X_t[a] ⊙ Λ^{N−t} (q ⊙ (Q X_t)[a]), the answer takes 3 multiplications instead of 4 for each t, i
//! and j. But then its change with D takes 3 more, for which S_N answers at once; and R_N needs S_N.

mod block;
mod composition;
mod sums;

use dfdx::prelude::*;
use rayon::prelude::*;

use self::block::{Grads, Host, Saved, forward_block};
pub use self::composition::{compose, last_state};
use super::buffer::Buffer;
use super::lanes::{LANES, gather, scatter, scatter_add};
use crate::lanes::Blocks;
use crate::nn::{DeviceResult, GradTarget, Input, Matrix, Tensor3};

/// The weights of a window scan.
pub struct WindowScan<'a, D: super::Device> {
    /// Λ: (d, d).
    pub decay: &'a Matrix<D>,
    /// Q: (3, 3).
    pub mix: &'a Matrix<D>,
    /// D: (3, 1).
    pub pick: &'a Matrix<D>,
}

/// The definition: every state S₁ … S_N of one sequence of (tokens, d), each (d, d), row-major.
pub fn window_states(tokens: &[f32], dim: usize, decay: &[f32], mix: &[f32]) -> Vec<Vec<f32>> {
    let mut state = vec![0.0; dim * dim];
    let mut states = Vec::new();
    for t in 0..(tokens.len() / dim - 1) / 2 {
        let window = &tokens[2 * t * dim..][..3 * dim];
        // Q X_t
        let mixed = |a: usize, j: usize| (0..3).map(|b| mix[a * 3 + b] * window[b * dim + j]).sum::<f32>();
        let mixed: Vec<f32> = (0..3 * dim).map(|at| mixed(at / dim, at % dim)).collect();
        for i in 0..dim {
            for j in 0..dim {
                let update: f32 = (0..3).map(|a| window[a * dim + i] * mixed[a * dim + j]).sum();
                state[i * dim + j] = decay[i * dim + j] * state[i * dim + j] + update;
            }
        }
        states.push(state.clone());
    }
    states
}

/// Blocks whose gradients by the weights are summed up together.
const BLOCKS_AT_ONCE: usize = 16;

/// The fast form: one operation on the tape, in blocks of sixteen sequences, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    weights: WindowScan<'_, Cpu>,
) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let grad_target = input.grad_target;
    let (tokens, tape) = input.tokens.split_tape();
    let (batch, length, dim) = *tokens.shape();
    let host = Host::read(&weights, (length - 1) / 2, dim);
    let mut rows = Buffer::uninit((batch * length * dim).div_ceil(LANES));
    let rows = &mut rows.as_flattened_mut()[..batch * length * dim];
    tokens.copy_into(rows);
    let mut answers = vec![0.0; batch * dim];
    let saved = rows
        .par_chunks(LANES * length * dim)
        .zip(answers.par_chunks_mut(LANES * dim))
        .map(|(rows, answers)| {
            let tokens = Buffer::gathered(rows, length * dim);
            let mut saved = forward_block(&host, T::OWNS_TAPE.then_some(grad_target), &tokens);
            scatter(saved.answer(&host), answers);
            if grad_target != GradTarget::Weights {
                saved.tokens = Some(tokens);
            }
            saved
        })
        .collect();
    let out = device.try_tensor_from_vec(answers, (batch, dim))?;
    Ok(taped(out, tape, weights, (host, saved), (tokens, grad_target)))
}

/// The same for training, from tokens that stand in lanes already.
pub fn fused_in_lanes<T: Tape<f32, Cpu>>(
    device: &Cpu,
    tokens: &Blocks,
    weights: WindowScan<'_, Cpu>,
) -> DeviceResult<Matrix<Cpu, T>, Cpu> {
    let (length, dim) = tokens.grid;
    let host = Host::read(&weights, (length - 1) / 2, dim);
    let mut answers = vec![0.0; tokens.sequences * dim];
    let saved = tokens
        .blocks
        .par_iter()
        .zip(answers.par_chunks_mut(LANES * dim))
        .map(|(tokens, answers)| {
            let saved = forward_block(&host, T::OWNS_TAPE.then_some(GradTarget::Weights), tokens);
            scatter(saved.answer(&host), answers);
            saved
        })
        .collect();
    let out = device.try_tensor_from_vec(answers, (tokens.sequences, dim))?;
    // Nobody will ask for a gradient by the tokens.
    let none = device.try_zeros_like(&(0, 0, 0))?;
    Ok(taped(out, T::default(), weights, (host, saved), (none, GradTarget::Weights)))
}

/// The answers with their way back on the tape.
fn taped<T: Tape<f32, Cpu>>(
    out: Matrix<Cpu>,
    mut tape: T,
    weights: WindowScan<'_, Cpu>,
    (host, saved): (Host, Vec<Saved>),
    (tokens, grad_target): (Tensor3<Cpu>, GradTarget),
) -> Matrix<Cpu, T> {
    let (decay, mix, pick, result) = (weights.decay.clone(), weights.mix.clone(), weights.pick.clone(), out.clone());
    let (_, length, dim) = *tokens.shape();
    tape.add_backward_op(move |gradients| {
        let grad_answer = gradients.get_or_alloc_mut(&result)?;
        let grads: Vec<[Vec<f32>; 3]> = saved
            .par_chunks(BLOCKS_AT_ONCE)
            .zip(grad_answer.par_chunks(BLOCKS_AT_ONCE * LANES * host.dim))
            .filter(|_| grad_target != GradTarget::Query)
            .map(|(saved, rows)| grad_weights(&host, saved, rows))
            .collect();
        let grad_tokens: Vec<Buffer> = saved
            .par_iter()
            .zip(grad_answer.par_chunks(LANES * host.dim))
            .filter(|_| grad_target != GradTarget::Weights)
            .map(|(saved, rows)| saved.grad_tokens((&host, grad_target), &gather(rows, host.dim)))
            .collect();
        for [grad_decay, grad_mix, grad_pick] in &grads {
            add(gradients.get_or_alloc_mut(&decay)?, grad_decay);
            add(gradients.get_or_alloc_mut(&mix)?, grad_mix);
            add(gradients.get_or_alloc_mut(&pick)?, grad_pick);
        }
        if grad_target != GradTarget::Weights {
            let rows = gradients.get_or_alloc_mut(&tokens)?.par_chunks_mut(LANES * length * dim);
            rows.zip(&grad_tokens).for_each(|(rows, grad_tokens)| scatter_add(grad_tokens, rows));
        }
        Ok(())
    });
    out.put_tape(tape)
}

/// The gradients by Λ, Q and D of some blocks.
fn grad_weights(host: &Host, saved: &[Saved], grad_answer: &[f32]) -> [Vec<f32>; 3] {
    let mut grads = Grads::zero(host);
    for (saved, rows) in saved.iter().zip(grad_answer.chunks(LANES * host.dim)) {
        grads.add(host, saved, &gather(rows, host.dim));
    }
    grads.totals(host)
}

fn add(sum: &mut [f32], part: &[f32]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    /// Answer and the gradients of a weighted sum of it, by Λ, Q, D and the tokens.
    type Form = dyn Fn(&Cpu, Input<Cpu, OwnedTape<f32, Cpu>>, WindowScan<'_, Cpu>) -> Matrix<Cpu, OwnedTape<f32, Cpu>>;

    fn run(form: &Form, grad_target: GradTarget, (batch, pairs, dim): (usize, usize, usize)) -> [Vec<f32>; 5] {
        let device = Cpu::default();
        let mut random = Random::new(7);
        let tokens = random.tensor3(&device, (batch, 2 * pairs + 1, dim));
        let decay = random.matrix(&device, (dim, dim));
        let mix = random.matrix(&device, (3, 3));
        let pick = random.matrix(&device, (3, 1));
        let weights = random.matrix(&device, (batch, dim));
        let input = Input { tokens: tokens.leaky_trace(), grad_target };
        let answer = form(&device, input, WindowScan { decay: &decay, mix: &mix, pick: &pick });
        let values = answer.as_vec();
        let mut gradients = (answer * weights).sum::<Rank0, _>().backward();
        for weight in [&decay, &mix, &pick] {
            gradients.get_or_alloc_mut(weight).unwrap();
        }
        [
            values,
            gradients.get(&decay).as_vec(),
            gradients.get(&mix).as_vec(),
            gradients.get(&pick).as_vec(),
            gradients.get_or_alloc_mut(&tokens).map(|rows| rows.to_vec()).unwrap(),
        ]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        // 37 sequences: two full blocks and a part of one. 35 pairs and 7 numbers: parts of what is taken at once.
        for sizes in [(1, 2, 1), (37, 4, 3), (16, 10, 10), (3, 35, 7), (300, 1, 2)] {
            let fast = run(&|device, input, weights| fused(device, input, weights).unwrap(), GradTarget::All, sizes);
            let plain = run(&|_, input, weights| compose(input, weights).unwrap(), GradTarget::All, sizes);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }

    #[test]
    fn what_is_wanted_is_right_and_the_rest_is_saved() {
        let sizes = (37, 4, 3);
        let fast =
            |grad_target| run(&|device, input, weights| fused(device, input, weights).unwrap(), grad_target, sizes);
        let (all, weights, query) = (fast(GradTarget::All), fast(GradTarget::Weights), fast(GradTarget::Query));
        assert_eq!(weights[..4], all[..4]);
        for (sequence, part) in all[4].chunks(27).zip(query[4].chunks(27)) {
            assert_eq!(sequence[24..], part[24..], "the gradient by the query's token");
        }
    }

    #[test]
    fn tokens_in_lanes_are_answered_as_tokens_in_rows_whoever_the_lanes_left_over_belong_to() {
        let (device, mut random, (batch, length, dim)) = (Cpu::default(), Random::new(5), (37, 9, 3));
        let rows = random.tensor3(&device, (batch, length, dim));
        let weights = [(dim, dim), (3, 3), (3, 1)].map(|shape| random.matrix(&device, shape));
        let [decay, mix, pick] = &weights;
        let weights = || WindowScan { decay, mix, pick };
        let block = |rows: &[f32]| {
            let mut tokens = Buffer::gathered(rows, length * dim);
            let sequences = rows.len() / (length * dim);
            tokens.iter_mut().for_each(|lane| lane[sequences..].fill(3.0));
            tokens
        };
        let blocks = rows.as_vec().chunks(LANES * length * dim).map(block).collect();
        let lanes = Blocks { sequences: batch, grid: (length, dim), blocks };
        let grads = |answers: Matrix<Cpu, OwnedTape<f32, Cpu>>| {
            let (values, gradients) = (answers.as_vec(), answers.square().mean::<Rank0, _>().backward());
            [values, gradients.get(decay).as_vec(), gradients.get(mix).as_vec(), gradients.get(pick).as_vec()]
        };
        let input = Input { tokens: rows.retaped(), grad_target: GradTarget::Weights };
        let in_rows = grads(fused(&device, input, weights()).unwrap());
        assert_eq!(grads(fused_in_lanes(&device, &lanes, weights()).unwrap()), in_rows);
    }

    #[test]
    fn the_answer_is_the_last_state_of_the_definition_at_the_query() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(3), 4);
        let tokens = random.tensor3(&device, (1, 7, dim));
        let (decay, mix) = (random.matrix(&device, (dim, dim)), random.matrix(&device, (3, 3)));
        let pick = device.tensor_from_vec(vec![0.0, 0.0, 1.0], (3, 1));
        let states = window_states(&tokens.as_vec(), dim, &decay.as_vec(), &mix.as_vec());
        let query = &tokens.as_vec()[6 * dim..];
        let expected: Vec<f32> =
            states[2].chunks(dim).map(|row| row.iter().zip(query).map(|(s, x)| s * x).sum()).collect();
        let input = Input { tokens, grad_target: GradTarget::Weights };
        let answer = fused(&device, input, WindowScan { decay: &decay, mix: &mix, pick: &pick }).unwrap();
        assert_close(&answer.as_vec(), &expected, 1e-5);
    }
}
