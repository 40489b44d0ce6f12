//! Non-linear functions of every entry that dfdx lacks.

use dfdx::prelude::{Tape, TryAdd, TryMul};

use super::Device;
use crate::nn::{Cube, Outcome};

/// x · σ(x) (Elfwing et al. 2017, arXiv 1702.03118).
pub fn silu<D: Device, T: Tape<f32, D>>(x: Cube<D, T>) -> Outcome<Cube<D, T>, D> {
    let gate = x.retaped::<T>().try_sigmoid()?;
    x.try_mul(gate)
}

/// ln(1 + eˣ), as max(x, 0) + ln(1 + e^−|x|): no exponential overflows.
pub fn softplus<D: Device, T: Tape<f32, D>>(x: Cube<D, T>) -> Outcome<Cube<D, T>, D> {
    let rest = x.retaped::<T>().try_abs()?.try_negate()?.try_exp()?.try_add(1.0f32)?.try_ln()?;
    x.try_relu()?.try_add(rest)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec};

    use super::*;
    use crate::nn::op::check::assert_close;

    #[test]
    fn both_equal_their_definitions_where_exponentials_overflow_too() {
        let values = vec![-200.0f32, -3.0, -0.5, 0.0, 0.5, 3.0, 200.0];
        let x: Cube<Cpu> = Cpu::default().tensor_from_vec(values.clone(), (1, 7, 1));
        let plain = |f: fn(f64) -> f64| values.iter().map(|x| f(f64::from(*x)) as f32).collect::<Vec<_>>();
        assert_close(&silu(x.clone()).unwrap().as_vec(), &plain(|x| x / (1.0 + (-x).exp())), 1e-6);
        assert_close(&softplus(x).unwrap().as_vec(), &plain(|x| (1.0 + x.exp()).ln()), 1e-6);
    }
}
