//! What of a snapshot is shown: the token, layer, head and probe sequence under the cursor, which all panes follow.

use std::time::Duration;

use super::Lab;
use crate::train::{LayerState, SnapshotParts, TimeStep};
use crate::tui::effects::Effect;
use crate::tui::message::{Move, SystemEvent};
use crate::tui::pane::Pane;
use crate::worker::Order;

/// How long a token is shown while they are played.
const TOKEN_SHOWN: Duration = Duration::from_millis(900);

/// Time steps that the cursor moves by at once.
const PAGE: usize = 10;

/// What of a snapshot is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub probe: usize,
    /// The index of a time step; `None`: the last one.
    pub time_step: Option<usize>,
    pub layer: usize,
    /// Of the attention form.
    pub head: usize,
}

/// Which forms of a recurrence that is also an attention are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forms {
    /// Side by side where there is space, else as [`Self::Attention`].
    #[default]
    Both,
    /// The weights between tokens.
    Attention,
    /// The state.
    Recurrence,
}

impl Forms {
    /// What is shown after one press of the key.
    pub fn next(self) -> Self {
        match self {
            Self::Both => Self::Recurrence,
            Self::Recurrence => Self::Attention,
            Self::Attention => Self::Both,
        }
    }
}

impl Lab {
    /// The time step under the cursor: its index, how many there are, and the time step.
    pub fn time_step(&self) -> Option<(usize, usize, &TimeStep)> {
        let snapshot = self.snapshot.as_ref()?;
        let time_steps = &snapshot.probes.get(self.cursor.probe).or_else(|| snapshot.probes.first())?.time_steps;
        let last = time_steps.len().checked_sub(1)?;
        let index = self.cursor.time_step.map_or(last, |index| index.min(last));
        time_steps.get(index).map(|time_step| (index, time_steps.len(), time_step))
    }

    /// The time step before the one under the cursor, of the same sequence.
    pub fn time_step_before(&self) -> Option<&TimeStep> {
        let (index, _, _) = self.time_step()?;
        let snapshot = self.snapshot.as_ref()?;
        let probe = snapshot.probes.get(self.cursor.probe).or_else(|| snapshot.probes.first())?;
        probe.time_steps.get(index.checked_sub(1)?)
    }

    /// The layer under the cursor: its index and its state.
    pub fn layer(&self) -> Option<(usize, &LayerState)> {
        let (_, _, time_step) = self.time_step()?;
        let index = self.cursor.layer.min(time_step.layers.len().checked_sub(1)?);
        time_step.layers.get(index).map(|layer| (index, layer))
    }

    /// The order for what snapshots are to hold, where what is shown has changed.
    pub fn order_parts(&mut self) -> Option<Effect> {
        let shown = |pane| [self.focus, self.companion, self.lower.0, self.lower.1].contains(&pane);
        let wanted = SnapshotParts {
            linear_probes: shown(Pane::Probes),
            answers_by_pairs: shown(Pane::Stepper),
            attention_form: shown(Pane::AttentionForm),
        };
        if self.opened.is_none() || wanted == self.parts {
            return None;
        }
        self.parts = wanted;
        Some(Effect::Order(Order::SnapshotParts(wanted)))
    }

    /// Plays the tokens from the one under the cursor on, at the end from the first one; or stops.
    pub fn toggle_playing(&mut self) -> Vec<Effect> {
        self.playing = !self.playing && self.time_step().is_some();
        self.focus_on(Pane::Stepper);
        if !self.playing {
            return vec![];
        }
        if self.cursor.time_step.is_none() {
            self.cursor.time_step = Some(0);
        }
        vec![Effect::StartTimer(TOKEN_SHOWN, SystemEvent::TokenDue)]
    }

    /// The next token while they are played, up to the last.
    pub fn play_token(&mut self) -> Vec<Effect> {
        let Some((index, time_steps, _)) = self.time_step().filter(|_| self.playing) else { return vec![] };
        self.cursor.time_step = Some(index + 1).filter(|next| next + 1 < time_steps);
        self.playing = self.cursor.time_step.is_some();
        if self.playing { vec![Effect::StartTimer(TOKEN_SHOWN, SystemEvent::TokenDue)] } else { vec![] }
    }

    /// Moves the value cursor where there is one, else among the tokens and layers of the snapshot.
    pub fn move_cursor(&mut self, to: Move) {
        if self.steps.cursor.is_some() {
            let mut axis = self.steps;
            axis.move_cursor(to, &self.history.eval_loss, &self.extent());
            self.steps = axis;
            return;
        }
        self.playing = false;
        let Some((index, time_steps, time_step)) = self.time_step() else { return };
        let (last, last_layer) = (time_steps - 1, time_step.layers.len().saturating_sub(1));
        let layer = self.cursor.layer.min(last_layer);
        let index = match to {
            Move::Left => index.saturating_sub(1),
            Move::Right => index + 1,
            Move::PageUp => index.saturating_sub(PAGE),
            Move::PageDown => index + PAGE,
            Move::First => 0,
            Move::Last => last,
            Move::Up | Move::Down if self.focus == Pane::AttentionForm => {
                let form = self.snapshot.as_ref().and_then(|snapshot| snapshot.attention_form.as_ref());
                let last = form.map_or(0, |form| form.heads.len().saturating_sub(1));
                let head = self.cursor.head.min(last);
                self.cursor.head = if to == Move::Up { head.saturating_sub(1) } else { (head + 1).min(last) };
                return;
            }
            Move::Up | Move::Down => {
                self.cursor.layer = if to == Move::Up { layer.saturating_sub(1) } else { (layer + 1).min(last_layer) };
                return;
            }
        };
        self.cursor.time_step = Some(index).filter(|&index| index < last);
    }

    /// One probe on or back, around the end.
    pub(super) fn change_probe(&mut self, forward: bool) {
        let probes = self.snapshot.as_ref().map_or(1, |snapshot| snapshot.probes.len().max(1));
        self.cursor.probe = (self.cursor.probe % probes + if forward { 1 } else { probes - 1 }) % probes;
    }
}
