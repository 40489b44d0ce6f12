//! innerloop: a terminal lab where sequence models are seen to learn gradient descent inside their forward pass.
//!
//! | to find | look in |
//! |---|---|
//! | what is learnt in context, and how it becomes tokens | [`task`] |
//! | the textbook algorithms that models are held against | [`mod@reference`] |
//! | architectures and the operations they are made of | [`nn`] |
//! | optimisers and learning-rate schedules | [`optim`] |
//! | one experiment as a file | [`preset`] |
//! | a question and the experiments that settle it, as a file | [`lesson`] |
//! | training, measuring, looking inside | [`train`] |
//! | a run on disk | [`session`] |
//! | many runs, repeated over seeds | [`sweep`] |
//! | runs side by side in a table | [`run_table`] |
//! | files for other programs | [`export`] |
//! | the thread around a run | [`worker`] |
//! | commands without a screen | [`headless`] |
//! | the lab itself | [`tui`] |
//!
//! Dependencies point one way, and `tests/architecture.rs` holds them to it: `cli → {tui, headless} →
//! {worker, session, lesson} → train → preset → {optim → nn, task, reference} → {series, bounds, simd}`.

pub mod bounds;
pub mod cli;
pub mod export;
pub mod headless;
pub mod lesson;
mod logging;
pub mod nn;
pub mod numbers;
pub mod optim;
pub mod preset;
pub mod reference;
pub mod run_table;
pub mod series;
pub mod session;
mod simd;
pub mod sweep;
pub mod system;
pub mod task;
pub mod train;
pub mod tui;
pub mod uncertainty;
pub mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use cli::{Appearance, Cli, Command, Lab, Locations, OpenLesson, Watch};

/// Does what the command line says.
pub fn run() -> ExitCode {
    headless::completions::answer(Cli::command);
    let arguments = cli::in_order(std::env::args_os());
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error, &arguments),
    };
    let command = cli.command.as_ref().and_then(|_| arguments.get(1)).map(|word| word.to_string_lossy().into_owned());
    headless::exit::code(perform(cli), command.as_deref())
}

fn perform(cli: Cli) -> anyhow::Result<ExitCode> {
    cli.log.as_deref().map(logging::to_file).transpose()?;
    system::signals::survive_file_size_limit().context("cannot listen for signals")?;
    match cli.command {
        None => {
            if let Some(message) = cli.lab.what.iter().find_map(|word| cli::unknown(word)) {
                return Err(headless::exit::Usage(message).into());
            }
            open_lab(cli.lab)
        }
        Some(Command::Run(lab)) => open_lab(lab),
        Some(Command::Lesson(lesson)) => open_lesson(lesson),
        Some(Command::Watch(watch)) => open_watch(watch),
        Some(Command::Train(options)) => in_pool(|| headless::train::run(&options)),
        Some(Command::Eval(options)) => in_pool(|| headless::eval::run(&options)),
        Some(Command::Sweep(options)) => headless::sweep::run(&options),
        Some(Command::Compare(options)) => in_pool(|| headless::compare::run(&options)),
        Some(Command::Export(options)) => in_pool(|| headless::export::run(&options)),
        Some(Command::Fit(options)) => in_pool(|| headless::fit::run(&options)),
        Some(Command::Minima(options)) => headless::minima::run(&options),
        Some(Command::Cost(options)) => in_pool(|| headless::cost::run(&options)),
        Some(Command::Lessons(options)) => headless::lessons::run(&options),
        Some(Command::Presets(options)) => headless::presets::run(&options),
        Some(Command::Check(options)) => headless::check::run(&options),
        Some(Command::Verify(options)) => in_pool(|| headless::verify::run(&options)),
        Some(Command::Completions(options)) => headless::completions::run(&options),
        Some(Command::Man) => headless::completions::man(Cli::command()),
    }
}

/// Opens the lab on a preset or a session, or on its gallery.
fn open_lab(lab: Lab) -> anyhow::Result<ExitCode> {
    let Lab { what, changes, locations, appearance } = lab;
    // What is wrong with the arguments is said before the screen is taken.
    let sweep = match what.as_slice() {
        [folder] if sweep::Folder::open(Path::new(folder)).is_ok() => Some(PathBuf::from(folder)),
        _ => None,
    };
    let what = if sweep.is_some() { vec![] } else { what };
    let found = what.iter().map(|word| session::find(word)).collect::<anyhow::Result<Vec<_>>>()?;
    let start = changes.apply_to_all(found)?;
    if start.is_empty() {
        changes.need_preset()?;
    }
    headless::needs_terminal()?;
    let stop_at = changes.steps;
    let options = tui::Options { start, sweep, stop_at, ..gallery(appearance, locations) };
    tui::run(options).map(ExitCode::from)
}

/// Opens the lab on the question of a lesson.
fn open_lesson(lesson: OpenLesson) -> anyhow::Result<ExitCode> {
    let OpenLesson { lesson, locations, appearance } = lesson;
    let found = lesson::find(&lesson)?;
    headless::needs_terminal()?;
    let options = tui::Options { lesson: Some(found), ..gallery(appearance, locations) };
    tui::run(options).map(ExitCode::from)
}

/// Opens the lab on a run that another program trains.
fn open_watch(watch: Watch) -> anyhow::Result<ExitCode> {
    let Watch { what, device, appearance } = watch;
    // What is wrong with the file is said before the screen is taken.
    let file = worker::latest(&what)?;
    let locations = Locations { device, saves: system::files::folder(&file).to_owned() };
    session::load(&file)?;
    headless::needs_terminal()?;
    let options = tui::Options { watch: Some(what), ..gallery(appearance, locations) };
    tui::run(options).map(ExitCode::from)
}

/// The options that open the lab on its gallery.
fn gallery(appearance: Appearance, locations: Locations) -> tui::Options {
    let Locations { device, saves } = locations;
    let Appearance { color, background, glyphs, palette, projector, mouse } = appearance;
    tui::Options {
        start: Vec::new(),
        watch: None,
        sweep: None,
        lesson: None,
        stop_at: None,
        device,
        saves,
        color,
        background,
        glyphs,
        palette,
        projector,
        mouse,
    }
}

/// Does something in a thread of the pool that computes, so that a step does not wake another thread only to wait for
/// it.
fn in_pool<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| what())
}
