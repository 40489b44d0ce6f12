//! The status request (DSR, `ESC [ 5 n`), which every terminal answers with a report once it has read what was written
//! before: so the program knows what the terminal has taken, past all buffers on the way.
//!
//! Counts the reports that are still to come, since the shell must not get them as if they were typed.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asks the terminal for its status. [`Input::StatusReport`](super::input::Input::StatusReport) is the answer.
pub const REQUEST: &[u8] = b"\x1b[5n";

/// How long after the last request leaving waits for reports. A terminal that never reports is asked at the start only.
const REPORT_WITHIN: Duration = Duration::from_secs(1);

struct Open {
    /// Reports that are still to come.
    count: usize,
    /// When the last request was sent.
    last: Option<Instant>,
}

static OPEN: Mutex<Open> = Mutex::new(Open { count: 0, last: None });
static REPORTED: Condvar = Condvar::new();

/// A request has been sent.
pub fn requested(now: Instant) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *open = Open { count: open.count + 1, last: Some(now) };
}

/// A report has come.
pub fn reported() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.count = open.count.saturating_sub(1);
    REPORTED.notify_all();
}

/// Waits for the reports that are still to come, for a limited time. Another thread has to read them.
pub fn wait_for_reports() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = open.last {
        let limit = REPORT_WITHIN.saturating_sub(last.elapsed());
        let waited = REPORTED.wait_timeout_while(open, limit, |open| open.count > 0);
        open = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    *open = Open { count: 0, last: None };
}
