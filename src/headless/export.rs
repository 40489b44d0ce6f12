//! `innerloop export`: a session or a sweep as a file for other programs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::exit::Usage;
use super::report::Report;
use super::{VERSION, completions, tell};
use crate::bounds;
use crate::export::{self, EndedRuns, Format, MeasuredRun};
use crate::preset;
use crate::session::{self, Session, Source};
use crate::sweep::{self, Folder, summarise};
use crate::system::files::{self, Existing};
use crate::train::{DeviceChoice, SnapshotParts};

/// Write a session or a sweep as CSV, NPZ, safetensors, SVG, an HTML report, or event files for TensorBoard
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop export saves/gd-ssm-seed0.ron --to report.html\n\n\
    The ending says what is written: .csv (curves), .npz (weights and curves), .safetensors (weights), .svg (loss), \
    .html (a report on one page). A name that ends in / is a folder for TensorBoard.")]
pub struct Options {
    /// The path of a session, or the folder of a sweep
    #[arg(value_name = "SESSION|DIR", add = completions::session_files())]
    pub what: PathBuf,
    /// The file to write; its ending says in which format
    #[arg(long, value_name = "FILE", value_parser = target)]
    pub to: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub force: bool,
    /// Where to measure for .svg and .html: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
}

fn target(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    Format::of(&path).map(|_| path)
}

/// Writes the file.
pub fn run(options: &Options) -> Result<ExitCode> {
    let format = Format::of(&options.to).map_err(Usage)?;
    let output = Output { path: &options.to, force: options.force };
    output.check(format)?;
    if options.what.is_dir() {
        of_sweep(&Folder::open(&options.what)?, format, &output)?;
    } else {
        of_session(&options.what, format, &output, options.device)?;
    }
    tell(&format!("wrote {}", shown(&options.to)));
    Ok(ExitCode::SUCCESS)
}

/// Where the export goes.
struct Output<'a> {
    path: &'a Path,
    force: bool,
}

impl Output<'_> {
    /// Refuses what exists, before anything is measured.
    fn check(&self, format: Format) -> Result<()> {
        let (path, name) = (self.path, shown(self.path));
        if format == Format::TensorBoard {
            if path.is_file() {
                bail!("{name}: this is a file; event files for TensorBoard need a folder");
            }
            return Ok(());
        }
        let folder = files::folder(path);
        if path.is_dir() {
            bail!("{name}: this is a folder");
        }
        if !folder.is_dir() {
            let folder = shown(folder);
            bail!("{name}: the folder {folder} does not exist: make it with `mkdir -p {folder}`");
        }
        if path.exists() && !self.force {
            bail!("{name} exists already; --force replaces it");
        }
        Ok(())
    }

    fn write(&self, content: impl AsRef<[u8]>) -> Result<()> {
        write(self.path, content, self.force)
    }

    /// The event file of a run, in this folder or a folder within it.
    fn events(&self, run: &str, session: &Session, modified: SystemTime) -> Result<()> {
        let folder = self.path.join(run);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", shown(&folder)))?;
        let wall_time = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        write(
            &folder.join(export::tensorboard::FILE),
            export::tensorboard::events(&session.history, wall_time),
            self.force,
        )
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>, force: bool) -> Result<()> {
    let existing = if force { Existing::Replace } else { Existing::Keep };
    match files::write(path, content, existing) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already; --force replaces it", shown(path))
        }
        other => other.with_context(|| shown(path)),
    }
}

fn shown(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn of_session(path: &Path, format: Format, output: &Output<'_>, device: DeviceChoice) -> Result<()> {
    let Source::Session(_, session) = session::open(path)? else {
        let name = shown(path);
        return Err(Usage(format!("{name} is a preset, not a session: train it first, with --save FILE.ron")).into());
    };
    match format {
        Format::Csv => output.write(export::csv::curves(&session)?),
        Format::Npz => output.write(export::npz::archive(&session)?),
        Format::Safetensors => output.write(export::safetensors::weights(&session, VERSION)?),
        Format::TensorBoard => output.events("", &session, modified(path)),
        Format::Svg => output.write(export::svg::run(&measured(&session, device)?)?),
        Format::Html => output.write(export::html::run(&measured(&session, device)?)?),
    }
}

/// The session with what the report command measures of it.
fn measured(session: &Session, device: DeviceChoice) -> Result<MeasuredRun<'_>> {
    let mut experiment = session.clone().resume(device)?;
    let claims = experiment.check_claims()?.checks;
    let snapshot = experiment.snapshot(SnapshotParts::default())?;
    let report = Report::of(&mut experiment, 0, Duration::ZERO)?.value()?;
    let distances = experiment.history.latest.as_ref().map(|latest| latest.equivalence.distances.clone());
    let changed = preset::overridden(&session.name, &session.preset);
    let distances = distances.unwrap_or_default();
    Ok(MeasuredRun { session, report, distances, claims, snapshot, changed, version: VERSION })
}

fn of_sweep(folder: &Folder, format: Format, output: &Output<'_>) -> Result<()> {
    let (ended, planned) = folder.ended()?;
    let name =
        folder.path().file_name().map_or_else(|| shown(folder.path()), |name| bounds::line(&name.to_string_lossy()));
    let runs = EndedRuns {
        title: name,
        runs: &ended,
        planned,
        summary: sweep::summary_table(&summarise(&ended)),
        version: VERSION,
    };
    if ended.is_empty() && format != Format::TensorBoard {
        bail!("{}: no run of this sweep has ended yet", shown(folder.path()));
    }
    match format {
        Format::Csv => output.write(sweep::curves_csv(&ended)?),
        Format::Svg => output.write(export::svg::sweep(&runs)?),
        Format::Html => output.write(export::html::sweep(&runs)?),
        Format::TensorBoard => {
            for run in folder.plan()?.runs()? {
                let file = folder.session(&run);
                if file.exists() {
                    output.events(&run.name, &session::load(&file)?, modified(&file))?;
                }
            }
            Ok(())
        }
        Format::Npz | Format::Safetensors => {
            let words = "these are the weights of one run: give one of its sessions, such as";
            let first = folder.plan()?.runs()?.first().map(|run| shown(&folder.session(run))).unwrap_or_default();
            Err(Usage(format!("{}: {words} {first}", shown(folder.path()))).into())
        }
    }
}
