//! A run with its history: the one loop body that every front end drives.
//!
//! Decides when to measure, and what to do when a run diverges or its device fails. Files, threads and the screen are
//! not used here.

mod early_steps;
mod guarded_run;
mod measures;
mod recovery;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::guarded_run::GuardedRun;
use super::checkpoint::LR_FACTORS;
use super::device::{DeviceChoice, auto, catch_panic, explained};
use super::divergence::has_diverged;
use super::eval::{HeldOut, Measurement, ReferenceResult, Scope};
use super::opening::Watch;
use super::trainer::StepProgress;
use super::{
    Checkpoint, Divergence, DivergenceCause, Fork, History, LrChange, RunState, Solved, StepReport, TrainingTime,
};
use crate::preset::{self, Preset};
use crate::task::{Stream, StreamKey, Task};

/// Steps between two states that a diverging run can go back to.
const KEEP_EVERY: u64 = 100;

/// Time that one call of [`Experiment::advance`] takes, about, if a step is not longer.
const TIME_PER_CALL: Duration = Duration::from_millis(25);

/// What one call of [`Experiment::advance`] did.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The steps done: one on the CPU; on a GPU several, because waiting for each would slow it down; none while a long
    /// step is under way.
    pub reports: Vec<StepReport>,
    /// What the last of them solved for, where the preset's optimiser does.
    pub solved: Option<Solved>,
    /// The measurement, if one was due after the last of them.
    pub measurement: Option<Measurement>,
    /// The run diverged, and went back to its last good state.
    pub diverged: Option<Divergence>,
}

/// A run, its preset, and its history.
pub struct Experiment {
    /// The preset's name: `gd-ssm`.
    pub name: String,
    pub preset: Arc<Preset>,
    pub history: History,
    pub time: TrainingTime,
    seed: u64,
    /// Steps done.
    step: u64,
    /// What the learning rate was multiplied by, by hand.
    lr_factor: f64,
    run: GuardedRun,
    held_out: HeldOut,
    last_good: RunState,
    /// The device failed and could not go back to the last good state either.
    device_lost: bool,
    device_choice: DeviceChoice,
    device_note: Option<String>,
    is_fallback: bool,
    /// Steps to queue at once, adapted so that a call takes [`TIME_PER_CALL`]; the device limits it.
    queue_depth: u64,
}

/// What a run is opened with.
struct Opening<'a> {
    name: &'a str,
    preset: Preset,
    /// The task that the weights were trained on.
    trained_on: &'a Task,
    device: DeviceChoice,
    purpose: Purpose,
    watch: Watch<'a>,
}

/// What a run is opened for. One that is only measured needs no kernel for training, and no memory for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Training,
    Measuring,
}

impl Experiment {
    /// Opens a preset at step 0, with the seed that it names, and measures it once.
    ///
    /// # Errors
    /// The preset is inconsistent, the device cannot be opened, or it fails.
    pub fn start(name: &str, preset: Preset, device: DeviceChoice) -> Result<Self> {
        Self::start_watched(name, preset, device, &|_| true)
    }

    /// The same; `watch` follows the opening and may cancel it, with the error [`Cancelled`](super::Cancelled).
    pub fn start_watched(name: &str, preset: Preset, device: DeviceChoice, watch: Watch) -> Result<Self> {
        let trained_on = preset.task.clone();
        let mut experiment =
            Self::open(Opening { name, preset, trained_on: &trained_on, device, purpose: Purpose::Training, watch })?;
        experiment.measure(Scope::Subset)?;
        experiment.keep(None)?;
        Ok(experiment)
    }

    /// Continues from a checkpoint, bit by bit as the run would have continued.
    ///
    /// # Errors
    /// As [`Self::start`], or the checkpoint does not fit the preset.
    pub fn resume(
        name: &str,
        preset: Preset,
        checkpoint: Checkpoint,
        history: History,
        device: DeviceChoice,
        watch: Watch,
    ) -> Result<Self> {
        let trained_on = preset.task.clone();
        let mut experiment =
            Self::open(Opening { name, preset, trained_on: &trained_on, device, purpose: Purpose::Training, watch })?;
        experiment.go_to(RunState { checkpoint, history })?;
        Ok(experiment)
    }

    /// Goes to another state of the same preset.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn go_to(&mut self, state: RunState) -> Result<()> {
        self.lr_factor = state.checkpoint.lr_factor;
        self.last_good = state;
        self.fall_back()
    }

    /// A run that goes on from the present state with other fields: `preset` is this run's with changes, which the
    /// history of the new run records.
    ///
    /// # Errors
    /// As [`Self::resume`]: the weights do not fit the changed model, or the changed optimiser needs moments that there
    /// are none of.
    pub fn forked(&self, preset: Preset, watch: Watch) -> Result<Self> {
        let RunState { mut checkpoint, mut history } = self.state()?;
        super::trainer::fits(&preset, &checkpoint)
            .context("the weights do not fit the changed model; r trains it from the start")?;
        let mut changes = preset::settings(&self.preset, &preset);
        if preset.train.seed != self.seed {
            changes.push(format!("train.seed={}", preset.train.seed));
        }
        checkpoint.seed = preset.train.seed;
        history.forks.push(Fork { step: self.step, changes });
        let mut forked = Self::resume(&self.name, preset, checkpoint, history, self.device_choice, watch)?;
        forked.time.clone_from(&self.time);
        Ok(forked)
    }

    /// The weights of a checkpoint on the tasks of `preset`, to be measured, although they were trained on
    /// `trained_on`. The references keep the step sizes, the penalties and the priors of `trained_on`: no reference is
    /// re-tuned.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn evaluate(
        name: &str,
        preset: Preset,
        checkpoint: Checkpoint,
        trained_on: &Task,
        device: DeviceChoice,
    ) -> Result<Self> {
        let mut experiment =
            Self::open(Opening { name, preset, trained_on, device, purpose: Purpose::Measuring, watch: &|_| true })?;
        experiment.go_to(RunState { checkpoint, history: History::default() })?;
        Ok(experiment)
    }

    /// A run at step 0 that is not measured yet.
    fn open(opening: Opening<'_>) -> Result<Self> {
        let Opening { name, preset, trained_on, device: device_choice, purpose, watch } = opening;
        preset.check()?;
        let opened = match purpose {
            Purpose::Training => device_choice.open(&preset)?,
            Purpose::Measuring => device_choice.open_to_measure(&preset)?,
        };
        let (device_name, batch, seed) = (opened.device.name(), preset.train.batch, preset.train.seed);
        let held_out = HeldOut::watched(&preset, trained_on, watch)?;
        let preset = Arc::new(preset);
        let gd_constants = held_out.gd_constants();
        let started = catch_panic(|| match purpose {
            Purpose::Training => auto::start(device_choice, opened, &preset, gd_constants),
            Purpose::Measuring => auto::start_measuring(device_choice, opened, &preset, gd_constants),
        })
        .map_err(|error| explained(error, &device_name, batch))?;
        // What is measured beside this run is measured on the same device.
        let device_choice = started.choice;
        let run = GuardedRun { run: started.run, device: started.device, batch };
        let (parameters, damping) = run.read(|run| Ok((run.parameters()?, run.damping())))?;
        let checkpoint = Checkpoint { seed, step: 0, lr_factor: 1.0, damping, parameters };
        Ok(Self {
            name: name.to_owned(),
            preset,
            history: History::default(),
            time: TrainingTime::default(),
            seed,
            step: 0,
            lr_factor: 1.0,
            run,
            held_out,
            last_good: RunState { checkpoint, history: History::default() },
            device_lost: false,
            device_choice,
            device_note: started.note,
            is_fallback: started.is_fallback,
            queue_depth: 1,
        })
    }

    /// The present weights on tasks that they were not trained on, to be measured: see [`Self::evaluate`].
    pub fn shifted(&self, preset: Preset) -> Result<Self> {
        Self::evaluate(&self.name, preset, self.checkpoint()?, &self.preset.task, self.device_choice)
    }

    /// Goes back to step 0, with this seed.
    ///
    /// # Errors
    /// The device failed: the run is back at its last good state.
    pub fn restart(&mut self, seed: u64) -> Result<()> {
        let begin = |experiment: &mut Self| {
            experiment.run.attempt(|run| run.initialise(seed))?;
            (experiment.seed, experiment.step, experiment.lr_factor) = (seed, 0, 1.0);
            experiment.history = History::default();
            experiment.time = TrainingTime::default();
            experiment.measure(Scope::Subset)?;
            experiment.keep(None)
        };
        begin(self).map(drop).inspect_err(|_| self.recover())
    }

    /// Does one training step, or several if the device queues them, but at most `most`; and a measurement if one is
    /// due. What is due at a step, and its results, do not depend on how many steps are done at once.
    ///
    /// # Errors
    /// The device failed: the run is back at its last good state.
    pub fn advance(&mut self, most: u64) -> Result<Advance> {
        let began = Instant::now();
        let advance = self.train(most).inspect_err(|_| self.recover())?;
        self.time.add(self.step, began.elapsed(), advance.measurement.is_some());
        Ok(advance)
    }

    fn train(&mut self, most: u64) -> Result<Advance> {
        if self.device_lost {
            self.fall_back()?;
            self.device_lost = false;
        }
        let began = Instant::now();
        let queue_limit = self.run.run.queue_limit();
        for _ in 0..queue_limit.min(self.queue_depth).min(most.max(1)) {
            if self.step_until(began + TIME_PER_CALL)? == StepProgress::Partial {
                break;
            }
            if self.measures_now() || self.keeps_now() || began.elapsed() >= TIME_PER_CALL {
                break;
            }
        }
        let reports = self.run.attempt(|run| run.reports())?;
        if reports.is_empty() {
            return Ok(Advance { reports, solved: None, measurement: None, diverged: None });
        }
        // To queue a step takes a GPU no time; to compute it does.
        let fast = began.elapsed() < TIME_PER_CALL;
        self.queue_depth = if fast { (2 * self.queue_depth).min(queue_limit) } else { self.queue_depth.div_ceil(2) };
        if let Some(bad) = reports.iter().find(|report| has_diverged(report.loss, self.first_loss())) {
            let diverged = Some(self.diverge(bad.step, DivergenceCause::Loss)?);
            return Ok(Advance { reports, solved: None, measurement: None, diverged });
        }
        reports.iter().for_each(|report| self.history.record_step(report));
        let measurement = match self.measures_now() {
            true => {
                self.begin_early(most.saturating_sub(reports.len() as u64))?;
                Some(self.measure(Scope::Subset)?)
            }
            false => None,
        };
        let diverged = if self.keeps_now() { self.keep(reports.last())? } else { None };
        Ok(Advance { reports, solved: self.solved(), measurement, diverged })
    }

    /// Does the next step, or of a long one as much as there is time for.
    fn step_until(&mut self, end: Instant) -> Result<StepProgress> {
        let (batch, lr) = (self.next_batch(), self.lr());
        loop {
            match self.run.attempt(|run| run.step(batch, lr))? {
                StepProgress::Complete => {
                    self.step += 1;
                    return Ok(StepProgress::Complete);
                }
                StepProgress::Partial if Instant::now() >= end => return Ok(StepProgress::Partial),
                StepProgress::Partial => {}
            }
        }
    }

    /// What the last step solved for, where the preset's optimiser does.
    pub fn solved(&self) -> Option<Solved> {
        self.run.run.solved()
    }

    /// Whether a measurement is due after the step just done.
    fn measures_now(&self) -> bool {
        let train = &self.preset.train;
        self.step.is_multiple_of(train.measure_every) || self.step == train.steps
    }

    /// Whether the state after the step just done is one to go back to.
    fn keeps_now(&self) -> bool {
        self.step.is_multiple_of(KEEP_EVERY)
    }

    /// The key of the batch that the next step trains on.
    fn next_batch(&self) -> StreamKey {
        StreamKey { seed: self.seed, stream: Stream::Train, step: self.step }
    }

    /// Multiplies the learning rate from here on, within the factors that a checkpoint allows.
    pub fn scale_lr(&mut self, factor: f64) -> LrChange {
        self.lr_factor = (self.lr_factor * factor).clamp(*LR_FACTORS.start(), *LR_FACTORS.end());
        let change = LrChange { step: self.step, factor: self.lr_factor };
        self.history.record_lr_change(change);
        change
    }

    /// Whether the preset's last step is done.
    pub fn finished(&self) -> bool {
        self.step >= self.preset.train.steps
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The learning rate of the next step.
    pub fn lr(&self) -> f64 {
        self.preset.train.lr_at(self.step) * self.lr_factor
    }

    /// Why this device was chosen, or why it trains more slowly than it could; to be shown once.
    pub fn device_note(&self) -> Option<&str> {
        self.device_note.as_deref()
    }

    /// "cpu", "cuda:0".
    pub fn device(&self) -> &str {
        &self.run.device
    }

    /// The device for a screen: "cuda:0 (dfdx's kernels, slow)" where it has none of its own for this preset.
    pub fn device_label(&self) -> String {
        let suffix = if self.is_fallback { " (dfdx's kernels, slow)" } else { "" };
        format!("{}{suffix}", self.device())
    }

    /// Every reference that applies to the task, on the held-out tasks.
    pub fn references(&self) -> &[ReferenceResult] {
        self.held_out.references()
    }

    /// The present state with the history; if the device is lost, the last good state.
    pub fn state(&self) -> Result<RunState> {
        Ok(RunState { checkpoint: self.checkpoint()?, history: self.history.clone() })
    }

    /// The state to save; if the device is lost, the last good one.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        if self.device_lost {
            return Ok(self.last_good.checkpoint.clone());
        }
        let (parameters, damping) = self.run.read(|run| Ok((run.parameters()?, run.damping())))?;
        Ok(Checkpoint { seed: self.seed, step: self.step, lr_factor: self.lr_factor, damping, parameters })
    }
}
