//! Δ, the step size with which S4D, S5 and Mamba discretize a recurrence over continuous time: its initial values.

use anyhow::{Result, ensure};
use rand::Rng;

use super::init::Start;

/// The default of `dt_min`, the least initial Δ, as in all these papers.
pub fn default_dt_min() -> f64 {
    0.001
}

/// The default of `dt_max`, the greatest initial Δ.
pub fn default_dt_max() -> f64 {
    0.1
}

/// Returns an error unless `dt_min < dt_max`.
pub fn check(dt_min: f64, dt_max: f64) -> Result<()> {
    ensure!(dt_min < dt_max, "model.dt_min: {dt_min} must be less than dt_max, {dt_max}");
    Ok(())
}

/// log Δ with Δ log-uniform between two bounds.
pub fn log_step(dt_min: f64, dt_max: f64) -> Start {
    Start::new(move |rng, (rows, columns)| {
        (0..rows * columns).map(|_| rng.gen_range(dt_min.ln()..dt_max.ln()) as f32).collect()
    })
}

/// The bias of a Δ that depends on the token, Δ = softplus(bias + …): the inverse of softplus at Δ, log-uniform.
pub fn softplus_bias(dt_min: f64, dt_max: f64) -> Start {
    log_step(dt_min, dt_max).map(|log| f64::from(log).exp().exp_m1().ln() as f32)
}
