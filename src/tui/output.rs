//! The thread that writes to the terminal: where a terminal stops reading (a stalled link, Ctrl-S), only this thread
//! waits.
//!
//! Knows nothing of what is written.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::system::terminal::write_to_terminal;

pub struct Output {
    pieces: Sender<Vec<u8>>,
    pending: Arc<Pending>,
}

/// The number of pieces that are not written yet.
#[derive(Default)]
struct Pending {
    count: Mutex<usize>,
    written: Condvar,
}

impl Output {
    /// Starts the thread. `written` is called in it after each piece.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(written: impl Fn(io::Result<()>) + Send + 'static) -> io::Result<Self> {
        let (pieces, queue) = mpsc::channel::<Vec<u8>>();
        let pending = Arc::new(Pending::default());
        let done = Arc::clone(&pending);
        let write = move || {
            for piece in queue {
                let result = write_to_terminal(&piece);
                *done.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                done.written.notify_all();
                written(result);
            }
        };
        thread::Builder::new().name("output".to_owned()).spawn(write)?;
        Ok(Self { pieces, pending })
    }

    /// Queues bytes and returns at once.
    pub fn send(&self, piece: Vec<u8>) {
        *self.pending.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        // The thread never ends while this exists.
        let _ = self.pieces.send(piece);
    }

    /// Whether everything has been written.
    pub fn is_idle(&self) -> bool {
        *self.pending.count.lock().unwrap_or_else(PoisonError::into_inner) == 0
    }

    /// Waits until everything has been written, but no longer than `limit`; says whether it has.
    pub fn wait(&self, limit: Duration) -> bool {
        let count = self.pending.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.pending.written.wait_timeout_while(count, limit, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}
