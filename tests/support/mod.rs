//! What several tests need: the program as a child, and a preset and a session that are quick to make.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

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

/// The program in a folder, without a terminal, and not told what to do by the environment.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innerloop"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.env_remove("INNERLOOP_SAVES").env("RUST_BACKTRACE", "1");
    // What comes of a test is nothing for the gallery of whoever runs it.
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

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
