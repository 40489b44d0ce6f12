//! Presets trained with seeds and checked, as many at once as there are cores.
//!
//! A run by itself keeps several cores busy badly: its batches are small. So every core trains one of its own, in a
//! pool of one thread; what comes of a run does not depend on that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::super::opening;
use super::super::run_to::{End, run_to};
use super::super::stop::StopSignal;
use crate::preset::{Claim, Preset};
use crate::reference::Reference;
use crate::train::{ClaimCheck, ClaimChecks, DeviceChoice, Experiment, Measurement, Scope};

/// One training: a preset, by its place in a list, with a seed.
#[derive(Clone, Copy)]
pub struct Job {
    pub preset: usize,
    pub seed: u64,
}

/// What came of one training.
pub struct Outcome {
    pub seed: u64,
    /// One for each claim, in their order. The value of one that needs another preset's run is the loss, and it has not
    /// held, until [`super::other_presets`] has both.
    pub checks: Vec<ClaimCheck>,
    /// The step at which the run diverged.
    pub diverged: Option<u64>,
    /// What a training step took; `None` if none was made.
    pub seconds_per_step: Option<f64>,
    pub result: Option<Trained>,
}

/// A trained model among the references.
pub struct Trained {
    pub loss: f64,
    pub loss_standard_error: f64,
    pub descent_loss: Option<f64>,
    /// The reference with the least loss, and that loss.
    pub best: Option<(Reference, f64)>,
    /// The nearest reference, and the relative prediction difference to it; `None` beyond the threshold.
    pub nearest: Option<(Reference, f64)>,
}

/// Trains all jobs and hands over what came of each, in any order. Ends with the first error.
///
/// # Errors
/// A preset cannot be opened or verified, a device failed, or a signal ended the command.
pub fn run_all(
    presets: &[(String, Preset)],
    jobs: &[Job],
    device: DeviceChoice,
    stop: &StopSignal,
    mut done: impl FnMut(Job, Outcome) -> Result<()>,
) -> Result<()> {
    let run = |job: Job| {
        let (name, preset) = &presets[job.preset];
        run_one(name, preset, job.seed, device, stop).with_context(|| format!("{name}, seed {}", job.seed))
    };
    // A GPU takes one run at a time.
    let alone = cfg!(feature = "cuda") && device != DeviceChoice::Cpu;
    let cores = if alone { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
    if cores == 1 || jobs.len() == 1 {
        return jobs.iter().try_for_each(|job| done(*job, run(*job)?));
    }
    let (next, (sender, outcomes)) = (AtomicUsize::new(0), mpsc::channel());
    let (next, run) = (&next, &run);
    thread::scope(|scope| {
        for _ in 0..cores.min(jobs.len()) {
            let sender = sender.clone();
            scope.spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = match &pool {
                        Ok(pool) => pool.install(|| run(*job)),
                        Err(error) => Err(anyhow!("no thread to compute in: {error}")),
                    };
                    // The receiver is gone after an error: nothing is left to do.
                    if sender.send((*job, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (job, outcome) in outcomes {
            let handed = outcome.and_then(|outcome| done(job, outcome));
            if handed.is_err() {
                next.store(jobs.len(), Ordering::Relaxed);
                return handed;
            }
        }
        Ok(())
    })
}

/// Trains to the last step that a claim is about. A run that diverges keeps none of the claims after that.
fn run_one(name: &str, preset: &Preset, seed: u64, device: DeviceChoice, stop: &StopSignal) -> Result<Outcome> {
    let mut preset = preset.clone();
    preset.train.seed = seed;
    let claims = preset.claims.clone();
    let last = claims.iter().map(|claim| claim.after).max().unwrap_or(0);
    ensure!(last <= preset.train.steps, "a claim is about step {last}, beyond train.steps");
    let mut experiment = opening::start(name, preset, device, stop)?;
    let ClaimChecks { mut checks, mut measurement } = checks_now(&mut experiment)?;
    let (mut training, mut diverged) = (Duration::ZERO, None);
    while let Some(steps) = experiment.steps_to_next_claim().filter(|_| diverged.is_none()) {
        let next = experiment.step() + steps;
        match run_to(&mut experiment, next, stop)? {
            End::Reached(took) => {
                training += took;
                let now = checks_now(&mut experiment)?;
                checks.extend(now.checks);
                measurement = now.measurement;
            }
            End::Diverged(divergence) => diverged = Some(divergence.step),
        }
    }
    let check = |claim: &Claim| {
        let measured = checks.iter().find(|check| check.claim == *claim).cloned();
        measured.unwrap_or_else(|| ClaimCheck { claim: claim.clone(), value: f64::NAN, held: false })
    };
    Ok(Outcome {
        seed,
        checks: claims.iter().map(check).collect(),
        diverged,
        seconds_per_step: (last > 0 && diverged.is_none()).then(|| training.as_secs_f64() / last as f64),
        result: if diverged.is_none() { Some(trained(&mut experiment, measurement)?) } else { None },
    })
}

/// The claims for this step; of those that need another run, the loss.
fn checks_now(experiment: &mut Experiment) -> Result<ClaimChecks> {
    let (step, preset) = (experiment.step(), Arc::clone(&experiment.preset));
    let mut now = experiment.check_claims()?;
    let value = now.loss().unwrap_or(f64::NAN);
    for claim in preset.claims.iter().filter(|claim| claim.after == step && claim.other_preset().is_some()) {
        now.checks.push(ClaimCheck { claim: claim.clone(), value, held: false });
    }
    Ok(now)
}

/// The present weights on all held-out tasks, as the claims see them; measured unless the last claims were about them.
fn trained(experiment: &mut Experiment, measurement: Option<Measurement>) -> Result<Trained> {
    let latest = match measurement {
        Some(measurement) => measurement,
        None => experiment.measure_unrecorded(Scope::All)?,
    };
    let references = experiment.references();
    let descent = references.iter().find(|result| result.tuned.reference == Reference::Gd(1));
    let equal = &latest.equivalence;
    // Without those that a simpler one equals: rounding would decide between the two.
    let distinct = references.iter().filter(|result| equal.distance_to(result.tuned.reference).is_some());
    let best = distinct.min_by(|a, b| a.loss.total_cmp(&b.loss));
    Ok(Trained {
        loss: latest.eval_loss,
        loss_standard_error: latest.eval_loss_standard_error,
        descent_loss: descent.map(|result| result.loss),
        best: best.map(|result| (result.tuned.reference, result.loss)),
        nearest: equal.nearest_within().map(|nearest| (nearest, equal.nearest_distance())),
    })
}
