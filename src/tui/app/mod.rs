//! What the front end knows, and how it changes: `update` takes a message and returns what is to be done about it.
//!
//! Pure: no I/O, no clock, no threads. Knows nothing of colours and sizes.

mod claims;
mod cursor;
mod editor;
mod gallery;
mod help;
mod kept;
mod lab;
mod leaving;
mod lesson;
mod pace;
mod rewinding;
mod sessions;
mod several;
mod steps;
mod sweep;

pub use cursor::{Cursor, Forms};
pub use editor::{Editor, Field};
pub use gallery::{Gallery, ListRow, Tab};
pub use help::HelpPage;
pub use kept::{KeptRun, MOST_KEPT, Overlaid};
pub use lab::Lab;
pub use lesson::{Caption, LessonPhase, LessonScreen};
pub use pace::PACES;
pub use sessions::{Column, SessionRow, SessionTable};
pub use steps::{AxisUnit, StepsAxis};
pub use sweep::{Band, Ended, SweepScreen};

use std::sync::Arc;

use super::effects::Effect;
use super::keymap::Mode;
use super::message::{Action, EffectResult, GalleryAction, LabAction, Message, Move, SweepAction, SystemEvent};
use super::pacer::Link;
use crate::bounds::printable;
use crate::preset::Entry;
use crate::train::DeviceChoice;
use crate::worker::{Note, Update};

/// What the user is about to do, while unsaved steps are in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    LeaveLab,
    /// Leave the program, with this exit code.
    Exit(u8),
    /// Restart the run; `None` keeps its seed.
    Restart(Option<u64>),
    /// Start the experiment of the editor.
    StartEdited,
}

/// The whole state of the front end.
pub struct App {
    pub gallery: Gallery,
    /// The lab, while one is open; the gallery is behind it.
    pub lab: Option<Lab>,
    /// The lesson that is given; its runs are in the lab.
    pub lesson: Option<LessonScreen>,
    /// The sweep that is shown; the gallery is behind it.
    pub sweep: Option<SweepScreen>,
    /// The kept runs, while no lab is open; otherwise the lab has them.
    pub kept: Vec<KeptRun>,
    /// The lab is shown for a projector: little, and large.
    pub projector: bool,
    /// Rows that the help screen is scrolled by, while it is open.
    pub help: Option<usize>,
    /// What the help screen shows, while it is open.
    pub help_page: HelpPage,
    /// The editor of an experiment, while it is open.
    pub editor: Option<Editor>,
    /// The question about unsaved steps, while it is asked: what follows the answer.
    pub question: Option<Intent>,
    /// What follows the save that is under way.
    pub after_save: Option<Intent>,
    /// What is known of the link to the terminal, while that is shown.
    pub link: Option<Link>,
    /// A message in the footer until the next key.
    pub notice: Option<String>,
}

impl App {
    pub fn new(presets: Vec<Entry>, device: DeviceChoice) -> Self {
        Self {
            gallery: Gallery::new(presets, device),
            lab: None,
            lesson: None,
            projector: false,
            sweep: None,
            kept: Vec::new(),
            help: None,
            help_page: HelpPage::Keys,
            editor: None,
            question: None,
            after_save: None,
            link: None,
            notice: None,
        }
    }

    /// What keys mean now.
    pub fn mode(&self) -> Mode {
        match self {
            Self { question: Some(_), .. } => Mode::Question,
            Self { help: Some(_), .. } => Mode::Help,
            Self { .. } => self.mode_without_help(),
        }
    }

    /// What keys mean on the screen behind the help.
    pub fn mode_without_help(&self) -> Mode {
        match self {
            Self { editor: Some(editor), .. } if editor.typed.is_some() => Mode::Typing,
            Self { editor: Some(_), .. } => Mode::Editor,
            Self { lesson: Some(LessonScreen { phase: LessonPhase::Question, .. }), .. } => Mode::Choice,
            Self { lesson: Some(LessonScreen { phase: LessonPhase::Answer, .. }), .. } => Mode::Reveal,
            Self { lab: Some(lab), .. } if lab.steps.cursor.is_some() => Mode::Values,
            Self { lab: Some(_), lesson: Some(_), .. } => Mode::Lesson,
            Self { lab: Some(_), .. } => Mode::Lab,
            Self { sweep: Some(_), .. } => Mode::Sweep,
            Self { gallery, .. } if gallery.typing => Mode::Search,
            Self { gallery, .. } if gallery.renaming.is_some() => Mode::Rename,
            Self { gallery, .. } if gallery.deleting.is_some() => Mode::Delete,
            Self { gallery: Gallery { tab: Tab::Sessions, .. }, .. } => Mode::Sessions,
            Self { gallery: Gallery { tab: Tab::Presets, .. }, .. } => Mode::Gallery,
            Self { gallery: Gallery { tab: Tab::Lessons, .. }, .. } => Mode::Lessons,
        }
    }

    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = self.react(message);
        effects.extend(self.lab.as_mut().and_then(Lab::order_parts));
        effects
    }

    fn react(&mut self, message: Message) -> Vec<Effect> {
        match message {
            // A key that was pressed before a signal must not abandon the signal's save.
            Message::Key(_) if self.terminating() => vec![],
            Message::Key(action) => {
                self.notice = None;
                self.act(action)
            }
            Message::Worker(update) => self.updated(*update),
            Message::Result(result) => self.resulted(result),
            Message::System(SystemEvent::Terminate(code)) => self.terminate(code),
            Message::System(SystemEvent::Suspended) => vec![Effect::Suspend],
            Message::System(SystemEvent::Continued) => vec![Effect::Repaint],
            Message::System(SystemEvent::TokenDue) => self.lab.as_mut().map_or_else(Vec::new, Lab::play_token),
            Message::System(SystemEvent::SaveOverdue) => self.proceed_after_save(),
        }
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Help if self.help.is_some() => self.help = None,
            Action::Help => self.open_help(HelpPage::Keys),
            Action::Explain => self.open_help(if self.lab.is_some() { HelpPage::Pane } else { HelpPage::Words }),
            Action::NextHelpPage { back } => self.next_help_page(back),
            Action::WriteScreen(format) => {
                return vec![Effect::WriteScreen {
                    name: self.lab.as_ref().map_or_else(|| "gallery".to_owned(), Lab::screen_name),
                    format,
                }];
            }
            Action::ToggleLink => self.link = self.link.is_none().then(Link::default),
            Action::ToggleProjector => self.projector = !self.projector,
            Action::Back => return self.back(),
            Action::Quit => return self.quit(),
            Action::Suspend => return vec![Effect::SuspendJob],
            Action::Repaint => return vec![Effect::Repaint],
            Action::Move(to) => self.move_in_front(to),
            Action::Gallery(GalleryAction::Open) if self.gallery.tab == Tab::Lessons => {
                match self.gallery.selected_lesson().map(|entry| (entry.name.clone(), entry.lesson.clone())) {
                    Some((name, Ok(lesson))) => self.open_lesson(name, lesson),
                    Some((_, Err(why))) => self.notice = Some(printable(&why)),
                    None => {}
                }
            }
            Action::Gallery(action) => match self.gallery.update(action) {
                Ok(effects) => {
                    // What was kept before makes way for the sessions that are opened together.
                    if effects.iter().any(|effect| matches!(effect, Effect::ReadKept(_))) {
                        self.kept.clear();
                    }
                    return effects;
                }
                Err(why) => self.notice = Some(printable(&why)),
            },
            Action::Lab(action) => return self.lab_action(action),
            Action::Lesson(action) => return self.lesson_action(action),
            Action::OpenEditor => self.open_editor(),
            Action::Editor(action) => self.editor.iter_mut().for_each(|editor| editor.update(action)),
            Action::StartEdited => return self.start_edited(),
            Action::ForkEdited => return self.fork_edited(),
            Action::Sweep(action) => {
                let Some(screen) = &mut self.sweep else { return vec![] };
                screen.update(action);
                if action == SweepAction::NextKey && screen.keys.len() < 2 {
                    let only = screen.keys.first().map_or_else(String::new, |key| printable(key));
                    self.notice = Some(format!("Nothing but {only} differs between the runs."));
                }
                if action == SweepAction::Read {
                    return vec![Effect::ReadSweep(screen.ended.folder.clone())];
                }
            }
            Action::LeaveLab => return self.go(Intent::LeaveLab),
            Action::Restart { next_seed } => return self.restart(next_seed),
            Action::Answer(answer) => return self.answer(answer),
        }
        vec![]
    }

    /// Moves through whatever is in front.
    fn move_in_front(&mut self, to: Move) {
        let screen = self.lesson.as_mut().filter(|screen| screen.takes_moves());
        match (&mut self.help, &mut self.editor, screen, &mut self.lab) {
            (Some(scrolled), ..) => *scrolled = help::scroll(*scrolled, to),
            (None, Some(editor), ..) => editor.move_selection(to),
            (None, None, Some(screen), _) => screen.move_selection(to),
            (None, None, None, Some(lab)) => lab.move_cursor(to),
            (None, None, None, None) => self.gallery.move_selection(to),
        }
    }

    fn lab_action(&mut self, action: LabAction) -> Vec<Effect> {
        let Some(lab) = &mut self.lab else { return vec![] };
        if action == LabAction::Save && lab.opening() {
            self.notice = Some("Still opening: there is nothing to save yet.".to_owned());
        }
        if action == LabAction::Keep {
            self.notice = Some(lab.keep().unwrap_or_else(|why| why));
        }
        if action == LabAction::NextRun && lab.runs() == 1 {
            self.notice = Some("One run trains: `innerloop run s4d mamba` trains several at once.".to_owned());
        }
        if action == LabAction::DropKept {
            let dropped = std::mem::take(&mut lab.kept).len();
            self.notice = Some(match dropped {
                0 => "No run is kept: m keeps this one.".to_owned(),
                1 => "Dropped 1 kept run.".to_owned(),
                several => format!("Dropped {several} kept runs."),
            });
        }
        if action == LabAction::ToggleSlowDown {
            let slows = lab.status.as_ref().is_some_and(|status| status.slows_down);
            self.notice = Some(match slows {
                true => "The run no longer slows down by itself.".to_owned(),
                false => "The run slows down while the loss falls fast, or where its preset says so.".to_owned(),
            });
        }
        if lab.leaves_ahead(action) {
            match lab.keep_ahead() {
                Ok(kept) => self.notice = Some(kept),
                Err(why) => {
                    self.notice = Some(why);
                    return vec![];
                }
            }
        }
        lab.update(action)
    }

    fn back(&mut self) -> Vec<Effect> {
        if self.help.take().is_some() {
            return vec![];
        }
        if self.editor.take().is_some() || self.leave_question() || self.close_answer() {
            return vec![];
        }
        match &mut self.lab {
            Some(lab) if lab.steps.cursor.is_some() => lab.steps.cursor = None,
            Some(lab) if lab.zoom => lab.zoom = false,
            Some(_) => return self.go(Intent::LeaveLab),
            None if self.sweep.take().is_some() => return vec![Effect::ListSessions],
            None => self.gallery.clear_search(),
        }
        vec![]
    }

    fn resulted(&mut self, result: EffectResult) -> Vec<Effect> {
        match result {
            EffectResult::Started { title } => {
                let mut before = self.lab.take();
                let kept = std::mem::take(before.as_mut().map_or(&mut self.kept, |lab| &mut lab.kept));
                let new = Lab::new(printable(&title), kept);
                let lab = before.iter().fold(new, |lab, before| lab.with_view_of(before));
                // A lesson compares the same models in all of its stages.
                let lesson = before.iter().filter(|_| self.lesson.is_some());
                self.lab = Some(lesson.fold(lab, |lab, before| lab.with_costs_of(before)));
                self.show_stage();
            }
            EffectResult::SeveralStarted(titles) => {
                let lab = |(run, title): (usize, &String)| Lab { run, ..Lab::new(printable(title), Vec::new()) };
                let mut labs = titles.iter().enumerate().map(lab);
                self.lab = labs.next().map(|first| Lab { others: labs.collect(), ..first });
                self.show_stage();
            }
            EffectResult::SessionsListed { rows, complete } => self.gallery.set_sessions(rows, complete),
            EffectResult::ScreenWritten(Ok(path)) => {
                self.notice = Some(printable(&format!("this screen is in {}", path.display())));
            }
            EffectResult::ScreenWritten(Err(why)) => {
                self.notice = Some(printable(&format!("the screen was not written: {why}")));
            }
            EffectResult::ResultsRead(results, now) => self.gallery.set_results(&results, now),
            EffectResult::KeptRead(runs) => {
                // The lab may have been left in the meantime.
                let Some(lab) = &mut self.lab else { return vec![] };
                let refused = runs.into_iter().filter_map(|run| run.and_then(|run| lab.add_kept(run)).err()).last();
                let refused = refused.or_else(|| lab.kept_refusal());
                self.notice = refused.map(|why| printable(&why)).or(self.notice.take());
            }
            EffectResult::AnsweredRead(Ok(answered)) => self.gallery.answered = answered,
            EffectResult::AnsweredRead(Err(why)) => self.notice = Some(printable(&why)),
            EffectResult::SweepRead(Ok(ended)) => match &mut self.sweep {
                Some(screen) => screen.renew(*ended),
                None => self.sweep = Some(SweepScreen::new(*ended)),
            },
            EffectResult::SweepRead(Err(why)) => self.notice = Some(printable(&why)),
            EffectResult::Renamed(Ok(path)) => {
                self.notice = Some(printable(&format!("renamed to {}", path.display())));
                self.gallery.await_session(path);
                return vec![Effect::ListSessions];
            }
            EffectResult::Deleted(Ok(path)) => {
                self.notice = Some(printable(&format!("deleted {}", path.display())));
                self.gallery.sessions.remove(&path);
                return vec![Effect::ListSessions];
            }
            EffectResult::Renamed(Err(why)) | EffectResult::Deleted(Err(why)) => self.notice = Some(printable(&why)),
        }
        vec![]
    }

    fn updated(&mut self, update: Update) -> Vec<Effect> {
        let run = update.run;
        let Some(lab) = self.lab.as_mut().and_then(|lab| lab.run_mut(run)) else { return vec![] };
        let mut effects = vec![];
        let record = update.checked.clone();
        let opens = update.opened.as_ref().map(|opened| self.gallery.overrides(&opened.name, &opened.preset));
        let said = lab.prepare_jump(&update);
        let opened = update.opened.is_some();
        let notes = lab.apply(update);
        if let (Some(screen), Some(run)) = (&mut self.lesson, &lab.opened) {
            if opened {
                screen.opened(&run.name);
            }
            if let Some(record) = &record {
                screen.record(&run.name, lab.progress().0, record);
            }
        }
        if let Some(overrides) = opens {
            lab.overrides = overrides;
            self.notice = said.or_else(|| lab.kept_refusal()).map(|why| printable(&why)).or(self.notice.take());
        }
        // A lesson's experiment is not the preset whose results the gallery shows.
        let of_preset = self.lesson.is_none() && lab.is_unmodified();
        if let (Some(record), Some(opened), true) = (record, &lab.opened, of_preset) {
            effects.push(Effect::RecordResult(opened.name.clone(), Arc::clone(&opened.preset), record));
        }
        for note in notes {
            effects.extend(match note {
                Note::Saved(path) => {
                    self.notice = Some(printable(&format!("saved to {}", path.display())));
                    // Of several runs the last one to be saved goes on.
                    let waits = self.lab.as_ref().is_some_and(|lab| lab.runs() > 1 && lab.unsaved());
                    if waits { vec![] } else { self.proceed_after_save() }
                }
                Note::SavedElsewhere { path, why } => {
                    self.notice = Some(printable(&format!("{why}; saved to {} instead", path.display())));
                    self.proceed_after_save()
                }
                Note::ReadOnly(why) | Note::Device(why) => {
                    self.notice = Some(printable(&why));
                    vec![]
                }
                Note::NotForked(why) => {
                    self.notice = Some(printable(&format!("The run goes on as it was: {why}")));
                    vec![]
                }
                Note::SaveFailed(why) => self.save_failed(&why),
                Note::Failed(why) => {
                    if let Some(lab) = self.lab.as_mut().and_then(|lab| lab.run_mut(run)) {
                        lab.failure = Some(printable(&why));
                    }
                    // Nothing is left that could be saved.
                    self.proceed_after_save()
                }
            });
        }
        effects.extend(self.follow_lesson());
        effects
    }
}
