//! What differs between operating systems: signals, locks and links of files, waiting for keys, limits of memory.
//!
//! The only folder that names Unix or Linux. Knows nothing of runs and sessions.

#[cfg(not(unix))]
compile_error!("innerloop runs on Linux and macOS; on Windows build and run it in WSL");

pub mod files;
mod leftovers;
mod lock;
pub mod memory;
pub mod signals;
pub mod terminal;

pub use leftovers::remove_leftovers;
pub use lock::{FileLock, LockError};
