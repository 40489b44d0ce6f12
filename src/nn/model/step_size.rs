//! Δ, the step in which a recurrence over continuous time is taken: how it starts in S4D, S5 and Mamba.

use anyhow::{Result, ensure};
use rand::Rng;

/// The least Δ of a start, where a preset does not say: as in all these papers.
pub fn least() -> f64 {
    0.001
}

/// The greatest Δ of a start, where a preset does not say.
pub fn greatest() -> f64 {
    0.1
}

/// Refuses a range that is none.
pub fn check(dt_min: f64, dt_max: f64) -> Result<()> {
    ensure!(dt_min < dt_max, "model.dt_min: {dt_min} must be less than dt_max, {dt_max}");
    Ok(())
}

/// Logarithms of draws that are log-uniform between two bounds.
pub fn logarithms(rng: &mut impl Rng, count: usize, (least, greatest): (f64, f64)) -> Vec<f32> {
    (0..count).map(|_| rng.gen_range(least.ln()..greatest.ln()) as f32).collect()
}

/// The inverse of softplus: what the bias of a Δ is that the token has a say in, from log Δ.
pub fn before_softplus(log_steps: Vec<f32>) -> Vec<f32> {
    log_steps.into_iter().map(|log| f64::from(log).exp().exp_m1().ln() as f32).collect()
}
