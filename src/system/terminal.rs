//! Waiting for input, reading and writing the terminal, and stopping the job, as the system does them.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpgrp, getsid, kill_process_group};
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level::emulate_default_handler;

/// What waiting for input ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Ready,
    TimedOut,
    /// The terminal hung up.
    Lost,
}

/// Waits until standard input can be read, at most for `timeout`.
pub fn wait_for_input(timeout: Option<Duration>) -> io::Result<Waited> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let input = io::stdin();
    loop {
        let mut waiting = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        match poll(&mut waiting, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(0) => return Ok(Waited::TimedOut),
            Ok(_) => {}
        }
        let lost = waiting[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        return Ok(if lost { Waited::Lost } else { Waited::Ready });
    }
}

/// Reads what is there from standard input, past the buffer of [`io::stdin`]; 0 bytes are its end.
pub fn read_from_terminal(bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(io::stdin(), &mut *bytes) {
            Err(rustix::io::Errno::INTR) => {}
            // A shell may have left the terminal in non-blocking mode.
            Err(rustix::io::Errno::AGAIN) => wait_for_input(None).map(drop)?,
            other => return Ok(other?),
        }
    }
}

/// Writes all bytes to standard output, past the lock of [`io::stdout`]: another thread may be waiting in it.
pub fn write_to_terminal(mut bytes: &[u8]) -> io::Result<()> {
    let output = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(&output, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // A shell may have left the terminal in non-blocking mode.
            Err(rustix::io::Errno::AGAIN) => {
                match poll(&mut [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a shell can continue the job. Where the terminal itself has started it (`tmux new innerloop`), it would stay
/// stopped for ever, and the system ignores Ctrl-Z, too.
fn can_be_continued() -> bool {
    getsid(None) != Ok(getpgrp())
}

/// Stops the whole job until it is continued, as the terminal does upon Ctrl-Z: under `cargo run` the shell waits for
/// cargo. The process itself receives the signal, too.
pub fn stop_job() -> io::Result<()> {
    if can_be_continued() {
        kill_process_group(getpgrp(), Signal::TSTP)?;
    }
    stop_self()
}

/// Stops this process until it is continued.
pub fn stop_self() -> io::Result<()> {
    if can_be_continued() { emulate_default_handler(SIGTSTP) } else { Ok(()) }
}
