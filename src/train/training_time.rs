//! The wall-clock time that training a run took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::series::Series;

/// Seconds of training since the run's start, measurements included, over all programs that trained it. It says nothing
/// about the state of a run, so any two are equal: a run that was continued equals one that was not interrupted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTime {
    seconds: f64,
    /// Seconds at the steps at which the run was measured.
    at: Series,
}

impl PartialEq for TrainingTime {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl TrainingTime {
    /// Adds the time that was spent to reach a step; `measured` says whether the run was measured there.
    pub fn add(&mut self, step: u64, spent: Duration, measured: bool) {
        self.seconds += spent.as_secs_f64();
        // After a divergence the same steps are done again: the time to reach them stays the first one.
        if measured && self.at.last().is_none_or(|(last, _)| last < step) {
            self.at.push(step, self.seconds as f32);
        }
    }

    /// Seconds since the run's start, at the steps at which it was measured.
    pub fn curve(&self) -> &Series {
        &self.at
    }

    /// Whether the time was kept from the run's start on: not in sessions that were saved before it was kept at all,
    /// and trained further since. `measured` is a curve with a point at each measurement.
    pub fn is_complete(&self, measured: &Series) -> bool {
        let first = |curve: &Series| curve.buckets().iter().map(|bucket| bucket.step).find(|step| *step > 0);
        first(measured).is_none_or(|step| first(&self.at).is_some_and(|timed| timed <= step))
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Seconds until a step at which the run was measured; `None` if the time to it was not kept.
    pub fn until(&self, step: u64) -> Option<f64> {
        if step == 0 {
            return Some(0.0);
        }
        let mut buckets = self.at.buckets().iter().skip_while(|bucket| bucket.step < step);
        buckets.next().map(|bucket| f64::from(bucket.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_and_is_known_at_measured_steps() {
        let mut time = TrainingTime::default();
        for step in 1..=10 {
            time.add(step, Duration::from_millis(500), step % 5 == 0);
        }
        assert_eq!((time.seconds(), time.until(5), time.until(10)), (5.0, Some(2.5), Some(5.0)));
        assert_eq!((time.until(0), time.until(11)), (Some(0.0), None));
        assert_eq!(time, TrainingTime::default());
    }

    #[test]
    fn time_that_was_not_kept_from_the_start_is_incomplete() {
        let (mut measured, mut whole, mut late) = (Series::default(), TrainingTime::default(), TrainingTime::default());
        assert!(late.is_complete(&measured));
        for step in (0..=20_000).step_by(5) {
            measured.push(step, 1.0);
            whole.add(step, Duration::from_millis(1), step > 0);
            late.add(step, Duration::from_millis(1), step > 10_000);
        }
        assert!(whole.is_complete(&measured) && !late.is_complete(&measured));
        assert!(!TrainingTime::default().is_complete(&measured));
    }
}
