//! How a lesson goes on: from the question through its stages to the answer, and to the next lesson.

use super::{LessonPhase, LessonScreen};
use crate::lesson::{Extra, Lesson};
use crate::tui::app::{App, Lab, StepsAxis};
use crate::tui::effects::Effect;
use crate::tui::message::LessonAction;
use crate::tui::pane::Pane;
use crate::worker::{Order, Source};

impl App {
    /// Opens a lesson at its question.
    pub fn open_lesson(&mut self, name: String, lesson: Lesson) {
        self.lesson = Some(LessonScreen::new(name, lesson));
    }

    pub(in crate::tui::app) fn lesson_action(&mut self, action: LessonAction) -> Vec<Effect> {
        let Some(screen) = &mut self.lesson else { return vec![] };
        match action {
            LessonAction::Choose(answer) if answer < screen.lesson.answers.len() => {
                screen.chosen = Some(answer);
                self.begin_stage(0)
            }
            LessonAction::Choose(_) => vec![],
            LessonAction::Accept => {
                screen.chosen = Some(screen.selected);
                self.begin_stage(0)
            }
            LessonAction::Skip => {
                screen.chosen = None;
                self.begin_stage(0)
            }
            LessonAction::Next => match screen.phase {
                LessonPhase::Watching => self.next_stage(),
                LessonPhase::Exploring => self.show_answer(),
                LessonPhase::Question | LessonPhase::Answer => vec![],
            },
            LessonAction::Explore => {
                self.close_answer();
                vec![]
            }
            LessonAction::NextLesson => self.next_lesson(),
        }
    }

    /// Leaves the question, before anything was trained.
    pub(in crate::tui::app) fn leave_question(&mut self) -> bool {
        let asks = self.lesson.as_ref().is_some_and(|screen| screen.phase == LessonPhase::Question);
        if asks {
            self.lesson = None;
        }
        asks
    }

    /// Closes the answer, so that the lab can be used; says whether it was shown.
    pub(in crate::tui::app) fn close_answer(&mut self) -> bool {
        let shown = self.lesson.as_mut().filter(|screen| screen.phase == LessonPhase::Answer);
        shown.map(|screen| screen.phase = LessonPhase::Exploring).is_some()
    }

    /// Whether a lesson's experiments run: their steps can be had again, so that none are lost.
    pub(in crate::tui::app) fn watches_lesson(&self) -> bool {
        let watching = [LessonPhase::Watching, LessonPhase::Answer];
        self.lesson.as_ref().is_some_and(|screen| watching.contains(&screen.phase))
    }

    /// The effects that begin a stage: other runs, or an order to those that train.
    fn begin_stage(&mut self, stage: usize) -> Vec<Effect> {
        let device = self.gallery.device;
        let Some(screen) = &mut self.lesson else { return vec![] };
        let before = screen.lesson.runs(screen.stage).to_vec();
        let same = screen.phase == LessonPhase::Watching && before == screen.lesson.runs(stage);
        let paused = screen.waits;
        (screen.phase, screen.stage) = (LessonPhase::Watching, stage);
        (screen.waits, screen.measuring) = (false, false);
        let Some(content) = screen.lesson.stages.get(stage).cloned() else { return vec![] };
        let mut effects = Vec::new();
        if !same {
            let source =
                |name: &String| Some(Source::Preset(name.clone(), Box::new(screen.lesson.preset(name)?.clone())));
            let mut sources: Vec<Source> = screen.lesson.runs(stage).iter().filter_map(source).collect();
            let several = sources.len() > 1;
            effects.push(match sources.pop() {
                Some(only) if !several => Effect::Start(only, device),
                last => Effect::StartSeveral(sources.into_iter().chain(last).collect(), device),
            });
            self.kept.clear();
        } else if paused {
            effects.push(Effect::Order(Order::Resume));
        }
        effects.extend(content.pace.map(|pace| Effect::Order(Order::Pace(Some(pace)))));
        if same {
            self.show_stage();
            // Runs that have stopped report nothing more.
            effects.extend(self.follow_lesson());
        }
        effects
    }

    /// Brings the panes of the stage to the front, and its caption into the lab.
    pub(in crate::tui::app) fn show_stage(&mut self) {
        let (Some(screen), Some(lab)) = (&self.lesson, &mut self.lab) else { return };
        let Some(stage) = screen.stage().filter(|_| screen.phase == LessonPhase::Watching) else { return };
        // The last one that is brought to the front has the focus.
        stage.panes.iter().rev().for_each(|pane| lab.focus_on(Pane::from(*pane)));
        lab.zoom = stage.zoom;
        if let Some(layer) = stage.layer {
            lab.for_every_run(|run| run.cursor.layer = layer.saturating_sub(1));
        }
        if let Some(axis) = stage.axis {
            lab.steps = StepsAxis::of(axis.into(), stage.log);
        }
        self.show_caption();
    }

    pub(in crate::tui::app) fn show_caption(&mut self) {
        if let Some(lab) = &mut self.lab {
            lab.caption = self.lesson.as_ref().and_then(LessonScreen::caption);
        }
    }

    fn next_stage(&mut self) -> Vec<Effect> {
        let Some(screen) = &self.lesson else { return vec![] };
        if self.lab.is_none() {
            return vec![];
        }
        let next = screen.stage + 1;
        if next < screen.lesson.stages.len() { self.begin_stage(next) } else { self.show_answer() }
    }

    /// The runs have reported: goes on to the next stage where this one has ended.
    pub(in crate::tui::app) fn follow_lesson(&mut self) -> Vec<Effect> {
        let (Some(screen), Some(lab)) = (&mut self.lesson, &mut self.lab) else { return vec![] };
        if screen.phase != LessonPhase::Watching || screen.waits || !screen.has_reached_end(lab) {
            return vec![];
        }
        if !std::mem::replace(&mut screen.measuring, true) {
            let effects = measure(screen, lab);
            if !effects.is_empty() {
                return effects;
            }
        }
        if !screen.has_measured(lab) {
            return vec![];
        }
        let next = screen.stage + 1;
        let last = next == screen.lesson.stages.len();
        let pause = screen.stage().is_some_and(|stage| stage.pause);
        if !last && !pause {
            return self.begin_stage(next);
        }
        screen.waits = true;
        self.show_caption();
        if pause { vec![Effect::Order(Order::Pause)] } else { vec![] }
    }

    /// Shows the answer, and records what was chosen.
    fn show_answer(&mut self) -> Vec<Effect> {
        let Some(screen) = &mut self.lesson else { return vec![] };
        let first = screen.phase == LessonPhase::Watching;
        (screen.phase, screen.scrolled) = (LessonPhase::Answer, 0);
        let outcome = screen.lesson.outcome(screen.chosen);
        let record = Effect::RecordAnswer(screen.name.clone(), outcome);
        self.show_caption();
        if first { vec![record] } else { vec![] }
    }

    /// Ends the lesson and opens the one after it, or the gallery after the last.
    fn next_lesson(&mut self) -> Vec<Effect> {
        let Some(screen) = self.lesson.take() else { return vec![] };
        if let Some((name, lesson)) = self.gallery.lesson_after(&screen.name) {
            self.open_lesson(name, lesson);
        }
        self.kept.clear();
        let ends = self.lab.take().is_some();
        if ends { vec![Effect::Close, Effect::ListSessions, Effect::ReadResults] } else { vec![] }
    }

    /// A run of the lesson starts again from step 0: so does the first stage of these runs.
    pub(in crate::tui::app) fn restart_stage(&mut self) {
        let Some(screen) = self.lesson.as_mut().filter(|screen| screen.phase == LessonPhase::Watching) else { return };
        let runs = screen.lesson.runs(screen.stage).to_vec();
        let first = (0..screen.stage).rev().take_while(|stage| screen.lesson.runs(*stage) == runs).last();
        (screen.stage, screen.waits) = (first.unwrap_or(screen.stage), false);
        self.show_stage();
    }
}

/// The orders to measure in every run what the stage asks for; what was measured before is dropped.
fn measure(screen: &LessonScreen, lab: &mut Lab) -> Vec<Effect> {
    let mut effects = Vec::new();
    for extra in screen.stage().iter().flat_map(|stage| &stage.measure) {
        let (order, runs) = match extra {
            Extra::Shifts => {
                lab.for_every_run(Lab::await_shifts);
                (Order::Shift, lab.runs())
            }
            Extra::Fits => {
                lab.for_every_run(Lab::await_fit);
                (Order::Fit, lab.runs())
            }
            // Those of the other runs' models are the same.
            Extra::Costs => {
                lab.for_every_run(|run| run.context_costs.clear());
                (Order::ContextCosts, 1)
            }
        };
        let of_run = |run| [Order::Focus(run), order.clone()];
        let orders = (0..runs).flat_map(of_run).chain([Order::Focus(lab.run)]);
        effects.extend(orders.map(Effect::Order));
    }
    effects
}
