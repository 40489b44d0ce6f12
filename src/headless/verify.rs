//! `innerloop verify`: trains presets and holds them to their claims.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::stop::Stop;
use super::{exit::Stopped, print, tell};
use crate::preset::{self, Preset};
use crate::session::{Ledger, Outcome};
use crate::train::{DeviceChoice, Experiment};

/// Train presets and check what they claim
#[derive(Args, Debug)]
pub struct Options {
    /// Names or paths of presets; without any, all of them
    #[arg(value_name = "PRESET")]
    pub presets: Vec<String>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
}

/// Prints a line for each claim, and notes it for the gallery's cards; fails if one does not hold.
pub fn run(options: &Options) -> Result<ExitCode> {
    let stop = Stop::listen()?;
    let ledger = Ledger::place(|name| std::env::var_os(name));
    let (mut held, mut failed) = (0, 0);
    for (name, preset) in chosen(&options.presets)? {
        tell(&format!("{name}: {} claims, {} steps", preset.claims.len(), preset.train.steps));
        let outcome = verify(&name, &preset, options.device, &stop)?;
        note(ledger.as_ref(), (&name, &preset), &outcome);
        for verdict in outcome.verdicts {
            let word = if verdict.held { "held" } else { "FAILED" };
            *(if verdict.held { &mut held } else { &mut failed }) += 1;
            print(&format!("{name:30} {word:6} {:>12} {}\n", short(verdict.value), verdict.claim))?;
        }
    }
    print(&format!("{held} held, {failed} failed\n"))?;
    if failed > 0 {
        bail!("{failed} of {} claims did not hold", held + failed);
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(names: &[String]) -> Result<Vec<(String, Preset)>> {
    if !names.is_empty() {
        return names.iter().map(|name| preset::find(name)).collect();
    }
    let readable = |entry: preset::Entry| match entry.preset {
        Ok(preset) => Ok((entry.name, preset)),
        Err(error) => bail!(error),
    };
    preset::all().into_iter().map(readable).collect()
}

/// Trains to the last step that a claim is about.
fn verify(name: &str, preset: &Preset, device: DeviceChoice, stop: &Stop) -> Result<Outcome> {
    let Some(last) = preset.claims.iter().map(|claim| claim.after).max() else { return Ok(Outcome::default()) };
    ensure!(last <= preset.train.steps, "{name}: a claim is about step {last}, beyond train.steps");
    let mut experiment = Experiment::start(name, preset.clone(), device)?;
    let mut verdicts = experiment.verdicts()?;
    let mut training = Duration::ZERO;
    while experiment.step() < last {
        if let Some((signal, word)) = stop.signal() {
            return Err(Stopped { signal, message: format!("stopped by {word}") }.into());
        }
        let began = Instant::now();
        let advance = experiment.advance(experiment.to_next_claim().unwrap_or(1))?;
        training += began.elapsed();
        if let Some(at) = advance.diverged {
            bail!("{name} diverged at step {at}");
        }
        verdicts.extend(experiment.verdicts()?);
    }
    let seconds_per_step = (last > 0).then(|| training.as_secs_f64() / last as f64);
    Ok(Outcome { verdicts, seconds_per_step })
}

/// Keeps a result for the gallery. One that cannot be kept is told and no failure of the claims.
fn note(ledger: Option<&PathBuf>, preset: (&str, &Preset), outcome: &Outcome) {
    let Some(path) = ledger else { return };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if let Err(error) = Ledger::note(path, preset, outcome.clone(), now) {
        tell(&format!("{}: not noted: {error:#}", path.display()));
    }
}

/// Four significant digits, small numbers as powers of ten.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.1e}"),
        _ => format!("{value:.4}"),
    }
}
