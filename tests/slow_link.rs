//! A terminal behind a slow link, in front of which everything waits in a buffer, as with SSH: what waits there is
//! little, so that a key is answered soon.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// How long anything may take before it counts as stuck.
const STUCK: Duration = Duration::from_secs(120);
/// Bytes that the link carries in a second.
const RATE: usize = 5_000;
/// Bytes that it carries at once.
const PIECE: usize = 100;
/// What it carries in half a second.
const HALF_A_SECOND: usize = RATE / 2;

const REQUEST: &[u8] = b"\x1b[5n";
const REPORT: &[u8] = b"\x1b[0n";

struct Link {
    /// Written by the program, and not delivered.
    waiting: VecDeque<u8>,
    /// The terminal behind the link, and the bytes that it got.
    parser: vt100::Parser,
    delivered: usize,
    closed: bool,
}

impl Link {
    fn shows(&self, text: &str) -> bool {
        self.parser.screen().contents().contains(text)
    }

    /// Kilobytes a second that the link carries, as the footer has it.
    fn shown_rate(&self) -> Option<f64> {
        let contents = self.parser.screen().contents();
        contents.split("link ").last()?.split(" kB/s").next()?.parse().ok()
    }
}

/// The program behind the link.
struct Terminal {
    link: Arc<(Mutex<Link>, Condvar)>,
    keyboard: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Terminal {
    fn open(command: CommandBuilder) -> Self {
        let size = PtySize { rows: 48, cols: 160, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mut child = pair.slave.spawn_command(command).expect("the program");
        drop(pair.slave);
        let parser = vt100::Parser::new(48, 160, 0);
        let link = Link { waiting: VecDeque::new(), parser, delivered: 0, closed: false };
        let link = Arc::new((Mutex::new(link), Condvar::new()));
        let mut written = pair.master.try_clone_reader().expect("a screen");
        let keyboard = Arc::new(Mutex::new(pair.master.take_writer().expect("a keyboard")));
        let (shared, answers) = (Arc::clone(&link), Arc::clone(&keyboard));
        // What is written is taken at once.
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            let _master = pair.master;
            while let Ok(count @ 1..) = written.read(&mut bytes) {
                shared.0.lock().expect("the link").waiting.extend(&bytes[..count]);
            }
            shared.0.lock().expect("the link").closed = true;
            let _ = child.wait();
        });
        // And delivered piece by piece.
        let shared = Arc::clone(&link);
        thread::spawn(move || {
            let mut end = Vec::new();
            loop {
                thread::sleep(Duration::from_secs_f64(PIECE as f64 / RATE as f64));
                let mut link = shared.0.lock().expect("the link");
                let count = link.waiting.len().min(PIECE);
                let piece: Vec<u8> = link.waiting.drain(..count).collect();
                link.parser.process(&piece);
                link.delivered += count;
                let closed = link.closed && link.waiting.is_empty();
                shared.1.notify_all();
                drop(link);
                if closed {
                    return;
                }
                // A request may be cut by the end of a piece.
                end.extend_from_slice(&piece);
                while let Some(at) = end.windows(REQUEST.len()).position(|bytes| bytes == REQUEST) {
                    end.drain(..at + REQUEST.len());
                    let _ = answers.lock().expect("the keyboard").write_all(REPORT);
                }
                let kept = end.len().min(REQUEST.len() - 1);
                end.drain(..end.len() - kept);
            }
        });
        Self { link, keyboard }
    }

    fn press(&self, keys: &str) {
        self.keyboard.lock().expect("the keyboard").write_all(keys.as_bytes()).expect("a key");
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.0.lock().expect("the link")
    }

    /// Waits until this holds; the bytes that were delivered by then.
    fn until(&self, what: &str, holds: impl Fn(&Link) -> bool) -> usize {
        let waited = self.link.1.wait_timeout_while(self.link(), STUCK, |link| !holds(link));
        let (link, timeout) = waited.expect("the link");
        assert!(!timeout.timed_out(), "waited for {what} in vain; the screen:\n{}", link.parser.screen().contents());
        link.delivered
    }
}

#[test]
fn a_key_is_answered_within_what_the_link_carries_in_half_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    // The shell says what of the terminal's reports came after the program's end.
    let script = "\"$0\" run first-look --steps 1000000 --color truecolor; echo left; read line; echo \"typed:$line:\"";
    let mut command = CommandBuilder::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_innerloop")]);
    command.cwd(folder.path());
    command.env("TERM", "xterm-256color");
    command.env("XDG_STATE_HOME", folder.path().join("state"));
    let terminal = Terminal::open(command);
    terminal.until("training", |link| link.shows("▶"));
    terminal.press("B");
    terminal.until("the rate of the link", |link| {
        link.shown_rate().is_some_and(|rate| (1.0..6.0).contains(&rate)) && link.shows("round trip")
    });
    for paused in [true, false, true, false, true] {
        let before = terminal.link().delivered;
        if paused {
            // While the training's frames come.
            terminal.until("frames", |link| link.delivered > before + RATE);
        }
        let before = terminal.link().delivered;
        terminal.press(" ");
        let after = terminal.until("the answer", |link| link.shows("paused") == paused);
        assert!(after - before <= HALF_A_SECOND, "answered after {} bytes", after - before);
    }
    // A whole screen comes in pieces, but it comes.
    terminal.press("?");
    terminal.until("the help", |link| link.shows("pause, and continue"));
    terminal.press("?");
    terminal.press("q");
    terminal.until("a question", |link| link.shows("steps are not saved"));
    terminal.press("n");
    terminal.until("the shell", |link| link.shows("left"));
    terminal.press("text\r");
    terminal.until("what was typed", |link| link.shows("typed:text:"));
    terminal.until("the end", |link| link.closed);
    assert!(!terminal.link().parser.screen().alternate_screen());
}
