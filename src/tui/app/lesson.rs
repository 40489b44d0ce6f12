//! A lesson on the screen: the question, the stages of the experiment, the answer, and looking around after it.
//!
//! Owns where the lesson is, what was chosen, and what was measured in its runs. What a stage shows is the lab.

mod flow;

use super::Lab;
use crate::lesson::{Extra, Lesson, Stage, Until};
use crate::preset::Claim;
use crate::session::ClaimRecord;
use crate::train::{self, ClaimCheck, context_cost};
use crate::tui::message::Move;
use crate::worker::Phase;

/// Where a lesson is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonPhase {
    /// An answer is to be chosen. Nothing trains yet.
    Question,
    /// The experiments run.
    Watching,
    /// The answer is shown over the lab.
    Answer,
    /// The lab is free to be used, after the answer.
    Exploring,
}

/// The caption of a stage, which the lab shows in place of its findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    pub look_for: String,
    /// Which stage it is, from 1, and of how many.
    pub stage: (usize, usize),
    /// The stage has ended and waits for a key.
    pub waits: bool,
}

impl Caption {
    /// Whether the answer comes next.
    pub fn is_last(&self) -> bool {
        self.stage.0 == self.stage.1
    }
}

/// What was measured in the run of an experiment.
struct Measured {
    experiment: String,
    checks: Vec<ClaimCheck>,
    /// The losses on all held-out tasks, each with its step.
    losses: Vec<(u64, f64)>,
}

pub struct LessonScreen {
    pub name: String,
    pub lesson: Lesson,
    pub phase: LessonPhase,
    /// The answer under the cursor.
    pub selected: usize,
    /// The answer that was chosen; `None` if there was no choice yet, or it was skipped.
    pub chosen: Option<usize>,
    pub stage: usize,
    /// The stage has ended and waits for a key.
    pub waits: bool,
    /// What the stage measures at its end has been ordered.
    measuring: bool,
    /// Rows that the answer is scrolled by; rendering stops at its end.
    pub scrolled: usize,
    measured: Vec<Measured>,
}

/// Rows that the answer may be scrolled by: more than the longest has.
const FURTHEST: usize = 60;

impl LessonScreen {
    pub fn new(name: String, lesson: Lesson) -> Self {
        Self {
            name,
            lesson,
            phase: LessonPhase::Question,
            selected: 0,
            chosen: None,
            stage: 0,
            waits: false,
            measuring: false,
            scrolled: 0,
            measured: Vec::new(),
        }
    }

    /// Whether moves go through what the lesson shows, and not through the lab.
    pub fn takes_moves(&self) -> bool {
        matches!(self.phase, LessonPhase::Question | LessonPhase::Answer)
    }

    pub fn move_selection(&mut self, to: Move) {
        let last = self.lesson.answers.len().saturating_sub(1);
        match (self.phase, to) {
            (LessonPhase::Question, Move::Up) => self.selected = self.selected.saturating_sub(1),
            (LessonPhase::Question, Move::Down) => self.selected = (self.selected + 1).min(last),
            (LessonPhase::Question, Move::First | Move::PageUp) => self.selected = 0,
            (LessonPhase::Question, Move::Last | Move::PageDown) => self.selected = last,
            (LessonPhase::Answer, Move::Up | Move::PageUp | Move::First) => {
                self.scrolled = if to == Move::Up { self.scrolled.saturating_sub(1) } else { 0 };
            }
            (LessonPhase::Answer, Move::Down | Move::PageDown | Move::Last) => {
                self.scrolled = if to == Move::Down { (self.scrolled + 1).min(FURTHEST) } else { FURTHEST };
            }
            (LessonPhase::Question | LessonPhase::Answer, Move::Left | Move::Right)
            | (LessonPhase::Watching | LessonPhase::Exploring, _) => {}
        }
    }

    fn stage(&self) -> Option<&Stage> {
        self.lesson.stages.get(self.stage)
    }

    /// What the lab says in place of its findings; `None` where it may say what it has found.
    fn caption(&self) -> Option<Caption> {
        let stage = self.stage().filter(|_| self.phase == LessonPhase::Watching)?;
        let of = (self.stage + 1, self.lesson.stages.len());
        Some(Caption { look_for: stage.look_for.clone(), stage: of, waits: self.waits })
    }

    fn measured_mut(&mut self, experiment: &str) -> &mut Measured {
        let found = self.measured.iter().position(|measured| measured.experiment == experiment);
        let place = found.unwrap_or_else(|| {
            let (checks, losses) = (Vec::new(), Vec::new());
            self.measured.push(Measured { experiment: experiment.to_owned(), checks, losses });
            self.measured.len() - 1
        });
        &mut self.measured[place]
    }

    /// A run was opened or restarted: what was measured in it before is no longer of it.
    pub(super) fn opened(&mut self, experiment: &str) {
        self.measured.retain(|measured| measured.experiment != experiment);
    }

    /// Takes in what the claims came to after a step of an experiment's run.
    pub(super) fn record(&mut self, experiment: &str, step: u64, record: &ClaimRecord) {
        let measured = self.measured_mut(experiment);
        measured.checks.extend(record.verdicts.iter().cloned());
        measured.losses.extend(record.loss.map(|loss| (step, loss)));
    }

    /// What a claim about an experiment came to in these runs; `None` if it was not measured.
    pub fn check(&self, experiment: &str, claim: &Claim) -> Option<ClaimCheck> {
        let of = |name: &str| self.measured.iter().find(|measured| measured.experiment == name);
        let loss = |name: &str, step: u64| of(name)?.losses.iter().find(|(at, _)| *at == step).map(|(_, loss)| *loss);
        let Some(other) = claim.other_preset() else {
            return of(experiment)?.checks.iter().find(|check| check.claim == *claim).cloned();
        };
        let last = self.lesson.preset(other)?.claims.iter().map(|claim| claim.after).max()?;
        let value = loss(experiment, claim.after)? / loss(other, last)?;
        Some(ClaimCheck { held: claim.holds(value), claim: claim.clone(), value })
    }

    /// Whether the condition of the stage holds or its runs have ended, and no claims are being checked.
    fn has_reached_end(&self, lab: &Lab) -> bool {
        let Some(stage) = self.stage() else { return false };
        let has_finished = |run: &Lab| match run.status.as_ref().map(|status| &status.phase) {
            Some(Phase::Finished | Phase::Diverged { .. } | Phase::Failed { .. }) => true,
            Some(Phase::Running | Phase::Paused | Phase::Watched { .. }) | None => false,
        };
        let finished = lab.every_run().all(has_finished);
        let reached = match stage.until {
            Until::Step(step) => lab.every_run().all(|run| run.progress().0 >= step || has_finished(run)),
            Until::LossOver(reference, factor) => lab.every_run().find(|run| run.run == 0).is_some_and(|first| {
                let loss = first.history.eval_loss.last().map(|(_, loss)| f64::from(loss));
                let known = first.opened.iter().flat_map(|opened| &opened.references);
                let of_reference = known.into_iter().find(|result| result.tuned.reference == reference);
                loss.zip(of_reference).is_some_and(|(loss, result)| loss <= factor * result.loss)
            }),
            Until::End => finished,
        };
        (reached || finished) && !lab.opening() && !lab.every_run().any(Lab::checking)
    }

    /// Whether all that is measured at the end of the stage is there.
    fn has_measured(&self, lab: &Lab) -> bool {
        let Some(stage) = self.stage() else { return false };
        let has = |run: &Lab, extra: &Extra| match extra {
            Extra::Shifts => {
                let all = run.opened.as_ref().map_or(0, |opened| train::shifts(&opened.preset).len());
                run.shifts.len() >= all
            }
            Extra::Fits => run.fitted.is_some(),
            Extra::Costs => run.run > 0 || context_cost::has_all(&run.context_costs),
        };
        lab.every_run().all(|run| stage.measure.iter().all(|extra| has(run, extra)))
    }
}
