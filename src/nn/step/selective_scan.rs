//! The selective scan: a linear recurrence whose decay, input and readout depend on the token. Two steps share it.
//!
//! | here | meaning | shape in [`SelectiveScan`] | in [`HeadScan`] |
//! |---|---|---|---|
//! | `delta` Δ | step size | (B, T, E) | (B, T, M) |
//! | `x` | input | (B, T, E) | (B, T, E) |
//! | `b` | input matrix | (B, T, N) | (B, T, N) |
//! | `c` | output matrix, of the last tokens, as many as are read | (B, ·, N) | (B, ·, N) |
//! | `a` | state matrix, diagonal, negative | (E, N) | (1, M) |
//!
//! h_t[e, n] = exp(Δ_t[e] A[e, n]) h_{t−1}[e, n] + Δ_t[e] B_t[n] x_t[e]; y_t[e] = Σ_n C_t[n] h_t[e, n], and the
//! result are the last y: (B, ·, E). Source: Mamba 2312.00752, algorithm 2, with Δ B for B̄ as in the paper's code.
//! In heads (Mamba-2 2405.21060) the E channels are M groups of neighbours, and all entries of a head share one Δ and
//! one A.

mod kernel;

use dfdx::prelude::*;

use self::kernel::{ByChannel, ByHead, Rates, backward, forward, read};
use super::{Grads, NodeId, ParamId, Step, Tensors, TokenReader, Values};
use crate::nn::tensor::{Backend, DeviceResult, Matrix, Tensor3, join, rows_times, slice};
use crate::simd::{Lane, ZERO};

/// What a scan reads.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    pub delta: NodeId,
    pub x: NodeId,
    pub b: NodeId,
    pub c: NodeId,
    pub a: ParamId,
    /// N.
    pub states: usize,
}

impl Scan {
    /// Δ, x, B and C.
    pub fn nodes(&self) -> [NodeId; 4] {
        [self.delta, self.x, self.b, self.c]
    }
}

/// One A for each channel and state, as in Mamba.
#[derive(Clone, Debug)]
pub struct SelectiveScan(pub Scan);

/// One Δ and one A for each head, as in Mamba-2.
#[derive(Clone, Debug)]
pub struct HeadScan(pub Scan);

/// The definition: every state of one sequence, each (E, N). `parts`: Δ, x and B of it; A (E, N).
pub fn selective_states(parts: [&[f32]; 3], a: &[f32], (wide, states): (usize, usize)) -> Vec<Vec<f32>> {
    let [delta, x, b] = parts;
    let mut state = vec![0.0; wide * states];
    let mut history = Vec::new();
    for t in 0..delta.len() / wide {
        for e in 0..wide {
            let (delta, x) = (delta[t * wide + e], x[t * wide + e]);
            for n in 0..states {
                let h = &mut state[e * states + n];
                *h = (delta * a[e * states + n]).exp() * *h + delta * b[t * states + n] * x;
            }
        }
        history.push(state.clone());
    }
    history
}

/// Ones where a channel belongs to a head: (M, E).
pub fn head_expansion<D: Backend>(device: &D, heads: usize, wide: usize) -> DeviceResult<Matrix<D>, D> {
    let mut ones = vec![0.0; heads * wide];
    (0..wide).for_each(|channel| ones[channel / (wide / heads) * wide + channel] = 1.0);
    device.try_tensor_from_vec(ones, (heads, wide))
}

impl Step for SelectiveScan {
    fn reads(&self) -> Vec<NodeId> {
        self.0.nodes().to_vec()
    }

    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        portable(self.0.nodes().map(|node| given.of(node)), given.param(self.0.a))
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let Scan { a, states, .. } = self.0;
        forward(given.all(self.0.nodes()), &ByChannel { a: given.param(a), states }, states, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let (grad_parts, [grad_a]) = grads.of(self.0.nodes(), [self.0.a]);
        let rates = ByChannel { a: given.param(self.0.a), states: self.0.states };
        backward((given.all(self.0.nodes()), &rates), self.0.states, grad_out, grad_parts, grad_a);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(ScanState { step: self.clone(), state: Vec::new() }))
    }
}

impl Step for HeadScan {
    fn reads(&self) -> Vec<NodeId> {
        self.0.nodes().to_vec()
    }

    /// As a selective scan over channels, which carry their head's Δ and A.
    fn portable<D: Backend, T: Tape<f32, D>>(&self, given: &Tensors<'_, D>) -> DeviceResult<Tensor3<D, T>, D> {
        let [delta, x, b, c] = self.0.nodes().map(|node| given.of::<T>(node));
        let device = delta.device().clone();
        let (wide, states) = (x.shape().2, self.0.states);
        let head_expansion = head_expansion(&device, delta.shape().2, wide)?;
        let column = given.param::<T>(self.0.a).try_matmul(head_expansion.clone())?.try_reshape_like(&(wide, 1))?;
        let a = column.try_matmul(device.try_tensor_from_vec(vec![1.0; states], (1, states))?)?;
        portable([rows_times(delta, head_expansion.retaped::<T>())?, x, b, c], a)
    }

    fn forward(&self, given: Values<'_>, _saved: &mut [Lane], out: &mut [Lane]) {
        let parts = given.all(self.0.nodes());
        forward(parts, &ByHead::new(parts, given.param(self.0.a)), self.0.states, out);
    }

    fn backward(&self, given: Values<'_>, _saved: &mut [Lane], grad_out: &[Lane], grads: &mut Grads<'_>) {
        let parts = given.all(self.0.nodes());
        let (grad_parts, [grad_a]) = grads.of(self.0.nodes(), [self.0.a]);
        let rates = ByHead::new(parts, given.param(self.0.a));
        backward((parts, &rates), self.0.states, grad_out, grad_parts, grad_a);
    }

    fn token_reader(&self, _length: &dyn Fn(NodeId) -> usize) -> Option<Box<dyn TokenReader>> {
        Some(Box::new(ScanState { step: self.clone(), state: Vec::new() }))
    }
}

/// h, (E · N), empty before the first token.
struct ScanState<S> {
    step: S,
    state: Vec<Lane>,
}

impl<S> ScanState<S> {
    fn read_by(&mut self, parts: [&[Lane]; 4], rates: &impl Rates, out: &mut [Lane]) {
        let [_, x, b, _] = parts;
        self.state.resize(x.len() * b.len(), ZERO);
        read(parts, rates, &mut self.state, out);
    }
}

impl TokenReader for ScanState<SelectiveScan> {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let Scan { a, states, .. } = self.step.0;
        self.read_by(given.all(self.step.0.nodes()), &ByChannel { a: given.param(a), states }, out);
    }
}

impl TokenReader for ScanState<HeadScan> {
    fn read(&mut self, given: Values<'_>, out: &mut [Lane]) {
        let parts = given.all(self.step.0.nodes());
        self.read_by(parts, &ByHead::new(parts, given.param(self.step.0.a)), out);
    }
}

fn portable<D: Backend, T: Tape<f32, D>>(
    [delta, x, b, c]: [Tensor3<D, T>; 4],
    a: Matrix<D, T>,
) -> DeviceResult<Tensor3<D, T>, D> {
    let (batch, length, wide) = *delta.shape();
    let (last, states) = (c.shape().1, a.shape().1);
    let all = (batch, wide, states);
    let at = |tensor3: &Tensor3<D, T>, t: usize| {
        let width = tensor3.shape().2;
        slice(tensor3.retaped::<T>(), (0..batch, t..t + 1, 0..width))?.try_reshape_like(&(batch, width))
    };
    let mut state: Option<Tensor3<D, T>> = None;
    let mut answers: Vec<Matrix<D, T>> = Vec::new();
    for t in 0..length {
        let step = at(&delta, t)?; // (B, E)
        let b = at(&b, t)?.try_broadcast_like::<_, Axis<1>>(&all)?;
        let taken = step.retaped::<T>().try_mul(at(&x, t)?)?.try_broadcast_like::<_, Axis<2>>(&all)?;
        let update = taken.try_mul(b)?;
        let a = a.retaped::<T>().try_broadcast_like::<_, Axis<0>>(&all)?;
        let decay = step.try_broadcast_like::<_, Axis<2>>(&all)?.try_mul(a)?.try_exp()?;
        let next = match state {
            // The first step forgets nothing, but Δ's tape is there.
            None => join(update, decay),
            Some(state) => state.try_mul(decay)?.try_add(update)?,
        };
        if t + last >= length {
            let c = at(&c, t + last - length)?.try_broadcast_like::<_, Axis<1>>(&all)?;
            answers.push(next.retaped::<T>().try_mul(c)?.try_sum::<_, Axis<2>>()?);
        }
        state = Some(next);
    }
    let out = answers.try_stack()?.try_permute::<_, Axes3<1, 0, 2>>()?.try_reshape_like(&(batch, last, wide))?;
    let inputs = [delta, x, b, c].into_iter().chain(state);
    Ok(inputs.fold(join(out, a), join))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{assert_close, lanes_of, numbers};
    use crate::simd::ZERO;

    #[test]
    fn the_kernel_equals_the_definition_also_where_only_the_last_are_read() {
        let (length, wide, states) = (5, 3, 2);
        let [delta, x, b] = [wide, wide, states].map(|width| numbers(length * width, width as f32));
        let a = numbers(wide * states, 0.5);
        let history = selective_states([&delta, &x, &b], &a, (wide, states));
        for last in [length, 2] {
            let c = numbers(last * states, 0.3);
            let mut out = vec![ZERO; last * wide];
            let parts = [&delta, &x, &b, &c].map(|part| lanes_of(part));
            let rates = ByChannel { a: &a, states };
            forward(parts.each_ref().map(|part| &part[..]), &rates, states, &mut out);
            let answer = |(state, c): (&Vec<f32>, &[f32])| -> Vec<f32> {
                state.chunks(states).map(|h| h.iter().zip(c).map(|(h, c)| h * c).sum()).collect()
            };
            let expected: Vec<f32> = history[length - last..].iter().zip(c.chunks(states)).flat_map(answer).collect();
            assert_close(&out.iter().map(|lane| lane[3]).collect::<Vec<_>>(), &expected, 1e-5);
        }
    }
}
