//! `innerloop check`: whether files of presets, lessons and sessions can be used.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{completions, print, tell};
use crate::bounds;
use crate::lesson;
use crate::session::{self, Source};

/// Check files of presets, lessons and sessions
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop check presets/gd-ssm.ron")]
pub struct Options {
    /// Files of presets, lessons or sessions
    #[arg(required = true, value_name = "FILE", add = completions::session_files())]
    pub files: Vec<PathBuf>,
}

/// Prints a line for each file; fails if one cannot be used.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut bad = 0;
    for file in &options.files {
        match examine(file) {
            Ok(line) => {
                print(&format!("{}: ok, {line}\n", bounds::line(&file.display().to_string())))?;
            }
            Err(error) => {
                bad += 1;
                tell(&format!("error: {}", bounds::printable(&format!("{error:#}"))));
            }
        }
    }
    match (bad, options.files.len()) {
        (0, _) => Ok(ExitCode::SUCCESS),
        (1, 1) => bail!("the file cannot be used"),
        (_, all) => bail!("{bad} of {all} files cannot be used"),
    }
}

/// What a good file is.
fn examine(file: &Path) -> Result<String> {
    if lesson::is_lesson(file) {
        let lesson = lesson::load(file)?;
        let (experiments, claims) = (lesson.experiments.len(), lesson.claims().count());
        return Ok(format!("a lesson; experiments: {experiments}, claims: {claims}"));
    }
    Ok(match session::open(file)? {
        Source::Preset(_, preset) => format!("a preset with {} parameters", preset.parameters()),
        Source::Session(_, session) => {
            let (step, steps) = (session.checkpoint.step, session.preset.train.steps);
            format!("a session of {} at step {step} of {steps}", session.name)
        }
    })
}
