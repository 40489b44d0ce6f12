//! The kernels of the selective scan, generic over which Δ and which A belong to a channel. Symbols are those of
//! [`super`].

use multiversion::multiversion;

use crate::simd::math::exp;
use crate::simd::{Buffer, Lane, ZERO, each, lanewise, plus, plus_product, plus_scaled, product, total};

/// Which Δ and which A belong to a channel, and what follows for decays and their gradients.
pub trait Rates {
    /// Numbers of Δ in a token of so many channels.
    fn deltas(&self, wide: usize) -> usize;

    /// Which of them channel e uses.
    fn delta_of(&self, e: usize, wide: usize) -> usize;

    /// exp(Δ A) of a channel's state n, from its Δ and the place of that among those of all tokens.
    fn decay(&self, delta: &Lane, at: usize, state: (usize, usize)) -> Lane;

    /// Lanes of sums that the backward pass needs, over so many Δ of all tokens.
    fn sums(&self, deltas: usize) -> usize;

    /// What the sum over the states of one channel at one token starts at.
    fn start(&self, at: usize, sums: &[Lane]) -> Lane;

    /// Adds to that sum what follows from ∂h_t, `grad`, of one state, and turns it into ∂h_{t−1}.
    fn add(&self, grad: &mut Lane, past: Past<'_>, sum: &mut Lane, sums: &mut [Lane]);

    /// ∂Δ through the decays, from that sum.
    fn finish(&self, at: usize, sum: Lane, sums: &mut [Lane]) -> Lane;

    /// Adds ∂A of a channel that is done.
    fn end_channel(&self, e: usize, sums: &mut [Lane], grad_a: &mut [f32]);

    /// Adds ∂A and ∂Δ of all channels.
    fn end(&self, delta: &[Lane], sums: &[Lane], grad_a: &mut [f32], grad_delta: &mut [Lane]);
}

/// What a state was before a token: h_{t−1}, and the decay from there.
pub struct Past<'a> {
    e: usize,
    n: usize,
    delta: &'a Lane,
    before: &'a Lane,
    decay: &'a Lane,
}

/// A (E, N), and a Δ for each channel.
pub struct ByChannel<'a> {
    pub a: &'a [f32],
    pub states: usize,
}

impl Rates for ByChannel<'_> {
    #[inline(always)]
    fn delta_of(&self, e: usize, _wide: usize) -> usize {
        e
    }

    #[inline(always)]
    fn deltas(&self, wide: usize) -> usize {
        wide
    }

    #[inline(always)]
    fn decay(&self, delta: &Lane, _at: usize, (e, n): (usize, usize)) -> Lane {
        let a = self.a[e * self.states + n];
        each(|l| exp(delta[l] * a))
    }

    /// ∂A of a channel.
    #[inline(always)]
    fn sums(&self, _deltas: usize) -> usize {
        self.states
    }

    #[inline(always)]
    fn start(&self, _at: usize, _sums: &[Lane]) -> Lane {
        ZERO
    }

    /// The sum is ∂Δ.
    #[inline(always)]
    fn add(&self, grad: &mut Lane, Past { e, n, delta, before, decay }: Past<'_>, sum: &mut Lane, sums: &mut [Lane]) {
        *grad = product(grad, decay);
        let grad_exponent = product(grad, before);
        sums[n] = plus_product(&sums[n], &grad_exponent, delta);
        *sum = plus_scaled(sum, self.a[e * self.states + n], &grad_exponent);
    }

    #[inline(always)]
    fn finish(&self, _at: usize, sum: Lane, _sums: &mut [Lane]) -> Lane {
        sum
    }

    #[inline(always)]
    fn end_channel(&self, e: usize, sums: &mut [Lane], grad_a: &mut [f32]) {
        for (grad, sum) in grad_a[e * self.states..].iter_mut().zip(sums) {
            lanewise();
            *grad += total(sum);
            *sum = ZERO;
        }
    }

    #[inline(always)]
    fn end(&self, _delta: &[Lane], _sums: &[Lane], _grad_a: &mut [f32], _grad_delta: &mut [Lane]) {}
}

/// A (1, M), and a Δ for each head.
pub struct ByHead<'a> {
    a: &'a [f32],
    /// exp(Δ_t A) of every token and head.
    decays: Buffer,
}

impl<'a> ByHead<'a> {
    pub fn new([delta, ..]: [&[Lane]; 4], a: &'a [f32]) -> Self {
        let mut decays = Buffer::uninit(delta.len());
        write_decays(delta, a, &mut decays);
        Self { a, decays }
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn write_decays(delta: &[Lane], a: &[f32], decays: &mut [Lane]) {
    for (decays, delta) in decays.chunks_exact_mut(a.len()).zip(delta.chunks_exact(a.len())) {
        for ((decay, delta), a) in decays.iter_mut().zip(delta).zip(a) {
            lanewise();
            *decay = each(|l| exp(delta[l] * a));
        }
    }
}

impl Rates for ByHead<'_> {
    #[inline(always)]
    fn delta_of(&self, e: usize, wide: usize) -> usize {
        e / (wide / self.a.len())
    }

    #[inline(always)]
    fn deltas(&self, _wide: usize) -> usize {
        self.a.len()
    }

    #[inline(always)]
    fn decay(&self, _delta: &Lane, at: usize, _state: (usize, usize)) -> Lane {
        self.decays[at]
    }

    /// ∂ of the decays.
    #[inline(always)]
    fn sums(&self, deltas: usize) -> usize {
        deltas
    }

    #[inline(always)]
    fn start(&self, at: usize, sums: &[Lane]) -> Lane {
        sums[at]
    }

    /// The sum is ∂ of the decay.
    #[inline(always)]
    fn add(&self, grad: &mut Lane, past: Past<'_>, sum: &mut Lane, _sums: &mut [Lane]) {
        *sum = plus_product(sum, grad, past.before);
        *grad = product(grad, past.decay);
    }

    #[inline(always)]
    fn finish(&self, at: usize, sum: Lane, sums: &mut [Lane]) -> Lane {
        sums[at] = sum;
        ZERO
    }

    #[inline(always)]
    fn end_channel(&self, _e: usize, _sums: &mut [Lane], _grad_a: &mut [f32]) {}

    #[inline(always)]
    fn end(&self, delta: &[Lane], sums: &[Lane], grad_a: &mut [f32], grad_delta: &mut [Lane]) {
        let heads = self.a.len();
        for (head, (grad, a)) in grad_a.iter_mut().zip(self.a).enumerate() {
            let mut sum = ZERO;
            for at in (head..delta.len()).step_by(heads) {
                let grad_exponent = product(&sums[at], &self.decays[at]);
                sum = plus_product(&sum, &grad_exponent, &delta[at]);
                grad_delta[at] = plus_scaled(&grad_delta[at], *a, &grad_exponent);
            }
            *grad += total(&sum);
        }
    }
}

/// Tokens that all channels go through before the next: they stay in the cache.
const TOKENS_AT_ONCE: usize = 64;

/// Writes the last answers to `out`, as many as there are of C. `parts`: Δ, x, B and C.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn forward<R: Rates>(parts: [&[Lane]; 4], rates: &R, states: usize, out: &mut [Lane]) {
    let [delta, x, b, c] = parts;
    let length = b.len() / states;
    let (wide, skipped) = (x.len() / length, length - c.len() / states);
    let mut all = Buffer::zeros(wide * states);
    for first in (0..length).step_by(TOKENS_AT_ONCE) {
        for (e, state) in all.chunks_exact_mut(states).enumerate() {
            for t in first..length.min(first + TOKENS_AT_ONCE) {
                let at = t * rates.deltas(wide) + rates.delta_of(e, wide);
                let delta = &delta[at];
                let taken = product(delta, &x[t * wide + e]);
                for ((n, h), b) in state.iter_mut().enumerate().zip(&b[t * states..]) {
                    lanewise();
                    *h = plus_product(&product(&taken, b), &rates.decay(delta, at, (e, n)), h);
                }
                if t >= skipped {
                    let mut answer = ZERO;
                    for (h, c) in state.iter().zip(&c[(t - skipped) * states..]) {
                        answer = plus_product(&answer, h, c);
                    }
                    out[(t - skipped) * wide + e] = answer;
                }
            }
        }
    }
}

/// Reads one token: h of all channels goes on, and y is written to `out`. `parts`: Δ, x, B and C of the token.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn read<R: Rates>([delta, x, b, c]: [&[Lane]; 4], rates: &R, state: &mut [Lane], out: &mut [Lane]) {
    for ((e, state), out) in state.chunks_exact_mut(b.len()).enumerate().zip(out) {
        let at = rates.delta_of(e, x.len());
        let taken = product(&delta[at], &x[e]);
        let mut answer = ZERO;
        for (n, h) in state.iter_mut().enumerate() {
            lanewise();
            *h = plus_product(&product(&taken, &b[n]), &rates.decay(&delta[at], at, (e, n)), h);
            answer = plus_product(&answer, h, &c[n]);
        }
        *out = answer;
    }
}

/// Adds the gradients by Δ, x, B, C and A. The states are computed again, one channel after the other, for all of them
/// would be N times as much memory as all else.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub fn backward<R: Rates>(
    (parts, rates): ([&[Lane]; 4], &R),
    states: usize,
    grad_out: &[Lane],
    [grad_delta, grad_x, grad_b, grad_c]: [&mut [Lane]; 4],
    grad_a: &mut [f32],
) {
    let [delta, x, b, c] = parts;
    let length = b.len() / states;
    let (wide, skipped) = (x.len() / length, length - c.len() / states);
    // h_{t−1} and exp(Δ_t A) of one channel, ∂h, and the sums for ∂A.
    let mut memory = Buffer::zeros((2 * length + 2) * states + rates.sums(delta.len()));
    let (history, rest) = memory.split_at_mut((length + 1) * states);
    let (decays, rest) = rest.split_at_mut(length * states);
    let (grad_state, sums) = rest.split_at_mut(states);
    for e in 0..wide {
        for t in 0..length {
            let at = t * rates.deltas(wide) + rates.delta_of(e, wide);
            let taken = product(&delta[at], &x[t * wide + e]);
            let (before, now) = history[t * states..].split_at_mut(states);
            let decays = &mut decays[t * states..][..states];
            for n in 0..states {
                lanewise();
                decays[n] = rates.decay(&delta[at], at, (e, n));
                now[n] = plus_product(&product(&taken, &b[t * states + n]), &decays[n], &before[n]);
            }
        }
        grad_state.fill(ZERO);
        for t in (0..length).rev() {
            let (at, place) = (t * rates.deltas(wide) + rates.delta_of(e, wide), t * wide + e);
            let taken = product(&delta[at], &x[place]);
            let (before, now) = history[t * states..][..2 * states].split_at(states);
            if t >= skipped {
                let (answer, at) = (&grad_out[(t - skipped) * wide + e], (t - skipped) * states);
                for n in 0..states {
                    lanewise();
                    grad_state[n] = plus_product(&grad_state[n], answer, &c[at + n]);
                    grad_c[at + n] = plus_product(&grad_c[at + n], answer, &now[n]);
                }
            }
            // ∂(Δ x), and what comes through the decay.
            let (mut grad_taken, mut sum) = (ZERO, rates.start(at, sums));
            let (b, grad_b) = (&b[t * states..][..states], &mut grad_b[t * states..][..states]);
            let decays = &decays[t * states..][..states];
            for n in 0..states {
                lanewise();
                grad_b[n] = plus_product(&grad_b[n], &grad_state[n], &taken);
                grad_taken = plus_product(&grad_taken, &grad_state[n], &b[n]);
                let past = Past { e, n, delta: &delta[at], before: &before[n], decay: &decays[n] };
                rates.add(&mut grad_state[n], past, &mut sum, sums);
            }
            let by_decay = rates.finish(at, sum, sums);
            grad_x[place] = plus_product(&grad_x[place], &grad_taken, &delta[at]);
            grad_delta[at] = plus(&grad_delta[at], &plus_product(&by_decay, &grad_taken, &x[place]));
        }
        rates.end_channel(e, sums, grad_a);
    }
    rates.end(delta, sums, grad_a, grad_delta);
}
