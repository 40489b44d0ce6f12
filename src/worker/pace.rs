//! When the next step is due, and how fast steps have been.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the speed is taken.
const WINDOW: Duration = Duration::from_secs(1);
/// A run that fell further behind its pace than this does not try to catch up.
const PATIENCE: Duration = Duration::from_millis(200);

/// Holds steps back to a number per second.
pub struct Pace {
    per_second: Option<f64>,
    due: Instant,
}

impl Pace {
    pub fn new(per_second: Option<f64>) -> Self {
        Self { per_second, due: Instant::now() }
    }

    pub fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// How long to wait before the next step; none where it is due.
    pub fn wait(&self) -> Option<Duration> {
        self.per_second?;
        let wait = self.due.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// A step was made.
    pub fn stepped(&mut self) {
        if let Some(per_second) = self.per_second {
            let earliest = Instant::now().checked_sub(PATIENCE).unwrap_or(self.due);
            self.due = self.due.max(earliest) + Duration::from_secs_f64(1.0 / per_second);
        }
    }
}

/// Steps per second over the last moments.
#[derive(Default)]
pub struct Meter {
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Forgets the past, as after a pause.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// Notes that the run is at a step, and tells the speed.
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
