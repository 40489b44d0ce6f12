//! When a run slows down by itself, so that one can watch: while the loss falls fast, or where its preset says so.
//!
//! Knows nothing of clocks: it takes in the loss of each step.

use super::Slowed;
use crate::optim::{SlowDown, TrainSpec};

/// The long memory, in steps, as a part of the run; the short one is a tenth of it.
const LONG: f64 = 1.0 / 30.0;
/// Steps of the long memory, at least and at most.
const LONG_STEPS: (f64, f64) = (30.0, 300.0);
const SHORT: f64 = 0.1;
/// The loss falls fast while the short mean is below the long one by this part at least, and by this many standard
/// deviations of what batches differ by.
const FALL: f64 = 0.08;
const DEVIATIONS: f64 = 5.0;
/// It has stopped to fall fast once less than this part of that is left.
const ENDS: f64 = 0.4;
/// A slowed run would take this many seconds in all.
const SECONDS: f64 = 80.0;
/// Steps that a preset names take this many seconds at least.
const STRETCH_SECONDS: f64 = 20.0;

/// Follows the training loss of a run.
pub struct Slowing {
    /// Whether the run may slow down at all.
    pub wanted: bool,
    spec: SlowDown,
    /// Steps per second while it is slowed.
    pace: f64,
    step: u64,
    /// Weights of a new value in the long and in the short mean.
    weights: (f64, f64),
    /// `None` before the first step.
    means: Option<Means>,
    steps_seen: f64,
    falling: bool,
}

/// Means of ln(loss) over the long and the short memory, and of the square of what it differs by from step to step.
struct Means {
    long: f64,
    short: f64,
    last: f64,
    square: f64,
}

impl Slowing {
    pub fn of(train: &TrainSpec) -> Self {
        let steps = train.steps as f64;
        let long = (steps * LONG).clamp(LONG_STEPS.0, LONG_STEPS.1);
        let (weights, spec) = ((1.0 / long, 1.0 / (SHORT * long)), train.slow_down.clone());
        let stretch = match &spec {
            SlowDown::Between { first, last } => last.saturating_sub(*first) as f64 / STRETCH_SECONDS,
            SlowDown::WhileFalling | SlowDown::Never => f64::INFINITY,
        };
        let pace = (steps / SECONDS).min(stretch).max(1.0);
        Self { wanted: true, spec, pace, step: 0, weights, means: None, steps_seen: 0.0, falling: false }
    }

    /// The same before its first step.
    pub fn renewed(&self, train: &TrainSpec) -> Self {
        Self { wanted: self.wanted, ..Self::of(train) }
    }

    /// Why the run is to be slower now; `None` if it is not.
    pub fn why(&self) -> Option<Slowed> {
        let why = match &self.spec {
            SlowDown::WhileFalling => self.falling.then_some(Slowed::Falling),
            SlowDown::Between { first, last } => (*first..*last).contains(&self.step).then_some(Slowed::Preset),
            SlowDown::Never => None,
        };
        why.filter(|_| self.wanted)
    }

    /// The steps per second that the run is to be slowed to; `None` if it is not.
    pub fn pace(&self) -> Option<f64> {
        self.why().map(|_| self.pace)
    }

    /// Takes in the training loss of a step.
    pub fn observe(&mut self, step: u64, loss: f32) {
        self.step = step;
        let now = f64::from(loss).ln();
        if !now.is_finite() {
            return;
        }
        self.steps_seen += 1.0;
        let Some(means) = &mut self.means else {
            self.means = Some(Means { long: now, short: now, last: now, square: 0.0 });
            return;
        };
        // In the first steps all have the same weight.
        let weight = |weight: f64| weight.max(1.0 / self.steps_seen);
        means.long += weight(self.weights.0) * (now - means.long);
        means.short += weight(self.weights.1) * (now - means.short);
        means.square += weight(self.weights.0) * ((now - means.last).powi(2) - means.square);
        means.last = now;
        // Differences of neighbours have twice the variance of a batch.
        let deviation = (means.square / 2.0 * self.weights.1 / (2.0 - self.weights.1)).sqrt();
        let least = FALL.max(DEVIATIONS * deviation);
        let fall = means.long - means.short;
        let known = self.steps_seen * self.weights.0 >= 1.0;
        self.falling = known && fall > least * if self.falling { ENDS } else { 1.0 };
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    fn spec(steps: u64) -> TrainSpec {
        TrainSpec { steps, ..crate::preset::find("linear-attention").unwrap().1.train }
    }

    /// The steps at which a run is slowed; its loss varies by a tenth from batch to batch.
    fn slowed(seed: u64, steps: u64, loss: impl Fn(u64) -> f64) -> Vec<u64> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut slowing = Slowing::of(&spec(steps));
        let noise = |rng: &mut rand_chacha::ChaCha8Rng| (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0;
        let falls = |step: &u64| {
            slowing.observe(*step, (loss(*step) * (1.0 + 0.1 * noise(&mut rng))) as f32);
            slowing.why().is_some()
        };
        (0..steps).filter(falls).collect()
    }

    #[test]
    fn a_plateau_is_not_slowed_whatever_the_batches() {
        for seed in 0..20 {
            assert!(slowed(seed, 3_000, |_| 0.4).is_empty(), "{seed}");
            assert!(slowed(seed, 600, |_| 0.4).is_empty(), "{seed}");
        }
    }

    #[test]
    fn a_fall_is_slowed_from_near_its_start_to_its_end_for_at_least_ten_seconds() {
        for seed in 0..20 {
            // As linear attention's: a plateau, and half of the loss within 300 steps.
            let loss = |step: u64| 0.4 * 0.5f64.powf((step as f64 - 1_000.0).clamp(0.0, 300.0) / 300.0);
            let steps = slowed(seed, 3_000, loss);
            let (first, last) = (steps[0], steps[steps.len() - 1]);
            assert!((1_000..1_150).contains(&first) && (1_280..1_600).contains(&last), "{seed}: {first} {last}");
            assert!(
                steps.len() as f64 / Slowing::of(&spec(3_000)).pace + 1_000.0 / 300.0 > 10.0,
                "{seed}: {}",
                steps.len()
            );
        }
    }

    #[test]
    fn a_preset_chooses_the_steps_and_the_user_has_the_last_word() {
        let train = TrainSpec { slow_down: SlowDown::Between { first: 10, last: 20 }, ..spec(100) };
        let mut slowing = Slowing::of(&train);
        let mut slowed = |step: u64| {
            slowing.observe(step, 0.4);
            (slowing.why(), Slowing { wanted: false, ..slowing.renewed(&train) }.why())
        };
        assert_eq!([9, 10, 19, 20].map(|step| slowed(step).0.is_some()), [false, true, true, false]);
        assert_eq!(slowed(15), (Some(Slowed::Preset), None));
        let long = TrainSpec { slow_down: SlowDown::Between { first: 100, last: 400 }, ..spec(3_000) };
        assert_eq!([Slowing::of(&spec(3_000)), Slowing::of(&long)].map(|slowing| slowing.pace), [37.5, 15.0]);
        let train = TrainSpec { slow_down: SlowDown::Never, ..train };
        let mut never = Slowing::of(&train);
        (0..100).for_each(|step| never.observe(step, 0.9f32.powi(step as i32)));
        assert_eq!(never.why(), None);
    }
}
