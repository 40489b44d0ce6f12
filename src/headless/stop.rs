//! INT, TERM and HUP ask a command to end after the step that it is in; a second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

#[cfg(unix)]
const ASKED: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const ASKED: [i32; 2] = [SIGINT, SIGTERM];

/// The signal that came, if one did.
pub struct StopSignal {
    signal: Arc<AtomicUsize>,
}

impl StopSignal {
    /// From here on signals are remembered instead of obeyed.
    pub fn listen() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        let came = Arc::new(AtomicBool::new(false));
        for number in ASKED {
            // In this order: the first signal finds the flag down, and puts it up.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&came))?;
            flag::register(number, Arc::clone(&came))?;
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
        }
        Ok(Self { signal })
    }

    /// The number and the name of the signal that came.
    pub fn signal(&self) -> Option<(u8, &'static str)> {
        match i32::try_from(self.signal.load(Ordering::Relaxed)) {
            Ok(SIGINT) => Some((2, "INT")),
            Ok(SIGTERM) => Some((15, "TERM")),
            Ok(1) => Some((1, "HUP")),
            _ => None,
        }
    }
}
