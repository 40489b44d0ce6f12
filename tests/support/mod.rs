//! What several tests need: the program as a child, and a preset and a session that are quick to make.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use innerloop::preset::{self, Preset};
use innerloop::session::Session;
use innerloop::train::{DeviceChoice, Experiment};

/// A small preset, line by line, so that tests can name places in it.
pub const PRESET: &str = r#"// A preset for tests: the words dim: 0 here are a comment.
Preset(
    title: "Tiny",
    family: StateSpace,
    summary: "says task: (dim: 0) in a text",
    recurrence: "S = Σ y xᵀ",
    about: "",
    look_for: "",
    expect: "",
    task: Linear(
        dim: 2,
        outputs: Vector,
        context: 3,
        range: 1.0,
    ),
    layout: Interleaved,
    model: GdSsm(init: Random),
    train: (
        batch: 4,
        steps: 50,
        lr: 0.01,
        seed: 1,
        measure_every: 10,
        optimiser: Adam(beta1: 0.9),
        clip: 1.0,
    ),
    references: [Zero, Gd(1), LeastSquares],
)
"#;

/// [`PRESET`] with one piece replaced, which must be there.
pub fn preset_with(piece: &str, by: &str) -> String {
    assert!(PRESET.contains(piece), "{piece}");
    PRESET.replacen(piece, by, 1)
}

pub fn preset() -> Preset {
    preset::understand("tiny.ron", PRESET).unwrap()
}

/// A session of [`PRESET`] after some steps.
pub fn session(steps: u64) -> Session {
    let mut experiment = Experiment::start("tiny", preset(), DeviceChoice::Cpu).unwrap();
    for _ in 0..steps {
        experiment.advance(1).unwrap();
    }
    Session::of(&experiment).unwrap()
}

/// The program in a folder, without a terminal, and without variables that change what it does.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innerloop"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.env_remove("INNERLOOP_SAVES").env("RUST_BACKTRACE", "1");
    // Results of a test do not belong into the gallery of the person who runs it.
    command.env("XDG_STATE_HOME", folder.join(".state"));
    command
}

/// Runs the program to its end.
pub fn innerloop(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error, without what a busy machine adds while a run is opened.
pub fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.split_inclusive('\n').filter(|line| !line.starts_with("opening: ")).collect()
}

/// A training child that has done its first steps.
pub fn training(folder: &Path, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    std::fs::write(folder.join("long.ron"), preset_with("steps: 50", "steps: 1000000000")).unwrap();
    started(&mut command(folder, &[&["train", "long.ron"], arguments].concat()))
}

/// Starts a child and waits until it reports steps.
pub fn started(command: &mut Command) -> (Child, BufReader<ChildStderr>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // On a busy machine the opening takes long enough to be commented on.
    while line.is_empty() || line.starts_with("opening: ") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended");
    }
    assert!(line.starts_with("step "), "{line}");
    (child, lines)
}

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
