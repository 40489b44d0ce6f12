//! The program in a real terminal: it starts, trains, saves and leaves, and always gives the terminal back.

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use innerloop::session;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long anything may take before it counts as stuck; nothing waits this long when all is well. A program that
/// watches a run may wait a minute before it reads it again.
const STUCK: Duration = Duration::from_secs(120);

/// What has arrived on the screen, and whether more can come.
struct Seen {
    parser: vt100::Parser,
    closed: bool,
    /// Nothing is read from the program.
    stalled: bool,
}

impl Seen {
    /// The step of the run that is shown.
    fn step(&self) -> Option<u64> {
        let contents = self.parser.screen().contents();
        let mut numbers = contents.split("step ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        numbers.find_map(|number| number.replace(',', "").parse().ok())
    }
}

/// The program in a pseudo-terminal.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn open(arguments: &[&str]) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_innerloop"));
        command.args(arguments);
        let folder = tempfile::tempdir().expect("a folder");
        command.cwd(folder.path());
        Self::run(command, folder)
    }

    /// Runs a command whose working directory is chosen; `folder` lives as long as this.
    fn run(mut command: CommandBuilder, folder: tempfile::TempDir) -> Self {
        let size = PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        command.env("TERM", "xterm-256color");
        command.env("XDG_STATE_HOME", folder.path().join("state"));
        let child = pair.slave.spawn_command(command).expect("the program");
        drop(pair.slave);

        let seen = Seen { parser: vt100::Parser::new(36, 120, 0), closed: false, stalled: false };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let mut screen = pair.master.try_clone_reader().expect("a screen");
        let keyboard = pair.master.take_writer().expect("a keyboard");
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = screen.read(&mut bytes).unwrap_or(0);
                let seen = shared.0.lock().expect("the screen");
                let mut seen = shared.1.wait_while(seen, |seen| seen.stalled).expect("the screen");
                seen.parser.process(&bytes[..read]);
                seen.closed = read == 0;
                shared.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { master: pair.master, keyboard, child, seen, folder }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("a key");
    }

    /// Waits until the screen shows this.
    fn until(&self, what: &str) {
        self.wait(what, |seen| seen.parser.screen().contents().contains(what));
    }

    fn wait(&self, what: &str, arrived: impl Fn(&Seen) -> bool) {
        let (lock, changed) = &*self.seen;
        let seen = lock.lock().expect("the screen");
        let (seen, timeout) = changed.wait_timeout_while(seen, STUCK, |seen| !arrived(seen)).expect("the screen");
        assert!(!timeout.timed_out(), "waited for {what:?} in vain; the screen:\n{}", seen.parser.screen().contents());
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().expect("a process").to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Stops reading, as a terminal does on a stalled link, or reads on.
    fn stall(&self, stalled: bool) {
        self.seen.0.lock().expect("the screen").stalled = stalled;
        self.seen.1.notify_all();
    }

    /// Waits until the system holds as much for a terminal that does not read as it can: it has not grown for a second.
    fn until_full(&self) {
        let (mut held, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            let mut now: libc::c_int = 0;
            let fd = self.master.as_raw_fd().expect("a pseudo-terminal");
            // SAFETY: the descriptor is open, and FIONREAD writes one number.
            assert_eq!(unsafe { libc::ioctl(fd, libc::FIONREAD, &mut now) }, 0);
            if now != held {
                (held, since) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the process, without reading what it prints.
    fn exit_code(&mut self) -> u32 {
        let began = Instant::now();
        while began.elapsed() < STUCK {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status.exit_code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the program does not end");
    }

    /// Waits for the end and returns the exit code.
    fn end(&mut self) -> u32 {
        self.wait("the end", |seen| seen.closed);
        self.child.wait().expect("a status").exit_code()
    }

    /// Asserts that the screen, the cursor and the line discipline are as before the start.
    fn assert_given_back(&self) {
        let seen = self.seen.0.lock().expect("the screen");
        let screen = seen.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "bracketed paste is off");
        if let Some(termios) = self.master.get_termios() {
            let text = format!("{:?}", termios.local_flags);
            assert!(text.contains("ICANON") && text.contains("ECHO"), "lines and echo are back: {text}");
        }
    }

    fn saves(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("saves")) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "ron")).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn assert_readable(path: &Path) -> u64 {
    session::load(path).expect("a session that can be read").checkpoint.step
}

#[test]
fn a_lesson_from_the_first_key_to_the_last() {
    let mut terminal = Terminal::open(&[]);
    terminal.until("Lessons");
    terminal.press("\t");
    terminal.until("First look");
    terminal.press("\r");
    terminal.until("Hidden state");
    terminal.until("finished");
    terminal.press("s");
    terminal.until("saved");
    terminal.press("q");
    assert_eq!(terminal.end(), 0);
    terminal.assert_given_back();
    let saves = terminal.saves();
    assert_eq!(saves.len(), 1, "{saves:?}");
    assert_readable(&saves[0]);
}

#[test]
fn a_signal_saves_and_gives_the_terminal_back() {
    let signals = [("TERM", SIGTERM), ("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT), ("USR1", SIGUSR1)];
    for (name, number) in signals.into_iter().chain([("USR2", SIGUSR2), ("XCPU", SIGXCPU)]) {
        let code = 128 + number.unsigned_abs();
        let mut terminal = Terminal::open(&["run", "gd-ssm", "--set", "train.slow_down=Never"]);
        terminal.until("Hidden state");
        terminal.until("step 1");
        terminal.signal(name);
        assert_eq!(terminal.end(), code, "{name}");
        terminal.assert_given_back();
        let saves = terminal.saves();
        assert_eq!(saves.len(), 1, "{name}: {saves:?}");
        assert!(assert_readable(&saves[0]) > 0, "{name}");
    }
}

#[test]
fn a_terminal_that_stops_reading_delays_neither_the_save_nor_the_end() {
    for name in ["TERM", "HUP"] {
        let mut terminal = Terminal::open(&["run", "first-look"]);
        terminal.until("Hidden state");
        terminal.until("step 1");
        terminal.stall(true);
        // Each repaint is larger than what the system holds for a terminal that does not read.
        terminal.press(&"L".repeat(50));
        terminal.until_full();
        terminal.signal(name);
        assert_eq!(terminal.exit_code(), if name == "TERM" { 143 } else { 129 });
        assert!(assert_readable(&terminal.saves()[0]) > 0);
        terminal.stall(false);
    }
}

#[test]
fn four_hundred_sessions_and_a_hostile_file_leave_the_gallery_responsive() {
    let mut first = Terminal::open(&["run", "first-look"]);
    first.until("Hidden state");
    first.until("step 1");
    first.signal("TERM");
    first.end();
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read(&first.saves()[0]).expect("a session");
    (0..400).for_each(|i| std::fs::write(folder.path().join(format!("{i}.ron")), &text).expect("a copy"));
    std::fs::write(folder.path().join("quotes.ron"), "'".repeat(3 << 20)).expect("a file");
    let huge = std::fs::File::create(folder.path().join("huge.ron")).expect("a file");
    huge.set_len(300 << 20).expect("a size");

    let mut terminal = Terminal::open(&["--saves", folder.path().to_str().expect("a name")]);
    terminal.until("Lessons");
    terminal.press("ll");
    terminal.until("Sessions (402)");
    // Files that cannot be read stand last.
    terminal.press("G");
    terminal.until("cannot be read:");
    terminal.press("g\r");
    terminal.until("Hidden state");
}

#[test]
fn a_saved_run_opens_where_it_was() {
    let mut terminal = Terminal::open(&["run", "first-look"]);
    terminal.until("Hidden state");
    terminal.until("step 1");
    terminal.signal("TERM");
    terminal.end();
    let save = terminal.saves().remove(0);
    let step = assert_readable(&save);

    let mut again = Terminal::open(&["run", save.to_str().expect("a name")]);
    again.until("finished");
    again.press("q");
    again.press("q");
    assert!(step > 0);
}

#[test]
fn when_the_line_drops_the_program_saves_and_leaves() {
    let pair = native_pty_system().openpty(PtySize::default()).expect("a pseudo-terminal");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_innerloop"));
    command.args(["run", "gd-ssm"]);
    command.cwd(folder.path());
    command.env("XDG_STATE_HOME", folder.path().join("state"));
    let mut child = pair.slave.spawn_command(command).expect("the program");
    drop(pair.slave);
    let mut screen = pair.master.try_clone_reader().expect("a screen");
    let mut parser = vt100::Parser::new(24, 80, 0);
    let mut bytes = [0; 4096];
    while !parser.screen().contents().contains("step 1") {
        let read = screen.read(&mut bytes).expect("output");
        parser.process(&bytes[..read]);
    }
    // Nothing holds the other side any more, as when a connection is lost.
    drop((screen, pair.master));
    assert_eq!(child.wait().expect("a status").exit_code(), 129);
    let save = std::fs::read_dir(folder.path().join("saves")).expect("saves").next().expect("a save").expect("a file");
    assert_readable(&save.path());
}

/// The lab on a preset, in a folder that others use, too.
fn lab_in(folder: &Path) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_innerloop"));
    command.args(["run", "gd-ssm"]);
    command.cwd(folder);
    let mut terminal = Terminal::run(command, tempfile::tempdir().expect("a folder"));
    terminal.until("Hidden state");
    terminal.until("step 1");
    // Paused, so that two of them do not compete for the processor.
    terminal.press(" ");
    terminal.until("paused");
    terminal
}

#[test]
fn two_labs_on_one_preset_leave_two_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut labs = [lab_in(folder.path()), lab_in(folder.path())];
    labs.iter().for_each(|lab| lab.signal("HUP"));
    for lab in &mut labs {
        assert_eq!(lab.end(), 129);
    }
    let saves: Vec<_> = std::fs::read_dir(folder.path().join("saves")).expect("saves").flatten().collect();
    assert_eq!(saves.len(), 2, "{saves:?}");
    saves.iter().for_each(|save| assert!(assert_readable(&save.path()) > 0));
}

#[test]
fn a_session_that_another_run_writes_is_saved_to_a_new_file() {
    let mut terminal = Terminal::open(&["run", "gd-ssm", "--set", "train.slow_down=Never"]);
    terminal.until("step 1");
    terminal.press("s");
    terminal.until("saved to saves");
    let path = terminal.saves().remove(0);
    let before = std::fs::read(&path).expect("a save");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_innerloop"));
    command.args(["run", path.to_str().expect("a name")]);
    command.cwd(terminal.folder.path());
    let mut second = Terminal::run(command, tempfile::tempdir().expect("a folder"));
    second.until("another run writes this file");
    // At the saved step there is nothing to save.
    second.press(".");
    second.until("paused");
    second.signal("TERM");
    assert_eq!(second.end(), 143);
    terminal.press("q");
    assert_eq!(std::fs::read(&path).expect("a save"), before);
    let saves = terminal.saves();
    assert_eq!(saves.len(), 2, "{saves:?}");
    saves.iter().for_each(|save| assert!(assert_readable(save) > 0));
}

#[test]
fn a_stop_by_a_signal_gives_the_terminal_to_the_shell() {
    let script = "set -m; \"$0\" run gd-ssm; echo stopped with $?; read line; fg >/dev/null; echo ended with $?";
    let mut command = CommandBuilder::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_innerloop")]);
    let folder = tempfile::tempdir().expect("a folder");
    command.cwd(folder.path());
    let mut terminal = Terminal::run(command, folder);
    terminal.until("step 1");
    let shell = terminal.child.process_id().expect("a process");
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", &shell.to_string()]).output().expect("ps");
    let lab = String::from_utf8(children.stdout).expect("a number").trim().to_owned();
    let signal = |name: &str| assert!(Command::new("kill").args(["-s", name, &lab]).status().expect("kill").success());
    signal("TSTP");
    terminal.until("stopped with");
    terminal.assert_given_back();
    terminal.press("\r");
    terminal.wait("the lab", |seen| seen.parser.screen().alternate_screen());
    terminal.until("Hidden state");
    signal("TERM");
    terminal.until("ended with 143");
    terminal.assert_given_back();
}

#[test]
fn opening_shows_how_far_it_is_and_is_left_at_once() {
    // All references on wide tasks: seconds at least.
    let wide = ["run", "gd-ssm", "--set", "task.dim=128", "--set", "task.context=128"];
    for code in [0, 143] {
        let mut terminal = Terminal::open(&wide);
        terminal.wait("a percentage", |seen| {
            let shown = seen.parser.screen().contents();
            shown.contains("opening …") && shown.contains(" %")
        });
        if code == 0 {
            terminal.press("q")
        } else {
            terminal.signal("TERM")
        }
        assert_eq!(terminal.end(), code);
        terminal.assert_given_back();
        assert!(terminal.saves().is_empty());
    }
}

#[test]
fn a_run_that_is_trained_elsewhere_is_watched_until_its_writer_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.ron");
    let path = file.to_str().expect("a path");
    let mut trainer = Command::new(env!("CARGO_BIN_EXE_innerloop"))
        .args(["train", "first-look", "--set", "train.steps=1000000", "--save", path, "--save-every", "1"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a trainer");
    while !file.exists() {
        thread::sleep(Duration::from_millis(20));
    }
    let mut terminal = Terminal::open(&["watch", path]);
    // It is read again at once when it is saved next, and less often from then on.
    let first = Cell::new(None);
    terminal.wait("a step", |seen| {
        first.set(seen.step());
        first.get().is_some()
    });
    terminal.wait("another step", |seen| seen.step() > first.get());
    terminal.until("watching");
    terminal.until("trains it");
    terminal.press(" ");
    terminal.until("only watched");
    trainer.kill().expect("an end");
    trainer.wait().expect("an end");
    terminal.until("no longer trained");
    let before = std::fs::read(&file).expect("the session");
    terminal.press("s");
    terminal.press("q");
    assert_eq!(terminal.end(), 0);
    terminal.assert_given_back();
    assert!(terminal.saves().is_empty());
    assert_eq!(std::fs::read(&file).expect("the session"), before);
}
