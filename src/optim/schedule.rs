//! The learning rate as a function of the step.

use std::f64::consts::PI;

use super::TrainSpec;

impl TrainSpec {
    /// The learning rate of a step (from 0), without the factor that is set by hand: `lr` × warm-up × cosine decay.
    ///
    /// Warm-up rises linearly to 1 over the first `warmup` steps, beginning above zero. The decay follows half a cosine
    /// from 1 at step 0 to `final_lr` at step `steps`, and stays there.
    pub fn lr_at(&self, step: u64) -> f64 {
        let warmup = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (PI * progress).cos());
        self.lr * warmup * (self.final_lr + (1.0 - self.final_lr) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Optimiser, SlowDown};

    fn spec(steps: u64, warmup: u64, final_lr: f64) -> TrainSpec {
        TrainSpec {
            batch: 1,
            steps,
            lr: 0.02,
            seed: 0,
            warmup,
            final_lr,
            optimiser: Optimiser::Sgd,
            clip: None,
            measure_every: 1,
            pace: None,
            slow_down: SlowDown::default(),
        }
    }

    /// Loshchilov & Hutter 2017, eq. 5: η_min + ½ (η_max − η_min) (1 + cos(π t/T)), with linear warm-up.
    #[test]
    fn the_schedule_follows_its_formula() {
        for (steps, warmup, final_lr) in [(1000, 0, 0.0), (1000, 100, 0.1), (7, 3, 0.5), (50, 200, 0.0), (1, 1, 1.0)] {
            let spec = spec(steps, warmup, final_lr);
            for step in 0..=steps + 100 {
                let (most, least) = (0.02, 0.02 * final_lr);
                let t = step.min(steps) as f64 / steps as f64;
                let decayed = least + 0.5 * (most - least) * (1.0 + (PI * t).cos());
                let expected = if step < warmup { decayed * (step + 1) as f64 / warmup as f64 } else { decayed };
                let found = spec.lr_at(step);
                assert!((found - expected).abs() <= 1e-12 * most, "step {step} of {spec:?}: {found} not {expected}");
            }
        }
    }

    #[test]
    fn the_schedule_has_its_values_at_the_marks() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} not {expected}");
        let decaying = spec(1000, 0, 0.1);
        close(decaying.lr_at(0), 0.02);
        close(decaying.lr_at(500), 0.011);
        close(decaying.lr_at(1000), 0.002);
        close(decaying.lr_at(u64::MAX), 0.002);
        let warm = spec(1000, 10, 1.0);
        (0..10).for_each(|step| close(warm.lr_at(step), 0.002 * (step + 1) as f64));
        (10..2000).for_each(|step| close(warm.lr_at(step), 0.02));
        close(spec(0, 0, 1.0).lr_at(0), 0.02);
    }
}
