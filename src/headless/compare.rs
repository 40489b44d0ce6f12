//! `innerloop compare`: sessions on the same task side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::exit::Usage;
use super::report::Report;
use super::sweep_table::aligned;
use super::{completions, print};
use crate::bounds;
use crate::numbers::significant;
use crate::preset;
use crate::run_table::{self, Compared, Row};
use crate::session::{self, Session, Source};
use crate::sweep::Folder;
use crate::train::DeviceChoice;

/// Compare sessions on the same task in a table
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop compare saves/gd-ssm-seed0.ron saves/mamba-seed0.ron")]
pub struct Options {
    /// Paths of sessions, or folders of sweeps
    #[arg(value_name = "SESSION|DIR", required = true, add = completions::session_files())]
    pub what: Vec<PathBuf>,
    /// The loss whose reaching is timed, to within 1 %: a number, or a reference such as gd-1
    #[arg(long, value_name = "LOSS|REFERENCE", default_value = "gd-1")]
    pub level: Level,
    /// Where to measure: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
}

/// A held-out loss.
#[derive(Clone, Debug)]
pub enum Level {
    Loss(f64),
    /// That of a reference, by its name.
    Reference(String),
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(loss) if loss.is_finite() && loss > 0.0 => Ok(Self::Loss(loss)),
            Ok(_) => Err("give a loss above 0, or the name of a reference such as gd-1".to_owned()),
            Err(_) => Ok(Self::Reference(text.to_owned())),
        }
    }
}

impl Level {
    /// The loss, with the references of a report.
    fn loss(&self, report: &Value) -> Result<f64, Usage> {
        match self {
            Self::Loss(loss) => Ok(*loss),
            Self::Reference(name) => number(report, &format!("/references/{name}/loss")).ok_or_else(|| {
                let known = report.get("references").and_then(Value::as_object).into_iter().flatten();
                let known = known.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
                Usage(format!("--level {}: give a loss or one of these references: {known}", bounds::line(name)))
            }),
        }
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Comparison {
    /// The held-out loss of `steps_to_level`.
    level: f64,
    runs: Vec<Row>,
}

/// A session and its file.
struct Found {
    file: PathBuf,
    session: Session,
    /// What it has reported; `None` if it has to be measured.
    report: Option<Value>,
}

/// A session, its file, and the object that `innerloop train --json` prints.
struct Measured {
    file: PathBuf,
    session: Session,
    report: Value,
}

/// Prints the table.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &options.what {
        files.extend(sessions(path)?);
    }
    same_task(&files)?;
    let measure = |Found { file, session, report }| {
        let report = match report {
            Some(report) => report,
            None => Report::of(&mut session.clone().resume(options.device)?, 0, Duration::ZERO)?.value()?,
        };
        anyhow::Ok(Measured { file, session, report })
    };
    let measured = files.into_iter().map(measure).collect::<Result<Vec<_>>>()?;
    let first = measured.first().ok_or_else(|| anyhow!("there is nothing to compare"))?;
    let level = options.level.loss(&first.report)?;
    let comparison = Comparison { level, runs: measured.iter().map(|run| row(run, level)).collect() };
    if options.json {
        return print(&(serde_json::to_string(&comparison)? + "\n"));
    }
    let level = match &options.level {
        Level::Loss(loss) => significant(*loss, 4),
        Level::Reference(name) => name.clone(),
    };
    print(&aligned(&run_table::table(&comparison.runs, &level)))
}

/// The session in a file; the sessions in the folder of a sweep, with what those that have ended came to.
fn sessions(path: &Path) -> Result<Vec<Found>> {
    if !path.is_dir() {
        return match session::open(path)? {
            Source::Session(file, session) => Ok(vec![Found { file, session: *session, report: None }]),
            Source::Preset(..) => {
                let name = bounds::line(&path.display().to_string());
                Err(Usage(format!("{name} is a preset, not a session: train it first, with --save FILE.ron")).into())
            }
        };
    }
    let folder = Folder::open(path)?;
    let mut found = Vec::new();
    for run in folder.plan()?.runs()? {
        let file = folder.session(&run);
        if file.exists() {
            let report = folder.outcome(&run)?.map(|outcome| outcome.report);
            found.push(Found { session: session::load(&file)?, file, report });
        }
    }
    if found.is_empty() {
        anyhow::bail!("{}: no run of this sweep has begun", bounds::line(&path.display().to_string()));
    }
    Ok(found)
}

/// Refuses sessions of different tasks.
fn same_task(found: &[Found]) -> Result<(), Usage> {
    let Some((one, rest)) = found.split_first() else { return Ok(()) };
    let different = |two: &Found| run_table::task_difference(&one.session.preset, &two.session.preset);
    let Some((two, (first_task, other_task))) = rest.iter().find_map(|two| Some((two, different(two)?))) else {
        return Ok(());
    };
    let [first, other] = [one, two].map(|found| bounds::line(&found.file.display().to_string()));
    Err(Usage(format!(
        "{first} ({first_task}) and {other} ({other_task}) have different tasks, so their losses cannot be compared"
    )))
}

fn number(report: &Value, path: &str) -> Option<f64> {
    report.pointer(path).and_then(Value::as_f64)
}

fn row(Measured { file, session, report }: &Measured, level: f64) -> Row {
    let run = Compared {
        file: Some(file),
        name: &session.name,
        preset: &session.preset,
        overrides: preset::overridden(&session.name, &session.preset),
        seed: session.checkpoint.seed,
        history: &session.history,
        time: &session.time,
        measured: run_table::Measured::of_report(report),
    };
    Row::of(&run, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_loss_or_a_reference() {
        assert!(matches!("0.25".parse(), Ok(Level::Loss(loss)) if loss == 0.25));
        assert!("-1".parse::<Level>().is_err() && "inf".parse::<Level>().is_err());
        let report = serde_json::json!({"references": {"zero": {"loss": 1.0}, "gd-1": {"loss": 0.5}}});
        assert_eq!("gd-1".parse::<Level>().unwrap().loss(&report).unwrap(), 0.5);
        let error = "gd-7".parse::<Level>().unwrap().loss(&report).unwrap_err();
        assert_eq!(error.0, "--level gd-7: give a loss or one of these references: zero, gd-1");
    }
}
