//! The lab: one run, everything that it has reported, and what of it is shown.
//!
//! Owns the front end's copy of the run's history and the cursor in its snapshots. Knows nothing of how it is rendered.

use std::sync::Arc;

use super::cursor::{Cursor, Forms};
use super::kept::KeptRun;
use super::lesson::Caption;
use super::pace::{AskedPhase, faster, slower};
use super::steps::StepsAxis;
use crate::session::{self, ClaimRecord};
use crate::train::context_cost::ModelCost;
use crate::train::{ClaimCheck, History, Shift, Snapshot, SnapshotParts, TrainingTime};
use crate::tui::effects::Effect;
use crate::tui::message::LabAction;
use crate::tui::pane::{Corner, Pane};
use crate::worker::{Fitted, Note, Opened, Order, Phase, StateChoice, Status, Update};

/// What one press of `+` multiplies the learning rate by; `-` divides. A power of two, so that `+` undoes `-` exactly.
const LR_FACTOR: f64 = 2.0;

/// Measurements for which the training waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub shifts: bool,
    pub fit: bool,
}

pub struct Lab {
    /// Which of several runs this is, from 0.
    pub run: usize,
    /// The runs that train at the same time.
    pub others: Vec<Self>,
    /// What is being opened, until the run says so itself.
    pub title: String,
    /// How far the opening is, from 0 to 1.
    pub opening_share: f64,
    pub opened: Option<Opened>,
    pub history: History,
    /// What the run had reported when it went back to an earlier state, until it has come that far again.
    pub ahead: Option<History>,
    /// The steps of the states that it can go to.
    pub kept_states: Vec<u64>,
    /// Wall-clock time of the training.
    pub time: TrainingTime,
    /// What was changed in the preset; `None` if there is no preset of that name.
    pub overrides: Option<Vec<String>>,
    /// Runs whose curves stay beside this one's, all of one task.
    pub kept: Vec<KeptRun>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub status: Option<Status>,
    /// The phase that a key asks for, until the worker reports it.
    pub asked_phase: Option<AskedPhase>,
    /// The claims that were checked in this run.
    pub checks: Vec<ClaimCheck>,
    /// Measurements on shifted tasks, once the user has asked for them.
    pub shifts: Vec<Shift>,
    /// Learners fitted to the model's answers, once the user has asked for them.
    pub fitted: Option<Fitted>,
    /// What the length of the context costs models, once the user has asked for it.
    pub context_costs: Vec<ModelCost>,
    /// What was asked for and has not come yet.
    pub pending: Pending,
    /// Why the run cannot go on.
    pub failure: Option<String>,
    pub focus: Pane,
    /// The pane beside the loss on a screen with space for two.
    pub companion: Pane,
    /// The panes in the lower corners, left and right, on a screen with space for four.
    pub lower: (Pane, Pane),
    /// The focused pane fills the screen.
    pub zoom: bool,
    pub log_axis: bool,
    /// The axis of all curves over the run, with its value cursor.
    pub steps: StepsAxis,
    /// What the run's snapshots hold for panes that are on the screen.
    pub parts: SnapshotParts,
    /// Which forms of a recurrence the pane of its attention form shows.
    pub forms: Forms,
    /// The state pane shows what the last token added, and not the whole state.
    pub added: bool,
    pub cursor: Cursor,
    /// The tokens are played, one after the other.
    pub playing: bool,
    /// While a lesson is watched: what to look at. The lab then says nothing of what it has found.
    pub caption: Option<Caption>,
}

impl Lab {
    pub fn new(title: String, kept: Vec<KeptRun>) -> Self {
        Self {
            run: 0,
            others: Vec::new(),
            title,
            time: TrainingTime::default(),
            overrides: None,
            kept,
            opening_share: 0.0,
            opened: None,
            history: History::default(),
            ahead: None,
            kept_states: Vec::new(),
            snapshot: None,
            status: None,
            asked_phase: None,
            checks: Vec::new(),
            shifts: Vec::new(),
            fitted: None,
            context_costs: Vec::new(),
            pending: Pending::default(),
            failure: None,
            focus: Pane::Loss,
            companion: Pane::State,
            lower: (Pane::Distance, Pane::Predictions),
            zoom: false,
            log_axis: true,
            steps: StepsAxis::default(),
            added: false,
            parts: SnapshotParts::default(),
            forms: Forms::Both,
            cursor: Cursor::default(),
            playing: false,
            caption: None,
        }
    }

    /// The same panes and axes as another lab.
    pub fn with_view_of(self, other: &Self) -> Self {
        let Self { focus, companion, lower, zoom, log_axis, .. } = *other;
        let mut steps = StepsAxis::default();
        (steps.unit, steps.log) = (other.steps.unit, other.steps.log);
        Self { focus, companion, lower, zoom, log_axis, steps, ..self }
    }

    /// What the context costs, as it was measured in another run.
    pub fn with_costs_of(self, other: &Self) -> Self {
        Self { context_costs: other.context_costs.clone(), ..self }
    }

    /// Whether another program trains the run.
    pub fn is_watched(&self) -> bool {
        self.status.as_ref().is_some_and(|status| matches!(status.phase, Phase::Watched { .. }))
    }

    /// Whether there are steps that no file holds, in any of the runs.
    pub fn unsaved(&self) -> bool {
        self.every_run().any(Self::run_unsaved)
    }

    /// The same of this run alone.
    fn run_unsaved(&self) -> bool {
        self.failure.is_none()
            && self.status.as_ref().is_some_and(|status| status.step > 0 && status.saved_step != Some(status.step))
    }

    /// The steps of this run that its file does not hold; all of them where the file is of another course of the run.
    pub fn unsaved_steps(&self) -> u64 {
        let status = self.status.as_ref().filter(|_| self.run_unsaved());
        status.map_or(0, |status| {
            let saved = status.saved_step.filter(|saved| *saved < status.step);
            status.step - saved.unwrap_or(0)
        })
    }

    /// Whether leaving or restarting would lose unsaved steps: not where the run has finished and its preset and seed
    /// reproduce it exactly.
    pub fn would_lose_steps(&self) -> bool {
        self.every_run().any(Self::run_would_lose_steps)
    }

    fn run_would_lose_steps(&self) -> bool {
        let finished = self.status.as_ref().is_some_and(|status| status.phase == Phase::Finished);
        // The same numbers at every run are promised for the CPU only.
        let on_cpu = self.opened.as_ref().is_some_and(|opened| opened.device.starts_with("cpu"));
        let reproducible = finished && on_cpu && !self.history.was_changed();
        self.is_rewound() || self.run_unsaved() && !reproducible
    }

    /// The panes in the third row, left and right, on a screen with space for six: the ones in the lower corners, where
    /// the second row does not show them anyway.
    pub fn third_row(&self) -> (Pane, Pane) {
        let left = if self.lower.0 == Pane::Distance { Pane::Context } else { self.lower.0 };
        let right = if self.lower.1 == Pane::Predictions { Pane::Claims } else { self.lower.1 };
        (left, right)
    }

    /// The effect that saves the run; `None` while it is opening.
    pub fn save(&self) -> Option<Effect> {
        self.opened.as_ref().map(|_| Effect::Save)
    }

    /// Takes an update in; returns its notes.
    pub fn apply(&mut self, update: Update) -> Vec<Note> {
        if let Some(opened) = update.opened {
            self.opened = Some(opened);
            self.checks.clear();
            self.shifts.clear();
            self.fitted = None;
            self.pending = Pending::default();
        }
        self.opening_share = update.opening.unwrap_or(self.opening_share);
        if let Some(history) = update.history {
            self.history = history;
        }
        if let Some(time) = update.time {
            self.time = time;
        }
        if let Some(operations) = update.operations {
            self.history.operations = operations;
        }
        update.steps.iter().for_each(|report| self.history.record_step(report));
        update.measurements.iter().for_each(|measurement| self.history.record_measurement(measurement));
        if let Some(present) = update.present {
            self.history.latest = Some(present);
        }
        if let Some(kept) = update.kept_states {
            self.kept_states = kept;
        }
        update.lr_changes.iter().for_each(|change| self.history.record_lr_change(*change));
        self.pending.shifts &= update.shifts.is_empty();
        self.shifts.extend(update.shifts);
        update.context_costs.into_iter().for_each(|cost| cost.record(&mut self.context_costs));
        if update.fitted.is_some() {
            self.fitted = update.fitted;
            self.pending.fit = false;
        }
        if update.snapshot.is_some() {
            self.snapshot = update.snapshot;
        }
        if let Some(status) = update.status {
            self.take_status(status);
        }
        self.overtake();
        if let Some(ClaimRecord { verdicts, .. }) = update.checked {
            self.checks.extend(verdicts);
            self.show_claims();
        }
        for note in &update.notes {
            if let (Note::Saved(path), Some(opened)) = (note, &mut self.opened) {
                opened.file = Some(path.clone());
            }
        }
        update.notes
    }

    /// Whether the run is exactly what its preset says, so that its result counts as the preset's: the seed and the
    /// learning rate are unchanged.
    pub fn is_unmodified(&self) -> bool {
        let same_seed = self.opened.as_ref().is_some_and(|opened| opened.seed == opened.preset.train.seed);
        same_seed && !self.history.was_changed()
    }

    /// "gd-ssm-seed0-step3412": what a file with the present screen is called.
    pub fn screen_name(&self) -> String {
        let name = self.opened.as_ref().map(|opened| session::stem(&opened.name, opened.seed));
        format!("{}-step{}", name.unwrap_or_else(|| "lab".to_owned()), self.progress().0)
    }

    /// Whether the run has not reported yet.
    pub fn opening(&self) -> bool {
        self.opened.is_none() && self.failure.is_none()
    }

    /// The measurements on shifted tasks are ordered again.
    pub(super) fn await_shifts(&mut self) {
        self.shifts.clear();
        self.pending.shifts = self.opened.is_some();
    }

    /// The learners are fitted again.
    pub(super) fn await_fit(&mut self) {
        self.fitted = None;
        self.pending.fit = self.opened.is_some();
    }

    /// Orders what a pane then shows, and brings it to the front.
    fn ask(&mut self, pane: Pane, order: Order) -> Vec<Effect> {
        self.focus_on(pane);
        self.opened.iter().map(|_| Effect::Order(order.clone())).collect()
    }

    pub fn update(&mut self, action: LabAction) -> Vec<Effect> {
        self.asked_phase = None;
        match action {
            LabAction::TogglePause => return self.toggle_pause(),
            LabAction::GoBack => return vec![Effect::Order(Order::GoTo(StateChoice::Before))],
            LabAction::GoAhead => return vec![Effect::Order(Order::GoTo(StateChoice::After))],
            LabAction::GoToCursor => {
                let step = self.steps.cursor.take();
                return step.map(|step| Effect::Order(Order::GoTo(StateChoice::Nearest(step)))).into_iter().collect();
            }
            LabAction::StepOnce => return vec![Effect::Order(Order::Step)],
            LabAction::Slower => return self.set_pace(slower),
            LabAction::Faster => return self.set_pace(faster),
            LabAction::ToggleSlowDown => return self.toggle_slow_down(),
            LabAction::LrDown => return vec![Effect::Order(Order::ScaleLr(1.0 / LR_FACTOR))],
            LabAction::LrUp => return vec![Effect::Order(Order::ScaleLr(LR_FACTOR))],
            LabAction::MeasureShifts => {
                self.await_shifts();
                return self.ask(Pane::Shift, Order::Shift);
            }
            LabAction::MeasureCosts => return self.ask(Pane::ContextCost, Order::ContextCosts),
            LabAction::Fit => {
                self.await_fit();
                return self.ask(Pane::Fit, Order::Fit);
            }
            // The app answers these two, because they have something to say.
            LabAction::Keep | LabAction::DropKept => {}
            LabAction::NextRun => return self.focus_next_run().into_iter().collect(),
            LabAction::ShowRuns => self.focus_on(Pane::Runs),
            LabAction::Save => return self.save().into_iter().collect(),
            LabAction::ToggleAxis => self.log_axis = !self.log_axis,
            LabAction::ToggleStepsAxis => self.steps.log = !self.steps.log,
            LabAction::NextAxisUnit => self.next_axis_unit(),
            LabAction::ToggleValues => self.change_axis(StepsAxis::toggle_cursor),
            LabAction::ZoomSteps { closer } => self.change_axis(|axis, extent| axis.zoom(closer, extent)),
            LabAction::ToggleAdded => {
                self.added = !self.added;
                self.focus_on(Pane::State);
            }
            LabAction::NextForm => {
                self.forms = self.forms.next();
                self.focus_on(Pane::AttentionForm);
            }
            LabAction::PlayTokens => return self.toggle_playing(),
            LabAction::AllSteps => self.steps.show_all(),
            LabAction::ToggleZoom => self.zoom = !self.zoom,
            LabAction::Focus(pane) => self.focus_on(pane),
            LabAction::FocusNext => self.focus_on(self.focus.shifted(1)),
            LabAction::FocusPrevious => self.focus_on(self.focus.shifted(Pane::ALL.len() - 1)),
            LabAction::NextProbe => self.change_probe(true),
            LabAction::PreviousProbe => self.change_probe(false),
        }
        vec![]
    }

    pub(super) fn focus_on(&mut self, pane: Pane) {
        self.focus = pane;
        match pane.corner() {
            Corner::UpperLeft => return,
            Corner::UpperRight => {}
            Corner::LowerLeft => self.lower.0 = pane,
            Corner::LowerRight => self.lower.1 = pane,
        }
        self.companion = pane;
    }

    /// The step of the run, and its last step; zeros before the first report.
    pub fn progress(&self) -> (u64, u64) {
        self.status.as_ref().map_or((0, 0), |status| (status.step, status.steps))
    }
}
