//! The lab: one run, everything that it has reported, and what the person looks at.
//!
//! Owns the front end's copy of the run's history and the cursor in its snapshots. Knows nothing of how it is drawn.

use std::sync::Arc;

use crate::session::ClaimRecord;
use crate::train::{ClaimCheck, History, LayerState, Shift, Snapshot, TimeStep};
use crate::tui::action::{Action, Direction, Effect};
use crate::worker::{Note, Opened, Order, Phase, Status, Update};

/// Steps a second, from slow motion up; after the last comes "as fast as the machine can".
pub const PACES: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// What one press of `+` multiplies the learning rate by; `-` divides. A power of two, so that `+` undoes `-` exactly.
const LR_FACTOR: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Loss,
    State,
    Distance,
    Context,
    Predictions,
    Shift,
    Claims,
}

/// A corner of the lab where it has four. Those below show one of several panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    UpperLeft,
    UpperRight,
    LowerLeft,
    LowerRight,
}

impl Corner {
    pub const ALL: [Self; 4] = [Self::UpperLeft, Self::UpperRight, Self::LowerLeft, Self::LowerRight];
}

impl Pane {
    /// In the order of Tab: those that share a corner come one after the other.
    pub const ALL: [Self; 7] =
        [Self::Loss, Self::State, Self::Distance, Self::Context, Self::Predictions, Self::Shift, Self::Claims];

    pub fn corner(self) -> Corner {
        match self {
            Self::Loss => Corner::UpperLeft,
            Self::State => Corner::UpperRight,
            Self::Distance | Self::Context => Corner::LowerLeft,
            Self::Predictions | Self::Shift | Self::Claims => Corner::LowerRight,
        }
    }

    fn shifted(self, by: usize) -> Self {
        let here = Self::ALL.iter().position(|&pane| pane == self).unwrap_or(0);
        Self::ALL[(here + by) % Self::ALL.len()]
    }
}

/// What of a snapshot is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub probe: usize,
    /// The place of a stop; none: the last one.
    pub time_step: Option<usize>,
    pub layer: usize,
}

pub struct Lab {
    /// What is being opened, until the run says so itself.
    pub title: String,
    pub opened: Option<Opened>,
    pub history: History,
    pub snapshot: Option<Arc<Snapshot>>,
    pub status: Option<Status>,
    /// The claims that were checked in this run.
    pub verdicts: Vec<ClaimCheck>,
    /// What the weights were worth on shifted tasks, as far as it was asked for.
    pub shifts: Vec<Shift>,
    /// Why the run cannot go on.
    pub failure: Option<String>,
    pub focus: Pane,
    /// The pane that stands beside the loss where there is room for two.
    pub companion: Pane,
    /// The panes that are in front below where there are four.
    pub lower: (Pane, Pane),
    /// The focused pane fills the screen.
    pub zoom: bool,
    pub log_axis: bool,
    pub cursor: Cursor,
}

impl Lab {
    pub fn new(title: String) -> Self {
        Self {
            title,
            opened: None,
            history: History::default(),
            snapshot: None,
            status: None,
            verdicts: Vec::new(),
            shifts: Vec::new(),
            failure: None,
            focus: Pane::Loss,
            companion: Pane::State,
            lower: (Pane::Distance, Pane::Predictions),
            zoom: false,
            log_axis: true,
            cursor: Cursor::default(),
        }
    }

    /// Whether steps would be lost by leaving.
    pub fn unsaved(&self) -> bool {
        self.failure.is_none()
            && self.status.as_ref().is_some_and(|status| status.step > 0 && status.saved_step != Some(status.step))
    }

    /// Folds an update in; returns what is to be said.
    pub fn apply(&mut self, update: Update) -> Vec<Note> {
        if let Some(opened) = update.opened {
            self.opened = Some(opened);
            self.verdicts.clear();
            self.shifts.clear();
        }
        if let Some(history) = update.history {
            self.history = history;
        }
        update.steps.iter().for_each(|report| self.history.record_step(report));
        update.measurements.iter().for_each(|measurement| self.history.record_measurement(measurement));
        self.history.lr_changes.extend(update.lr_changes);
        self.shifts.extend(update.shifts);
        if update.snapshot.is_some() {
            self.snapshot = update.snapshot;
        }
        if update.status.is_some() {
            self.status = update.status;
        }
        if let Some(ClaimRecord { verdicts, .. }) = update.checked {
            self.verdicts.extend(verdicts);
            self.show_claims();
        }
        for note in &update.notes {
            if let (Note::Saved(path), Some(opened)) = (note, &mut self.opened) {
                opened.file = Some(path.clone());
            }
        }
        update.notes
    }

    /// Whether what the run comes to speaks for its preset: nobody has turned the seed or the learning rate.
    pub fn as_the_preset_says(&self) -> bool {
        let same_seed = self.opened.as_ref().is_some_and(|opened| opened.seed == opened.preset.train.seed);
        same_seed && self.history.lr_changes.is_empty()
    }

    /// Whether the run has not said anything of itself yet.
    pub fn opening(&self) -> bool {
        self.opened.is_none() && self.failure.is_none()
    }

    /// How many of the preset's claims have held in this run, and how many were checked.
    pub fn claims_held(&self) -> (usize, usize) {
        (self.verdicts.iter().filter(|verdict| verdict.held).count(), self.verdicts.len())
    }

    /// Whether there are claims for this very step that have not been checked yet.
    pub fn checking(&self) -> bool {
        let (Some(opened), Some(status)) = (&self.opened, &self.status) else { return false };
        let mut due = opened.preset.claims.iter().filter(|claim| claim.after == status.step);
        due.any(|claim| !self.verdicts.iter().any(|verdict| verdict.claim == *claim))
    }

    /// At the end of a run its claims come to the front, except in the place of what somebody chose to look at.
    fn show_claims(&mut self) {
        let finished = self.status.as_ref().is_some_and(|status| status.phase == Phase::Finished);
        if finished && self.focus.corner() != Corner::LowerRight {
            self.lower.1 = Pane::Claims;
        }
        if finished && self.focus == Pane::Loss {
            self.companion = Pane::Claims;
        }
    }

    /// The stop under the cursor: its place, how many there are, and the stop.
    pub fn time_step(&self) -> Option<(usize, usize, &TimeStep)> {
        let snapshot = self.snapshot.as_ref()?;
        let time_steps = &snapshot.probes.get(self.cursor.probe).or_else(|| snapshot.probes.first())?.time_steps;
        let last = time_steps.len().checked_sub(1)?;
        let place = self.cursor.time_step.map_or(last, |place| place.min(last));
        time_steps.get(place).map(|time_step| (place, time_steps.len(), time_step))
    }

    /// The layer under the cursor: its place and its state.
    pub fn layer(&self) -> Option<(usize, &LayerState)> {
        let (_, _, time_step) = self.time_step()?;
        let place = self.cursor.layer.min(time_step.layers.len().checked_sub(1)?);
        time_step.layers.get(place).map(|layer| (place, layer))
    }

    pub fn update(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::TogglePause => return self.toggle_pause(),
            Action::StepOnce => return vec![Effect::Order(Order::Step)],
            Action::Slower => return self.set_pace(slower),
            Action::Faster => return self.set_pace(faster),
            Action::LrDown => return vec![Effect::Order(Order::ScaleLr(1.0 / LR_FACTOR))],
            Action::LrUp => return vec![Effect::Order(Order::ScaleLr(LR_FACTOR))],
            Action::Restart => return vec![Effect::Order(Order::Restart { seed: None })],
            Action::RestartNewSeed => {
                let seed = self.opened.as_ref().map_or(0, |opened| opened.seed.wrapping_add(1));
                return vec![Effect::Order(Order::Restart { seed: Some(seed) })];
            }
            Action::MeasureShifts => {
                self.shifts.clear();
                self.focus_on(Pane::Shift);
                return self.opened.iter().map(|_| Effect::Order(Order::Shift)).collect();
            }
            Action::Save => return self.opened.iter().map(|_| Effect::Save).collect(),
            Action::ToggleAxis => self.log_axis = !self.log_axis,
            Action::ToggleZoom => self.zoom = !self.zoom,
            Action::FocusNext => self.focus_on(self.focus.shifted(1)),
            Action::FocusPrevious => self.focus_on(self.focus.shifted(Pane::ALL.len() - 1)),
            Action::Move(direction) => self.scrub(direction),
            Action::First => self.cursor.time_step = Some(0),
            Action::Last => self.cursor.time_step = None,
            Action::NextProbe => self.turn_probe(true),
            Action::PreviousProbe => self.turn_probe(false),
            _ => {}
        }
        vec![]
    }

    fn toggle_pause(&mut self) -> Vec<Effect> {
        let Some(status) = &mut self.status else { return vec![] };
        // Shown at once; the worker's next status confirms it.
        let (phase, order) = match status.phase {
            Phase::Running => (Phase::Paused, Order::Pause),
            Phase::Paused | Phase::Finished | Phase::Diverged { .. } | Phase::Failed { .. } => {
                (Phase::Running, Order::Resume)
            }
        };
        status.phase = phase;
        vec![Effect::Order(order)]
    }

    fn set_pace(&mut self, next: fn(Option<f64>) -> Option<f64>) -> Vec<Effect> {
        let Some(status) = &mut self.status else { return vec![] };
        status.pace = next(status.pace);
        vec![Effect::Order(Order::Pace(status.pace))]
    }

    fn focus_on(&mut self, pane: Pane) {
        self.focus = pane;
        match pane.corner() {
            Corner::UpperLeft => return,
            Corner::UpperRight => {}
            Corner::LowerLeft => self.lower.0 = pane,
            Corner::LowerRight => self.lower.1 = pane,
        }
        self.companion = pane;
    }

    fn scrub(&mut self, direction: Direction) {
        let Some((place, time_steps, time_step)) = self.time_step() else { return };
        let (last, layers) = (time_steps - 1, time_step.layers.len());
        let layer = self.cursor.layer.min(layers.saturating_sub(1));
        match direction {
            Direction::Left => self.cursor.time_step = Some(place.saturating_sub(1)),
            Direction::Right => self.cursor.time_step = Some(place + 1).filter(|&next| next < last),
            Direction::Up => self.cursor.layer = layer.saturating_sub(1),
            Direction::Down => self.cursor.layer = (layer + 1).min(layers.saturating_sub(1)),
        }
    }

    /// One probe on or back, around the end.
    fn turn_probe(&mut self, forward: bool) {
        let probes = self.snapshot.as_ref().map_or(1, |snapshot| snapshot.probes.len().max(1));
        self.cursor.probe = (self.cursor.probe % probes + if forward { 1 } else { probes - 1 }) % probes;
    }
}

fn faster(pace: Option<f64>) -> Option<f64> {
    PACES.into_iter().find(|&step| step > pace.unwrap_or(f64::INFINITY))
}

fn slower(pace: Option<f64>) -> Option<f64> {
    let below = PACES.into_iter().rev().find(|&step| step < pace.unwrap_or(f64::INFINITY));
    below.or(Some(PACES[0]))
}
