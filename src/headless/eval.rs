//! `innerloop eval`: the weights of a session on tasks that they may not have been trained on.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::changes::{setting, without_repetition};
use super::completions;
use super::exit::Usage;
use super::print;
use super::report::Report;
use crate::bounds;
use crate::session::{self, Source};
use crate::train::{DeviceChoice, Experiment};

/// Measure a session on other tasks, without training
///
/// References keep the step sizes (η, γ) and penalties (λ) that were chosen on the task that the session was trained
/// on, and so do the priors of the Kalman filter and Bayes: no reference is re-tuned for the new task, as the model is
/// not.
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop eval saves/gd-ssm-seed0.ron --set task.range=2")]
pub struct Options {
    /// The path of a session
    #[arg(value_name = "SESSION", add = completions::session_files())]
    pub what: String,
    /// Change a field of the task, for example task.range=4 or task.noise=0.5; what changes the weights' shapes is
    /// refused
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting, add = completions::keys())]
    pub set: Vec<(String, String)>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
}

/// Prints what the session's weights are worth on the changed task.
pub fn run(options: &Options) -> Result<ExitCode> {
    let (file, session) = match session::find(&options.what)? {
        Source::Session(file, session) => (file, session),
        Source::Preset(name, _) => {
            let name = bounds::line(&name);
            let words =
                format!("{name} is a preset, not a session: `innerloop train {name} --steps 0` measures its start");
            return Err(Usage(words).into());
        }
    };
    without_repetition(&options.set)?;
    let settings = options.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let preset = session.preset.shifted(settings).map_err(Usage::or_value)?;
    let (weights, trained_on) = (session.checkpoint, &session.preset.task);
    let mut experiment = Experiment::evaluate(&session.name, preset, weights, trained_on, options.device)
        .with_context(|| bounds::line(&file.display().to_string()))?;
    let report = Report::of(&mut experiment, 0, Duration::ZERO)?;
    print(&if options.json { report.json()? } else { report.page(None) })
}
