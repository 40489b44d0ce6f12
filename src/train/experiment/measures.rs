//! What a run is measured on: the held-out tasks, other tasks, the claims of its preset, and learners fitted to it.

use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::Experiment;
use crate::nn::AttentionForm;
use crate::preset::Quantity;
use crate::train::eval::{
    self, AnswersByPairs, ClaimCheck, ClaimChecks, Fit, LinearProbes, Measured, Measurement, Scope, Shift, Shifted,
    Snapshot, SnapshotParts,
};

impl Experiment {
    /// Measures the present weights on the held-out tasks and records the result.
    pub fn measure(&mut self, scope: Scope) -> Result<Measurement> {
        let measurement = self.measure_unrecorded(scope)?;
        self.history.record_measurement(&measurement);
        let (before, operations) = self.history.operations.last().unwrap_or((0, 0.0));
        let since: f64 = (before..self.step).map(|step| self.run.run.operations(step)).sum();
        if self.step == 0 || since > 0.0 {
            self.history.operations.push(self.step, (f64::from(operations) + since) as f32);
        }
        Ok(measurement)
    }

    /// Measures the present weights, and records nothing.
    pub fn measure_unrecorded(&mut self, scope: Scope) -> Result<Measurement> {
        self.run.attempt(|run| eval::measure(run, &self.preset, &self.held_out, self.step, scope))
    }

    /// Measures the present weights on other tasks, one of [`eval::shifts`].
    pub fn measure_shift(&self, shift: Shifted) -> Result<Shift> {
        let mut shifted = self.shifted(shift.preset)?;
        let measurement = shifted.measure_unrecorded(Scope::Subset)?;
        let moved = match self.preset.task.differs_in_order(&shifted.preset.task) {
            true => Some(self.moved_by(&shifted)?),
            false => None,
        };
        Ok(Shift { moved, ..Shift::new(shift.name, measurement, shifted.references())? })
    }

    /// How far the answers of the same weights to the same tasks, their pairs in another order, are from this run's.
    fn moved_by(&self, shuffled: &Self) -> Result<f64> {
        let answers = |of: &Self| of.run.read(|run| run.predict(of.held_out.batch()));
        let outputs = self.preset.task.shape().outputs;
        Ok(eval::moved(&answers(self)?, &answers(shuffled)?, outputs, self.held_out.scale()))
    }

    /// Which learners explain the answers of the present weights, and with which parameters; the best first.
    ///
    /// # Errors
    /// The device failed, or the task is no regression.
    pub fn fits(&mut self) -> Result<Vec<Fit>> {
        let held_out = &self.held_out;
        let answers = self.run.attempt(|run| run.predict(held_out.batch()))?;
        eval::fit(&answers, held_out, self.preset.task.objective())
    }

    /// Steps to the next one that a claim is about; `None` if there is no such step.
    pub fn steps_to_next_claim(&self) -> Option<u64> {
        let ahead = self.preset.claims.iter().filter_map(|claim| claim.after.checked_sub(self.step));
        ahead.filter(|steps| *steps > 0).min()
    }

    /// Measures the present weights on all held-out tasks, and checks the claims for this step. Claims about the same
    /// tasks share a measurement, and come one after the other. Records nothing: the history must not depend on whether
    /// claims are checked. Claims that need another run are left out: their loss is [`ClaimChecks::loss`].
    pub fn check_claims(&mut self) -> Result<ClaimChecks> {
        let (step, preset) = (self.step, Arc::clone(&self.preset));
        let due = || preset.claims.iter().filter(|claim| claim.after == step);
        let mut sets: Vec<&Vec<(String, String)>> = Vec::new();
        for claim in due() {
            if !sets.contains(&&claim.set) {
                sets.push(&claim.set);
            }
        }
        let mut all = ClaimChecks::default();
        for set in sets {
            let settings = set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let mut shifted;
            let experiment = if set.is_empty() {
                &mut *self
            } else {
                let preset = preset.shifted(settings).map_err(|error| anyhow!("claims: {error}"))?;
                shifted = self.shifted(preset)?;
                &mut shifted
            };
            let measurement = experiment.measure_unrecorded(Scope::All)?;
            let claims = || due().filter(|claim| claim.set == *set && claim.other_preset().is_none());
            let probed = claims().any(|claim| matches!(claim.measure, Quantity::LinearProbe { .. }));
            let probes = if probed { experiment.linear_probes()? } else { None };
            let in_forms = claims().any(|claim| claim.measure == Quantity::FormDifference);
            let attention_form = if in_forms { experiment.attention_form()? } else { None };
            let (preset, held_out) = (&*experiment.preset, &experiment.held_out);
            let measured = Measured {
                preset,
                measurement: &measurement,
                held_out,
                probes: probes.as_ref(),
                attention_form: attention_form.as_ref(),
            };
            all.checks.extend(claims().map(|claim| ClaimCheck::new(claim, measured)));
            if set.is_empty() {
                all.measurement = Some(measurement);
            }
        }
        Ok(all)
    }

    /// Loss of the present weights on the batch that the next step will train on.
    pub fn batch_loss(&mut self) -> Result<f32> {
        let batch = self.next_batch();
        self.run.attempt(|run| run.batch_loss(batch))
    }

    /// Hidden states and answers of the present weights, with what is asked for beside them.
    pub fn snapshot(&mut self, parts: SnapshotParts) -> Result<Snapshot> {
        let linear_probes = if parts.linear_probes { self.linear_probes()? } else { None };
        let answers_by_pairs = if parts.answers_by_pairs { self.answers_by_pairs()? } else { None };
        let attention_form = if parts.attention_form { self.attention_form()? } else { None };
        let snapshot = self.run.attempt(|run| eval::snapshot(run, &self.preset, &self.held_out, self.step))?;
        Ok(Snapshot { parts, linear_probes, answers_by_pairs, attention_form, ..snapshot })
    }

    /// Which iterates of the textbook algorithms can be read out of each layer; `None` for a network without layers.
    pub fn linear_probes(&mut self) -> Result<Option<LinearProbes>> {
        self.run.attempt(|run| eval::linear_probes::measure(run, &self.held_out))
    }

    /// The answers of the present weights to the probe sequences after each pair; `None` where there are none.
    pub fn answers_by_pairs(&mut self) -> Result<Option<AnswersByPairs>> {
        self.run.attempt(|run| eval::measure_answers_by_pairs(run, &self.preset, &self.held_out))
    }

    /// The answers of the present weights from the state and by weights between tokens; `None` for a network that has
    /// no such forms.
    pub fn attention_form(&mut self) -> Result<Option<AttentionForm>> {
        self.run.attempt(|run| eval::attention_form::measure(run, &self.preset, &self.held_out))
    }
}
