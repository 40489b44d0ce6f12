//! Going back to an earlier state of the run, and on from there: what of the run stays on the screen meanwhile.

use super::{App, KeptRun, Lab};
use crate::numbers::count;
use crate::tui::effects::Effect;
use crate::tui::message::LabAction;
use crate::worker::{Jump, Order, Update};

impl Lab {
    /// Keeps in sight what an update replaces, before it is taken in; returns what is to be said about that.
    pub fn prepare_jump(&mut self, update: &Update) -> Option<String> {
        update.opened.as_ref()?;
        let step = count(update.status.as_ref().map_or(0, |status| status.step));
        let Some(jump) = update.jump else {
            self.ahead = None;
            return None;
        };
        if self.ahead.is_none() {
            self.ahead = Some(std::mem::take(&mut self.history));
        }
        match jump {
            Jump::Rewound => {
                let done = self.ahead.as_ref().and_then(|ahead| ahead.train_loss.last()).map_or(0, |(step, _)| step);
                let done = count(done);
                Some(format!("Step {step} of {done}. Space repeats what followed; - + or e: another way."))
            }
            Jump::Forked => {
                let kept = self.keep_ahead().unwrap_or_else(|why| why);
                Some(format!("Goes on from step {step} with the changed fields. {kept}"))
            }
        }
    }

    /// Keeps the curves of what followed a state that the run went back to, as those of a run of their own.
    ///
    /// # Errors
    /// Why they cannot be kept.
    pub fn keep_ahead(&mut self) -> Result<String, String> {
        let (Some(opened), Some(history)) = (&self.opened, &self.ahead) else { return Ok(String::new()) };
        self.add_kept(KeptRun {
            name: opened.name.clone(),
            preset: opened.preset.clone(),
            seed: opened.seed,
            overrides: self.overrides.clone(),
            file: opened.file.clone(),
            history: history.clone(),
            time: self.time.clone(),
        })?;
        self.ahead = None;
        Ok(format!("The earlier curve is kept as {}; M drops it.", self.first_kept() + self.kept.len()))
    }

    /// Whether an action makes the run leave the way that it took before it went back.
    pub fn leaves_ahead(&self, action: LabAction) -> bool {
        let Some(ahead) = &self.ahead else { return false };
        let later = ahead.lr_changes.last().is_some_and(|change| change.step > self.progress().0);
        match later {
            // What was changed by hand after this step is not changed again.
            true => {
                matches!(action, LabAction::LrDown | LabAction::LrUp | LabAction::TogglePause | LabAction::StepOnce)
            }
            false => matches!(action, LabAction::LrDown | LabAction::LrUp),
        }
    }

    /// Forgets what followed once the run has come that far again.
    pub(super) fn overtake(&mut self) {
        let step = self.progress().0;
        let end = self.ahead.as_ref().and_then(|ahead| ahead.train_loss.last()).map_or(0, |(step, _)| step);
        if step >= end {
            self.ahead = None;
        }
    }

    /// Whether the run is at an earlier state than the last one that it came to.
    pub fn is_rewound(&self) -> bool {
        self.ahead.is_some()
    }
}

impl App {
    /// Goes on from the present state with the editor's fields.
    pub(super) fn fork_edited(&mut self) -> Vec<Effect> {
        let Some(editor) = &self.editor else { return vec![] };
        let Some(lab) = &self.lab else {
            self.notice = Some("No run is open that could go on with these values: r starts one.".to_owned());
            return vec![];
        };
        if editor.before == editor.preset {
            self.notice = Some("Nothing is changed: Enter changes the selected value.".to_owned());
            return vec![];
        }
        if let Err(why) = lab.space_for_kept() {
            self.notice = Some(why);
            return vec![];
        }
        let order = Order::Fork(Box::new(editor.preset.clone()));
        self.editor = None;
        vec![Effect::Order(order)]
    }
}
