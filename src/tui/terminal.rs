//! The terminal: taken, rendered to, and always given back as it was.
//!
//! Owns raw mode, the alternate screen, the panic hook and suspending. Nothing here waits for a terminal that does not
//! read: a frame is handed to the thread that writes, and leaving waits for it for a limited time. Knows nothing of
//! what is rendered.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::panic;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::queue;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};

use super::device_status::{self, REQUEST};
use super::output::Output;
use super::piecewise::Piecewise;

/// Whether this program has taken the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether the terminal is asked to report its mouse.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// The thread that writes; one for the whole program, since the panic hook needs it, too.
static OUTPUT: OnceLock<Output> = OnceLock::new();

/// How long leaving waits for a terminal that does not read.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

pub struct Screen {
    terminal: Terminal<CrosstermBackend<Gathered>>,
    /// What is to be sent with the next frame.
    gathered: Gathered,
    pieces: Piecewise,
}

/// What a frame may consist of.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// About so many bytes; `None`: any number.
    pub bytes: Option<u64>,
    /// A frame of so many bytes ends with a status request; `None`: no frame.
    pub request_from: Option<u64>,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub bytes: u64,
    /// It ended with a status request.
    pub requested: bool,
    /// A part of what has changed was left for the next frame.
    pub held_back: bool,
}

impl Screen {
    /// Takes the terminal. It is given back when this is dropped, and by the panic hook. `written` is called in another
    /// thread when a frame has been written.
    pub fn take(mouse: bool, written: impl Fn(io::Result<()>) + Send + 'static) -> io::Result<Self> {
        MOUSE.store(mouse, Ordering::SeqCst);
        give_back_on_panic();
        // The theme reduces colours to what the terminal can show. Under NO_COLOR crossterm itself would replace each
        // colour by a full reset, which ends bold and reverse as well.
        crossterm::style::force_color_output(true);
        let output = Output::start(written)?;
        OUTPUT.get_or_init(|| output);
        enter()?;
        let gathered = Gathered::default();
        let terminal = Terminal::new(CrosstermBackend::new(gathered.clone())).inspect_err(|_| give_back())?;
        Ok(Self { terminal, gathered, pieces: Piecewise::default() })
    }

    /// Whether the terminal has taken the last frame.
    pub fn is_ready(&self) -> bool {
        OUTPUT.get().is_none_or(Output::is_idle)
    }

    /// The place of everything on the screen.
    pub fn area(&mut self) -> Rect {
        self.terminal.get_frame().area()
    }

    /// Renders a frame, and sends what differs from the last one, or as much of it as is allowed.
    pub fn draw(&mut self, allowance: Allowance, render: impl FnOnce(&mut Frame)) -> io::Result<Sent> {
        // Terminals that know this sequence show the frame at once; the others skip it.
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let (pieces, mut held_back) = (&mut self.pieces, false);
        self.terminal.draw(|frame| {
            render(frame);
            let buffer = frame.buffer_mut();
            held_back = allowance.bytes.is_some_and(|bytes| pieces.hold_back(buffer, bytes as usize));
            pieces.shown(buffer);
        })?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        let mut bytes = self.gathered.take();
        let requested = allowance.request_from.is_some_and(|least| bytes.len() as u64 >= least);
        if requested {
            bytes.extend_from_slice(REQUEST);
            device_status::requested(Instant::now());
        }
        let count = bytes.len() as u64;
        send_frame(bytes);
        Ok(Sent { bytes: count, requested, held_back })
    }

    /// Asks the terminal for its status.
    pub fn request_status(&self) {
        device_status::requested(Instant::now());
        send_frame(REQUEST.to_vec());
    }

    /// Takes the terminal again, whatever state other programs left it in; the next frame sends all of it.
    pub fn retake(&mut self) -> io::Result<()> {
        enter()?;
        self.pieces.cleared();
        // Not `clear`, which asks the terminal for its cursor and waits for the answer that the input thread reads.
        self.terminal.resize(self.terminal.size()?.into())
    }

    /// Gives the terminal to the shell, and stops until this process is continued.
    pub fn suspend(&mut self, stop: fn() -> io::Result<()>) -> io::Result<()> {
        give_back();
        stop()?;
        self.retake()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Prints lines after the terminal was given back, unless it does not read.
pub fn print_lines(lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    send(text.into_bytes());
    wait();
}

fn send(bytes: Vec<u8>) {
    if let Some(output) = OUTPUT.get() {
        output.send(bytes);
    }
}

/// Sends a frame, unless the terminal was given back: half a frame must not reach the shell.
fn send_frame(bytes: Vec<u8>) {
    if TAKEN.load(Ordering::SeqCst) {
        send(bytes);
    }
}

/// Waits for a limited time until everything is written; says whether it is.
fn wait() -> bool {
    OUTPUT.get().is_none_or(|output| output.wait(LEAVE_WITHIN))
}

fn enter() -> io::Result<()> {
    let mut bytes = Vec::new();
    if TAKEN.swap(true, Ordering::SeqCst) {
        // A shell may have changed the terminal's modes; crossterm sets raw mode only after it was disabled. The
        // alternate screen is entered once, since a second time would overwrite the saved cursor.
        disable_raw_mode()?;
    } else {
        queue!(bytes, EnterAlternateScreen)?;
    }
    enable_raw_mode()?;
    queue!(bytes, EnableBracketedPaste, Hide)?;
    if MOUSE.load(Ordering::SeqCst) {
        queue!(bytes, EnableMouseCapture)?;
    }
    send(bytes);
    Ok(())
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut bytes = Vec::new();
        // If the terminal is gone nothing can be done, and a part of this is better than nothing.
        if MOUSE.load(Ordering::SeqCst) {
            let _ = queue!(bytes, DisableMouseCapture);
        }
        let _ = queue!(bytes, EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen, Show);
        send(bytes);
        if wait() {
            device_status::wait_for_reports();
        }
        let _ = disable_raw_mode();
    }
}

/// Gives the terminal back before a panic's message is printed. A panic of another thread prints nothing: the worker
/// reports its own, on the screen, and the lab goes on.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    let screen_thread = thread::current().id();
    ONCE.call_once(move || {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == screen_thread {
                give_back();
            }
            if !TAKEN.load(Ordering::SeqCst) {
                print(info);
            }
        }));
    });
}

/// Gathers what the backend writes, until it is sent as one frame.
#[derive(Clone, Default)]
struct Gathered(Rc<RefCell<Vec<u8>>>);

impl Gathered {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.borrow_mut())
    }
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    use super::Screen;

    const INSIDE: &str = "INNERLOOP_TEST_INSIDE_A_TERMINAL";

    /// Runs itself again in a terminal of its own, where it panics with the screen taken.
    #[test]
    fn a_panic_gives_the_terminal_back_and_its_message_is_read_there() {
        if env::var_os(INSIDE).is_some() {
            let _screen = Screen::take(true, drop).expect("a screen");
            panic!("panicked on purpose");
        }
        let pair = native_pty_system().openpty(PtySize::default()).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(env::current_exe().expect("this test"));
        let (_, module) = module_path!().split_once("::").expect("a crate and a module");
        let name = format!("{module}::a_panic_gives_the_terminal_back_and_its_message_is_read_there");
        command.args(["--exact", name.as_str(), "--nocapture"]);
        // Frame by frame it would push the message off the screen.
        command.env("RUST_BACKTRACE", "0");
        command.env(INSIDE, "1");
        command.env("TERM", "xterm-256color");
        let mut child = pair.slave.spawn_command(command).expect("this test");
        drop(pair.slave);
        let mut output = Vec::new();
        let mut screen = pair.master.try_clone_reader().expect("a screen");
        // The end of a pseudo-terminal is an error on Linux.
        let _ = screen.read_to_end(&mut output);
        assert!(!child.wait().expect("a status").success());
        let mut parser = vt100::Parser::new(24, 80, 0);
        parser.process(&output);
        let shown = parser.screen();
        assert!(String::from_utf8_lossy(&output).contains("\u{1b}[?1049h"), "the screen was taken");
        assert_eq!(shown.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert!(!shown.alternate_screen() && !shown.hide_cursor() && !shown.bracketed_paste());
        assert!(shown.contents().contains("panicked on purpose"), "{}", shown.contents());
        let modes = format!("{:?}", pair.master.get_termios().expect("modes").local_flags);
        assert!(modes.contains("ICANON") && modes.contains("ECHO"), "{modes}");
    }
}
