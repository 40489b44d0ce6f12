//! The claims of the run in the lab: how many have held, whether some are being checked, and when they come to the
//! front.

use super::Lab;
use crate::tui::pane::{Corner, Pane};
use crate::worker::Phase;

impl Lab {
    /// How many of the preset's claims have held in this run, and how many were checked.
    pub fn claims_held(&self) -> (usize, usize) {
        (self.checks.iter().filter(|check| check.held).count(), self.checks.len())
    }

    /// Whether there are claims for this very step that have not been checked yet.
    pub fn checking(&self) -> bool {
        let (Some(opened), Some(status)) = (&self.opened, &self.status) else { return false };
        let mut due =
            opened.preset.claims.iter().filter(|claim| claim.after == status.step && claim.other_preset().is_none());
        due.any(|claim| !self.checks.iter().any(|check| check.claim == *claim))
    }

    /// At the end of a run its claims come to the front, unless the focus is where they would appear, or a lesson is
    /// watched.
    pub(super) fn show_claims(&mut self) {
        if self.caption.is_some() {
            return;
        }
        let finished = self.status.as_ref().is_some_and(|status| status.phase == Phase::Finished);
        if finished && self.focus.corner() != Corner::LowerRight {
            self.lower.1 = Pane::Claims;
        }
        if finished && self.focus == Pane::Loss {
            self.companion = Pane::Claims;
        }
    }
}
