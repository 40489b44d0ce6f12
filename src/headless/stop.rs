//! Signals that ask a command to end after the step that it is in. A second INT or QUIT, which a person sends by a key,
//! ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use signal_hook::flag;

use crate::system::signals;

/// The signal that came, if one did.
pub struct StopSignal {
    signal: Arc<AtomicUsize>,
}

impl StopSignal {
    /// From here on signals are remembered, and a signal that was ignored at the start stays ignored.
    pub fn listen() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        let came = Arc::new(AtomicBool::new(false));
        for number in signals::ending() {
            if signals::FROM_KEYS.contains(&number) {
                // In this order: the first signal finds the flag down, and sets it.
                flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&came))?;
                flag::register(number, Arc::clone(&came))?;
            }
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
        }
        Ok(Self { signal })
    }

    /// The number and the name of the signal that came last.
    pub fn signal(&self) -> Option<(u8, &'static str)> {
        let number = u8::try_from(self.signal.load(Ordering::Relaxed)).ok()?;
        signals::name(number.into()).map(|name| (number, name))
    }
}
