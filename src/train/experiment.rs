//! A run with all that it has shown so far: the one loop body that every front end drives.
//!
//! Owns when to measure, and what to do when a run diverges. Knows nothing of files, threads and screens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    Checkpoint, DeviceChoice, History, LrChange, Measurement, Run, Scope, Snapshot, StepReport, open, open_shifted,
};
use crate::preset::Preset;
use crate::reference::Tuned;
use crate::task::Task;

/// Steps between two states that a diverging run can fall back to.
const KEEP_EVERY: u64 = 100;
/// A batch's loss may be this many times the loss at the start before a state no longer counts as good.
const GOOD: f32 = 10.0;
/// A batch's loss that is this many times the loss at the start will not come back: the run has diverged.
const RUNAWAY: f32 = 1e4;

/// Time that one call of [`Experiment::advance`] takes at most, if a step is not longer.
const AT_ONCE: Duration = Duration::from_millis(25);

/// A reference on the held-out tasks of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceResult {
    /// The algorithm and the step sizes it was given.
    pub tuned: Tuned,
    /// Mean loss over the held-out tasks.
    pub loss: f64,
    /// The loss in the middle. Least squares on as many noisy pairs as there are unknowns has no mean that settles.
    pub median: f64,
    /// Mean loss after 0, 1, …, N pairs, over the first 64 to 128 held-out tasks; empty where contexts are so long that
    /// this would take too much time.
    pub loss_by_pairs: Vec<f64>,
    /// Floating-point operations for one query.
    pub flops: u64,
}

/// What one call of [`Experiment::advance`] did.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The steps done: one on the CPU, several where waiting for each would hold the device up.
    pub reports: Vec<StepReport>,
    /// The measurement, where one was due after the last of them.
    pub measurement: Option<Measurement>,
    /// At this step the loss was not finite or had run away: the run went back to its last good state.
    pub diverged: Option<u64>,
}

/// A run, its preset, and its history.
pub struct Experiment {
    /// The preset's name: `gd-ssm`.
    pub name: String,
    pub preset: Arc<Preset>,
    pub history: History,
    run: Box<dyn Run>,
    last_good: (Checkpoint, History),
    /// The device failed and could not even go back: what is left of the run is its last good state.
    device_lost: bool,
    device_choice: DeviceChoice,
    /// Steps to order at once, as long as the device allows as many: so many that what came of them is known in time.
    queue_depth: u64,
}

impl Experiment {
    /// Opens a preset at step 0, with the seed that it names, and measures it once.
    pub fn start(name: &str, preset: Preset, device: DeviceChoice) -> Result<Self> {
        let run = open(&preset, device)?;
        Self::begin(name, preset, (run, device))
    }

    /// The same, with a run that is open at step 0.
    pub(super) fn begin(
        name: &str,
        preset: Preset,
        (run, device_choice): (Box<dyn Run>, DeviceChoice),
    ) -> Result<Self> {
        let last_good = (run.checkpoint()?, History::default());
        let (name, preset) = (name.to_owned(), Arc::new(preset));
        let mut experiment = Self {
            name,
            preset,
            history: History::default(),
            run,
            last_good,
            device_lost: false,
            device_choice,
            queue_depth: 1,
        };
        experiment.measure(Scope::Glance)?;
        experiment.keep()?;
        Ok(experiment)
    }

    /// Goes on from a checkpoint, exactly.
    pub fn resume(
        name: &str,
        preset: Preset,
        (checkpoint, history): (Checkpoint, History),
        device: DeviceChoice,
    ) -> Result<Self> {
        let mut run = open(&preset, device)?;
        run.restore(&checkpoint)?;
        let last_good = (checkpoint, history.clone());
        Ok(Self {
            name: name.to_owned(),
            preset: Arc::new(preset),
            history,
            run,
            last_good,
            device_lost: false,
            device_choice: device,
            queue_depth: 1,
        })
    }

    /// The present weights on tasks that they were not trained on, to be measured: see [`Self::evaluate`].
    pub fn shifted(&self, preset: Preset) -> Result<Self> {
        Self::evaluate(&self.name, preset, (self.checkpoint()?, &self.preset.task), self.device_choice)
    }

    /// The weights of a checkpoint on tasks like those of `preset`, to be measured, although they were trained on tasks
    /// like another. The references keep the step sizes and penalties that they chose there, and what the Kalman filter
    /// and Bayes believe: all are strangers here.
    pub fn evaluate(
        name: &str,
        preset: Preset,
        (checkpoint, trained_on): (Checkpoint, &Task),
        device: DeviceChoice,
    ) -> Result<Self> {
        let mut run = open_shifted(&preset, trained_on, device)?;
        run.restore(&checkpoint)?;
        let (name, preset, history) = (name.to_owned(), Arc::new(preset), History::default());
        Ok(Self {
            name,
            preset,
            history,
            run,
            last_good: (checkpoint, History::default()),
            device_lost: false,
            device_choice: device,
            queue_depth: 1,
        })
    }

    /// Goes back to step 0, with this seed.
    ///
    /// # Errors
    /// The device failed: the run is back at its last good state.
    pub fn restart(&mut self, seed: u64) -> Result<()> {
        let begin = |run: &mut Self| {
            run.run.reset(seed)?;
            run.history = History::default();
            run.measure(Scope::Glance)?;
            run.keep()
        };
        begin(self).inspect_err(|_| self.recover())
    }

    /// A training step or, where the device works ahead, several, but never more than `most`; and a measurement where
    /// one is due. What is due at a step, and what comes of it, does not depend on how many are done at once.
    ///
    /// # Errors
    /// The device failed: the run is back at its last good state.
    pub fn advance(&mut self, most: u64) -> Result<Advance> {
        self.go_on(most).inspect_err(|_| self.recover())
    }

    fn go_on(&mut self, most: u64) -> Result<Advance> {
        if self.device_lost {
            self.fall_back()?;
            self.device_lost = false;
        }
        let began = Instant::now();
        let at_most = self.run.steps_ahead();
        for _ in 0..at_most.min(self.queue_depth).min(most.max(1)) {
            self.run.step()?;
            if self.measures_now() || self.keeps_now() || began.elapsed() >= AT_ONCE {
                break;
            }
        }
        let reports = self.run.reports()?;
        // Ordering takes a card no time, doing does.
        self.queue_depth =
            if began.elapsed() < AT_ONCE { (2 * self.queue_depth).min(at_most) } else { self.queue_depth.div_ceil(2) };
        let first = self.history.eval_loss.buckets().first().map_or(f32::MAX, |bucket| bucket.mean);
        // Not the other way round: a NaN must not pass.
        let stays = |report: &&StepReport| report.loss <= RUNAWAY * first && report.loss.is_finite();
        if let Some(bad) = reports.iter().find(|report| !stays(report)) {
            let diverged = Some(bad.step);
            self.fall_back()?;
            return Ok(Advance { reports, measurement: None, diverged });
        }
        reports.iter().for_each(|report| self.history.record_step(report));
        let measurement = if self.measures_now() { Some(self.measure(Scope::Glance)?) } else { None };
        if self.keeps_now() && reports.last().is_some_and(|report| report.loss <= GOOD * first) {
            self.keep()?;
        }
        Ok(Advance { reports, measurement, diverged: None })
    }

    /// Whether a measurement is due after the step just done.
    fn measures_now(&self) -> bool {
        let (step, train) = (self.step(), &self.preset.train);
        step.is_multiple_of(train.measure_every) || step == train.steps
    }

    /// Whether the state after the step just done is one to fall back to.
    fn keeps_now(&self) -> bool {
        self.step().is_multiple_of(KEEP_EVERY)
    }

    /// Measures the present weights on the held-out tasks and records the result.
    pub fn measure(&mut self, scope: Scope) -> Result<Measurement> {
        let measurement = self.run.measure(scope)?;
        self.history.record_measurement(&measurement);
        Ok(measurement)
    }

    /// Measures the present weights, and records nothing.
    pub fn measure_unrecorded(&mut self, scope: Scope) -> Result<Measurement> {
        self.run.measure(scope)
    }

    /// Multiplies the learning rate from here on.
    pub fn scale_lr(&mut self, factor: f64) -> LrChange {
        let change = LrChange { step: self.step(), factor: self.run.scale_lr(factor) };
        self.history.lr_changes.push(change);
        change
    }

    /// Goes back to the last good state after the device failed.
    fn recover(&mut self) {
        self.device_lost = self.fall_back().is_err();
        if self.device_lost {
            self.history = self.last_good.1.clone();
        }
    }

    /// Goes back to the last good state; a learning rate that was lowered since stays low.
    fn fall_back(&mut self) -> Result<()> {
        let (checkpoint, history) = &self.last_good;
        let lowered = self.run.scale_lr(1.0) / checkpoint.lr_factor;
        self.run.restore(checkpoint)?;
        self.history = history.clone();
        if lowered < 1.0 {
            self.scale_lr(lowered);
        }
        Ok(())
    }

    /// Keeps the present state to fall back to, unless a weight is not finite.
    fn keep(&mut self) -> Result<()> {
        let checkpoint = self.run.checkpoint()?;
        if checkpoint.check().is_ok() {
            self.last_good = (checkpoint, self.history.clone());
        }
        Ok(())
    }

    /// Whether the preset's last step is done.
    pub fn finished(&self) -> bool {
        self.step() >= self.preset.train.steps
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        if self.device_lost { self.last_good.0.step } else { self.run.steps_done() }
    }

    pub fn seed(&self) -> u64 {
        if self.device_lost { self.last_good.0.seed } else { self.run.seed() }
    }

    /// The learning rate of the next step.
    pub fn lr(&self) -> f64 {
        self.run.lr()
    }

    /// "cpu", or the card's name.
    pub fn device(&self) -> &str {
        self.run.device()
    }

    /// Every reference that applies to the task, on the held-out tasks.
    pub fn references(&self) -> &[ReferenceResult] {
        self.run.references()
    }

    /// Loss of the present weights on the batch that the next step will train on.
    pub fn batch_loss(&mut self) -> Result<f32> {
        self.run.batch_loss()
    }

    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.run.snapshot()
    }

    /// The state to save; after a failure from which the device did not recover, the last good one.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        if self.device_lost { Ok(self.last_good.0.clone()) } else { self.run.checkpoint() }
    }
}
