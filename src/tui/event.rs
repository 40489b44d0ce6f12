//! What the event loop waits for, and the two threads that send it: keys and signals.
//!
//! Knows nothing of what an event leads to.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;

use super::device_status;
use super::input::{Input, InputParser, SPLIT_WITHIN};
use super::message::{EffectResult, SystemEvent};
use crate::system::signals;
use crate::system::terminal::{Waited, read_from_terminal, wait_for_input};
use crate::worker::Update;

/// The exit code when the terminal is gone: that of SIGHUP.
pub const TERMINAL_LOST: u8 = SIGNALLED + SIGHUP as u8;
/// Exit codes above this one mean that a signal ended the program.
const SIGNALLED: u8 = 128;

pub enum Event {
    Input(crossterm::event::Event),
    /// From the run with this number; an update of an earlier run is late and is dropped.
    Updated(u64, Box<Update>),
    System(SystemEvent),
    /// An effect that takes time has a result.
    Result(EffectResult),
    Resized,
    /// A frame has been written to the terminal, and there is space for the next.
    FrameWritten,
    /// The terminal has reported its status at this time.
    StatusReported(Instant),
}

/// Starts the thread that reads keys.
pub fn read_input(events: Sender<Event>) -> Result<()> {
    let read = move || {
        // However this thread ends, the terminal is no longer read.
        let _ = read_until_lost(&events);
        let _ = events.send(Event::System(SystemEvent::Terminate(TERMINAL_LOST)));
    };
    thread::Builder::new().name("input".to_owned()).spawn(read).context("starting the thread that reads keys")?;
    Ok(())
}

/// Reads until the terminal hangs up or the event loop ends.
fn read_until_lost(events: &Sender<Event>) -> io::Result<()> {
    let (mut parser, mut bytes) = (InputParser::default(), [0; 4096]);
    loop {
        let inputs = match wait_for_input(parser.is_waiting().then_some(SPLIT_WITHIN))? {
            Waited::Lost => return Ok(()),
            Waited::TimedOut => parser.time_over(),
            Waited::Ready => match read_from_terminal(&mut bytes)? {
                0 => return Ok(()),
                count => parser.push(&bytes[..count]),
            },
        };
        for input in inputs {
            let event = match input {
                Input::Event(event) => Event::Input(event),
                Input::StatusReport => {
                    device_status::reported();
                    Event::StatusReported(Instant::now())
                }
            };
            if events.send(event).is_err() {
                return Ok(());
            }
        }
    }
}

/// Starts the thread that receives signals, except those that were ignored at the start.
pub fn read_signals(events: Sender<Event>) -> Result<()> {
    let suspended = Some(signals::SUSPENDED).filter(|signal| !signals::is_ignored(*signal));
    let receive = signals::ending().into_iter().chain(suspended).chain([signals::CONTINUED, signals::RESIZED]);
    let mut received = Signals::new(receive).context("registering for signals")?;
    let read = move || {
        for signal in received.forever() {
            let event = match signal {
                signals::RESIZED => Event::Resized,
                signals::CONTINUED => Event::System(SystemEvent::Continued),
                signals::SUSPENDED => Event::System(SystemEvent::Suspended),
                other => {
                    tracing::info!(signal = signals::name(other), "received");
                    Event::System(SystemEvent::Terminate(SIGNALLED.saturating_add(other as u8)))
                }
            };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(read).context("starting the thread for signals")?;
    Ok(())
}
