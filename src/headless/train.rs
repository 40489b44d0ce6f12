//! `innerloop train`: the lab's trainer without the lab.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::changes::Changes;
use super::completions;
use super::exit::Stopped;
use super::opening;
use super::progress::Progress;
use super::report::{Report, descent_loss};
use super::saver::{Saved, Saver};
use super::stop::StopSignal;
use super::{print, tell};
use crate::bounds;
use crate::session::{self, Planned, SessionFile, Source};
use crate::train::{DeviceChoice, Divergence, Experiment};

/// Train without a screen
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop train gd-ssm --save gd-ssm.ron")]
pub struct Options {
    /// A preset's name, or the path of a preset or a session
    #[arg(value_name = "PRESET|SESSION", add = completions::presets_and_files())]
    pub what: String,
    #[command(flatten)]
    pub changes: Changes,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    /// Save the session to this file, which ends in .ron: before the first step, now and then, and when the run ends,
    /// also by a signal or a divergence
    #[arg(long, value_name = "FILE", value_parser = session_name, add = completions::session_files())]
    pub save: Option<PathBuf>,
    /// Seconds between two saves while the run goes on; `innerloop watch` shows each
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "save")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub save_every: u64,
    /// Let --save replace the session of another experiment, or a later step of this one
    #[arg(long, requires = "save")]
    pub force: bool,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
    /// Add the curves to that object
    #[arg(long, requires = "json")]
    pub curves: bool,
}

fn session_name(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let shown = bounds::line(text);
    let shown = shown.trim_end_matches('.');
    if session::is_session_name(&path) {
        Ok(path)
    } else {
        Err(format!("the name must end in .ron, as in {shown}.ron"))
    }
}

/// Trains, prints the results, and saves where the options say so.
pub fn run(options: &Options) -> Result<ExitCode> {
    let stop = StopSignal::listen().context("cannot listen for signals")?;
    let source = options.changes.apply(session::find(&options.what)?)?;
    // All that can be refused is refused before the references are computed, which may take long.
    let file = options.save.as_ref().map(|_| target(&source, options)).transpose()?;
    let mut experiment = open(source, options.device, &stop)?;
    let every = Duration::from_secs(options.save_every);
    let mut saver = file.map(|file| Saver::begin(file, &experiment, every)).transpose()?;
    if let Some(note) = experiment.device_note() {
        tell(note);
    }
    let first = experiment.step();
    let began = Instant::now();
    let end = train(&mut experiment, options, saver.as_mut(), &stop)?;
    let elapsed = began.elapsed();
    // Saved before the report measures: what a session holds must not depend on whether it was looked at.
    let saved = saver.map(|saver| saver.finish(&experiment)).transpose();
    if let Some(end) = end {
        return end.leave(saved);
    }
    let trained = experiment.step() - first;
    // The curves of training, without the measurement of the report.
    let history = options.curves.then(|| experiment.history.clone());
    let report = Report::of(&mut experiment, trained, elapsed)?;
    let report = match &history {
        Some(history) => report.with_curves(history, &experiment.time),
        None => report,
    };
    let path = saved.as_ref().ok().and_then(Option::as_ref).map(Saved::path);
    print(&if options.json { report.json()? } else { report.page(path) })?;
    match saved? {
        Some(saved @ Saved::Elsewhere(..)) => bail!(saved.words()),
        Some(Saved::Here(_)) | None => Ok(ExitCode::SUCCESS),
    }
}

/// The file that the run is to be saved to.
fn target(source: &Source, options: &Options) -> Result<SessionFile> {
    let path = options.save.clone().unwrap_or_default();
    let planned = match source {
        Source::Preset(name, preset) => Planned { name, preset, seed: preset.train.seed, step: 0 },
        Source::Session(_, session) => Planned {
            name: &session.name,
            preset: &session.preset,
            seed: session.checkpoint.seed,
            step: session.checkpoint.step,
        },
    };
    // The lock first, so that what is found in the file stays there.
    let file = SessionFile::take(&path);
    session::may_replace(&path, &planned, options.force)?;
    file
}

/// The run at its first step, or where the session left it.
fn open(source: Source, device: DeviceChoice, stop: &StopSignal) -> Result<Experiment> {
    match source {
        Source::Preset(name, preset) => opening::start(&name, *preset, device, stop),
        Source::Session(file, session) => {
            opening::resume(*session, device, stop).with_context(|| bounds::line(&file.display().to_string()))
        }
    }
}

/// Why a run ended before its last step.
struct EarlyEnd {
    message: String,
    /// The number of the signal that ended it.
    signal: Option<u8>,
}

impl EarlyEnd {
    fn diverged(divergence: &Divergence, experiment: &Experiment) -> Self {
        Self { message: format!("{divergence}; the last good step is {}", experiment.step()), signal: None }
    }

    /// Says what happened, and whether the run is saved.
    fn leave(self, saved: Result<Option<Saved>>) -> Result<ExitCode> {
        let Self { message, signal } = self;
        let kept = match saved {
            Ok(Some(saved)) => saved.words(),
            Ok(None) => "nothing is saved, because there was no --save".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        match signal {
            Some(signal) => Err(Stopped { signal, message: format!("{message}; {kept}") }.into()),
            None => {
                tell(&bounds::printable(&kept));
                bail!(message)
            }
        }
    }
}

/// Trains until the last step; none where it was reached.
fn train(
    experiment: &mut Experiment,
    options: &Options,
    mut saver: Option<&mut Saver>,
    stop: &StopSignal,
) -> Result<Option<EarlyEnd>> {
    let last = options.changes.steps.unwrap_or(experiment.preset.train.steps).max(experiment.step());
    let mut progress = Progress::new(experiment.step(), last, descent_loss(experiment));
    let end = loop {
        if let Some((signal, name)) = stop.signal() {
            let mut message = format!("stopped by {name} at step {}", experiment.step());
            if let Some(divergence) = experiment.settle()? {
                message = format!("{message}; {}", EarlyEnd::diverged(&divergence, experiment).message);
            }
            break Some(EarlyEnd { message, signal: Some(signal) });
        }
        let at = experiment.step();
        if at >= last {
            // The loss of the last step is that before its update.
            break experiment.settle()?.map(|divergence| EarlyEnd::diverged(&divergence, experiment));
        }
        let advance = match experiment.advance(last - at) {
            Ok(advance) => advance,
            Err(error) => {
                break Some(EarlyEnd { message: format!("failed after step {at}: {error:#}"), signal: None });
            }
        };
        if let Some(divergence) = &advance.diverged {
            break Some(EarlyEnd::diverged(divergence, experiment));
        }
        progress.show(experiment.step(), &advance);
        if let Some(warning) = saver.as_mut().and_then(|saver| saver.save_if_due(experiment)) {
            progress.warn(&warning);
        }
    };
    progress.end();
    Ok(end)
}
