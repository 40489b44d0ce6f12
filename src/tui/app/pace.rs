//! How fast the run trains, and whether it does.

use super::Lab;
use crate::tui::effects::Effect;
use crate::worker::{Order, Phase, Status};

/// Steps per second, from the slowest up; above the last is no limit.
pub const PACES: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// Statuses from before a key that can come after it: one that was posted, and one that was pending.
const LATE: u8 = 2;

/// The phase that a key asks for, until the worker reports it.
#[derive(Clone, Debug)]
pub struct AskedPhase {
    phase: Phase,
    /// Statuses with the phase before that are still possible.
    late: u8,
}

impl Lab {
    /// Takes the worker's status; one from before a key does not take back what the key has done.
    pub(super) fn take_status(&mut self, mut status: Status) {
        if let Some(asked) = &mut self.asked_phase {
            let phases = (&asked.phase, &status.phase);
            let before = matches!(phases, (Phase::Paused, Phase::Running) | (Phase::Running, Phase::Paused));
            if before && asked.late > 0 {
                asked.late -= 1;
                status.phase = asked.phase.clone();
            } else {
                self.asked_phase = None;
            }
        }
        self.status = Some(status);
    }

    /// Whether the run waits for the user: it is paused, finished, or back at an earlier state.
    pub fn is_paused(&self) -> bool {
        let phase = self.status.as_ref().map(|status| &status.phase);
        phase.is_some_and(|phase| matches!(phase, Phase::Paused | Phase::Finished))
    }

    pub(super) fn toggle_pause(&mut self) -> Vec<Effect> {
        let Some(status) = &mut self.status else { return vec![] };
        // Shown at once; the worker's status will confirm it.
        let (phase, order) = match &status.phase {
            Phase::Watched { .. } => return vec![Effect::Order(Order::Pause)],
            Phase::Running => (Phase::Paused, Order::Pause),
            Phase::Paused | Phase::Finished | Phase::Diverged { .. } | Phase::Failed { .. } => {
                (Phase::Running, Order::Resume)
            }
        };
        status.phase = phase.clone();
        self.asked_phase = Some(AskedPhase { phase, late: LATE });
        vec![Effect::Order(order)]
    }

    pub(super) fn toggle_slow_down(&mut self) -> Vec<Effect> {
        let Some(status) = &mut self.status else { return vec![] };
        status.slows_down = !status.slows_down;
        vec![Effect::Order(Order::SlowDown(status.slows_down))]
    }

    pub(super) fn set_pace(&mut self, next: fn(Option<f64>) -> Option<f64>) -> Vec<Effect> {
        let Some(status) = &mut self.status else { return vec![] };
        status.pace = next(status.pace);
        vec![Effect::Order(Order::Pace(status.pace))]
    }
}

pub(super) fn faster(pace: Option<f64>) -> Option<f64> {
    PACES.into_iter().find(|&step| step > pace.unwrap_or(f64::INFINITY))
}

pub(super) fn slower(pace: Option<f64>) -> Option<f64> {
    let below = PACES.into_iter().rev().find(|&step| step < pace.unwrap_or(f64::INFINITY));
    below.or(Some(PACES[0]))
}
