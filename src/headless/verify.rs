//! `innerloop verify`: trains presets and holds them to their claims.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::stop::StopSignal;
use super::{exit::Stopped, print, tell};
use crate::preset::{self, Preset};
use crate::reference::Reference;
use crate::session::{ClaimRecord, ResultCache};
use crate::train::{DeviceChoice, Experiment, ReferenceResult};

/// Train presets and check what they claim
#[derive(Args, Debug)]
pub struct Options {
    /// Names or paths of presets; without any, all of them
    #[arg(value_name = "PRESET")]
    pub presets: Vec<String>,
    /// Print a table in Markdown instead, one row a preset, such as the README has; the claims go to standard error
    #[arg(long)]
    pub markdown: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
}

/// Prints a line for each claim, or a row for each preset, and notes them for the gallery's cards; fails if one does not
/// hold.
pub fn run(options: &Options) -> Result<ExitCode> {
    let stop = StopSignal::listen()?;
    let result_cache = ResultCache::path(|name| std::env::var_os(name));
    let (mut held, mut failed) = (0, 0);
    if options.markdown {
        print(HEAD)?;
    }
    for (name, preset) in chosen(&options.presets)? {
        tell(&format!("{name}: {} claims, {} steps", preset.claims.len(), preset.train.steps));
        let Some((experiment, outcome)) = verify(&name, preset, options.device, &stop)? else { continue };
        note(result_cache.as_ref(), &experiment, &outcome);
        let verdicts = outcome.verdicts;
        let kept = verdicts.iter().filter(|verdict| verdict.held).count();
        (held, failed) = (held + kept, failed + verdicts.len() - kept);
        for verdict in &verdicts {
            let word = if verdict.held { "held" } else { "FAILED" };
            let line = format!("{name:30} {word:6} {:>12} {}", short(verdict.value), verdict.claim);
            if options.markdown { tell(&line) } else { print(&(line + "\n")).map(|_| ())? }
        }
        if options.markdown {
            print(&row(&experiment, (kept, verdicts.len())))?;
        }
    }
    let sum = format!("{held} held, {failed} failed");
    if options.markdown {
        tell(&sum)
    } else {
        print(&(sum + "\n")).map(|_| ())?
    }
    if failed > 0 {
        bail!("{failed} of {} claims did not hold", held + failed);
    }
    Ok(ExitCode::SUCCESS)
}

/// The first lines of the table.
const HEAD: &str = "| preset | numbers learnt | loss | GD-1 | best reference | nearest | claims held |\n\
                    |---|---|---|---|---|---|---|\n";

/// A trained preset as a row of the table.
fn row(experiment: &Experiment, (kept, claims): (usize, usize)) -> String {
    let references = experiment.references();
    let loss = |result: &ReferenceResult| short(result.loss);
    let descent =
        references.iter().find(|result| result.tuned.reference == Reference::Gd(1)).map_or_else(String::new, loss);
    // Of those that are equal the first is the simplest.
    let best = references.iter().min_by(|a, b| a.loss.total_cmp(&b.loss));
    let best = best.map_or_else(String::new, |result| format!("{} {}", result.tuned.reference, loss(result)));
    let (own, nearest) = match &experiment.history.latest {
        Some(latest) => (short(latest.eval_loss), latest.equivalence.nearest.to_string()),
        None => (String::new(), String::new()),
    };
    let (name, parameters) = (&experiment.name, experiment.preset.parameters());
    format!("| `{name}` | {parameters} | {own} | {descent} | {best} | {nearest} | {kept} of {claims} |\n")
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

/// Trains to the last step that a claim is about; nothing where there are no claims.
fn verify(
    name: &str,
    preset: Preset,
    device: DeviceChoice,
    stop: &StopSignal,
) -> Result<Option<(Experiment, ClaimRecord)>> {
    let Some(last) = preset.claims.iter().map(|claim| claim.after).max() else { return Ok(None) };
    ensure!(last <= preset.train.steps, "{name}: a claim is about step {last}, beyond train.steps");
    let mut experiment = Experiment::start(name, preset, device)?;
    let mut verdicts = experiment.check_claims()?;
    let mut training = Duration::ZERO;
    while experiment.step() < last {
        if let Some((signal, word)) = stop.signal() {
            return Err(Stopped { signal, message: format!("stopped by {word}") }.into());
        }
        let began = Instant::now();
        let advance = experiment.advance(experiment.steps_to_next_claim().unwrap_or(1))?;
        training += began.elapsed();
        if let Some(at) = advance.diverged {
            bail!("{name} diverged at step {at}");
        }
        verdicts.extend(experiment.check_claims()?);
    }
    let seconds_per_step = (last > 0).then(|| training.as_secs_f64() / last as f64);
    Ok(Some((experiment, ClaimRecord { verdicts, seconds_per_step })))
}

/// Keeps a result for the gallery. One that cannot be kept is told and no failure of the claims.
fn note(result_cache: Option<&PathBuf>, experiment: &Experiment, outcome: &ClaimRecord) {
    let Some(path) = result_cache else { return };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if let Err(error) = ResultCache::record(path, (&experiment.name, &experiment.preset), outcome.clone(), now) {
        tell(&format!("{}: not noted: {error:#}", path.display()));
    }
}

/// Four decimals, small numbers as powers of ten.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.1e}"),
        _ => format!("{value:.4}"),
    }
}
