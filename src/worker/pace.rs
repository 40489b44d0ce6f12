//! When the next step is due, and how fast steps have been.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time over which speed is averaged.
const WINDOW: Duration = Duration::from_secs(1);
/// A run that is further behind its pace than this does not catch up.
const MAX_DELAY: Duration = Duration::from_millis(200);

/// Limits training to a number of steps per second.
pub struct Pace {
    per_second: Option<f64>,
    /// A lower limit, for a while.
    slowed_to: Option<f64>,
    due: Instant,
}

impl Pace {
    pub fn new(per_second: Option<f64>) -> Self {
        Self { per_second, slowed_to: None, due: Instant::now() }
    }

    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// Lowers the limit for a while, or no longer; where there is none, it stays so.
    pub fn slow_to(&mut self, per_second: Option<f64>) {
        self.slowed_to = per_second.filter(|slow| self.per_second.is_some_and(|limit| *slow < limit));
    }

    /// Whether the limit is lowered.
    pub fn is_slowed(&self) -> bool {
        self.slowed_to.is_some()
    }

    /// The time until the next step is due; `None` if it is due now.
    pub fn wait(&self) -> Option<Duration> {
        self.per_second?;
        let wait = self.due.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Call after each step.
    pub fn stepped(&mut self) {
        if let Some(per_second) = self.slowed_to.or(self.per_second) {
            let earliest = Instant::now().checked_sub(MAX_DELAY).unwrap_or(self.due);
            self.due = self.due.max(earliest) + Duration::from_secs_f64(1.0 / per_second);
        }
    }
}

/// Measures steps per second over the last [`WINDOW`].
#[derive(Default)]
pub struct Meter {
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Starts afresh, as after a pause.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// Records that the run is at a step, and returns the speed.
    pub fn read(&mut self, step: u64) -> f64 {
        let now = Instant::now();
        self.marks.push_back((now, step));
        while self.marks.len() > 2 && now - self.marks[0].0 > WINDOW {
            self.marks.pop_front();
        }
        let (then, before) = self.marks[0];
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.0 { step.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}
