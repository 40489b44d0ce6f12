//! Attention without softmax, added to what asks: out_m = e_m + Σ_t (e_m Wq · e_t Wk) (e_t Wv) Wo.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `tokens` e | what is remembered, and what asks | (B, T, w) |
//! | `ask` A = Wq Wkᵀ | how a token asks for others | (w, w) |
//! | `tell` V = Wv Wo | what a token says | (w, w) |
//! | G = Σ_t e_tᵀ e_t | all that need be remembered | (w, w), symmetric |
//!
//! Keys and values are linear in the tokens, so out_m = e_m + e_m A G V: no token is ever projected to a key or a value.
//! Source: Katharopoulos et al. 2020 (2006.16236), without the normaliser; arXiv 2212.07677, equation 2.

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

use super::host::numbers;
use super::lanes::{
    LANES, Lane, ZERO, add_outer, add_product, add_scaled, add_times, gather, inner, scatter, scatter_add,
};
use super::project;
use super::slice::slice;
use crate::nn::{DeviceResult, Matrix, Tensor3};

/// What attention is between.
pub struct Attended<D: super::Device, T> {
    /// (B, M, w).
    pub queries: Tensor3<D, T>,
    /// (B, T, w).
    pub keys: Tensor3<D, T>,
    /// (B, T, w).
    pub values: Tensor3<D, T>,
}

/// The weights of attention without softmax, and who asks.
pub struct LinearAttend<D: super::Device, T> {
    /// A: (w, w).
    pub ask: Matrix<D, T>,
    /// V: (w, w).
    pub tell: Matrix<D, T>,
    pub query_len: QueryLen,
    /// Whether somebody will ask for the gradient by the tokens.
    pub grad_tokens: bool,
}

/// Which tokens ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryLen {
    /// Every token: (B, T, w).
    All,
    /// Only the last, the query: (B, 1, w).
    Last,
}

/// The definition, made of dfdx's operations, for any device.
pub fn compose<D: super::Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    weights: LinearAttend<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (tokens, tape) = tokens.split_tape();
    let [query_len, gram] = match weights.grad_tokens {
        true => parts(tokens.retaped::<T>(), weights.query_len)?,
        // Nobody asks for gradients by the tokens in training: then nothing of them alone goes on the tape.
        false => {
            let [query_len, gram] = parts(tokens, weights.query_len)?;
            [query_len.retaped::<T>(), gram.retaped::<T>()]
        }
    };
    let asked = project(query_len.retaped::<T>(), weights.ask)?.try_matmul(gram)?;
    let told = project(asked, weights.tell)?;
    let (out, its) = query_len.try_add(told)?.split_tape();
    Ok(out.put_tape(tape.merge(its)))
}

/// The tokens that ask, (B, M, w), and G, (B, w, w).
fn parts<D: super::Device, T: Tape<f32, D>>(
    tokens: Tensor3<D, T>,
    query_len: QueryLen,
) -> DeviceResult<[Tensor3<D, T>; 2], D> {
    let (batch, length, width) = *tokens.shape();
    let first = if query_len == QueryLen::All { 0 } else { length - 1 };
    let query_len = slice(tokens.retaped::<T>(), (0..batch, first..length, 0..width))?;
    // A product with one has an id of its own, which a product of a tensor with itself needs.
    let other = if T::OWNS_TAPE { tokens.retaped::<T>().try_mul(1.0)? } else { tokens.retaped::<T>() };
    let gram = other.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(tokens)?;
    Ok([query_len, gram])
}

/// One block of sixteen sequences, as lanes.
struct Block {
    /// e: (T · w), or only those that ask, where nobody wants a gradient by the others.
    tokens: Vec<Lane>,
    /// G: (w · w).
    gram: Vec<Lane>,
    /// e A of those that ask: (M · w).
    asked: Vec<Lane>,
    /// e A G: (M · w).
    heard: Vec<Lane>,
}

/// Gradients that one block contributes.
struct Gradient {
    ask: Vec<f32>,
    tell: Vec<f32>,
    /// (T · w) lanes; empty where nobody asks.
    tokens: Vec<Lane>,
}

/// A and V as the fused form reads them.
struct Host {
    width: usize,
    /// Tokens that ask.
    query_len: usize,
    ask: Vec<f32>,
    tell: Vec<f32>,
    grad_tokens: bool,
}

/// The fast form: one operation on the tape, in blocks of sixteen sequences, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(
    device: &Cpu,
    tokens: Tensor3<Cpu, T>,
    weights: LinearAttend<Cpu, T>,
) -> DeviceResult<Tensor3<Cpu, T>, Cpu> {
    let (tokens, tape) = tokens.try_contiguous()?.split_tape();
    let (ask, ask_tape) = weights.ask.try_contiguous()?.split_tape();
    let (tell, tell_tape) = weights.tell.try_contiguous()?.split_tape();
    let mut tape = tape.merge(ask_tape).merge(tell_tape);
    let (batch, length, width) = *tokens.shape();
    let query_len = if weights.query_len == QueryLen::All { length } else { 1 };
    let grad_tokens = weights.grad_tokens;
    let host = Host { width, query_len, ask: numbers(&ask)?, tell: numbers(&tell)?, grad_tokens };

    let mut rows = vec![0.0; batch * query_len * width];
    let blocks: Vec<Block> = numbers(&tokens)?
        .par_chunks(LANES * length * width)
        .zip(rows.par_chunks_mut(LANES * query_len * width))
        .map(|(tokens, rows)| {
            let (block, out) = forward_block(&host, gather(tokens, length * width));
            scatter(&out, rows);
            block
        })
        .collect();
    let out = device.try_tensor_from_vec(rows, (batch, query_len, width))?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let parts: Vec<Gradient> = blocks
            .par_iter()
            .zip(gradients.get_or_alloc_mut(&result)?.par_chunks(LANES * query_len * width))
            .map(|(block, rows)| backward_block(&host, block, &gather(rows, query_len * width)))
            .collect();
        for part in &parts {
            let add = |sum: &mut [f32], part: &[f32]| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            add(gradients.get_or_alloc_mut(&ask)?, &part.ask);
            add(gradients.get_or_alloc_mut(&tell)?, &part.tell);
        }
        if grad_tokens {
            let rows = gradients.get_or_alloc_mut(&tokens)?;
            rows.par_chunks_mut(LANES * length * width)
                .zip(&parts)
                .for_each(|(rows, part)| scatter_add(&part.tokens, rows));
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// The tokens that ask are the last ones.
fn last(tokens: &[Lane], count: usize) -> &[Lane] {
    &tokens[tokens.len() - count..]
}

/// What those that ask become, and what the backward pass needs.
fn forward_block(host: &Host, tokens: Vec<Lane>) -> (Block, Vec<Lane>) {
    let count = host.query_len * host.width;
    let query_len = last(&tokens, count);
    let gram = gram(&tokens, host.width);
    let asked = product(query_len, &host.ask, host.width);
    let mut heard = vec![ZERO; count];
    matrix_times(&gram, host.width, &asked, &mut heard);
    let mut out = product(&heard, &host.tell, host.width);
    out.iter_mut().zip(query_len).for_each(|(out, e)| add_scaled(out, 1.0, e));
    let kept = if host.grad_tokens { tokens } else { query_len.to_vec() };
    (Block { tokens: kept, gram, asked, heard }, out)
}

/// The gradients of one block, from ∂out: (M · w) lanes.
fn backward_block(host: &Host, block: &Block, grad_out: &[Lane]) -> Gradient {
    let (width, count) = (host.width, grad_out.len());
    let query_len = last(&block.tokens, count);
    let grad_heard = transposed_product(grad_out, &host.tell, width);
    let mut grad_asked = vec![ZERO; count];
    matrix_times(&block.gram, width, &grad_heard, &mut grad_asked);
    let mut tokens = Vec::new();
    if host.grad_tokens {
        tokens = vec![ZERO; block.tokens.len()];
        let grad_gram = symmetric(&block.asked, &grad_heard, width);
        matrix_times(&grad_gram, width, &block.tokens, &mut tokens);
        let first = tokens.len() - count;
        let grad_asking = transposed_product(&grad_asked, &host.ask, width);
        for ((e, asked), out) in tokens[first..].iter_mut().zip(&grad_asking).zip(grad_out) {
            add_scaled(e, 1.0, asked);
            add_scaled(e, 1.0, out);
        }
    }
    Gradient {
        ask: summed_outer(query_len, &grad_asked, width),
        tell: summed_outer(&block.heard, grad_out, width),
        tokens,
    }
}

/// G = Σ_t e_tᵀ e_t; one triangle is computed.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn gram(tokens: &[Lane], width: usize) -> Vec<Lane> {
    let mut gram = vec![ZERO; width * width];
    for i in 0..width {
        for j in i..width {
            let mut sum = ZERO;
            for e in tokens.chunks_exact(width) {
                add_product(&mut sum, &e[i], &e[j]);
            }
            gram[i * width + j] = sum;
            gram[j * width + i] = sum;
        }
    }
    gram
}

/// v W of every vector v, with a matrix that all sequences share.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn product(vectors: &[Lane], matrix: &[f32], width: usize) -> Vec<Lane> {
    let mut out = vec![ZERO; vectors.len()];
    for (vector, out) in vectors.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (j, out) in out.iter_mut().enumerate() {
            let mut sum = ZERO;
            for (v, row) in vector.iter().zip(matrix.chunks_exact(width)) {
                add_scaled(&mut sum, row[j], v);
            }
            *out = sum;
        }
    }
    out
}

/// v Wᵀ of every vector v.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn transposed_product(vectors: &[Lane], matrix: &[f32], width: usize) -> Vec<Lane> {
    let mut out = vec![ZERO; vectors.len()];
    for (vector, out) in vectors.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (out, row) in out.iter_mut().zip(matrix.chunks_exact(width)) {
            let mut sum = ZERO;
            for (v, k) in vector.iter().zip(row) {
                add_scaled(&mut sum, *k, v);
            }
            *out = sum;
        }
    }
    out
}

/// out_t += M v_t, with a matrix of each sequence's own.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn matrix_times(matrix: &[Lane], width: usize, vectors: &[Lane], out: &mut [Lane]) {
    add_times(matrix, width, vectors, out);
}

/// Σ (a ⊗ b + b ⊗ a): the gradient by a symmetric matrix, for both of its triangles.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn symmetric(a: &[Lane], b: &[Lane], width: usize) -> Vec<Lane> {
    let mut sum = vec![ZERO; width * width];
    add_outer(a, b, (width, width), &mut sum);
    add_outer(b, a, (width, width), &mut sum);
    sum
}

/// Σ a ⊗ b over vectors and sequences: (w, w).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn summed_outer(a: &[Lane], b: &[Lane], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width * width];
    for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
        for (a, sums) in a.iter().zip(sums.chunks_exact_mut(width)) {
            for (b, sum) in b.iter().zip(sums) {
                *sum += inner(std::slice::from_ref(a), std::slice::from_ref(b));
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Tensor3<Cpu, OwnedTape<f32, Cpu>>;
    type Weights = LinearAttend<Cpu, OwnedTape<f32, Cpu>>;

    /// Values and the gradients of a weighted sum of them, by A, V and the tokens.
    fn run(form: fn(&Cpu, Taped, Weights) -> Taped, query_len: QueryLen, grad_tokens: bool) -> [Vec<f32>; 4] {
        let (device, mut random, width) = (Cpu::default(), Random::new(5), 3);
        let tokens = random.tensor3(&device, (19, 6, width));
        let (ask, tell) = (random.matrix(&device, (width, width)), random.matrix(&device, (width, width)));
        let weights = LinearAttend { ask: ask.leaky_trace(), tell: tell.leaky_trace(), query_len, grad_tokens };
        let out = form(&device, tokens.leaky_trace(), weights);
        let values = out.as_vec();
        let factors = random.tensor3(&device, (19, if query_len == QueryLen::All { 6 } else { 1 }, width));
        let mut gradients = (out * factors).sum::<Rank0, _>().backward();
        let grad_tokens = gradients.get_or_alloc_mut(&tokens).map(|rows| rows.to_vec()).unwrap();
        [values, gradients.get(&ask).as_vec(), gradients.get(&tell).as_vec(), grad_tokens]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        for query_len in [QueryLen::All, QueryLen::Last] {
            let fast = run(|device, tokens, weights| fused(device, tokens, weights).unwrap(), query_len, true);
            let plain = run(|_, tokens, weights| compose(tokens, weights).unwrap(), query_len, true);
            for (fast, plain) in fast.iter().zip(&plain) {
                assert_close(fast, plain, 1e-5);
            }
            let saved = run(|device, tokens, weights| fused(device, tokens, weights).unwrap(), query_len, false);
            assert_eq!(saved[..3], fast[..3], "what nobody asks for changes nothing else");
            let saved = run(|_, tokens, weights| compose(tokens, weights).unwrap(), query_len, false);
            assert_eq!(saved[..3], plain[..3], "what nobody asks for changes nothing else");
        }
    }
}
