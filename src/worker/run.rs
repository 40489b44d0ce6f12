//! What the training thread does: obey, step, report.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pace::{Meter, Pace};
use super::{Note, Opened, Order, POSTS_PER_SECOND, Phase, Source, Status, Update};
use crate::session::{self, ClaimRecord, Session};
use crate::train::{DeviceChoice, Experiment, Gpu, GpuStatus, Shifted};

/// Time between two questions to a card about itself.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Looking into the model may take one part of the time in so many.
const LOOK_SHARE: u32 = 200;

/// Runs until nobody can give orders any more.
pub fn run(source: Source, device: DeviceChoice, orders: Receiver<Order>, post: &dyn Fn(Update)) -> Result<()> {
    let mut run_loop = RunLoop::open(source, device, post)?;
    loop {
        loop {
            match orders.try_recv() {
                Ok(order) => run_loop.handle(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        if run_loop.measure_next_shift() {
            continue;
        }
        if run_loop.phase != Phase::Running {
            run_loop.post();
            run_loop.check_claims();
            match orders.recv() {
                Ok(order) => run_loop.handle(order),
                Err(_) => return Ok(()),
            }
            continue;
        }
        match run_loop.pace.wait() {
            None => run_loop.go_on(),
            Some(wait) => match orders.recv_timeout(wait.min(run_loop.until_post())) {
                Ok(order) => run_loop.handle(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            },
        }
        if run_loop.until_post().is_zero() {
            run_loop.post();
        }
    }
}

/// A run and what is to be said of it next.
struct RunLoop<'a> {
    experiment: Experiment,
    phase: Phase,
    /// Where the run stops by itself; none once it was told to go on beyond its last step.
    last_step: Option<u64>,
    pace: Pace,
    meter: Meter,
    file: Option<PathBuf>,
    saved_step: Option<u64>,
    pending: Update,
    /// Whether weights have changed since the last look into the model.
    changed: bool,
    /// The step whose claims were checked last.
    checked: Option<u64>,
    /// Shifts that are still to be measured; the run waits, so that all are of the same weights.
    shifts: VecDeque<Shifted>,
    /// Steps made here, and the time they took.
    made: (u64, Duration),
    next_post: Instant,
    next_look: Instant,
    card: Option<Gpu>,
    card_status: Option<GpuStatus>,
    next_ask: Instant,
    post: &'a dyn Fn(Update),
}

impl<'a> RunLoop<'a> {
    fn open(source: Source, device: DeviceChoice, post: &'a dyn Fn(Update)) -> Result<Self> {
        let (experiment, file) = match source {
            Source::Preset(name, preset) => (Experiment::start(&name, *preset, device)?, None),
            Source::Session(file, session) => (session.resume(device)?, Some(file)),
        };
        let now = Instant::now();
        let steps = experiment.preset.train.steps;
        let mut run_loop = RunLoop {
            phase: if experiment.finished() { Phase::Finished } else { Phase::Running },
            last_step: Some(steps),
            pace: Pace::new(experiment.preset.train.pace),
            meter: Meter::default(),
            saved_step: file.as_ref().map(|_| experiment.step()),
            file,
            card: Gpu::of(experiment.device()),
            card_status: None,
            next_ask: now,
            experiment,
            pending: Update::default(),
            changed: true,
            checked: None,
            shifts: VecDeque::new(),
            made: (0, Duration::ZERO),
            next_post: now,
            next_look: now,
            post,
        };
        run_loop.announce();
        run_loop.post();
        run_loop.check_claims();
        Ok(run_loop)
    }

    /// Says afresh what is fixed for the run, with all curves.
    fn announce(&mut self) {
        let experiment = &self.experiment;
        self.pending = Update {
            opened: Some(Opened {
                name: experiment.name.clone(),
                preset: Arc::clone(&experiment.preset),
                seed: experiment.seed(),
                file: self.file.clone(),
                device: experiment.device().to_owned(),
                parameters: experiment.preset.parameters(),
                references: experiment.references().to_vec(),
            }),
            history: Some(experiment.history.clone()),
            notes: std::mem::take(&mut self.pending.notes),
            ..Update::default()
        };
        self.changed = true;
        self.checked = None;
        self.shifts.clear();
    }

    fn handle(&mut self, order: Order) {
        match order {
            Order::Pause => self.pause(),
            Order::Resume => {
                if self.phase == Phase::Finished {
                    self.last_step = None;
                }
                self.phase = Phase::Running;
                self.pace = Pace::new(self.pace.per_second());
                self.meter.clear();
            }
            Order::Step => {
                self.last_step = self.last_step.filter(|last| self.experiment.step() < *last);
                self.phase = Phase::Running;
                self.step(1);
                self.pause();
            }
            Order::Pace(per_second) => {
                self.pace = Pace::new(per_second);
                self.meter.clear();
            }
            Order::ScaleLr(factor) => {
                let change = self.experiment.scale_lr(factor);
                self.pending.lr_changes.push(change);
            }
            Order::Restart { seed } => self.restart(seed),
            Order::Shift => self.shifts = self.experiment.shifts().into(),
            Order::Save(path) => self.save(path),
        }
        self.next_post = Instant::now();
    }

    fn pause(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Paused;
        }
    }

    fn restart(&mut self, seed: Option<u64>) {
        if let Err(error) = self.experiment.restart(seed.unwrap_or(self.experiment.seed())) {
            return self.fail(0, &error);
        }
        self.last_step = Some(self.experiment.preset.train.steps);
        self.phase = if self.experiment.finished() { Phase::Finished } else { Phase::Running };
        self.pace = Pace::new(self.pace.per_second());
        self.meter.clear();
        self.file = None;
        self.saved_step = None;
        self.announce();
    }

    fn save(&mut self, path: PathBuf) {
        let saved = Session::of(&self.experiment).and_then(|session| session::save(&path, &session));
        self.pending.notes.push(match saved {
            Ok(()) => {
                self.saved_step = Some(self.experiment.step());
                self.file = Some(path.clone());
                Note::Saved(path)
            }
            Err(error) => Note::SaveFailed(format!("{error:#}")),
        });
    }

    /// The next step that is due, or as many as the device does at once where nothing holds it back.
    fn go_on(&mut self) {
        let left = self.last_step.map_or(u64::MAX, |last| last.saturating_sub(self.experiment.step()).max(1));
        let most = left.min(self.experiment.to_next_claim().unwrap_or(u64::MAX));
        self.step(if self.pace.per_second().is_some() { 1 } else { most });
    }

    fn step(&mut self, most: u64) {
        let (at, began) = (self.experiment.step(), Instant::now());
        let advance = match self.experiment.advance(most) {
            Ok(advance) => advance,
            Err(error) => return self.fail(at, &error),
        };
        self.made = (self.made.0 + advance.reports.len() as u64, self.made.1 + began.elapsed());
        self.changed = true;
        self.pace.stepped();
        if let Some(at) = advance.diverged {
            self.announce();
            self.phase = Phase::Diverged { at };
            return;
        }
        self.pending.steps.extend(advance.reports);
        self.pending.measurements.extend(advance.measurement);
        if self.last_step == Some(self.experiment.step()) {
            // Its claims are checked once it has said that it is finished.
            self.phase = Phase::Finished;
            return;
        }
        self.check_claims();
    }

    /// The device failed after this step. The run is back where it can be saved and go on.
    fn fail(&mut self, at: u64, error: &anyhow::Error) {
        self.announce();
        self.phase = Phase::Failed { at, why: format!("{error:#}") };
        // Looking into the model is up to the device, too; and so is checking claims.
        self.changed = false;
        self.checked = Some(self.experiment.step());
    }

    /// Measures the next of the shifts that were asked for; says whether there was one.
    fn measure_next_shift(&mut self) -> bool {
        let Some(shift) = self.shifts.pop_front() else { return false };
        match self.experiment.measure_shift(shift) {
            Ok(measured) => self.pending.shifts.push(measured),
            Err(error) => self.fail(self.experiment.step(), &error),
        }
        self.meter.clear();
        self.post();
        true
    }

    /// Holds the claims for this step against all held-out tasks, once.
    fn check_claims(&mut self) {
        let step = self.experiment.step();
        if self.checked.replace(step) == Some(step) {
            return;
        }
        match self.experiment.verdicts() {
            Ok(verdicts) if verdicts.is_empty() => {}
            Ok(verdicts) => {
                let (steps, time) = self.made;
                let seconds_per_step = (steps > 0).then(|| time.as_secs_f64() / steps as f64);
                self.pending.checked = Some(ClaimRecord { verdicts, seconds_per_step });
                self.post();
            }
            Err(error) => self.fail(step, &error),
        }
    }

    fn until_post(&self) -> Duration {
        self.next_post.saturating_duration_since(Instant::now())
    }

    /// Posts all that has happened, with a look into the model where one is affordable or the run stands still.
    fn post(&mut self) {
        let now = Instant::now();
        if self.changed && (now >= self.next_look || self.phase != Phase::Running) {
            match self.experiment.snapshot() {
                Ok(snapshot) => self.pending.snapshot = Some(Arc::new(snapshot)),
                Err(error) => self.fail(self.experiment.step(), &error),
            }
            self.changed = false;
            self.next_look = Instant::now() + now.elapsed() * LOOK_SHARE;
        }
        if let Some(card) = self.card.as_ref().filter(|_| now >= self.next_ask) {
            self.card_status = card.status();
            self.next_ask = now + ASK_EVERY;
        }
        self.pending.status = Some(Status {
            phase: self.phase.clone(),
            step: self.experiment.step(),
            steps: self.experiment.preset.train.steps,
            steps_per_second: self.meter.read(self.experiment.step()),
            lr: self.experiment.lr(),
            pace: self.pace.per_second(),
            saved_step: self.saved_step,
            card: self.card_status.clone(),
        });
        (self.post)(std::mem::take(&mut self.pending));
        self.next_post = now + Duration::from_secs(1) / POSTS_PER_SECOND;
    }
}
