//! What the lab knows, and how it changes: `update` takes an action and returns what is to be done about it.
//!
//! Pure: no I/O, no clock, no threads. Knows nothing of colours and sizes.

mod gallery;
mod lab;

pub use gallery::{Gallery, Row, SessionRow, Tab};
pub use lab::{Corner, Cursor, Lab, PACES, Pane};

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Direction, Effect};
use super::keymap::Mode;
use crate::bounds::printable;
use crate::preset::Entry;
use crate::train::DeviceChoice;
use crate::worker::{Note, Update};

/// How long leaving waits for a save.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

/// Rows that a long text is moved by at once.
const SCROLL: usize = 8;

/// Where unsaved work was about to be left for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Gallery,
    /// Out of the program, with this exit code.
    Shell(u8),
}

/// The whole state of the front end.
pub struct App {
    pub gallery: Gallery,
    /// The lab, while one is open; the gallery is behind it.
    pub lab: Option<Lab>,
    /// Rows that the help screen is scrolled by, while it is open.
    pub help: Option<usize>,
    /// There is unsaved work, and the person wants to go there.
    pub question: Option<Destination>,
    /// A save is awaited before going there.
    pub leaving: Option<Destination>,
    /// Something to say until the next key.
    pub notice: Option<String>,
}

impl App {
    pub fn new(presets: Vec<Entry>, device: DeviceChoice) -> Self {
        let gallery = Gallery::new(presets, device);
        Self { gallery, lab: None, help: None, question: None, leaving: None, notice: None }
    }

    /// What the keys mean now.
    pub fn mode(&self) -> Mode {
        match self {
            Self { question: Some(_), .. } => Mode::Question,
            Self { help: Some(_), .. } => Mode::Help,
            Self { lab: Some(_), .. } => Mode::Lab,
            Self { gallery, .. } if gallery.typing => Mode::Search,
            _ => Mode::Gallery,
        }
    }

    pub fn update(&mut self, action: Action) -> Vec<Effect> {
        if is_key(&action) {
            self.notice = None;
        }
        match action {
            Action::Help => {
                self.help = if self.help.is_some() { None } else { Some(0) };
                vec![]
            }
            Action::Back => self.back(),
            Action::Quit => self.quit(),
            Action::Suspend => vec![Effect::Suspend],
            Action::Repaint => vec![Effect::Repaint],
            Action::Gallery => self.go(Destination::Gallery),
            Action::SaveAndLeave => self.save_then_go(),
            Action::LeaveUnsaved => self.question.take().map_or_else(Vec::new, |to| self.leave(to)),
            Action::Stay => {
                self.question = None;
                vec![]
            }
            Action::Updated(update) => self.updated(*update),
            Action::Started { title } => {
                self.lab = Some(Lab::new(printable(&title)));
                vec![]
            }
            Action::SessionsListed(sessions) => {
                self.gallery.set_sessions(sessions);
                vec![]
            }
            Action::LedgerRead(result_cache, now) => {
                self.gallery.set_result_cache(&result_cache, now);
                vec![]
            }
            Action::OpenFailed(why) => {
                self.notice = Some(printable(&why));
                vec![]
            }
            Action::Terminate(code) => self.terminate(code),
            Action::Save if self.lab.as_ref().is_some_and(Lab::opening) => {
                self.notice = Some("still opening: there is nothing to save yet".to_owned());
                vec![]
            }
            Action::SaveOverdue => self.leaving.take().map_or_else(Vec::new, |to| self.leave(to)),
            other => self.screen(other),
        }
    }

    /// Actions of the screen that is in front.
    fn screen(&mut self, action: Action) -> Vec<Effect> {
        if let Some(scrolled) = &mut self.help {
            match action {
                Action::Move(Direction::Up) => *scrolled = scrolled.saturating_sub(1),
                Action::Move(Direction::Down) => *scrolled = (*scrolled + 1).min(super::keymap::ROWS.len()),
                Action::ScrollUp => *scrolled = scrolled.saturating_sub(SCROLL),
                Action::ScrollDown => *scrolled = (*scrolled + SCROLL).min(super::keymap::ROWS.len()),
                Action::First => *scrolled = 0,
                Action::Last => *scrolled = super::keymap::ROWS.len(),
                _ => {}
            }
            return vec![];
        }
        match &mut self.lab {
            Some(lab) => lab.update(action),
            None => self.gallery.update(action, &mut self.notice),
        }
    }

    fn back(&mut self) -> Vec<Effect> {
        if self.help.take().is_some() {
            return vec![];
        }
        match &mut self.lab {
            Some(lab) if lab.zoom => {
                lab.zoom = false;
                vec![]
            }
            Some(_) => self.go(Destination::Gallery),
            None => {
                self.gallery.clear_search();
                vec![]
            }
        }
    }

    fn quit(&mut self) -> Vec<Effect> {
        if self.question.is_some() || self.leaving.is_some() {
            // Who asks again means it.
            return self.leave(Destination::Shell(0));
        }
        self.go(Destination::Shell(0))
    }

    /// Goes there, or asks first where work would be lost.
    fn go(&mut self, to: Destination) -> Vec<Effect> {
        if self.lab.as_ref().is_some_and(Lab::unsaved) {
            self.help = None;
            self.question = Some(to);
            vec![]
        } else {
            self.leave(to)
        }
    }

    fn save_then_go(&mut self) -> Vec<Effect> {
        self.leaving = self.question.take();
        vec![Effect::Order(crate::worker::Order::Pause), Effect::Save]
    }

    /// Nobody can be asked: what is unsaved is saved.
    fn terminate(&mut self, code: u8) -> Vec<Effect> {
        let to = Destination::Shell(code);
        if matches!(self.leaving, Some(Destination::Shell(code)) if code != 0) {
            // A terminal that goes is told of twice, by a signal and by the end of input; the first save is under way.
            return vec![];
        }
        if self.lab.as_ref().is_some_and(Lab::unsaved) {
            (self.question, self.leaving) = (None, Some(to));
            vec![Effect::SaveWithin(SAVE_WITHIN)]
        } else {
            self.leave(to)
        }
    }

    fn leave(&mut self, to: Destination) -> Vec<Effect> {
        (self.question, self.leaving) = (None, None);
        match to {
            Destination::Shell(code) => vec![Effect::Leave(code)],
            Destination::Gallery => {
                self.lab = None;
                vec![Effect::Close, Effect::ListSessions, Effect::ReadLedger]
            }
        }
    }

    fn updated(&mut self, update: Update) -> Vec<Effect> {
        let Some(lab) = &mut self.lab else { return vec![] };
        let mut effects = vec![];
        let outcome = update.checked.clone();
        let notes = lab.apply(update);
        if let (Some(outcome), Some(opened), true) = (outcome, &lab.opened, lab.as_the_preset_says()) {
            effects.push(Effect::Note(opened.name.clone(), Arc::clone(&opened.preset), outcome));
        }
        for note in notes {
            match note {
                Note::Saved(path) => {
                    self.notice = Some(printable(&format!("saved to {}", path.display())));
                    if let Some(to) = self.leaving.take() {
                        effects.extend(self.leave(to));
                    }
                }
                Note::SaveFailed(why) => effects.extend(self.save_failed(&why)),
                Note::Failed(why) => {
                    if let Some(lab) = &mut self.lab {
                        lab.failure = Some(printable(&why));
                    }
                    // Nothing is left that could be saved.
                    if let Some(to) = self.leaving.take() {
                        effects.extend(self.leave(to));
                    }
                }
            }
        }
        effects
    }

    fn save_failed(&mut self, why: &str) -> Vec<Effect> {
        self.notice = Some(printable(&format!("not saved: {why}")));
        match self.leaving.take() {
            // Told to end by a signal: there is nobody to choose another way.
            Some(to @ Destination::Shell(code)) if code != 0 => self.leave(to),
            _ => vec![],
        }
    }
}

fn is_key(action: &Action) -> bool {
    !matches!(
        action,
        Action::Updated(_)
            | Action::SessionsListed(_)
            | Action::LedgerRead(..)
            | Action::OpenFailed(_)
            | Action::Started { .. }
            | Action::Terminate(_)
            | Action::SaveOverdue
    )
}
