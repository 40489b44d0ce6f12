//! What a run does when it diverges or its device fails: it goes back to its last good state.

use anyhow::Result;

use super::Experiment;
use crate::train::divergence::{has_diverged, is_good};
use crate::train::{Divergence, DivergenceCause, RunState, StepReport};

impl Experiment {
    /// The loss of the first measurement.
    pub(super) fn first_loss(&self) -> f32 {
        self.history.eval_loss.buckets().first().map_or(f32::MAX, |bucket| bucket.mean)
    }

    /// Goes back to the last good state.
    pub(super) fn diverge(&mut self, step: u64, cause: DivergenceCause) -> Result<Divergence> {
        self.fall_back()?;
        let divergence = Divergence { step, cause };
        tracing::warn!(%divergence, step = self.step, "went back to the last good state");
        Ok(divergence)
    }

    /// Goes back to the last good state if the present one cannot be saved or its loss has diverged. To be called at
    /// the end of a run and before it is saved, because the loss of a step is that before its update.
    ///
    /// # Errors
    /// The device failed: the run is back at its last good state.
    pub fn settle(&mut self) -> Result<Option<Divergence>> {
        // The first state is good by definition, and so is that of a lost device.
        if self.device_lost || self.step == 0 {
            return Ok(None);
        }
        let settle = |experiment: &mut Self| {
            let (step, numbers) = (experiment.step, experiment.checkpoint()?.not_finite());
            let cause = match numbers {
                Some(numbers) => DivergenceCause::State(numbers),
                None if has_diverged(experiment.batch_loss()?, experiment.first_loss()) => DivergenceCause::Loss,
                None => return Ok(None),
            };
            experiment.diverge(step, cause).map(Some)
        };
        settle(self).inspect_err(|_| self.recover())
    }

    /// Goes back to the last good state after the device failed.
    pub(super) fn recover(&mut self) {
        self.device_lost = self.fall_back().is_err();
    }

    /// Goes back to the last good state; a learning rate that was lowered since stays low.
    ///
    /// # Errors
    /// The device failed: step, seed and history are those of the last good state, the weights are not.
    pub(super) fn fall_back(&mut self) -> Result<()> {
        let RunState { checkpoint, history } = &self.last_good;
        self.history.clone_from(history);
        (self.seed, self.step) = (checkpoint.seed, checkpoint.step);
        self.run.attempt(|run| run.restore(checkpoint))?;
        let lowered = self.lr_factor / checkpoint.lr_factor;
        self.lr_factor = checkpoint.lr_factor;
        if lowered < 1.0 {
            self.scale_lr(lowered);
        }
        Ok(())
    }

    /// Keeps the present state to go back to, unless the loss of the last step is far above that at the start. A state
    /// that cannot be saved is a divergence.
    pub(super) fn keep(&mut self, last: Option<&StepReport>) -> Result<Option<Divergence>> {
        let checkpoint = self.checkpoint()?;
        if let Some(numbers) = checkpoint.not_finite() {
            return self.diverge(self.step, DivergenceCause::State(numbers)).map(Some);
        }
        if last.is_none_or(|report| is_good(report.loss, self.first_loss())) {
            self.last_good = RunState { checkpoint, history: self.history.clone() };
        }
        Ok(None)
    }
}
