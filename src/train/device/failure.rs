//! Failures of a device, as errors.
//!
//! dfdx returns most of a device's failures, but panics on some: when numbers are read back, when a tensor that is
//! shared is copied, when a kernel is compiled at run time.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use anyhow::{Result, anyhow};

thread_local! {
    /// Whether a panic of this thread is caught by [`catch_panic`], so that the panic hook prints nothing.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// File and line of the last panic that was caught.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// An error of dfdx, as an error of this program.
pub fn device_error<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("the device could not compute: {error}")
}

/// Calls a function that may panic: the panic becomes an error, and nothing is printed.
pub fn catch_panic<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CAUGHT.get() {
                let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
                PLACE.set(place.unwrap_or_default());
            } else {
                print(info);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    result.unwrap_or_else(|panic| Err(device_error(format!("{} ({})", message(&*panic), PLACE.take()))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

/// The error; if the device is out of memory, with what to change: the batch of this many sequences.
pub fn explained(error: anyhow::Error, device: &str, batch: usize) -> anyhow::Error {
    match is_out_of_memory(&error) {
        true => anyhow!("{device} has no memory left for a batch of {batch}: make train.batch smaller"),
        false => error,
    }
}

/// Whether a device has no memory left.
pub fn is_out_of_memory(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    ["OUT_OF_MEMORY", "ALLOC_FAILED", "OutOfMemory"].iter().any(|sign| text.contains(sign))
}
