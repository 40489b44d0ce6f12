//! When the next frame may be sent, and how large it may be: often enough to be live, seldom and small enough for the
//! link to the terminal.
//!
//! Behind a slow link bytes wait in buffers that the system does not show (sshd reads megabytes ahead), and a key is
//! answered only after all of them. So frames end with a status request, whose report says that the terminal has read
//! the frame. From the reports follow the rate of the link and its round trip; what is under way is kept to what the
//! link carries in `QUEUE`. A terminal that does not report is sent whole frames at a fixed rate. Knows nothing of
//! what a frame shows; the clock is an argument.

mod link;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use link::Estimate;
pub use link::{Capacity, Link};

/// Least time between two frames that training asks for.
const BETWEEN: Duration = Duration::from_millis(100);

/// Bytes a second that frames may take in the long run.
const BUDGET: f64 = 24_000.0;

/// Seconds for which bytes may wait in front of a slow link. A frame that a key asks for may add as much again.
const QUEUE: f64 = 0.15;

/// Bytes that are worth a frame, and a request.
const LEAST: u64 = 300;

/// How long a report is waited for before another frame is sent all the same, if not two round trips.
const PATIENCE: Duration = Duration::from_secs(1);

/// After so long without a report the terminal counts as one that does not report.
const SILENT: Duration = Duration::from_secs(30);

/// After so many frames, each of which was sent though a report was overdue, while other reports came, one was lost.
const OVERDUE: usize = 10;

/// Requests to a terminal that has not reported yet.
const ATTEMPTS: usize = 3;

/// How long a measured round trip is valid.
const ROUND_TRIP_VALID: Duration = Duration::from_secs(10);

/// Over how long the bytes and frames a second are averaged that the link shows.
const AVERAGED: Duration = Duration::from_secs(5);

/// What asks for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redraw {
    No,
    /// Training: at a limited rate.
    Soon,
    /// The rest of a frame that was sent in part.
    Rest,
    /// A key: as soon as possible.
    Now,
}

/// A request whose report has not come.
struct Request {
    at: Instant,
    /// Bytes since the request before.
    bytes: u64,
}

pub struct Pacer {
    next: Instant,
    /// The oldest first.
    requests: VecDeque<Request>,
    /// Bytes since the last request.
    unasked: u64,
    reports: bool,
    /// Requests that are left for a terminal that has not reported.
    attempts: usize,
    /// Frames that were sent one after the other though a report was overdue.
    overdue: usize,
    estimate: Estimate,
    started: Instant,
    /// The frames of the last seconds.
    sent: VecDeque<(Instant, u64)>,
}

impl Pacer {
    pub fn new(now: Instant) -> Self {
        Self {
            next: now,
            requests: VecDeque::new(),
            unasked: 0,
            reports: false,
            attempts: ATTEMPTS,
            overdue: 0,
            estimate: Estimate::new(now),
            started: now,
            sent: VecDeque::new(),
        }
    }

    /// When the next frame is due.
    pub fn due(&self, redraw: Redraw, now: Instant) -> Instant {
        let due = if redraw == Redraw::Soon { self.next } else { now };
        let Some(oldest) = self.requests.front().filter(|_| self.reports) else { return due };
        // A request by itself measures the round trip only if nothing follows it closely.
        let measuring = oldest.bytes == 0 && redraw != Redraw::Now;
        let blocked = measuring || self.window(redraw) < self.under_way() + LEAST;
        let latest = self.sent.back().map_or(oldest.at, |(at, _)| oldest.at.max(*at));
        if blocked { due.max(latest + self.patience()) } else { due }
    }

    /// Bytes that the next frame may have; `None`: any number.
    pub fn budget(&self, redraw: Redraw) -> Option<u64> {
        self.reports.then(|| self.window(redraw).saturating_sub(self.under_way()).max(LEAST))
    }

    /// From how many bytes on the next frame is to end with a request; `None`: it is not.
    pub fn request_from(&self) -> Option<u64> {
        (self.reports || self.attempts > 0).then(|| LEAST.saturating_sub(self.unasked))
    }

    /// Whether a request is to be sent by itself, before the next frame: the round trip is not known any more, and
    /// nothing is under way.
    pub fn measures_round_trip(&self, now: Instant) -> bool {
        let expired = self.estimate.round_trip_at.is_none_or(|at| now.saturating_duration_since(at) > ROUND_TRIP_VALID);
        let first = !self.reports && self.attempts == ATTEMPTS;
        expired && self.requests.is_empty() && (first || self.reports)
    }

    /// A request was sent, after the bytes that were sent since the last one.
    pub fn requested(&mut self, now: Instant) {
        if !self.reports {
            self.attempts = self.attempts.saturating_sub(1);
        }
        self.requests.push_back(Request { at: now, bytes: std::mem::take(&mut self.unasked) });
    }

    /// A frame of so many bytes was sent.
    pub fn rendered(&mut self, now: Instant, bytes: u64) {
        let since = |at| now.saturating_duration_since(at);
        if let Some(oldest) = self.requests.front().filter(|_| self.reports) {
            let overdue = since(oldest.at) > self.patience();
            self.overdue = if overdue { self.overdue + 1 } else { 0 };
            if since(self.estimate.last.max(oldest.at)) > SILENT {
                self.forget();
            } else if self.overdue > OVERDUE && since(self.estimate.last) < self.patience() {
                self.resume();
            } else if overdue {
                self.estimate.halve();
            }
        }
        self.unasked += bytes;
        let needed = Duration::from_secs_f64(bytes as f64 / BUDGET);
        // The bytes of a full repaint delay the frames after it, but by no more than a second.
        self.next = now + needed.clamp(BETWEEN, Duration::from_secs(1));
        self.sent.push_back((now, bytes));
        while self.sent.front().is_some_and(|(at, _)| since(*at) > AVERAGED) {
            self.sent.pop_front();
        }
    }

    /// A report has come.
    pub fn reported(&mut self, now: Instant) {
        self.reports = true;
        // One that nothing asked for says nothing but that the terminal reports.
        if let Some(Request { at, bytes }) = self.requests.pop_front() {
            self.estimate.reported(at, bytes, now);
        }
    }

    /// The terminal was changed, or another one is there: one that does not report is asked again.
    pub fn retry(&mut self) {
        self.attempts = ATTEMPTS;
    }

    /// Another program had the terminal: what was under way is not any more.
    pub fn resume(&mut self) {
        self.requests.clear();
        (self.unasked, self.overdue) = (0, 0);
    }

    /// What is known of the link.
    pub fn link(&self, now: Instant) -> Link {
        let since = |at: &Instant| now.saturating_duration_since(*at);
        let seconds = since(&self.started).min(AVERAGED).as_secs_f64().max(0.1);
        let recent = self.sent.iter().filter(|(at, _)| since(at) <= AVERAGED);
        let (frames, bytes) = recent.fold((0, 0), |(frames, sum), (_, bytes)| (frames + 1, sum + bytes));
        Link {
            capacity: self.estimate.capacity().filter(|_| self.reports),
            round_trip: self.estimate.round_trip.filter(|_| self.reports),
            sent: bytes as f64 / seconds,
            frames: f64::from(frames) / seconds,
        }
    }

    /// Bytes that were sent and not reported.
    fn under_way(&self) -> u64 {
        self.unasked + self.requests.iter().map(|request| request.bytes).sum::<u64>()
    }

    /// Bytes that may be under way.
    fn window(&self, redraw: Redraw) -> u64 {
        let queue = (self.estimate.rate * QUEUE).max(1.5 * LEAST as f64);
        let on_the_wire = self.estimate.rate * self.estimate.round_trip.unwrap_or_default().as_secs_f64();
        (on_the_wire + if redraw == Redraw::Now { 2.0 * queue } else { queue }) as u64
    }

    fn patience(&self) -> Duration {
        PATIENCE.max(self.estimate.round_trip.unwrap_or_default() * 2)
    }

    /// As at the start, since the terminal does not report any more.
    fn forget(&mut self) {
        self.resume();
        self.reports = false;
        self.attempts = ATTEMPTS;
    }
}

#[cfg(test)]
mod tests;
