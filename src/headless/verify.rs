//! `innerloop verify`: trains presets, or the experiments of lessons, with one seed or several, and checks their
//! claims.

mod job;
mod other_presets;
mod seeds;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::Args;

use self::job::{Job, Outcome, run_all};
use self::seeds::Seeds;
use super::stop::StopSignal;
use super::{completions, print, tell};
use crate::lesson;
use crate::preset::{self, Claim, Preset, Quantity};
use crate::session::{ClaimRecord, ResultCache};
use crate::train::{ClaimCheck, DeviceChoice};
use crate::uncertainty::mean_and_deviation;

/// Train presets, or the experiments of lessons, and check what they claim
#[derive(Args, Debug)]
pub struct Options {
    /// Names or paths of presets, with --lessons of lessons; without any, all of them
    #[arg(value_name = "PRESET|LESSON", add = completions::presets_and_files())]
    pub presets: Vec<String>,
    /// Check the claims of lessons instead of those of presets
    #[arg(long, conflicts_with = "markdown")]
    pub lessons: bool,
    /// How many seeds, counted from the preset's own, such as 5; or which, such as 11,12,13
    #[arg(long, value_name = "SEEDS", default_value = "1")]
    pub seeds: Seeds,
    /// Print a table in Markdown instead, one row a preset, as in the documentation; the claims go to standard error
    #[arg(long)]
    pub markdown: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
}

/// Prints a line for each claim, or a row for each preset, and records them for the gallery; fails if one does not hold
/// for as many seeds as it says.
pub fn run(options: &Options) -> Result<ExitCode> {
    let stop = StopSignal::listen()?;
    let result_cache = ResultCache::path(|name| std::env::var_os(name));
    let chosen = if options.lessons { of_lessons(&options.presets)? } else { chosen(&options.presets)? };
    let mut presets: Vec<_> = chosen.into_iter().filter(|(_, preset)| !preset.claims.is_empty()).collect();
    // Presets from here on are trained for the claims of others only.
    let verified = presets.len();
    presets.extend(other_presets::others(&presets)?);
    let seeds: Vec<Vec<u64>> = other_presets::seeds(&presets, verified, &options.seeds);
    let jobs: Vec<Job> = seeds
        .iter()
        .enumerate()
        .flat_map(|(preset, seeds)| seeds.iter().map(move |seed| Job { preset, seed: *seed }))
        .collect();
    if options.markdown {
        print(table::HEAD)?;
    }
    let mut tally = Tally::default();
    let mut outcomes: Vec<Vec<Outcome>> = presets.iter().map(|_| Vec::new()).collect();
    let mut printed = 0;
    run_all(&presets, &jobs, options.device, &stop, |job, outcome| {
        let (name, preset) = &presets[job.preset];
        match outcome.diverged {
            Some(at) => tell(&format!("{name}, seed {}: diverged at step {at}", job.seed)),
            None => tell(&format!("{name}, seed {}: {} steps", job.seed, preset.train.steps)),
        }
        outcomes[job.preset].push(outcome);
        // In the order of the presets, each once all of its seeds, and those of presets that it names, are done.
        let done = |preset: usize, outcomes: &[Vec<Outcome>]| outcomes[preset].len() == seeds[preset].len();
        while printed < verified
            && done(printed, &outcomes)
            && other_presets::named_by(printed, &presets).all(|other| done(other, &outcomes))
        {
            other_presets::complete(printed, &presets, &mut outcomes);
            let next = &mut outcomes[printed];
            next.sort_by_key(|outcome| seeds[printed].iter().position(|seed| *seed == outcome.seed));
            let (name, preset) = &presets[printed];
            tally.count(show(name, preset, next, options.markdown)?);
            // A lesson's experiments are not the presets whose results the gallery shows.
            if !options.lessons {
                record(result_cache.as_ref(), name, preset, next);
            }
            printed += 1;
        }
        Ok(())
    })?;
    let sum = format!("{} held, {} failed", tally.held, tally.failed);
    if options.markdown {
        tell(&sum)
    } else {
        print(&(sum + "\n")).map(|_| ())?
    }
    if tally.failed > 0 {
        bail!("{} of {} claims did not hold", tally.failed, tally.held + tally.failed);
    }
    Ok(ExitCode::SUCCESS)
}

/// Claims that held and that did not.
#[derive(Default)]
struct Tally {
    held: usize,
    failed: usize,
}

impl Tally {
    fn count(&mut self, more: Self) {
        self.held += more.held;
        self.failed += more.failed;
    }
}

/// A claim over all seeds.
struct Summary<'a> {
    claim: &'a Claim,
    values: Vec<f64>,
    /// For how many of the seeds it held.
    seeds_held: usize,
    held: bool,
}

fn summaries<'a>(preset: &'a Preset, outcomes: &[Outcome]) -> Vec<Summary<'a>> {
    let summary = |(place, claim): (usize, &'a Claim)| {
        let checks = || outcomes.iter().map(|outcome| &outcome.checks[place]);
        let seeds_held = checks().filter(|check| check.held).count();
        let held = claim.holds_for(seeds_held, outcomes.len());
        Summary { claim, values: checks().map(|check| check.value).collect(), seeds_held, held }
    };
    preset.claims.iter().enumerate().map(summary).collect()
}

/// Prints the claims of a preset, or its row; the claims go to standard error then.
fn show(name: &str, preset: &Preset, outcomes: &[Outcome], markdown: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for summary in summaries(preset, outcomes) {
        tally.count(if summary.held { Tally { held: 1, failed: 0 } } else { Tally { held: 0, failed: 1 } });
        let line = line(name, &summary);
        if markdown { tell(&line) } else { print(&(line + "\n")).map(|_| ())? }
    }
    if markdown {
        print(&table::row(name, preset, outcomes))?;
    }
    Ok(tally)
}

/// "gd-ssm  held  0.0012 loss gap …", or for several seeds "held 3 of 3  0.0012 ± 0.0003 …".
fn line(name: &str, summary: &Summary) -> String {
    let Summary { claim, values, seeds_held, held } = summary;
    let word = if *held { "held" } else { "FAILED" };
    if let [value] = values[..] {
        return format!("{name:30} {word:6} {:>12} {claim}", short(value));
    }
    let (mean, deviation) = mean_and_deviation(values);
    let seeds = format!("{word} {seeds_held} of {}", values.len());
    format!("{name:30} {seeds:14} {:>20} {claim}", format!("{} ± {}", short(mean), short(deviation)))
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

/// The experiments of lessons, each named after its lesson: `one-step:gd-ssm`.
fn of_lessons(names: &[String]) -> Result<Vec<(String, Preset)>> {
    let readable = |entry: lesson::Entry| match entry.lesson {
        Ok(lesson) => Ok((entry.name, lesson)),
        Err(error) => bail!(error),
    };
    let lessons = match names {
        [] => lesson::all().into_iter().map(readable).collect::<Result<Vec<_>>>()?,
        names => names.iter().map(|name| lesson::find(name)).collect::<Result<_>>()?,
    };
    let within = |lesson: &str, experiment: &str| format!("{lesson}:{experiment}");
    let experiments = lessons.into_iter().flat_map(|(lesson, content)| {
        content.presets.into_iter().map(move |(name, mut preset)| {
            for claim in &mut preset.claims {
                if let Quantity::LossOverPreset(other) = &mut claim.measure {
                    *other = within(&lesson, other);
                }
            }
            (within(&lesson, &name), preset)
        })
    });
    Ok(experiments.collect())
}

/// Keeps a result for the gallery: the mean over the seeds. If that fails it is said, and is no failure of the claims.
fn record(result_cache: Option<&PathBuf>, name: &str, preset: &Preset, outcomes: &[Outcome]) {
    let Some(path) = result_cache else { return };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let check = |summary: Summary| {
        let (value, _) = mean_and_deviation(&summary.values);
        ClaimCheck { claim: summary.claim.clone(), value, held: summary.held }
    };
    let verdicts = summaries(preset, outcomes).into_iter().map(check).collect();
    let seconds_per_step = outcomes.first().and_then(|outcome| outcome.seconds_per_step);
    if let Err(error) =
        ResultCache::record(path, (name, preset), ClaimRecord { verdicts, loss: None, seconds_per_step }, now)
    {
        tell(&format!("{}: not recorded: {error:#}", path.display()));
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
