//! How a run goes back to one of its states, and how it goes on from there another way.

use std::time::Instant;

use super::RunLoop;
use crate::preset::Preset;
use crate::train::RunState;
use crate::worker::pace::Pace;
use crate::worker::{Jump, Note, Phase, StateChoice};

/// Keeping states may take one part in this many of the time that training takes.
const SHARE: u32 = 50;

impl RunLoop<'_> {
    /// Keeps the present state if there is time for it; where the run goes over steps that it has done before, checks
    /// that they are the same.
    pub(super) fn keep_if_affordable(&mut self) {
        let step = self.experiment.step();
        if let Some(before) = self.states.at(step) {
            // Another learning rate by hand, or a GPU that adds in another order: what came after does not follow.
            if self.experiment.checkpoint().is_ok_and(|now| now != before.checkpoint) {
                self.forget_after(step.saturating_sub(1));
            }
        }
        if self.keeping * SHARE <= self.made.1 {
            self.keep();
        }
    }

    /// Keeps the present state, unless it is one from which a run cannot continue.
    pub(super) fn keep(&mut self) {
        let began = Instant::now();
        let state = self.experiment.state().ok().filter(|state| state.checkpoint.not_finite().is_none());
        if let Some(state) = state {
            self.states.add(state);
            self.states_changed = true;
        }
        self.keeping += began.elapsed();
    }

    /// Writes to the log what the states of the run cost.
    pub(super) fn log_states(&self) {
        tracing::info!(
            steps = self.made.0,
            training_seconds = self.made.1.as_secs_f64(),
            keeping_seconds = self.keeping.as_secs_f64(),
            states = self.states.steps().len(),
            bytes = self.states.bytes(),
            "states that the run can go back to"
        );
    }

    /// Drops the states after a step.
    pub(super) fn forget_after(&mut self, step: u64) {
        self.states.forget_after(step);
        self.states_changed = true;
    }

    /// Goes to a state, and pauses there.
    pub(super) fn go_to(&mut self, choice: StateChoice) {
        self.pause();
        // So that it can be returned to.
        self.keep();
        let (step, steps) = (self.experiment.step(), self.states.steps());
        let target = match choice {
            StateChoice::Before => steps.iter().rev().find(|kept| **kept < step),
            StateChoice::After => steps.iter().find(|kept| **kept > step),
            StateChoice::Nearest(wanted) => steps.iter().min_by_key(|kept| kept.abs_diff(wanted)),
        };
        let state = target.filter(|target| **target != step).and_then(|target| self.states.at(*target));
        let Some(state) = state else { return };
        if let Err(error) = self.experiment.go_to(RunState::clone(&state)) {
            return self.fail(step, &error);
        }
        let target = self.experiment.step();
        self.slowing = self.slowing.renewed(&self.experiment.preset.train);
        self.last_step = Some(self.stop_at).filter(|last| target < *last);
        self.phase = if target == self.stop_at { Phase::Finished } else { Phase::Paused };
        self.meter.clear();
        if self.saved_step.is_some_and(|saved| saved > target) {
            // The file holds a later state of the run, which a save must not overwrite.
            (self.file, self.elsewhere, self.saved_step) = (None, None, None);
        }
        self.announce();
        self.pending.jump = Some(Jump::Rewound);
        self.measures_present = true;
    }

    /// Goes on from the present state with other fields; it is saved to a file of its own.
    pub(super) fn fork(&mut self, preset: Preset) {
        let before = self.experiment.preset.train.pace;
        match self.experiment.forked(preset, &|_| true) {
            Ok(forked) => self.experiment = forked,
            Err(error) => return self.pending.notes.push(Note::NotForked(format!("{error:#}"))),
        }
        let train = &self.experiment.preset.train;
        if train.pace != before {
            self.pace = Pace::new(train.pace);
        }
        self.slowing = self.slowing.renewed(train);
        self.stop_at = train.steps;
        self.last_step = Some(train.steps).filter(|last| self.experiment.step() < *last);
        self.phase = if self.last_step.is_some() { Phase::Running } else { Phase::Finished };
        self.pause_at = None;
        self.meter.clear();
        (self.file, self.elsewhere, self.saved_step) = (None, None, None);
        self.states.clear();
        self.keep();
        self.announce();
        self.pending.jump = Some(Jump::Forked);
        self.measures_present = true;
    }
}
