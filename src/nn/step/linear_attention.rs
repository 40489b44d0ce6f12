//! Attention without softmax, added to the tokens that query: out_m = e_m + Σ_{t<K} (e_m Wq · e_t Wk) (e_t Wv) Wo.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `tokens` e | keys and values are made of the first K, queries of the last M | (B, T, w) |
//! | `qk` A = Wq Wkᵀ | how queries meet keys | (w, w) |
//! | `vo` V = Wv Wo | how values reach the output | (w, w) |
//! | G = Σ_{t<K} e_tᵀ e_t | all that need be remembered of the tokens | (w, w), symmetric |
//!
//! Keys and values are linear in the tokens, so out_m = e_m + e_m A G V: no token is ever projected to a key or a
//! value. Source: Katharopoulos et al. 2020 (2006.16236), without the normaliser; arXiv 2212.07677, equation 2.

use dfdx::prelude::*;
use multiversion::multiversion;

use super::{Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Tensor3, rows_times, slice};
use crate::simd::gemm::{add_outer, add_row_times, add_times_column};
use crate::simd::{self, Buffer, Lane, ZERO, add_product, add_times, split_mut};

#[derive(Clone, Debug)]
pub struct LinearAttention {
    pub tokens: NodeId,
    pub qk: ParamId,
    pub vo: ParamId,
    /// w.
    pub width: usize,
    /// K: the first tokens, which have keys and values.
    pub key_len: usize,
    /// M: the last tokens, which query.
    pub query_len: usize,
}

impl Step for LinearAttention {
    fn reads(&self) -> Vec<NodeId> {
        vec![self.tokens]
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let tokens = given.of::<T>(self.tokens);
        let (batch, length, width) = *tokens.shape();
        let queries = slice(tokens.retaped::<T>(), (0..batch, length - self.query_len..length, 0..width))?;
        let keys = slice(tokens, (0..batch, 0..self.key_len, 0..width))?;
        // A product with one has an id of its own, which a product of a tensor with itself needs.
        let other = keys.retaped::<T>().try_mul(1.0)?;
        let gram = other.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(keys)?;
        let attended = rows_times(queries.retaped::<T>(), given.param(self.qk))?.try_matmul(gram)?;
        queries.try_add(rows_times(attended, given.param(self.vo))?)
    }

    /// G, e A and e A G of the tokens that query.
    fn saved(&self) -> usize {
        self.sizes().iter().sum()
    }

    fn forward(&self, given: Values<'_>, saved: &mut [Lane], out: &mut [Lane]) {
        let parts = split_mut(saved, self.sizes());
        let weights = [given.param(self.qk), given.param(self.vo)];
        forward((given.of(self.tokens), weights), (self.width, self.key_len), parts, out);
    }

    fn backward(&self, given: Values<'_>, saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let ([grad_tokens], grad_weights) = grads.of([self.tokens], [self.qk, self.vo]);
        let (tokens, weights) = (given.of(self.tokens), [given.param(self.qk), given.param(self.vo)]);
        let parts = simd::split(saved, self.sizes());
        backward((tokens, weights, parts), (self.width, self.key_len), grad_out, grad_tokens, grad_weights);
    }

    fn leaves_out_unneeded(&self) -> bool {
        true
    }

    /// With more than one query each token is changed by later ones.
    fn token_reader(&self, length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        let gram = vec![ZERO; self.width * self.width];
        let reads_itself = self.key_len == length(self.tokens);
        let reader = || GramState { step: self.clone(), reads_itself, gram, scratch: vec![ZERO; 2 * self.width] };
        (self.query_len == 1).then(|| Box::new(reader()) as Box<dyn TokenReader>)
    }
}

/// G.
struct GramState {
    step: LinearAttention,
    /// Whether the token that queries is summed over, too.
    reads_itself: bool,
    gram: Vec<Lane>,
    scratch: Vec<Lane>,
}

impl TokenReader for GramState {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let weights = [given.param(self.step.qk), given.param(self.step.vo)];
        self.scratch.fill(ZERO);
        let parts = self.scratch.split_at_mut(self.step.width).into();
        read((given.of(self.step.tokens), self.reads_itself), weights, (&mut self.gram, parts), out);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn read(
    (token, reads_itself): (&[Lane], bool),
    weights: [&[f32]; 2],
    (gram, parts): (&mut [Lane], [&mut [Lane]; 2]),
    out: &mut [Lane],
) {
    let square = (token.len(), token.len());
    if reads_itself {
        simd::add_outer(token, token, square, gram);
    }
    attend((token, gram), weights, parts, out);
    if !reads_itself {
        simd::add_outer(token, token, square, gram);
    }
}

impl LinearAttention {
    fn sizes(&self) -> [usize; 3] {
        let queries = self.query_len * self.width;
        [self.width * self.width, queries, queries]
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward(
    (tokens, [qk, vo]): (&[Lane], [&[f32]; 2]),
    (width, key_len): (usize, usize),
    [gram, queries, attended]: [&mut [Lane]; 3],
    out: &mut [Lane],
) {
    // One triangle is computed.
    for i in 0..width {
        for j in i..width {
            let mut sum = ZERO;
            for e in tokens.chunks_exact(width).take(key_len) {
                add_product(&mut sum, &e[i], &e[j]);
            }
            gram[i * width + j] = sum;
            gram[j * width + i] = sum;
        }
    }
    queries.fill(ZERO);
    attended.fill(ZERO);
    attend((&tokens[tokens.len() - out.len()..], gram), [qk, vo], [queries, attended], out);
}

/// Writes e + e A G V of each of some tokens to `out`, e A to `queries` and e A G to `attended`, which hold zeros.
#[inline(always)]
fn attend(
    (tokens, gram): (&[Lane], &[Lane]),
    [qk, vo]: [&[f32]; 2],
    [queries, attended]: [&mut [Lane]; 2],
    out: &mut [Lane],
) {
    let width = gram.len().isqrt();
    out.copy_from_slice(tokens);
    for (e, query) in tokens.chunks_exact(width).zip(queries.chunks_exact_mut(width)) {
        add_row_times(e, qk, query);
    }
    add_times(gram, width, queries, attended);
    for (attended, out) in attended.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        add_row_times(attended, vo, out);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward(
    (tokens, [qk, vo], [gram, queries, attended]): (&[Lane], [&[f32]; 2], [&[Lane]; 3]),
    (width, key_len): (usize, usize),
    grad_out: &[Lane],
    grad_tokens: &mut [Lane],
    [grad_qk, grad_vo]: [&mut [f32]; 2],
) {
    let (square, first) = ((width, width), tokens.len() - grad_out.len());
    let mut memory = Buffer::zeros(2 * grad_out.len() + width * width);
    let [grad_attended, grad_queries, grad_gram] =
        split_mut(&mut memory, [grad_out.len(), grad_out.len(), width * width]);
    for (grad, grad_out) in grad_attended.chunks_exact_mut(width).zip(grad_out.chunks_exact(width)) {
        add_times_column(vo, grad_out, grad);
    }
    add_times(gram, width, grad_attended, grad_queries);
    add_outer(&tokens[first..], grad_queries, square, grad_qk);
    add_outer(attended, grad_out, square, grad_vo);
    if grad_tokens.is_empty() {
        return;
    }
    // ∂G + ∂Gᵀ, as each token stands in G twice.
    simd::add_outer(queries, grad_attended, square, grad_gram);
    simd::add_outer(grad_attended, queries, square, grad_gram);
    let keys = key_len * width;
    add_times(grad_gram, width, &tokens[..keys], &mut grad_tokens[..keys]);
    let last = grad_tokens[first..].chunks_exact_mut(width);
    for ((grad, grad_query), grad_out) in last.zip(grad_queries.chunks_exact(width)).zip(grad_out.chunks_exact(width)) {
        add_times_column(qk, grad_query, grad);
        for (sum, out) in grad.as_flattened_mut().iter_mut().zip(grad_out.as_flattened()) {
            *sum += out;
        }
    }
}
