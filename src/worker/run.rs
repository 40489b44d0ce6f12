//! One run in the training thread: handles orders, trains, posts updates.

mod costs;
mod measuring;
mod rewinding;
mod saving;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pace::{Meter, Pace};
use super::slowing::Slowing;
use super::{Fitted, Note, Opened, Order, POSTS_PER_SECOND, Phase, Source, Status, Update};
use crate::session::SessionFile;
use crate::train::{self, DeviceChoice, Experiment, Gpu, GpuStatus, KeptStates, Shifted, SnapshotParts};

/// Time between two readings of the GPU's status.
const GPU_STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Snapshots may take one part in so many of the time: where training needs all of it, and where it waits for its pace.
const SNAPSHOT_SHARE: [u32; 2] = [200, 10];

/// What a run did when it could work.
pub enum Activity {
    Worked,
    /// Nothing: it is due after this time.
    Waits(Duration),
    /// Nothing, and so it will be until an order comes.
    Stopped,
}

/// A run, and the update that is to be posted next.
pub struct RunLoop<'a> {
    experiment: Experiment,
    phase: Phase,
    /// The step to stop at; `None` after an order to train beyond the last step.
    last_step: Option<u64>,
    /// The step to pause at, after an order for one step.
    pause_at: Option<u64>,
    /// Where it stops by itself after a restart.
    stop_at: u64,
    pace: Pace,
    slowing: Slowing,
    meter: Meter,
    /// The file that it was opened from or saved to; none where another run writes that file.
    file: Option<SessionFile>,
    /// The file that it is saved to where the right one cannot be written.
    elsewhere: Option<SessionFile>,
    saved_step: Option<u64>,
    pending: Update,
    /// Whether weights have changed since the last snapshot.
    changed: bool,
    /// What snapshots hold beside states and answers.
    parts: SnapshotParts,
    /// The step whose claims were checked last.
    checked: Option<u64>,
    /// Shifts that are still to be measured; training waits, so that all are of the same weights.
    shifts: VecDeque<Shifted>,
    /// Presets and lengths of contexts whose cost is still to be measured; training waits for them as well.
    cost_jobs: VecDeque<(String, usize)>,
    /// Steps done since the run was opened, and the time they took.
    made: (u64, Duration),
    /// States to go back to, and the time that keeping them took.
    states: KeptStates,
    keeping: Duration,
    /// Whether states have come or gone since the last update.
    states_changed: bool,
    /// Whether to measure the present weights, if the run is stopped.
    measures_present: bool,
    next_post: Instant,
    next_snapshot: Instant,
    gpu: Option<Gpu>,
    gpu_status: Option<GpuStatus>,
    next_gpu_status: Instant,
    post: Post<'a>,
}

/// Posts an update, from any thread.
type Post<'a> = &'a (dyn Fn(Update) + Sync);

impl<'a> RunLoop<'a> {
    pub fn open(source: Source, device: DeviceChoice, post: Post<'a>, cancelled: &AtomicBool) -> Result<Self> {
        let percent = AtomicU32::new(0);
        let watch = |share: f64| {
            let present = (100.0 * share) as u32;
            if percent.fetch_max(present, Ordering::Relaxed) < present {
                post(Update { opening: Some(share), ..Update::default() });
            }
            !cancelled.load(Ordering::Relaxed)
        };
        let (experiment, file) = match source {
            Source::Preset(name, preset) => (Experiment::start_watched(&name, *preset, device, &watch)?, None),
            Source::Session(file, session) => (session.resume_watched(device, &watch)?, Some(SessionFile::take(&file))),
        };
        // The state that was saved is the present one, even if another process writes the file from here on.
        let saved_step = file.as_ref().map(|_| experiment.step());
        let (file, not_ours) = file.transpose().map_or_else(|error| (None, Some(error)), |file| (file, None));
        let now = Instant::now();
        let steps = experiment.preset.train.steps;
        let mut run_loop = RunLoop {
            phase: if experiment.finished() { Phase::Finished } else { Phase::Running },
            last_step: Some(steps),
            pause_at: None,
            stop_at: steps,
            pace: Pace::new(experiment.preset.train.pace),
            slowing: Slowing::of(&experiment.preset.train),
            meter: Meter::default(),
            saved_step,
            file,
            elsewhere: None,
            gpu: Gpu::of(experiment.device()),
            gpu_status: None,
            next_gpu_status: now,
            experiment,
            pending: Update::default(),
            changed: true,
            parts: SnapshotParts::default(),
            checked: None,
            shifts: VecDeque::new(),
            cost_jobs: VecDeque::new(),
            made: (0, Duration::ZERO),
            states: KeptStates::default(),
            keeping: Duration::ZERO,
            states_changed: false,
            measures_present: false,
            next_post: now,
            next_snapshot: now,
            post,
        };
        let warning = |error| Note::ReadOnly(format!("{error:#}; what is saved here gets a new file"));
        run_loop.pending.notes.extend(run_loop.experiment.device_note().map(|note| Note::Device(note.to_owned())));
        run_loop.pending.notes.extend(not_ours.map(warning));
        run_loop.keep();
        run_loop.announce();
        run_loop.post();
        run_loop.check_claims();
        Ok(run_loop)
    }

    /// Puts all that is fixed for the run, and all curves, into the pending update.
    fn announce(&mut self) {
        let experiment = &self.experiment;
        self.pending = Update {
            opened: Some(Opened {
                name: experiment.name.clone(),
                preset: Arc::clone(&experiment.preset),
                seed: experiment.seed(),
                file: self.file.as_ref().map(|file| file.path().to_owned()),
                device: experiment.device_label(),
                parameters: experiment.preset.parameters(),
                references: experiment.references().to_vec(),
            }),
            history: Some(experiment.history.clone()),
            time: Some(experiment.time.clone()),
            notes: std::mem::take(&mut self.pending.notes),
            ..Update::default()
        };
        self.changed = true;
        self.checked = None;
        self.shifts.clear();
    }

    /// Does one piece of work, if one is due: a step, a measurement that was ordered, what comes after the last step.
    pub fn work(&mut self) -> Activity {
        if self.measure_next_shift() || self.measure_next_cost() {
            return Activity::Worked;
        }
        if self.phase != Phase::Running {
            self.post();
            self.check_claims();
            return Activity::Stopped;
        }
        let wait = self.pace.wait();
        if wait.is_none() {
            self.advance();
        }
        if self.until_post().is_zero() {
            self.post();
        }
        wait.map_or(Activity::Worked, |wait| Activity::Waits(wait.min(self.until_post())))
    }

    pub fn finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    pub fn handle(&mut self, order: Order) {
        match order {
            // It is for those who share an order out.
            Order::Focus(_) => {}
            Order::Pause => self.pause(),
            Order::Resume => {
                if self.phase == Phase::Finished {
                    self.last_step = None;
                }
                self.phase = Phase::Running;
                self.pause_at = None;
                self.pace = Pace::new(self.pace.per_second());
                self.meter.clear();
            }
            Order::Step => {
                self.last_step = self.last_step.filter(|last| self.experiment.step() < *last);
                self.phase = Phase::Running;
                self.pause_at = Some(self.experiment.step() + 1);
                self.measures_present = true;
                self.step(1);
            }
            Order::StopAt(step) => {
                (self.stop_at, self.last_step) = (step, Some(step));
                self.phase = if self.experiment.step() < step { Phase::Running } else { Phase::Finished };
            }
            Order::Pace(per_second) => {
                self.pace = Pace::new(per_second);
                self.meter.clear();
            }
            Order::SlowDown(wanted) => {
                self.slowing.wanted = wanted;
                self.pace.slow_to(self.slowing.pace());
            }
            Order::ScaleLr(factor) => {
                self.forget_after(self.experiment.step());
                let change = self.experiment.scale_lr(factor);
                self.pending.lr_changes.push(change);
            }
            Order::GoTo(choice) => self.go_to(choice),
            Order::Fork(preset) => self.fork(*preset),
            Order::Restart { seed } => self.restart(seed),
            Order::Shift => self.shifts = train::shifts(&self.experiment.preset).into(),
            Order::ContextCosts => self.order_context_costs(),
            Order::Fit => {
                let fits = self.experiment.fits().map_err(|error| format!("{error:#}"));
                self.pending.fitted = Some(Fitted { step: self.experiment.step(), fits });
                self.meter.clear();
            }
            Order::SnapshotParts(parts) => {
                self.parts = parts;
                // With the next update, whatever the last snapshot cost.
                self.changed |= parts != SnapshotParts::default();
                self.next_snapshot = Instant::now();
            }
            Order::Save { folder } => self.save(&folder),
        }
        self.next_post = Instant::now();
    }

    fn pause(&mut self) {
        self.pause_at = None;
        if self.phase == Phase::Running {
            self.phase = Phase::Paused;
        }
    }

    fn restart(&mut self, seed: Option<u64>) {
        if let Err(error) = self.experiment.restart(seed.unwrap_or(self.experiment.seed())) {
            return self.fail(0, &error);
        }
        self.slowing = self.slowing.renewed(&self.experiment.preset.train);
        self.last_step = Some(self.stop_at);
        self.phase = if self.experiment.step() < self.stop_at { Phase::Running } else { Phase::Finished };
        self.pace = Pace::new(self.pace.per_second());
        self.meter.clear();
        (self.file, self.elsewhere) = (None, None);
        self.saved_step = None;
        self.states.clear();
        self.keep();
        self.announce();
    }

    /// Goes back to the last good state where the present one cannot be saved; says whether it did.
    fn settle(&mut self) -> bool {
        let at = self.experiment.step();
        match self.experiment.settle() {
            Ok(None) => false,
            Ok(Some(divergence)) => {
                self.forget_after(self.experiment.step());
                self.announce();
                self.phase = Phase::Diverged { at: divergence.step, cause: divergence.cause };
                true
            }
            Err(error) => {
                self.fail(at, &error);
                true
            }
        }
    }

    /// The next step or, without a pace, as many as the device does at once.
    fn advance(&mut self) {
        let left = self.last_step.map_or(u64::MAX, |last| last.saturating_sub(self.experiment.step()).max(1));
        let most = left.min(self.experiment.steps_to_next_claim().unwrap_or(u64::MAX));
        self.step(if self.pace.per_second().is_some() { 1 } else { most });
    }

    /// Trains for so many steps at most, or does a part of a long step.
    fn step(&mut self, most: u64) {
        self.train(most);
        if self.pause_at.is_some_and(|at| self.experiment.step() >= at) {
            self.keep();
            self.pause();
        }
    }

    fn train(&mut self, most: u64) {
        let (at, began) = (self.experiment.step(), Instant::now());
        let advance = match self.experiment.advance(most) {
            Ok(advance) => advance,
            Err(error) => return self.fail(at, &error),
        };
        self.made = (self.made.0 + advance.reports.len() as u64, self.made.1 + began.elapsed());
        if !advance.reports.is_empty() {
            self.changed = true;
            self.pace.stepped();
        }
        if let Some(divergence) = advance.diverged {
            self.forget_after(self.experiment.step());
            self.announce();
            self.phase = Phase::Diverged { at: divergence.step, cause: divergence.cause };
            return;
        }
        for report in &advance.reports {
            self.states.observe(report.loss);
            self.slowing.observe(report.step, report.loss);
        }
        self.pace.slow_to(self.slowing.pace());
        if !advance.reports.is_empty() {
            self.keep_if_affordable();
        }
        self.pending.steps.extend(advance.reports);
        self.pending.measurements.extend(advance.measurement);
        if self.last_step == Some(self.experiment.step()) {
            // Its claims are checked after the update that says so.
            if !self.settle() {
                self.phase = Phase::Finished;
                self.log_states();
            }
            return;
        }
        self.check_claims();
    }

    /// The device failed after this step. The run is back at its last good state.
    fn fail(&mut self, at: u64, error: &anyhow::Error) {
        self.forget_after(self.experiment.step());
        self.announce();
        self.phase = Phase::Failed { at, why: format!("{error:#}") };
        // Snapshots and claims need the device, too.
        self.changed = false;
        self.checked = Some(self.experiment.step());
    }

    fn until_post(&self) -> Duration {
        self.next_post.saturating_duration_since(Instant::now())
    }

    /// Posts all that has happened, with a snapshot if one is affordable or the run is not training.
    fn post(&mut self) {
        self.measure_present();
        let (now, waits) = (Instant::now(), self.pace.wait().is_some());
        if self.changed && (now >= self.next_snapshot || self.phase != Phase::Running) {
            match self.experiment.snapshot(self.parts) {
                Ok(snapshot) => self.pending.snapshot = Some(Arc::new(snapshot)),
                Err(error) => self.fail(self.experiment.step(), &error),
            }
            self.changed = false;
            self.next_snapshot = Instant::now() + now.elapsed() * SNAPSHOT_SHARE[usize::from(waits)];
        }
        if let Some(gpu) = self.gpu.as_ref().filter(|_| now >= self.next_gpu_status) {
            self.gpu_status = gpu.status();
            self.next_gpu_status = now + GPU_STATUS_INTERVAL;
        }
        self.pending.status = Some(Status {
            phase: self.phase.clone(),
            step: self.experiment.step(),
            steps: self.stop_at,
            steps_per_second: self.meter.read(self.experiment.step()),
            lr: self.experiment.lr(),
            pace: self.pace.per_second(),
            slowed: self.pace.is_slowed().then(|| self.slowing.why()).flatten(),
            slows_down: self.slowing.wanted,
            saved_step: self.saved_step,
            solved: self.experiment.solved(),
            gpu: self.gpu_status.clone(),
        });
        if std::mem::take(&mut self.states_changed) {
            self.pending.kept_states = Some(self.states.steps());
        }
        if !self.pending.measurements.is_empty() {
            self.pending.time = Some(self.experiment.time.clone());
            self.pending.operations = Some(self.experiment.history.operations.clone());
        }
        (self.post)(std::mem::take(&mut self.pending));
        self.next_post = now + Duration::from_secs(1) / POSTS_PER_SECOND;
    }
}
