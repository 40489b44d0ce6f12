//! `innerloop fit`: which learner explains a model's answers, and with which step size, forgetting, momentum or
//! penalty.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use super::changes::Changes;
use super::completions;
use super::opening;
use super::print;
use super::report::named_parameters;
use super::run_to::{End, run_to};
use super::stop::StopSignal;
use crate::bounds;
use crate::numbers::percent;
use crate::session::{self, Source};
use crate::train::{DeviceChoice, Experiment, Fit};

/// Fit learners to a model's answers: which step size, forgetting, momentum or penalty explains them best
///
/// A preset is trained first, a session is taken as it is. Parameters are fitted on half of the held-out tasks, and
/// what they explain is measured on the other half.
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop fit gd-ssm --steps 1000")]
pub struct Options {
    /// A preset's name, or the path of a preset or a session
    #[arg(value_name = "PRESET|SESSION", add = completions::presets_and_files())]
    pub what: String,
    #[command(flatten)]
    pub changes: Changes,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
}

/// The JSON object.
#[derive(Serialize)]
struct Fits<'a> {
    preset: &'a str,
    seed: u64,
    steps: u64,
    /// The best explanation first.
    fits: Vec<serde_json::Value>,
}

/// Prints what explains the model's answers, the best explanation first.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut experiment = open(options)?;
    let fits = experiment.fits()?;
    if options.json {
        let each = |fit: &Fit| {
            let mut object = named_parameters(&fit.tuned);
            object.insert("learner".to_owned(), fit.tuned.reference.to_string().into());
            object.insert("explained".to_owned(), fit.explained.into());
            object.insert("distance".to_owned(), fit.distance.into());
            serde_json::Value::from(object)
        };
        let (preset, seed, steps) = (experiment.name.as_str(), experiment.seed(), experiment.step());
        let object = Fits { preset, seed, steps, fits: fits.iter().map(each).collect() };
        return print(&(serde_json::to_string(&object)? + "\n"));
    }
    print(&page(&experiment, &fits))
}

/// The run that the options name, trained if it is a preset.
fn open(options: &Options) -> Result<Experiment> {
    match session::find(&options.what)? {
        Source::Preset(name, preset) => {
            let stop = StopSignal::listen()?;
            let preset = options.changes.preset(&preset)?;
            let last = options.changes.steps.unwrap_or(preset.train.steps);
            let mut experiment = opening::start(&name, preset, options.device, &stop)?;
            match run_to(&mut experiment, last, &stop)? {
                End::Reached(_) => Ok(experiment),
                End::Diverged(divergence) => bail!("{name} {divergence}"),
            }
        }
        Source::Session(file, session) => {
            let file = bounds::line(&file.display().to_string());
            options.changes.none_for_session(&file)?;
            session.resume(options.device).context(file)
        }
    }
}

/// A table for people.
fn page(experiment: &Experiment, fits: &[Fit]) -> String {
    let mut text = format!(
        "{} after {} steps, seed {}: what explains its answers\n{:>10} {:>9}  learner\n",
        experiment.name,
        experiment.step(),
        experiment.seed(),
        "explained",
        "left"
    );
    for fit in fits {
        let parameters = named_parameters(&fit.tuned);
        let parameters: String = parameters.iter().map(|(name, value)| format!(", {name} {}", shown(value))).collect();
        let explained = format!("{:.2} %", 100.0 * fit.explained);
        let left = percent(fit.distance);
        let _ = writeln!(text, "{explained:>10} {left:>9}  {}{parameters}", fit.tuned.reference);
    }
    text
}

/// A parameter to four digits; a list with "and".
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum")]
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(" and "),
        value => value.as_f64().map_or_else(|| value.to_string(), |number| format!("{}", (number * 1e4).round() / 1e4)),
    }
}
