//! `innerloop train`: the lab's trainer without the lab.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::exit::{Stopped, Usage};
use super::progress::Progress;
use super::report::{Report, descent_loss};
use super::stop::StopSignal;
use super::{print, tell};
use crate::bounds;
use crate::preset::{self, Preset};
use crate::session::{self, Session, Source};
use crate::train::{DeviceChoice, Experiment};

/// Time between two saves while a run goes on: a power cut costs no more than this.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Train without a screen
#[derive(Args, Debug)]
pub struct Options {
    /// A preset's name, or the path of a preset or a session
    #[arg(value_name = "PRESET|SESSION")]
    pub what: String,
    /// The step to stop at, counted from the run's start; 0 only measures. The schedule of the learning rate stays that
    /// of train.steps
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Another seed for the initial weights and the training tasks
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Change a field of the preset, for example task.dim=5 or model.init=Constructed
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Save the session to this file: at the end, every minute, and when a signal or a divergence ends the run
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
}

/// KEY=VALUE, taken apart.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE, for example task.dim=5")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Trains, prints what it came to, and saves if asked to.
pub fn run(options: &Options) -> Result<ExitCode> {
    if let Some(file) = &options.save {
        session::may_replace(file)?;
    }
    let stop = StopSignal::listen().context("cannot listen for signals")?;
    let mut experiment = open(options)?;
    let first = experiment.step();
    let began = Instant::now();
    train(&mut experiment, options, &stop)?;
    let elapsed = began.elapsed();
    // Saved before the report measures: what a session holds must not depend on whether somebody looked.
    save(&experiment, options)?;
    let trained = experiment.step() - first;
    let report = Report::of(&mut experiment, trained, elapsed)?;
    print(&if options.json { report.json()? } else { report.page(options.save.as_deref()) })
}

/// The run that the options name, at its first step or where the session left it.
fn open(options: &Options) -> Result<Experiment> {
    match session::find(&options.what)? {
        Source::Preset(name, preset) => Experiment::start(&name, changed(&preset, options)?, options.device),
        Source::Session(file, session) => {
            fits(&file, &session, options)?;
            session.resume(options.device).with_context(|| bounds::line(&file.display().to_string()))
        }
    }
}

/// The preset with the fields that the options change.
fn changed(preset: &Preset, options: &Options) -> Result<Preset> {
    let settings = options.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut preset = preset::set(preset, settings).map_err(Usage::or_value)?;
    preset.train.seed = options.seed.unwrap_or(preset.train.seed);
    Ok(preset)
}

/// Refuses options that would change what the session has been trained on.
fn fits(file: &Path, session: &Session, options: &Options) -> Result<(), Usage> {
    let file = bounds::line(&file.display().to_string());
    let refuse = |words: String| Err(Usage(format!("{file} is a session {words}")));
    if !options.set.is_empty() || options.seed.is_some() {
        return refuse("and goes on as it began: --set and --seed are for presets, and `innerloop eval` measures it on other tasks".to_owned());
    }
    match (options.steps, session.checkpoint.step) {
        (Some(last), step) if last < step => refuse(format!(
            "at step {step} already: --steps {last} counts from the run's start, so give {step} or more"
        )),
        _ => Ok(()),
    }
}

/// Steps until the last one.
///
/// # Errors
/// The run diverged, or a signal ended it. The session is saved then, too.
fn train(experiment: &mut Experiment, options: &Options, stop: &StopSignal) -> Result<()> {
    let last = options.steps.unwrap_or(experiment.preset.train.steps).max(experiment.step());
    let mut progress = Progress::new(experiment.step(), last, descent_loss(experiment));
    let mut saved = Instant::now();
    let end = loop {
        if let Some((signal, name)) = stop.signal() {
            let message = format!("stopped by {name} at step {}", experiment.step());
            break Err((message, Some(signal)));
        }
        if experiment.step() >= last {
            break Ok(());
        }
        let at = experiment.step();
        let advance = match experiment.advance(last - at) {
            Ok(advance) => advance,
            Err(error) => break Err((format!("failed after step {at}: {error:#}"), None)),
        };
        if let Some(at) = advance.diverged {
            let good = experiment.step();
            break Err((format!("diverged at step {at}: the loss ran away; the last good step is {good}"), None));
        }
        progress.show(experiment.step(), &advance);
        if options.save.is_some() && saved.elapsed() >= SAVE_EVERY {
            save(experiment, options)?;
            saved = Instant::now();
        }
    };
    progress.end();
    let Err((message, signal)) = end else { return Ok(()) };
    save(experiment, options).with_context(|| message.clone())?;
    let kept = match &options.save {
        Some(file) => format!("saved to {}", bounds::line(&file.display().to_string())),
        None => "nothing is saved, because there was no --save".to_owned(),
    };
    match signal {
        Some(signal) => Err(Stopped { signal, message: format!("{message}; {kept}") }.into()),
        None => {
            tell(&kept);
            bail!(message)
        }
    }
}

/// Saves where the options say so.
fn save(experiment: &Experiment, options: &Options) -> Result<()> {
    match &options.save {
        Some(file) => session::save(file, &Session::of(experiment)?),
        None => Ok(()),
    }
}
