//! The kernels of fast weights read by one query: from the last pair to the first with q, and back. See [`super`].

use multiversion::multiversion;

use super::{Decay, Erase, FastWeights, Vectors};
use crate::simd::{Buffer, LANES, Lane, ZERO, dot_lanes, each, lanewise, plus, plus_product, product, split_mut};

/// What is read of one block of sequences.
pub type Given<'a> = FastWeights<Vectors<&'a [Lane]>>;

impl<'a> Given<'a> {
    /// How much of column `i` is kept where the block of token `t` begins.
    #[inline(always)]
    pub(super) fn kept(&self, t: usize, i: usize) -> Lane {
        match self.decay {
            Decay::Constant(kept) => [kept; LANES],
            Decay::Sequence(Vectors { of, width: 1 }) => of[t],
            Decay::Sequence(Vectors { of, width }) => of[t * width + i],
        }
    }

    #[inline(always)]
    pub(super) fn value(&self, t: usize) -> &'a [Lane] {
        match self.values {
            Some(values) => values.row(t),
            None => &[[1.0; LANES]],
        }
    }

    /// Whether b is the key, so that b · g is k · g.
    #[inline(always)]
    fn erases_along_key(&self) -> bool {
        matches!(self.erase, Erase::AlongKey(_))
    }
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
pub fn forward(given: &Given<'_>, saved: &mut [Lane], out: &mut [Lane]) {
    let n = given.keys.width;
    out.fill(ZERO);
    let blocks = given.pairs.div_ceil(given.block);
    let (saved, saved_g) = saved.split_at_mut(blocks * n);
    if let Some(last) = saved.chunks_exact_mut(n).next_back() {
        last.copy_from_slice(given.query.of);
    }
    for block in (0..blocks).rev() {
        let (earlier, q) = saved[..(block + 1) * n].split_at_mut(block * n);
        let first = block * given.block;
        let mut g: &[Lane] = q;
        if let Some(momentum) = given.momentum {
            let (own, later) = saved_g[block * n..].split_at_mut(n);
            own.copy_from_slice(q);
            if block + 1 < blocks {
                add(own, &momentum.of[first + given.block], &later[..n]);
            }
            g = own;
        }
        let mut before = earlier.chunks_exact_mut(n).next_back();
        if let Some(before) = &mut before {
            for (i, (before, q)) in before.iter_mut().zip(&*q).enumerate() {
                lanewise();
                *before = product(&given.kept(first, i), q);
            }
        }
        for t in first..given.pairs.min(first + given.block) {
            let key_g = dot_lanes(given.keys.row(t), g);
            add(out, &key_g, given.value(t));
            if let (Some(before), Some([e, b])) = (&mut before, given.erased()) {
                let b_g = if given.erases_along_key() { key_g } else { dot_lanes(b.row(t), g) };
                add(before, &each(|l| -b_g[l]), e.row(t));
            }
        }
    }
}

/// From the first block to the last with ∂q, the gradient by q before the block: there ∂a = ∂q ⊙ q, ∂e = −(b · g) ∂q,
/// ∂b = −(e · ∂q) g, ∂k = (v · ∂out) g, ∂v = (k · g) ∂out, ∂g = −Σ (e · ∂q) b + Σ (v · ∂out) k, and ∂q ← a ⊙ ∂q + ∂g.
/// With momentum μ g was added to the g of the block before, so that ∂μ = ∂g · g with the ∂g of that block, and μ times
/// it is added to the ∂g of this one.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward(
    given: &Given<'_>,
    saved: &[Lane],
    grad_out: &[Lane],
    [grad_keys, grad_values, grad_query, grad_e, grad_b, grad_decay, grad_momentum]: [&mut [Lane]; 7],
) {
    let (m, n) = (grad_out.len(), given.keys.width);
    let mut memory = Buffer::zeros(3 * n);
    let [grad, after, grad_g] = split_mut(&mut memory, [n; 3]);
    let (saved, saved_g) = saved.split_at(given.pairs.div_ceil(given.block) * n);
    for (block, q) in saved.chunks_exact(n).enumerate() {
        let first = block * given.block;
        let mut g = q;
        if let Some(momentum) = given.momentum {
            g = &saved_g[block * n..][..n];
            let by_momentum = dot_lanes(grad_g, g);
            grad_momentum[first] = plus(&grad_momentum[first], &by_momentum);
            for grad_g in &mut *grad_g {
                lanewise();
                *grad_g = product(&momentum.of[first], grad_g);
            }
        } else {
            grad_g.fill(ZERO);
        }
        for i in 0..n {
            lanewise();
            after[i] = product(&given.kept(first, i), &grad[i]);
            if let Decay::Sequence(decay) = given.decay {
                let at = first * decay.width + i % decay.width;
                grad_decay[at] = plus_product(&grad_decay[at], &grad[i], &q[i]);
            }
        }
        for t in first..given.pairs.min(first + given.block) {
            let key = given.keys.row(t);
            let key_g = dot_lanes(key, g);
            let mut by_key = dot_lanes(given.value(t), grad_out);
            if given.values.is_some() {
                add(&mut grad_values[t * m..][..m], &key_g, grad_out);
            }
            if let Some([e, b]) = given.erased() {
                let (b_g, e_grad) = (dot_lanes(b.row(t), g), dot_lanes(e.row(t), grad));
                let (by_e, by_b) = (each(|l| -b_g[l]), each(|l| -e_grad[l]));
                add(&mut grad_e[t * n..][..n], &by_e, grad);
                if given.erases_along_key() {
                    by_key = plus(&by_key, &by_b);
                } else {
                    add(&mut grad_b[t * n..][..n], &by_b, g);
                    add(grad_g, &by_b, b.row(t));
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
