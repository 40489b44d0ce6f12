//! What the loop waits for, and the two threads that tell it: keys and signals.
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

use crate::worker::Update;

pub enum Event {
    Input(crossterm::event::Event),
    /// The terminal is gone.
    InputLost,
    /// From the run with this number; an update of an earlier run is late and means nothing.
    Updated(u64, Box<Update>),
    /// INT, TERM, HUP or QUIT.
    Terminated(i32),
    Resized,
    /// The process was stopped and goes on: the terminal may be in any state.
    Continued,
}

/// Starts the thread that reads keys.
pub fn read_input(events: Sender<Event>) -> Result<()> {
    let read = move || {
        // Whatever ends this thread, the loop learns of it.
        let _ = read_until_lost(&events);
        let _ = events.send(Event::InputLost);
    };
    thread::Builder::new().name("input".to_owned()).spawn(read).context("starting the thread that reads keys")?;
    Ok(())
}

/// Reads until the terminal hangs up or nobody listens.
///
/// Waits here and not in crossterm, which at the end of input neither returns nor fails but reads zero bytes for ever,
/// at the full speed of a core.
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
        // One read may hold several keys: all of them, before sleeping again.
        while crossterm::event::poll(Duration::ZERO)? {
            if events.send(Event::Input(crossterm::event::read()?)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Starts the thread that hears signals.
pub fn hear_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH]).context("hearing signals")?;
    let hear = move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGWINCH => Event::Resized,
                SIGCONT => Event::Continued,
                other => Event::Terminated(other),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(hear).context("starting the thread that hears signals")?;
    Ok(())
}
