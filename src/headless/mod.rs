//! Commands without a screen: one file each, with its options and what it prints.
//!
//! Results go to standard output, everything else to standard error. Knows nothing of the lab.

pub mod changes;
pub mod check;
pub mod compare;
pub mod completions;
pub mod cost;
pub mod eval;
pub mod exit;
pub mod export;
pub mod fit;
pub mod lessons;
pub mod minima;
mod opening;
pub mod presets;
mod progress;
mod report;
mod run_to;
mod saver;
mod slurm;
mod stop;
pub mod sweep;
mod sweep_table;
pub mod train;
pub mod verify;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::Serialize;

/// Version and commit of this program: `0.1.0 (1c5b9fd 2026-11-26)`.
pub const VERSION: &str = env!("INNERLOOP_VERSION");

/// Writes a result to standard output, and that is all there was to do.
///
/// # Errors
/// Standard output is gone: the reader of a pipe may have seen enough.
fn print(text: &str) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// An element of a JSON array of files: its name, and what it holds or why it cannot be read.
#[derive(Serialize)]
struct Row<'a, T> {
    name: &'a str,
    #[serde(flatten)]
    content: Content<'a, T>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a, T> {
    Good(T),
    Bad { error: &'a str },
}

/// Prints a JSON array of files, each with its name, and its content or what is wrong with it.
fn print_rows<'a, T: Serialize>(files: impl Iterator<Item = (&'a str, Result<T, &'a String>)>) -> Result<ExitCode> {
    let row = |(name, content): (&'a str, Result<T, &'a String>)| Row {
        name,
        content: content.map_or_else(|error| Content::Bad { error }, Content::Good),
    };
    print(&(serde_json::to_string_pretty(&files.map(row).collect::<Vec<_>>())? + "\n"))
}

/// Writes a line for a person to standard error. That it cannot be written is no error.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether the terminal can be drawn on.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Refuses to open the lab where there is no terminal to open it on.
pub fn needs_terminal() -> Result<()> {
    let instead = "`innerloop train PRESET` trains without a screen";
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("the lab needs a terminal; {instead}");
    }
    if is_dumb() {
        bail!("the lab needs a terminal that can move its cursor (TERM=dumb cannot); {instead}");
    }
    Ok(())
}
