//! When the next frame may go out: often enough to be live, seldom enough for a slow link.
//!
//! Knows nothing of what is drawn; the clock is handed in.

use std::time::{Duration, Instant};

/// Least time between two frames that training asks for.
const BETWEEN: Duration = Duration::from_millis(100);

/// Bytes a second that frames may take in the long run.
const BUDGET: f64 = 24_000.0;

/// Spaces out the frames that training asks for. Frames that a key asks for do not wait, but are counted.
pub struct Pacer {
    next: Instant,
}

impl Pacer {
    pub fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// When the next frame is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// A frame of so many bytes went out.
    pub fn drew(&mut self, now: Instant, bytes: u64) {
        let paid_for = Duration::from_secs_f64(bytes as f64 / BUDGET);
        // A whole repaint is paid off over what follows, but nobody waits longer than a second for it.
        let wait = paid_for.clamp(BETWEEN, Duration::from_secs(1));
        self.next = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::{BETWEEN, Pacer};
    use std::time::{Duration, Instant};

    #[test]
    fn a_large_frame_delays_the_next_one() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.drew(start, 100);
        assert_eq!(pacer.next() - start, BETWEEN);
        pacer.drew(start, 12_000);
        assert_eq!(pacer.next() - start, Duration::from_millis(500));
        pacer.drew(start, 10_000_000);
        assert_eq!(pacer.next() - start, Duration::from_secs(1));
    }
}
