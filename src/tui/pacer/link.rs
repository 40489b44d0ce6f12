//! The rate of a link and its round trip, from when requests were sent and reports came.

use std::time::{Duration, Instant};

/// Bytes a second that a link is supposed to carry before anything is known of it.
const SUPPOSED: f64 = 20_000.0;

/// Bytes a second of the slowest link that is reckoned with, and of the fastest.
const RATES: (f64, f64) = (500.0, 1e7);

/// Less than this is chance, and not the link: a terminal that is busy, a thread that waits for a core.
const NOTICEABLE: Duration = Duration::from_millis(30);

/// Of a longer time in which the link is busy only the later half counts.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What is known of the link to the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// `None` if the terminal does not report.
    pub capacity: Option<Capacity>,
    pub round_trip: Option<Duration>,
    /// Bytes a second that were sent lately.
    pub sent: f64,
    /// Frames a second that were sent lately.
    pub frames: f64,
}

/// Bytes a second that a link carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    Measured(f64),
    /// It carries these, and perhaps more.
    AtLeast(f64),
}

pub struct Estimate {
    /// Bytes a second.
    pub rate: f64,
    /// The last report took noticeably longer than the round trip.
    limiting: Option<bool>,
    /// The shortest time in which the terminal reports.
    pub round_trip: Option<Duration>,
    /// When that was measured by a request by itself.
    pub round_trip_at: Option<Instant>,
    /// When the last report came; at first the start.
    pub last: Instant,
    busy: Busy,
}

/// A time in which the link was never idle.
struct Busy {
    since: Instant,
    /// What it has carried in it.
    bytes: f64,
}

impl Estimate {
    pub fn new(now: Instant) -> Self {
        Self {
            rate: SUPPOSED,
            limiting: None,
            round_trip: None,
            round_trip_at: None,
            last: now,
            busy: Busy { since: now, bytes: 0.0 },
        }
    }

    /// A request that was sent at `at` after `bytes` bytes is reported.
    pub fn reported(&mut self, at: Instant, bytes: u64, now: Instant) {
        let took = now.saturating_duration_since(at);
        // It grows only by measurements without bytes, and slowly: one of them may have waited for something else.
        let bound = |known: Duration| if bytes == 0 { known.mul_f64(1.5) + Duration::from_millis(10) } else { known };
        let round_trip = self.round_trip.map_or(took, |known| took.min(bound(known)));
        self.round_trip = Some(round_trip);
        // Before these bytes it was idle. Reports that come late and together are of one busy time: its sum counts.
        if at + round_trip > self.last {
            self.busy = Busy { since: at + round_trip, bytes: 0.0 };
        }
        self.last = now;
        if bytes == 0 {
            self.round_trip_at = Some(now);
            return;
        }
        self.busy.bytes += bytes as f64;
        let carrying = now.saturating_duration_since(self.busy.since);
        let measured = self.busy.bytes / carrying.max(NOTICEABLE).as_secs_f64();
        let limiting = carrying >= NOTICEABLE;
        if carrying > REMEMBERED {
            self.busy = Busy { since: self.busy.since + carrying / 2, bytes: self.busy.bytes / 2.0 };
        }
        self.rate = match (limiting, self.limiting) {
            (_, None) => measured,
            (false, Some(_)) => self.rate.max(measured),
            (true, Some(_)) => (self.rate + measured) / 2.0,
        };
        self.rate = self.rate.clamp(RATES.0, RATES.1);
        self.limiting = Some(limiting);
    }

    /// A report is overdue.
    pub fn halve(&mut self) {
        self.rate = (self.rate / 2.0).max(RATES.0);
    }

    /// `None` before anything was measured.
    pub fn capacity(&self) -> Option<Capacity> {
        self.limiting
            .map(|limiting| if limiting { Capacity::Measured(self.rate) } else { Capacity::AtLeast(self.rate) })
    }
}
