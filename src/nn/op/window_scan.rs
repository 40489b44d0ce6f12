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
//! Only S_N reaches the loss, so ∂S_t = Λ^{N−t} ⊙ ∂S_N, and everything that the backward pass needs follows from two
//! d × d sums: S_N itself, and R_N = ∂S_N/∂Λ with R_t = Λ ⊙ R_{t−1} + S_{t−1}. Memory does not grow with the context.

mod composition;

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

pub use self::composition::{compose, last_state};
use super::lanes::{
    LANES, Lane, ZERO, add_outer, add_product, add_scaled, add_times, add_transposed_times, gather, inner, lanewise,
    scatter_add,
};
use crate::nn::{Input, Matrix, Outcome, Wanted};

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
        for i in 0..dim {
            for j in 0..dim {
                let mut update = 0.0;
                for a in 0..3 {
                    for b in 0..3 {
                        update += window[a * dim + i] * mix[a * 3 + b] * window[b * dim + j];
                    }
                }
                state[i * dim + j] = decay[i * dim + j] * state[i * dim + j] + update;
            }
        }
        states.push(state.clone());
    }
    states
}

/// Weights as the fused form reads them.
struct Host {
    dim: usize,
    windows: usize,
    decay: Vec<f32>,
    mix: [f32; 9],
    pick: [f32; 3],
}

/// What the forward pass leaves for the backward pass, for one block.
struct Saved {
    /// (tokens · d) lanes.
    tokens: Vec<Lane>,
    /// S_N: (d · d) lanes.
    state: Vec<Lane>,
    /// R_N = ∂S_N/∂Λ: (d · d) lanes.
    by_decay: Vec<Lane>,
    /// X_Nᵀ D: (d) lanes.
    query: Vec<Lane>,
}

/// Gradients that one block contributes.
struct Gradient {
    decay: Vec<f32>,
    mix: [f32; 9],
    pick: [f32; 3],
    /// (tokens · d) lanes; empty where nobody asks.
    tokens: Vec<Lane>,
}

/// The fast form: one operation on the tape, in blocks of sixteen sequences, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    input: Input<Cpu, T>,
    weights: WindowScan<'_, Cpu>,
) -> Outcome<Matrix<Cpu, T>, Cpu> {
    let wanted = input.wanted;
    let (tokens, mut tape) = input.tokens.split_tape();
    let (batch, length, dim) = *tokens.shape();
    let host = Host::read(&weights, (length - 1) / 2, dim);

    let mut rows = vec![0.0; batch * length * dim];
    tokens.copy_into(&mut rows);
    let mut answers = vec![0.0; batch * dim];
    let saved: Vec<Saved> = rows
        .par_chunks(LANES * length * dim)
        .zip(answers.par_chunks_mut(LANES * dim))
        .map(|(rows, answers)| {
            let mut saved = Saved::new(gather(rows, length * dim), dim);
            let mut answer = vec![ZERO; dim];
            forward_block(&host, T::OWNS_TAPE && wanted != Wanted::Query, &mut saved, &mut answer);
            scatter_add(&answer, answers);
            saved
        })
        .collect();
    let out = device.try_tensor_from_vec(answers, (batch, dim))?;

    let (decay, mix, pick, result) = (weights.decay.clone(), weights.mix.clone(), weights.pick.clone(), out.clone());
    tape.add_backward_op(move |gradients| {
        let by_answer = gradients.get_or_alloc_mut(&result)?;
        let blocks: Vec<Gradient> = saved
            .par_iter()
            .zip(by_answer.par_chunks(LANES * dim))
            .map(|(saved, rows)| {
                let mut gradient = Gradient::new(dim, if wanted == Wanted::Weights { 0 } else { length * dim });
                backward_block((&host, wanted), saved, &gather(rows, dim), &mut gradient);
                gradient
            })
            .collect();
        for block in blocks.iter().filter(|_| wanted != Wanted::Query) {
            add(gradients.get_or_alloc_mut(&decay)?, &block.decay);
            add(gradients.get_or_alloc_mut(&mix)?, &block.mix);
            add(gradients.get_or_alloc_mut(&pick)?, &block.pick);
        }
        if wanted != Wanted::Weights {
            let rows = gradients.get_or_alloc_mut(&tokens)?;
            rows.par_chunks_mut(LANES * length * dim)
                .zip(&blocks)
                .for_each(|(rows, block)| scatter_add(&block.tokens, rows));
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

fn add(sum: &mut [f32], part: &[f32]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

impl Host {
    fn read(weights: &WindowScan<'_, Cpu>, windows: usize, dim: usize) -> Self {
        let mut host = Self { dim, windows, decay: vec![0.0; dim * dim], mix: [0.0; 9], pick: [0.0; 3] };
        weights.decay.copy_into(&mut host.decay);
        weights.mix.copy_into(&mut host.mix);
        weights.pick.copy_into(&mut host.pick);
        host
    }
}

impl Saved {
    fn new(tokens: Vec<Lane>, dim: usize) -> Self {
        Self { tokens, state: vec![ZERO; dim * dim], by_decay: vec![ZERO; dim * dim], query: vec![ZERO; dim] }
    }
}

impl Gradient {
    fn new(dim: usize, tokens: usize) -> Self {
        Self { decay: vec![0.0; dim * dim], mix: [0.0; 9], pick: [0.0; 3], tokens: vec![ZERO; tokens] }
    }
}

/// S_N, R_N (where the tape needs it), X_Nᵀ D and the answer of one block.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block(host: &Host, differentiate: bool, saved: &mut Saved, answer: &mut [Lane]) {
    let dim = host.dim;
    let mut mixed = vec![ZERO; 3 * dim];
    for t in 0..host.windows {
        let window = &saved.tokens[2 * t * dim..][..3 * dim];
        // mixed = Q X_t
        for (a, mixed) in mixed.chunks_exact_mut(dim).enumerate() {
            for (j, sum) in mixed.iter_mut().enumerate() {
                *sum = ZERO;
                for b in 0..3 {
                    add_scaled(sum, host.mix[3 * a + b], &window[b * dim + j]);
                }
            }
        }
        for i in 0..dim {
            let rows = (&window[i], &window[dim + i], &window[2 * dim + i]);
            let decay = &host.decay[i * dim..][..dim];
            let state = &mut saved.state[i * dim..][..dim];
            if differentiate {
                for ((r, s), k) in saved.by_decay[i * dim..][..dim].iter_mut().zip(&*state).zip(decay) {
                    lanewise();
                    for l in 0..LANES {
                        r[l] = k * r[l] + s[l];
                    }
                }
            }
            for (j, (s, k)) in state.iter_mut().zip(decay).enumerate() {
                lanewise();
                let (m0, m1, m2) = (&mixed[j], &mixed[dim + j], &mixed[2 * dim + j]);
                for l in 0..LANES {
                    s[l] = k * s[l] + (rows.0[l] * m0[l] + rows.1[l] * m1[l] + rows.2[l] * m2[l]);
                }
            }
        }
    }
    if host.windows > 0 {
        let window = &saved.tokens[(2 * host.windows - 2) * dim..][..3 * dim];
        for (j, query) in saved.query.iter_mut().enumerate() {
            for a in 0..3 {
                add_scaled(query, host.pick[a], &window[a * dim + j]);
            }
        }
    }
    add_times(&saved.state, dim, &saved.query, answer);
}

/// The gradients of one block, from ∂answer: (d) lanes.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block((host, wanted): (&Host, Wanted), saved: &Saved, by_answer: &[Lane], gradient: &mut Gradient) {
    let dim = host.dim;
    let mut by_state = vec![ZERO; dim * dim];
    let mut by_query = vec![ZERO; dim];
    add_outer(by_answer, &saved.query, (dim, dim), &mut by_state);
    add_transposed_times(&saved.state, dim, by_answer, &mut by_query);
    for ((sum, s), r) in gradient.decay.iter_mut().zip(&by_state).zip(&saved.by_decay) {
        *sum = inner(&[*s], &[*r]);
    }
    let last = (2 * host.windows.max(1) - 2) * dim;
    for (a, (sum, pick)) in gradient.pick.iter_mut().zip(host.pick).enumerate() {
        *sum = inner(&saved.tokens[last + a * dim..][..dim], &by_query);
        if wanted != Wanted::Weights {
            for (token, query) in gradient.tokens[last + a * dim..][..dim].iter_mut().zip(&by_query) {
                add_scaled(token, pick, query);
            }
        }
    }
    backward_windows((host, wanted), saved, by_state, gradient);
}

/// The part of [`backward_block`] that runs through the windows, last first.
#[inline(always)]
fn backward_windows((host, wanted): (&Host, Wanted), saved: &Saved, mut by_state: Vec<Lane>, gradient: &mut Gradient) {
    let dim = host.dim;
    let mut by_mix = [ZERO; 9];
    // right[b] = ∂S X_tᵀ e_b and left[a] = ∂Sᵀ X_tᵀ e_a: (3, d) lanes each.
    let (mut right, mut left) = (vec![ZERO; 3 * dim], vec![ZERO; 3 * dim]);
    // The query stands in the last window only.
    let first = if wanted == Wanted::Query { host.windows.saturating_sub(1) } else { 0 };
    for t in (first..host.windows).rev() {
        let at = 2 * t * dim;
        let window = &saved.tokens[at..][..3 * dim];
        right.fill(ZERO);
        add_times(&by_state, dim, window, &mut right);
        for (ab, sum) in by_mix.iter_mut().enumerate() {
            let (x, r) = (&window[ab / 3 * dim..][..dim], &right[ab % 3 * dim..][..dim]);
            x.iter().zip(r).for_each(|(x, r)| add_product(sum, x, r));
        }
        if wanted != Wanted::Weights {
            left.fill(ZERO);
            add_transposed_times(&by_state, dim, window, &mut left);
            for (ab, q) in host.mix.iter().enumerate() {
                let (a, b) = (ab / 3 * dim, ab % 3 * dim);
                for i in 0..dim {
                    add_scaled(&mut gradient.tokens[at + a + i], *q, &right[b + i]);
                    add_scaled(&mut gradient.tokens[at + b + i], *q, &left[a + i]);
                }
            }
        }
        for (s, k) in by_state.iter_mut().zip(&host.decay) {
            lanewise();
            s.iter_mut().for_each(|value| *value *= k);
        }
    }
    for (sum, lane) in gradient.mix.iter_mut().zip(&by_mix) {
        *sum = lane.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    /// Answer and the gradients of a weighted sum of it, by Λ, Q, D and the tokens.
    type Form = dyn Fn(&Cpu, Input<Cpu, OwnedTape<f32, Cpu>>, WindowScan<'_, Cpu>) -> Matrix<Cpu, OwnedTape<f32, Cpu>>;

    fn run(form: &Form, wanted: Wanted, (batch, pairs, dim): (usize, usize, usize)) -> [Vec<f32>; 5] {
        let device = Cpu::default();
        let mut random = Random::new(7);
        let tokens = random.cube(&device, (batch, 2 * pairs + 1, dim));
        let decay = random.matrix(&device, (dim, dim));
        let mix = random.matrix(&device, (3, 3));
        let pick = random.matrix(&device, (3, 1));
        let weights = random.matrix(&device, (batch, dim));
        let input = Input { tokens: tokens.leaky_trace(), wanted };
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
        // 37 sequences: two full blocks and a part of one.
        for sizes in [(1, 2, 1), (37, 4, 3), (16, 10, 10)] {
            let fast = run(&|device, input, weights| fused(device, input, weights).unwrap(), Wanted::All, sizes);
            let plain = run(&|_, input, weights| compose(input, weights).unwrap(), Wanted::All, sizes);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
        }
    }

    #[test]
    fn what_is_wanted_is_right_and_the_rest_is_saved() {
        let sizes = (37, 4, 3);
        let fast = |wanted| run(&|device, input, weights| fused(device, input, weights).unwrap(), wanted, sizes);
        let (all, weights, query) = (fast(Wanted::All), fast(Wanted::Weights), fast(Wanted::Query));
        assert_eq!(weights[..4], all[..4]);
        for (sequence, part) in all[4].chunks(27).zip(query[4].chunks(27)) {
            assert_eq!(sequence[24..], part[24..], "the gradient by the query's token");
        }
    }

    #[test]
    fn the_answer_is_the_last_state_of_the_definition_at_the_query() {
        let (device, mut random, dim) = (Cpu::default(), Random::new(3), 4);
        let tokens = random.cube(&device, (1, 7, dim));
        let (decay, mix) = (random.matrix(&device, (dim, dim)), random.matrix(&device, (3, 3)));
        let pick = device.tensor_from_vec(vec![0.0, 0.0, 1.0], (3, 1));
        let states = window_states(&tokens.as_vec(), dim, &decay.as_vec(), &mix.as_vec());
        let query = &tokens.as_vec()[6 * dim..];
        let expected: Vec<f32> =
            states[2].chunks(dim).map(|row| row.iter().zip(query).map(|(s, x)| s * x).sum()).collect();
        let input = Input { tokens, wanted: Wanted::Weights };
        let answer = fused(&device, input, WindowScan { decay: &decay, mix: &mix, pick: &pick }).unwrap();
        assert_close(&answer.as_vec(), &expected, 1e-5);
    }
}
