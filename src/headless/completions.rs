//! `innerloop completions` and `innerloop man`: the command line for shells and for man.
//!
//! The completion scripts call the program, which knows the presets and lessons of the folder, the keys of `--set` and
//! the devices.

use std::ffi::OsStr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::Shells;
use clap_mangen::Man;

use super::print;
use crate::lesson;
use crate::preset;
use crate::train::DeviceChoice;

/// The environment variable by which a completion script asks the program.
const VARIABLE: &str = "INNERLOOP_COMPLETE";

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop completions bash")]
pub struct Options {
    pub shell: Shell,
}

/// The shells that are served.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Answers a completion script and ends the program, if it was such a script that started it.
pub fn answer(command: fn() -> Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Prints the completion script for a shell.
pub fn run(options: &Options) -> Result<ExitCode> {
    let name = options.shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).with_context(|| format!("there is no completion script for {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "innerloop", "innerloop", "innerloop", &mut script)?;
    print(&String::from_utf8_lossy(&script))
}

/// Names of presets, with their summaries, and files.
pub fn presets_and_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let summary = |entry: preset::Entry| {
            let summary = entry.preset.map_or_else(|error| error, |preset| preset.summary);
            CompletionCandidate::new(entry.name).help(Some(summary.into()))
        };
        let begins = |entry: &preset::Entry| current.to_str().is_some_and(|text| entry.name.starts_with(text));
        let presets = preset::all().into_iter().filter(begins).map(summary);
        presets.chain(sessions().complete(current)).collect()
    })
}

/// Names of lessons, with their questions, and files.
pub fn lessons_and_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let question = |entry: lesson::Entry| {
            let question = entry.lesson.map_or_else(|error| error, |lesson| lesson.question);
            CompletionCandidate::new(entry.name).help(Some(question.into()))
        };
        let begins = |entry: &lesson::Entry| current.to_str().is_some_and(|text| entry.name.starts_with(text));
        let lessons = lesson::all().into_iter().filter(begins).map(question);
        lessons.chain(sessions().complete(current)).collect()
    })
}

/// Files whose names end in `.ron`, and folders.
fn sessions() -> PathCompleter {
    PathCompleter::any().filter(|path| path.is_dir() || path.extension() == Some(OsStr::new("ron")))
}

/// The same as a completer of an argument.
pub fn session_files() -> ArgValueCompleter {
    ArgValueCompleter::new(sessions())
}

/// Keys of `--set`, of all presets.
pub fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let presets = preset::all().into_iter().filter_map(|entry| entry.preset.ok());
        let mut keys: Vec<String> = presets.flat_map(|preset| preset::keys(&preset)).collect();
        keys.sort();
        keys.dedup();
        let begins = |key: &String| current.to_str().is_some_and(|text| key.starts_with(text));
        keys.into_iter().filter(begins).map(|key| CompletionCandidate::new(format!("{key}="))).collect()
    })
}

/// Devices that `--device` accepts.
pub fn devices() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let begins = |name: &String| current.to_str().is_some_and(|text| name.starts_with(text));
        let candidate = |choice: DeviceChoice| (choice.to_string(), choice.describe());
        let choices = DeviceChoice::all().into_iter().map(candidate).filter(|(name, _)| begins(name));
        choices.map(|(name, words)| CompletionCandidate::new(name).help(Some(words.into()))).collect()
    })
}

/// Prints one manual page with all commands.
pub fn man(mut command: Command) -> Result<ExitCode> {
    command.build();
    let extra = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let subcommands: Vec<Command> =
        command.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("innerloop manual");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // Without their names, because a section of this page follows for each.
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for command in subcommands {
        page.extend(section(command)?);
    }
    page.extend(format!(".SH \"EXIT STATUS\"\n{extra}\n").bytes());
    print(&String::from_utf8_lossy(&page))
}

/// The section of a command.
fn section(command: Command) -> Result<Vec<u8>> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
    let example = command.get_after_help().map(ToString::to_string);
    let mut text = Vec::new();
    let man = Man::new(command);
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let inside = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
    let example = example.map(|example| format!(".PP\n{}\n", example.replace('-', "\\-"))).unwrap_or_default();
    Ok(format!(".SH \"{name}\"\n{inside}{example}").into_bytes())
}
