//! How the app leaves a run or the program: the question about unsaved steps, saves that come first, and signals.

use std::time::Duration;

use super::{App, Editor, Intent, Lab};
use crate::bounds::printable;
use crate::tui::effects::Effect;
use crate::tui::message::{Answer, SystemEvent};
use crate::worker::{Order, Source};

/// How long a terminated program waits for its save.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

impl App {
    pub(super) fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        let intent = self.question.take();
        match answer {
            Answer::Save => {
                self.after_save = intent;
                let save = self.lab.as_ref().and_then(Lab::save);
                [Effect::Order(Order::Pause)].into_iter().chain(save).collect()
            }
            Answer::Discard => intent.map_or_else(Vec::new, |intent| self.proceed(intent)),
            Answer::Stay => vec![],
        }
    }

    /// A second quit exits at once.
    pub(super) fn quit(&mut self) -> Vec<Effect> {
        if self.question.is_some() || self.after_save.is_some() {
            return self.proceed(Intent::Exit(0));
        }
        self.go(Intent::Exit(0))
    }

    /// Does it, or asks first where steps would be lost.
    pub(super) fn go(&mut self, intent: Intent) -> Vec<Effect> {
        if !self.watches_lesson() && self.lab.as_ref().is_some_and(Lab::would_lose_steps) {
            self.help = None;
            self.question = Some(intent);
            return vec![];
        }
        self.proceed(intent)
    }

    pub(super) fn restart(&mut self, next_seed: bool) -> Vec<Effect> {
        let Some(opened) = self.lab.as_ref().and_then(|lab| lab.opened.as_ref()) else { return vec![] };
        let seed = next_seed.then(|| opened.seed.wrapping_add(1));
        self.go(Intent::Restart(seed))
    }

    /// A signal leaves no time for a question: what is unsaved is saved, unless it is a lesson's.
    pub(super) fn terminate(&mut self, code: u8) -> Vec<Effect> {
        if self.terminating() {
            // A lost terminal is reported twice, by a signal and by the end of input.
            return vec![];
        }
        let loses_steps = !self.watches_lesson() && self.lab.as_ref().is_some_and(Lab::unsaved);
        let save = self.lab.as_ref().filter(|_| loses_steps).and_then(Lab::save);
        let Some(save) = save else { return self.proceed(Intent::Exit(code)) };
        (self.question, self.after_save) = (None, Some(Intent::Exit(code)));
        vec![save, Effect::StartTimer(SAVE_WITHIN, SystemEvent::SaveOverdue)]
    }

    /// Whether a signal's save is under way; the program ends after it.
    pub(super) fn terminating(&self) -> bool {
        matches!(self.after_save, Some(Intent::Exit(code)) if code != 0)
    }

    pub(super) fn proceed_after_save(&mut self) -> Vec<Effect> {
        self.after_save.take().map_or_else(Vec::new, |intent| self.proceed(intent))
    }

    pub(super) fn proceed(&mut self, intent: Intent) -> Vec<Effect> {
        (self.question, self.after_save) = (None, None);
        match intent {
            Intent::Exit(code) => vec![Effect::Exit(code)],
            Intent::Restart(seed) => {
                self.restart_stage();
                vec![Effect::Order(Order::Restart { seed })]
            }
            Intent::StartEdited => {
                let Some(Editor { name, preset, .. }) = self.editor.take() else { return vec![] };
                if self.lesson.take().is_some() {
                    self.notice = Some("The lesson has ended: this is an experiment of your own.".to_owned());
                }
                vec![Effect::Start(Source::Preset(name, Box::new(preset)), self.gallery.device)]
            }
            Intent::LeaveLab => {
                self.lesson = None;
                self.kept = self.lab.take().map(|lab| lab.kept).unwrap_or_default();
                vec![Effect::Close, Effect::ListSessions, Effect::ReadResults]
            }
        }
    }

    pub(super) fn save_failed(&mut self, why: &str) -> Vec<Effect> {
        self.notice = Some(printable(&format!("not saved: {why}")));
        match self.after_save.take() {
            // Terminated by a signal: the user cannot choose another way.
            Some(intent @ Intent::Exit(code)) if code != 0 => self.proceed(intent),
            Some(_) | None => vec![],
        }
    }
}
