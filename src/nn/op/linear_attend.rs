//! Attention without softmax, over all tokens: out_m = Σ_t (q_m · k_t) v_t.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | `queries` q | what is asked | (B, M, w) |
//! | `keys` k, `values` v | what is remembered | (B, T, w) |
//! | M = Σ_t k_t v_tᵀ | the memory: a linear recurrence's state | (w, w) |
//!
//! Source: Katharopoulos et al. 2020 (2006.16236), without the normaliser; arXiv 2212.07677, equation 2.

use dfdx::prelude::*;
use multiversion::multiversion;
use rayon::prelude::*;

use super::lanes::{LANES, Lane, ZERO, add_outer, add_times, add_transposed_times, gather, scatter_add};
use crate::nn::{Cube, Outcome};

/// What linear attention is between.
pub struct Attended<D: super::Device, T> {
    /// (B, M, w).
    pub queries: Cube<D, T>,
    /// (B, T, w).
    pub keys: Cube<D, T>,
    /// (B, T, w).
    pub values: Cube<D, T>,
}

/// Made of dfdx's operations, for any device. Few queries ask token by token; many ask the memory of all.
pub fn compose<D: super::Device, T: Tape<f32, D>>(parts: Attended<D, T>) -> Outcome<Cube<D, T>, D> {
    let (_, asked, width) = *parts.queries.shape();
    if asked < width {
        let scores = parts.queries.try_matmul(parts.keys.try_permute::<_, Axes3<0, 2, 1>>()?)?; // (B, M, T)
        return scores.try_matmul(parts.values);
    }
    let memory = parts.keys.try_permute::<_, Axes3<0, 2, 1>>()?.try_matmul(parts.values)?; // (B, w, w)
    parts.queries.try_matmul(memory)
}

/// One block of sixteen sequences, as lanes; a memory is (w · w) lanes.
struct Block {
    queries: Vec<Lane>,
    keys: Vec<Lane>,
    values: Vec<Lane>,
    memory: Vec<Lane>,
}

/// The fast form: one operation on the tape, in blocks of sixteen sequences, over all cores.
pub fn fused<T: Tape<f32, Cpu>>(device: &Cpu, parts: Attended<Cpu, T>) -> Outcome<Cube<Cpu, T>, Cpu> {
    let (queries, tape) = parts.queries.split_tape();
    let (keys, keys_tape) = parts.keys.split_tape();
    let (values, values_tape) = parts.values.split_tape();
    let mut tape = tape.merge(keys_tape).merge(values_tape);
    let (batch, asked, width) = *queries.shape();
    let (m, t) = (asked * width, keys.shape().1 * width);

    let (q, k, v) = (host(&queries, batch * m), host(&keys, batch * t), host(&values, batch * t));
    let mut rows = vec![0.0; batch * m];
    let blocks: Vec<Block> = (q.par_chunks(LANES * m), k.par_chunks(LANES * t), v.par_chunks(LANES * t))
        .into_par_iter()
        .zip(rows.par_chunks_mut(LANES * m))
        .map(|((q, k, v), rows)| {
            let mut block = Block {
                queries: gather(q, m),
                keys: gather(k, t),
                values: gather(v, t),
                memory: vec![ZERO; width * width],
            };
            let mut out = vec![ZERO; m];
            forward_block(&mut block, width, &mut out);
            scatter_add(&out, rows);
            block
        })
        .collect();
    let out = device.try_tensor_from_vec(rows, (batch, asked, width))?;

    let result = out.clone();
    tape.add_backward_op(move |gradients| {
        let by_out = gradients.get_or_alloc_mut(&result)?;
        let lanes: Vec<[Vec<Lane>; 3]> = blocks
            .par_iter()
            .zip(by_out.par_chunks(LANES * m))
            .map(|(block, rows)| backward_block(block, width, &gather(rows, m)))
            .collect();
        for (part, (tensor, length)) in [(&queries, m), (&keys, t), (&values, t)].into_iter().enumerate() {
            let rows = gradients.get_or_alloc_mut(tensor)?;
            rows.par_chunks_mut(LANES * length).zip(&lanes).for_each(|(rows, block)| scatter_add(&block[part], rows));
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}

/// All numbers of a tensor, row-major, whatever its strides.
pub fn host(tensor: &Cube<Cpu>, length: usize) -> Vec<f32> {
    let mut rows = vec![0.0; length];
    tensor.copy_into(&mut rows);
    rows
}

/// The memory and the answers of one block.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn forward_block(block: &mut Block, width: usize, out: &mut [Lane]) {
    add_outer(&block.keys, &block.values, (width, width), &mut block.memory);
    add_transposed_times(&block.memory, width, &block.queries, out);
}

/// Gradients by queries, keys and values of one block, from ∂out.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn backward_block(block: &Block, width: usize, by_out: &[Lane]) -> [Vec<Lane>; 3] {
    let mut by_memory = vec![ZERO; width * width];
    add_outer(&block.queries, by_out, (width, width), &mut by_memory);
    let mut by_queries = vec![ZERO; block.queries.len()];
    add_times(&block.memory, width, by_out, &mut by_queries);
    let mut by_keys = vec![ZERO; block.keys.len()];
    add_times(&by_memory, width, &block.values, &mut by_keys);
    let mut by_values = vec![ZERO; block.values.len()];
    add_transposed_times(&by_memory, width, &block.keys, &mut by_values);
    [by_queries, by_keys, by_values]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::check::{Random, assert_close};

    type Taped = Cube<Cpu, OwnedTape<f32, Cpu>>;
    type Parts = Attended<Cpu, OwnedTape<f32, Cpu>>;

    /// Values and the gradients of a weighted sum of them, by queries, keys and values.
    fn run(form: fn(&Cpu, Parts) -> Taped) -> [Vec<f32>; 4] {
        let (device, mut random) = (Cpu::default(), Random::new(5));
        let (asked, width) = ((19, 2, 3), (19, 6, 3));
        let (q, k, v) = (random.cube(&device, asked), random.cube(&device, width), random.cube(&device, width));
        let weights = random.cube(&device, asked);
        let parts = Attended { queries: q.leaky_trace(), keys: k.leaky_trace(), values: v.leaky_trace() };
        let out = form(&device, parts);
        let values = out.as_vec();
        let gradients = (out * weights).sum::<Rank0, _>().backward();
        [values, gradients.get(&q).as_vec(), gradients.get(&k).as_vec(), gradients.get(&v).as_vec()]
    }

    #[test]
    fn the_fused_form_equals_the_composition_in_value_and_gradient() {
        let fast = run(|device, parts| fused(device, parts).unwrap());
        let plain = run(|_, parts| compose(parts).unwrap());
        for (fast, plain) in fast.iter().zip(&plain) {
            assert_close(fast, plain, 1e-5);
        }
    }
}
