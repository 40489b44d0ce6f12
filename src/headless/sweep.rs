//! `innerloop sweep`: every combination of presets, varied fields and seeds, side by side, into one folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::changes::{setting, without_repetition};
use super::exit::{Stopped, Usage};
use super::report::Report;
use super::stop::StopSignal;
use super::sweep_table::table;
use super::{completions, print, slurm, tell};
use crate::preset;
use crate::session::{self, Session, SessionFile};
use crate::sweep::{self, Axis, Folder, Outcome, Plan, PlannedPreset, RunSpec, summarise};
use crate::train::{DeviceChoice, Experiment};

/// Time between two saves of a run.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// Train presets over seeds and varied fields, and tabulate the results
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop sweep gd-ssm --vary task.context=5,10,20 --seeds 5 --out context\n\n\
    The folder holds the plan, one session per run, results.csv (one row per run) and curves.csv. The same command \
    again continues what was interrupted and skips what is done.")]
pub struct Options {
    /// Names or paths of presets
    #[arg(value_name = "PRESET", add = completions::presets_and_files())]
    #[arg(required_unless_present_any = ["collect", "task"])]
    pub presets: Vec<String>,
    /// A field to vary, with its values, for example task.context=5,10,20; repeat it for a grid
    #[arg(long, value_name = "KEY=V1,V2,…", value_parser = Axis::parse)]
    pub vary: Vec<Axis>,
    /// Change a field in all runs, for example task.dim=5
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// How many seeds, counted from 1, or a list of seeds such as 1,2,7
    #[arg(long, value_name = "N|LIST", default_value = "1", value_parser = Seeds::parse)]
    pub seeds: Seeds,
    /// The step to stop at; otherwise each preset's own
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Runs at once; otherwise one per processor core, or one on a GPU
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// The folder for the plan, the sessions and the tables
    #[arg(long, value_name = "DIR", required_unless_present = "collect")]
    pub out: Option<PathBuf>,
    /// Only make the tables from the runs that have ended in a folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["presets", "out", "slurm"])]
    pub collect: Option<PathBuf>,
    /// Print the summary as one JSON array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub slurm: slurm::SlurmOptions,
}

/// Seeds of a sweep.
#[derive(Clone, Debug)]
pub struct Seeds(pub Vec<u64>);

impl Seeds {
    /// `5` is 1, 2, 3, 4, 5; `1,2,7` is these three, and `7,` the seed 7 alone.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "give how many seeds, such as 5, or a list such as 1,2,7".to_owned();
        let Some((_, _)) = text.split_once(',') else {
            let count: u64 = text.trim().parse().map_err(|_| wrong())?;
            return if (1..=10_000).contains(&count) { Ok(Self((1..=count).collect())) } else { Err(wrong()) };
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let seeds: Vec<u64> = parts.map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match seeds.iter().enumerate().find(|(i, seed)| seeds[..*i].contains(seed)) {
            Some((_, seed)) => Err(format!("the seed {seed} stands there twice")),
            None if seeds.is_empty() => Err(wrong()),
            None => Ok(Self(seeds)),
        }
    }
}

/// Runs the sweep, or a part of it, and prints its summary.
pub fn run(options: &Options) -> Result<ExitCode> {
    if let Some(folder) = &options.collect {
        return collect(&Folder::open(folder)?, options.json);
    }
    let out = options.out.as_deref().ok_or_else(|| Usage("give a folder with --out".to_owned()))?;
    if let Some(task) = options.slurm.task {
        let folder = Folder::open(out)?;
        let runs = folder.plan()?.runs()?;
        let own: Vec<RunSpec> = slurm::runs_of(&runs, task, options.slurm.runs_per_task).cloned().collect();
        return drive(&folder, &own, options);
    }
    let plan = plan(options)?;
    let runs = plan.runs().map_err(|error| Usage(format!("{error:#}")))?;
    let folder = Folder::begin(out, &plan)?;
    if options.slurm.slurm || options.slurm.submit {
        return slurm::write(&folder, runs.len(), options);
    }
    drive(&folder, &runs, options)?;
    collect(&folder, options.json)
}

/// The plan that the options describe.
fn plan(options: &Options) -> Result<Plan> {
    without_repetition(&options.set)?;
    let settings = || options.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let planned = |name: &String| {
        let (name, preset) = preset::find(name)?;
        let preset = preset::set(&preset, settings()).map_err(Usage::or_value)?;
        anyhow::Ok(PlannedPreset { name, preset })
    };
    let presets = options.presets.iter().map(planned).collect::<Result<Vec<_>>>()?;
    Ok(Plan::new(presets, options.vary.clone(), options.seeds.0.clone(), options.steps))
}

/// What all workers share.
struct Shared<'a> {
    folder: &'a Folder,
    runs: &'a [RunSpec],
    device: DeviceChoice,
    stop: &'a StopSignal,
    bar: ProgressBar,
    next: AtomicUsize,
    /// Steps done by this command.
    steps: AtomicU64,
    ended: AtomicUsize,
    failed: Mutex<Option<anyhow::Error>>,
}

/// Trains the runs that have not ended, as many at once as pays.
fn drive(folder: &Folder, runs: &[RunSpec], options: &Options) -> Result<ExitCode> {
    let stop = StopSignal::listen().context("cannot listen for signals")?;
    let mut waiting = Vec::new();
    for run in runs {
        if folder.outcome(run)?.is_none() {
            waiting.push(run.clone());
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let on_gpu = cfg!(feature = "cuda") && options.device != DeviceChoice::Cpu;
    let jobs = options.jobs.map_or(if on_gpu { 1 } else { cores }, usize::from).min(waiting.len()).max(1);
    tell(&format!("{} of {} runs to do, {jobs} at once", waiting.len(), runs.len()));
    let shared = Shared {
        folder,
        runs: &waiting,
        device: options.device,
        stop: &stop,
        bar: bar(waiting.iter().map(|run| run.steps).sum()),
        next: AtomicUsize::new(0),
        steps: AtomicU64::new(0),
        ended: AtomicUsize::new(0),
        failed: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&shared, (cores / jobs).max(1)));
        }
    });
    shared.bar.finish_and_clear();
    if let Some((signal, name)) = stop.signal() {
        let left = waiting.len() - shared.ended.load(Ordering::Relaxed);
        let message = format!("stopped by {name}; {left} runs are left: the same command continues them");
        return Err(Stopped { signal, message }.into());
    }
    match shared.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Takes one run after the other until none is left, with a pool of threads of its own.
fn work(shared: &Shared<'_>, threads: usize) {
    let fail = |error: anyhow::Error| {
        let mut first = shared.failed.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    };
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool,
        Err(error) => return fail(anyhow!(error).context("cannot start a thread")),
    };
    while let Some(run) = shared.runs.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
        if shared.stop.signal().is_some() {
            return;
        }
        match pool.install(|| train(shared, run)) {
            Ok(Some(outcome)) => {
                shared.ended.fetch_add(1, Ordering::Relaxed);
                announce(shared, run, &outcome);
            }
            Ok(None) => {}
            Err(error) => return fail(error.context(run.name.clone())),
        }
    }
}

/// Trains one run to its end; none if a signal interrupted it, or another process works on it.
fn train(shared: &Shared<'_>, run: &RunSpec) -> Result<Option<Outcome>> {
    let file = shared.folder.session(run);
    // Another process may have this run: a task of a job array, or a second command.
    let mut owned = match SessionFile::take(&file) {
        Ok(owned) => owned,
        Err(error) => {
            shared.bar.suspend(|| tell(&format!("{error:#}; left to it")));
            return Ok(None);
        }
    };
    let mut experiment = match file.exists() {
        true => session::load(&file)?.resume(shared.device)?,
        false => Experiment::start(&run.preset_name, run.preset.clone(), shared.device)?,
    };
    let (first, began, mut saved) = (experiment.step(), Instant::now(), Instant::now());
    let mut status = "done".to_owned();
    while experiment.step() < run.steps {
        if shared.stop.signal().is_some() {
            owned.save(&Session::of(&experiment)?)?;
            return Ok(None);
        }
        let at = experiment.step();
        let advance = experiment.advance(run.steps - at)?;
        shared.steps.fetch_add(experiment.step().saturating_sub(at), Ordering::Relaxed);
        shared.bar.set_position(shared.steps.load(Ordering::Relaxed));
        if let Some(divergence) = advance.diverged {
            status = format!("diverged at step {}", divergence.step);
            break;
        }
        if saved.elapsed() >= SAVE_EVERY {
            owned.save(&Session::of(&experiment)?)?;
            saved = Instant::now();
        }
    }
    let elapsed = began.elapsed();
    owned.save(&Session::of(&experiment)?)?;
    let curves = sweep::curves(&experiment.history, &experiment.time);
    let trained = experiment.step() - first;
    let report: serde_json::Value = Report::of(&mut experiment, trained, elapsed)?.value()?;
    let outcome = Outcome { status, report, curves };
    shared.folder.keep_outcome(run, &outcome)?;
    Ok(Some(outcome))
}

/// A line for a run that has ended.
fn announce(shared: &Shared<'_>, run: &RunSpec, outcome: &Outcome) {
    let number = |path: &str| outcome.report.pointer(path).and_then(serde_json::Value::as_f64);
    let loss = number("/eval_loss").map_or("not finite".to_owned(), |loss| format!("{loss:.4}"));
    let over = match (number("/eval_loss"), number("/references/gd-1/loss")) {
        (Some(loss), Some(descent)) => format!(", {:.3} × gd-1", loss / descent),
        _ => String::new(),
    };
    let ended = shared.ended.load(Ordering::Relaxed);
    let line = format!("{ended}/{} {}: {}, loss {loss}{over}", shared.runs.len(), run.name, outcome.status);
    shared.bar.suspend(|| tell(&line));
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4));
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent} %  {eta} left") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// Writes the tables from the runs that have ended, and prints the summary.
fn collect(folder: &Folder, json: bool) -> Result<ExitCode> {
    let (ended, total) = folder.ended()?;
    folder.write("results.csv", &sweep::results_csv(&ended)?)?;
    folder.write("curves.csv", &sweep::curves_csv(&ended)?)?;
    let rows = summarise(&ended);
    if json {
        return print(&(serde_json::to_string(&rows)? + "\n"));
    }
    let place = crate::bounds::line(&folder.path().display().to_string());
    tell(&format!("{} of {total} runs have ended; tables: {place}/results.csv, {place}/curves.csv", ended.len()));
    print(&table(&rows))
}
