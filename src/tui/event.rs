//! What the event loop waits for, and the two threads that send it: keys and signals.
//!
//! Knows nothing of what an event leads to.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use super::message::SystemEvent;
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
    Resized,
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
///
/// Waits in `poll` and not in crossterm, which at the end of input neither returns nor fails but reads zero bytes for
/// ever, at the full speed of a core.
fn read_until_lost(events: &Sender<Event>) -> io::Result<()> {
    let input = io::stdin();
    loop {
        let mut waiting = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        match poll(&mut waiting, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let ready = waiting[0].revents();
        if ready.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Ok(());
        }
        // One read may hold several keys: all of them, before waiting again.
        while crossterm::event::poll(Duration::ZERO)? {
            if events.send(Event::Input(crossterm::event::read()?)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Starts the thread that receives signals.
pub fn read_signals(events: Sender<Event>) -> Result<()> {
    let receive = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH];
    let mut signals = Signals::new(receive).context("registering for signals")?;
    let read = move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGWINCH => Event::Resized,
                SIGCONT => Event::System(SystemEvent::Continued),
                other => Event::System(SystemEvent::Terminate(SIGNALLED.saturating_add(other as u8))),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(read).context("starting the thread for signals")?;
    Ok(())
}
