//! Several runs that train at once: one of them is shown in the panes, the curves of all in the loss pane.
//!
//! Owns which one has the focus. What the user looks at stays when the focus moves to another run.

use std::mem::swap;

use super::Lab;
use crate::tui::effects::Effect;
use crate::worker::Order;

impl Lab {
    /// The run of an update.
    pub fn run_mut(&mut self, run: usize) -> Option<&mut Self> {
        if self.run == run { Some(self) } else { self.others.iter_mut().find(|other| other.run == run) }
    }

    /// How many runs train at once.
    pub fn runs(&self) -> usize {
        1 + self.others.len()
    }

    /// This run and those that train with it.
    pub fn every_run(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(&self.others)
    }

    /// Changes this run and those that train with it.
    pub fn for_every_run(&mut self, change: impl Fn(&mut Self)) {
        change(self);
        self.others.iter_mut().for_each(change);
    }

    /// Shows the next of several runs in the panes.
    pub fn focus_next_run(&mut self) -> Option<Effect> {
        let next = (self.run + 1) % self.runs();
        let other = self.others.iter_mut().find(|other| other.run == next)?;
        // What a run has reported changes places; what is looked at, such as the pane in focus, stays.
        swap(&mut self.run, &mut other.run);
        swap(&mut self.title, &mut other.title);
        swap(&mut self.opening_share, &mut other.opening_share);
        swap(&mut self.opened, &mut other.opened);
        swap(&mut self.history, &mut other.history);
        swap(&mut self.ahead, &mut other.ahead);
        swap(&mut self.kept_states, &mut other.kept_states);
        swap(&mut self.time, &mut other.time);
        swap(&mut self.overrides, &mut other.overrides);
        swap(&mut self.snapshot, &mut other.snapshot);
        swap(&mut self.status, &mut other.status);
        swap(&mut self.checks, &mut other.checks);
        swap(&mut self.shifts, &mut other.shifts);
        swap(&mut self.context_costs, &mut other.context_costs);
        swap(&mut self.fitted, &mut other.fitted);
        swap(&mut self.pending, &mut other.pending);
        swap(&mut self.failure, &mut other.failure);
        self.others.sort_by_key(|other| other.run);
        Some(Effect::Order(Order::Focus(next)))
    }
}
