//! `innerloop sweep --slurm`: a sweep as a Slurm job array.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::{print, sweep, tell};
use crate::sweep::{Folder, RunSpec};

/// The job script in the folder of a sweep.
const SCRIPT: &str = "slurm.sh";

/// How a sweep runs under Slurm.
#[derive(Args, Clone, Debug)]
pub struct SlurmOptions {
    /// Write a Slurm job array, slurm.sh, into the folder instead of training here
    #[arg(long, help_heading = "Slurm")]
    pub slurm: bool,
    /// Hand the job array to sbatch as well
    #[arg(long, help_heading = "Slurm")]
    pub submit: bool,
    /// Runs of one task of the array
    #[arg(long, value_name = "K", default_value_t = 1, help_heading = "Slurm",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub runs_per_task: u32,
    /// An option for sbatch, such as --sbatch=--partition=gpu or --sbatch=--time=2:00:00; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, help_heading = "Slurm")]
    pub sbatch: Vec<String>,
    /// Train the runs of one task of the array, counted from 0; the job script passes SLURM_ARRAY_TASK_ID
    #[arg(long, value_name = "I", help_heading = "Slurm", conflicts_with_all = ["presets", "slurm", "submit"])]
    pub task: Option<u32>,
}

/// The runs of one task of the array.
pub fn runs_of(runs: &[RunSpec], task: u32, per_task: u32) -> impl Iterator<Item = &RunSpec> {
    runs.iter().skip(task as usize * per_task as usize).take(per_task as usize)
}

/// Writes the job script and, where asked to, submits it.
pub fn write(folder: &Folder, runs: usize, options: &sweep::Options) -> Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let place = std::path::absolute(folder.path())?;
    let script = script(&program, &place, runs, options)?;
    std::fs::create_dir_all(place.join("slurm")).context("cannot make the folder for Slurm's output")?;
    folder.write(SCRIPT, &script)?;
    let path = place.join(SCRIPT);
    let shown = crate::bounds::line(&path.display().to_string());
    if !options.slurm.submit {
        tell(&format!("{runs} runs; submit with: sbatch {shown}"));
        return print(&format!("{shown}\n"));
    }
    let output = Command::new("sbatch").arg(&path).output().context("cannot run sbatch")?;
    ensure!(output.status.success(), "sbatch: {}", String::from_utf8_lossy(&output.stderr).trim());
    tell("when the jobs have ended, `innerloop sweep --collect DIR` makes the tables");
    print(&String::from_utf8_lossy(&output.stdout))
}

/// The text of the job script. USR1 comes two minutes before the time limit, so that runs are saved; a job that was
/// pre-empted is queued again, and continues from its saves.
fn script(program: &Path, place: &Path, runs: usize, options: &sweep::Options) -> Result<String> {
    let per_task = options.slurm.runs_per_task;
    let last = runs.div_ceil(per_task as usize) - 1;
    let mut text = String::from("#!/bin/bash\n");
    let _ = writeln!(text, "#SBATCH --job-name=innerloop\n#SBATCH --array=0-{last}");
    let _ = writeln!(text, "#SBATCH --output={}", sbatch_value(&place.join("slurm/%A_%a.out"))?);
    text += "#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --signal=B:USR1@120\n";
    for option in &options.slurm.sbatch {
        ensure!(option.starts_with('-') && !option.contains('\n'), "--sbatch {option}: give an option of sbatch");
        let _ = writeln!(text, "#SBATCH {option}");
    }
    let jobs = options.jobs.map_or_else(String::new, |jobs| format!(" --jobs {jobs}"));
    let _ = write!(
        text,
        "\n# The program saves on USR1 and TERM and ends; the shell waits for it.\n\
         {} sweep --task \"$SLURM_ARRAY_TASK_ID\" --runs-per-task {per_task} --device {}{jobs} --out {} &\n\
         trap 'kill -TERM %1' USR1 TERM\n\
         wait %1; code=$?\n\
         if [ $code -gt 128 ]; then wait %1; code=$?; fi\n\
         # Interrupted: 128 + the number of the signal. Queue it again where that is allowed.\n\
         if [ $code -eq 143 ]; then scontrol requeue \"$SLURM_JOB_ID\"; fi\n\
         exit $code\n",
        quoted(program)?,
        options.device,
        quoted(place)?,
    );
    Ok(text)
}

/// A path for a `#SBATCH` line, which has no quoting of blanks.
fn sbatch_value(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => bail!("{}: Slurm needs a path without blanks", path.display()),
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path that is not UTF-8 cannot stand in a job script")?;
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}
