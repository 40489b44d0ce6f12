//! innerloop: a terminal lab where sequence models are seen to learn gradient descent inside their forward pass.
//!
//! | to find | look in |
//! |---|---|
//! | what is learnt in context, and how it becomes tokens | [`task`] |
//! | the textbook algorithms that models are held against | [`mod@reference`] |
//! | architectures and the operations they are made of | [`nn`] |
//! | optimisers and learning-rate schedules | [`optim`] |
//! | one experiment as a file | [`preset`] |
//! | training, measuring, looking inside | [`train`] |
//! | a run on disk | [`session`] |
//! | the thread around a run | [`worker`] |
//! | commands without a screen | [`headless`] |
//! | the lab itself | [`tui`] |
//!
//! Dependencies point one way, and `tests/architecture.rs` holds them to it:
//! `cli → {tui, headless} → {worker, session} → train → preset → {optim → nn, task, reference} → {series, bounds, lanes}`.

pub mod bounds;
pub mod cli;
pub mod headless;
mod lanes;
pub mod nn;
pub mod optim;
pub mod preset;
pub mod reference;
pub mod series;
pub mod session;
pub mod sweep;
pub mod task;
pub mod train;
pub mod tui;
pub mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command, Lab};

/// Does what the command line says.
pub fn run() -> ExitCode {
    let Cli { lab, command } = Cli::parse();
    let done = match command {
        None => open_lab(None, lab),
        Some(Command::Run { what, lab }) => open_lab(what, lab),
        Some(Command::Train(options)) => in_pool(|| headless::train::run(&options)),
        Some(Command::Eval(options)) => in_pool(|| headless::eval::run(&options)),
        Some(Command::Sweep(options)) => headless::sweep::run(&options),
        Some(Command::Presets(options)) => headless::presets::run(&options),
        Some(Command::Check(options)) => headless::check::run(&options),
        Some(Command::Verify(options)) => in_pool(|| headless::verify::run(&options)),
        Some(Command::Completions(options)) => headless::completions::run(&options, Cli::command()),
        Some(Command::Man) => headless::completions::man(Cli::command()),
    };
    headless::exit::code(done)
}

/// Opens the lab on a preset or a session, or on its gallery.
fn open_lab(what: Option<String>, lab: Lab) -> anyhow::Result<ExitCode> {
    // What is wrong with the argument is said before the screen is taken.
    let start = what.as_deref().map(session::find).transpose()?;
    headless::needs_terminal()?;
    let Lab { device, saves, color, background } = lab;
    tui::run(tui::Options { start, device, saves, color, background }).map(ExitCode::from)
}

/// Does something in a thread of the pool that computes, so that a step does not wake another thread only to wait for it.
fn in_pool<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| what())
}
