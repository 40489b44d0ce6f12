//! The kernels of fast weights read by one query: from the last pair to the first with q, and back. See [`super`].

use multiversion::multiversion;

use super::Pairs;
use crate::simd::{Buffer, LANES, Lane, ZERO, each, lanewise, plus, plus_product, product, split_mut};

impl Pairs<'_, Lane> {
    /// Row `t` of a sequence of vectors, empty if that is not there.
    #[inline(always)]
    fn row<'a>(&self, all: &'a [Lane], t: usize) -> &'a [Lane] {
        let n = self.sizes[1];
        if all.is_empty() { &[] } else { &all[t * n..][..n] }
    }

    /// How much of column `i` is kept where the block of token `t` begins.
    #[inline(always)]
    fn kept(&self, t: usize, i: usize) -> Lane {
        match self.sizes[2] {
            0 => [self.constant; LANES],
            1 => self.decay[t],
            width => self.decay[t * width + i],
        }
    }

    #[inline(always)]
    fn value(&self, t: usize) -> &[Lane] {
        let m = self.sizes[0];
        if self.values.is_empty() { &[[1.0; LANES]] } else { &self.values[t * m..][..m] }
    }

    /// b_t: the key, where the two are one.
    #[inline(always)]
    fn beside(&self, t: usize) -> &[Lane] {
        if self.erase[1].is_empty() { self.row(self.keys, t) } else { self.row(self.erase[1], t) }
    }
}

#[inline(always)]
fn dot(a: &[Lane], b: &[Lane]) -> Lane {
    let mut sum = ZERO;
    for (a, b) in a.iter().zip(b) {
        lanewise();
        sum = plus_product(&sum, a, b);
    }
    sum
}

/// to += factor · from.
#[inline(always)]
fn add(to: &mut [Lane], factor: &Lane, from: &[Lane]) {
    for (to, from) in to.iter_mut().zip(from) {
        lanewise();
        *to = plus_product(to, factor, from);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward(pairs: &Pairs<'_, Lane>, query: &[Lane], saved: &mut [Lane], out: &mut [Lane]) {
    let n = pairs.sizes[1];
    out.fill(ZERO);
    let blocks = pairs.pairs.div_ceil(pairs.block);
    let (saved, asked) = saved.split_at_mut(blocks * n);
    if let Some(last) = saved.chunks_exact_mut(n).next_back() {
        last.copy_from_slice(query);
    }
    for block in (0..blocks).rev() {
        let (earlier, q) = saved[..(block + 1) * n].split_at_mut(block * n);
        let first = block * pairs.block;
        let g: &[Lane] = if pairs.momentum.is_empty() {
            q
        } else {
            let (g, later) = asked[block * n..].split_at_mut(n);
            g.copy_from_slice(q);
            if block + 1 < blocks {
                add(g, &pairs.momentum[first + pairs.block], &later[..n]);
            }
            g
        };
        let mut before = earlier.chunks_exact_mut(n).next_back();
        if let Some(before) = &mut before {
            for (i, (before, q)) in before.iter_mut().zip(&*q).enumerate() {
                lanewise();
                *before = product(&pairs.kept(first, i), q);
            }
        }
        for t in first..pairs.pairs.min(first + pairs.block) {
            let along = dot(pairs.row(pairs.keys, t), g);
            add(out, &along, pairs.value(t));
            if let Some(before) = &mut before {
                let beside = if pairs.erase[1].is_empty() { along } else { dot(pairs.beside(t), g) };
                add(before, &each(|l| -beside[l]), pairs.row(pairs.erase[0], t));
            }
        }
    }
}

/// From the first block to the last with ∂q, the gradient by q before the block: there ∂a = ∂q ⊙ q, ∂e = −(b · g) ∂q,
/// ∂b = −(e · ∂q) g, ∂k = (v · ∂out) g, ∂v = (k · g) ∂out, ∂g = −Σ (e · ∂q) b + Σ (v · ∂out) k, and ∂q ← a ⊙ ∂q + ∂g.
/// With momentum the block before has asked μ g, so that ∂μ = ∂g · g with the ∂g of that block, and μ times it is added
/// to the ∂g of this one.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    pairs: &Pairs<'_, Lane>,
    saved: &[Lane],
    grad_out: &[Lane],
    [grad_keys, grad_values, grad_query, grad_e, grad_b, grad_decay, grad_momentum]: [&mut [Lane]; 7],
) {
    let [m, n, decay_width] = pairs.sizes;
    let mut memory = Buffer::zeros(3 * n);
    let [grad, after, grad_g] = split_mut(&mut memory, [n; 3]);
    let (saved, asked) = saved.split_at(pairs.pairs.div_ceil(pairs.block) * n);
    for (block, q) in saved.chunks_exact(n).enumerate() {
        let first = block * pairs.block;
        let mut g = q;
        if let Some(momentum) = pairs.momentum.get(first) {
            g = &asked[block * n..][..n];
            let by_momentum = dot(grad_g, g);
            grad_momentum[first] = plus(&grad_momentum[first], &by_momentum);
            for grad_g in &mut *grad_g {
                lanewise();
                *grad_g = product(momentum, grad_g);
            }
        } else {
            grad_g.fill(ZERO);
        }
        for i in 0..n {
            lanewise();
            after[i] = product(&pairs.kept(first, i), &grad[i]);
            if decay_width > 0 {
                let at = first * decay_width + i % decay_width;
                grad_decay[at] = plus_product(&grad_decay[at], &grad[i], &q[i]);
            }
        }
        for t in first..pairs.pairs.min(first + pairs.block) {
            let (key, beside, e) = (pairs.row(pairs.keys, t), pairs.beside(t), pairs.row(pairs.erase[0], t));
            let along = dot(key, g);
            let mut by_key = dot(pairs.value(t), grad_out);
            if !pairs.values.is_empty() {
                add(&mut grad_values[t * m..][..m], &along, grad_out);
            }
            if !e.is_empty() {
                let (by_e, by_beside) = (dot(beside, g), dot(e, grad));
                let (by_e, by_beside) = (each(|l| -by_e[l]), each(|l| -by_beside[l]));
                add(&mut grad_e[t * n..][..n], &by_e, grad);
                if pairs.erase[1].is_empty() {
                    by_key = plus(&by_key, &by_beside);
                } else {
                    add(&mut grad_b[t * n..][..n], &by_beside, g);
                    add(grad_g, &by_beside, beside);
                }
            }
            add(&mut grad_keys[t * n..][..n], &by_key, g);
            add(grad_g, &by_key, key);
        }
        for i in 0..n {
            lanewise();
            grad[i] = plus(&after[i], &grad_g[i]);
        }
    }
    for (sum, grad) in grad_query.iter_mut().zip(&*grad) {
        lanewise();
        *sum = plus(sum, grad);
    }
}
