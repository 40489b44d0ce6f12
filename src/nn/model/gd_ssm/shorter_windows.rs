//! What windows shorter than three tokens cost: the least loss of windows of two, in closed form, and that of one.
//!
//! Tasks as in the paper: W (d, d) of N(0, 1), inputs of independent entries with mean 0, second moment s² and fourth
//! m₄, y = W x, and N pairs; q is the query.
//!
//! A window of two adds Q₂₁ y_t x_tᵀ + Q₁₂ x_t y_tᵀ at (x_t, y_t), and Q₂₁ x_{t+1} y_tᵀ + Q₁₂ y_t x_{t+1}ᵀ at
//! (y_t, x_{t+1}), with x_{N+1} = q. With every entry of Λ equal to λ, D = e₂ and C a multiple of I,
//!
//! ŷ = a (A + B) + b (A' + B'),   A = Σ p_t y_t x_tᵀ q,   A' = Σ p_t x_t y_tᵀ q,
//!                                B = Σ r_t x_{t+1} y_tᵀ q,   B' = Σ r_t y_t x_{t+1}ᵀ q,
//!
//! p_t = λ^{2(N−t)+1}, r_t = λ^{2(N−t)}. What else Q and D could add is even in W, where the target is odd: it is
//! independent noise. The loss is quadratic in a and b, and all expectations of products follow from E W_ij W_kl =
//! δ_ik δ_jl: of the target only A and A' know something, and A, B are uncorrelated.
#![cfg(test)]

use dfdx::prelude::{Cpu, TensorFromVec};

use super::super::tests::{answers, build, linear};
use super::*;
use crate::nn::check::{Random, assert_close};
use crate::task::{Linear, Outputs, Stream, Task};

/// d, N and the moments of an input's entries.
#[derive(Clone, Copy)]
struct Sizes {
    d: f64,
    n: i32,
    s2: f64,
    m4: f64,
}

/// d = N = 10, U(−1/2, 1/2).
const PAPER: Sizes = Sizes { d: 10.0, n: 10, s2: 1.0 / 12.0, m4: 1.0 / 80.0 };

/// The least loss of a window of two with this λ, and the a and b that have it.
fn least_loss(Sizes { d, n, s2, m4 }: Sizes, lambda: f64) -> (f64, [f64; 2]) {
    let fourth = d * m4 + d * (d - 1.0) * s2 * s2; // E |x|⁴
    let p = || (1..=n).map(|t| lambda.powi(2 * (n - t) + 1));
    let (sum_p, squares_p) = (p().sum::<f64>(), p().map(|p| p * p).sum::<f64>());
    let earlier_r: f64 = (1..n).map(|t| lambda.powi(4 * (n - t))).sum(); // r_N = 1
    // E (A + B)², E (A' + B')² and E (A + B)(A' + B').
    let common = squares_p * d * s2 * fourth + (sum_p * sum_p - squares_p) * d * d * s2.powi(3);
    let others = earlier_r * d.powi(3) * s2.powi(3);
    let last = d * s2 * fourth;
    let (aa, bb) = (common + others + last, common + others + d * last);
    let ab = (common + others) / d + last;
    // E vᵀ (A + B) and E vᵀ (A' + B') with v = W q.
    let signal = [d * d * s2 * s2 * sum_p, d * s2 * s2 * sum_p];
    let determinant = aa * bb - ab * ab;
    let a = (bb * signal[0] - ab * signal[1]) / determinant;
    let b = (aa * signal[1] - ab * signal[0]) / determinant;
    ((d * d * s2 - a * signal[0] - b * signal[1]) / (2.0 * d), [a, b])
}

/// The least loss over λ, and that λ, by bisection of an interval in which there is one minimum.
fn least(sizes: Sizes) -> (f64, f64) {
    let (mut low, mut high) = (0.5, 1.5);
    for _ in 0..60 {
        let thirds = [low + (high - low) / 3.0, high - (high - low) / 3.0];
        if least_loss(sizes, thirds[0]).0 < least_loss(sizes, thirds[1]).0 { high = thirds[1] } else { low = thirds[0] }
    }
    (least_loss(sizes, low).0, low)
}

/// A GD-SSM with these weights.
fn with_weights(window: usize, shape: Shape, weights: [Vec<f32>; 4]) -> GdSsm<Cpu> {
    let spec = GdSsmSpec { window, ..GdSsmSpec::new(Init::Random) };
    let mut net = build(&spec, shape, Layout::Interleaved);
    for (param, values) in net.params_mut().into_iter().zip(weights) {
        param.value = Cpu::default().tensor_from_vec(values, *param.value.shape());
    }
    net
}

#[test]
fn the_closed_form_is_the_loss_of_the_network() {
    let (dim, count, tasks, lambda) = (4, 3, 20_000, 0.9);
    let (d, n) = (dim as f64, count as i32);
    let (loss, [a, b]) = least_loss(Sizes { d, n, ..PAPER }, lambda);
    let shape = Shape { dim, outputs: dim, context: count };
    let identity = (0..dim * dim).map(|i| f32::from(u8::from(i / dim == i % dim))).collect();
    let mix = vec![0.0, b as f32, a as f32, 0.0];
    let net = with_weights(2, shape, [vec![lambda as f32; dim * dim], mix, vec![0.0, 1.0], identity]);
    let task = Task::Linear(Linear { dim, context: count, range: 1.0, ..linear(Outputs::Vector) });
    let batch = task.sample(tasks, 7, Stream::HeldOut, 0);
    let tokens = Layout::Interleaved.encode(&batch);
    let tokens = Cpu::default().tensor_from_vec(tokens, (tasks, 2 * count + 1, dim));
    let answers = answers(&net, tokens);
    let squares: Vec<f64> = answers.iter().zip(&batch.target).map(|(a, y)| f64::from(a - y).powi(2)).collect();
    let losses: Vec<f64> = squares.chunks(dim).map(|square| square.iter().sum::<f64>() / (2.0 * d)).collect();
    let mean = losses.iter().sum::<f64>() / tasks as f64;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / tasks as f64;
    assert!((mean - loss).abs() < 3.0 * (variance / tasks as f64).sqrt(), "{mean} and {loss}");
}

/// GD-1's best loss is ½ d s² (1 − d s⁴ / E tr G²) for each output: see `closed_form.rs` of the references.
#[test]
fn the_least_loss_of_windows_of_two_is_a_third_above_that_of_one_gradient_step() {
    let Sizes { d, n, s2, m4 } = PAPER;
    let pairs = f64::from(n);
    let trace = (d * m4 + d * (d - 1.0) * s2 * s2) / pairs + (1.0 - 1.0 / pairs) * d * s2 * s2;
    let gd = 0.5 * s2 * d * (1.0 - d * s2 * s2 / trace);
    assert!((gd - 0.2062).abs() < 1e-4, "{gd}");
    let (loss, lambda) = least(PAPER);
    assert!((loss / gd - 1.340).abs() < 1e-3, "{loss} {}", loss / gd);
    // Above 1: the pair that began the context is weighted most, because (x_t, y_t) comes before (y_t, x_{t+1}).
    assert!((lambda - 1.016).abs() < 2e-3, "{lambda}");
    assert!((least_loss(PAPER, 1.0).0 / gd - 1.344).abs() < 1e-3);
}

#[test]
fn the_answer_of_windows_of_one_is_the_same_for_a_task_and_its_opposite() {
    let (shape, mut random) = (Shape { dim: 3, outputs: 3, context: 4 }, Random::new(3));
    let spec = GdSsmSpec { window: 1, ..GdSsmSpec::new(Init::Random) };
    let net = build(&spec, shape, Layout::Interleaved);
    let tokens = random.tensor3(&Cpu::default(), (5, 9, 3)).as_vec();
    let negate = |(i, value): (usize, &f32)| if i / 3 % 9 % 2 == 1 { -value } else { *value };
    let opposite: Vec<f32> = tokens.iter().enumerate().map(negate).collect();
    let [one, other] =
        [tokens, opposite].map(|tokens| answers(&net, Cpu::default().tensor_from_vec(tokens, (5, 9, 3))));
    assert!(one.iter().any(|answer| answer.abs() > 1e-6));
    assert_close(&one, &other, 1e-6);
}

#[test]
fn the_answer_is_read_from_the_last_state() {
    for window in 1..=3 {
        let (shape, mut random) = (Shape { dim: 4, outputs: 3, context: 5 }, Random::new(9));
        let spec = GdSsmSpec { window, ..GdSsmSpec::new(Init::Random) };
        let net = build(&spec, shape, Layout::Interleaved);
        let tokens = random.tensor3(&Cpu::default(), (1, 11, 4));
        let state = net.states(&tokens).remove(0).time_steps.pop().unwrap();
        assert_eq!(state.read, 0..11);
        let [pick, read] = [&net.pick, &net.read].map(|param| param.value.as_vec());
        let numbers = tokens.as_vec();
        let last = &numbers[(11 - window) * 4..];
        let times = |matrix: &[f32], row: &[f32]| -> Vec<f32> {
            matrix.chunks(4).map(|m| m.iter().zip(row).map(|(m, x)| m * x).sum()).collect()
        };
        let query: Vec<f32> = (0..4).map(|j| (0..window).map(|a| pick[a] * last[a * 4 + j]).sum()).collect();
        assert_close(&answers(&net, tokens), &times(&read, &times(&state.values, &query))[1..], 1e-5);
    }
}
