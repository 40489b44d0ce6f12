//! When the next frame may be sent: often enough to be live, seldom enough for a slow link.
//!
//! Knows nothing of what a frame shows; the clock is an argument.

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

    /// A frame of so many bytes was sent.
    pub fn rendered(&mut self, now: Instant, bytes: u64) {
        let needed = Duration::from_secs_f64(bytes as f64 / BUDGET);
        // The bytes of a full repaint delay the frames after it, but by no more than a second.
        let wait = needed.clamp(BETWEEN, Duration::from_secs(1));
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
        pacer.rendered(start, 100);
        assert_eq!(pacer.next() - start, BETWEEN);
        pacer.rendered(start, 12_000);
        assert_eq!(pacer.next() - start, Duration::from_millis(500));
        pacer.rendered(start, 10_000_000);
        assert_eq!(pacer.next() - start, Duration::from_secs(1));
    }
}
