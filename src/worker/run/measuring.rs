//! What is measured of a run beside what it records: shifted tasks, claims, and the weights between two measurements.

use super::RunLoop;
use crate::session::ClaimRecord;
use crate::train::{ClaimChecks, Scope};
use crate::worker::Phase;

impl RunLoop<'_> {
    /// Measures the next of the shifts that were ordered; returns whether there was one.
    pub(super) fn measure_next_shift(&mut self) -> bool {
        let Some(shift) = self.shifts.pop_front() else { return false };
        match self.experiment.measure_shift(shift) {
            Ok(measured) => self.pending.shifts.push(measured),
            Err(error) => self.fail(self.experiment.step(), &error),
        }
        self.meter.clear();
        self.post();
        true
    }

    /// Checks the claims for this step on all held-out tasks, once.
    pub(super) fn check_claims(&mut self) {
        let step = self.experiment.step();
        if self.checked.replace(step) == Some(step) {
            return;
        }
        match self.experiment.check_claims() {
            Ok(ClaimChecks { checks, measurement: None }) if checks.is_empty() => {}
            Ok(claims) => {
                let loss = claims.loss();
                let (steps, time) = self.made;
                let seconds_per_step = (steps > 0).then(|| time.as_secs_f64() / steps as f64);
                self.pending.checked = Some(ClaimRecord { verdicts: claims.checks, loss, seconds_per_step });
                self.post();
            }
            Err(error) => self.fail(step, &error),
        }
    }

    /// Measures the weights of a run that is stopped between two measurements, once; the history does not depend on it.
    pub(super) fn measure_present(&mut self) {
        if self.phase == Phase::Running || !std::mem::take(&mut self.measures_present) {
            return;
        }
        let step = self.experiment.step();
        if self.experiment.history.latest.as_ref().is_some_and(|latest| latest.step == step) {
            return;
        }
        match self.experiment.measure_unrecorded(Scope::Subset) {
            Ok(measurement) => self.pending.present = Some(measurement),
            Err(error) => self.fail(step, &error),
        }
    }
}
