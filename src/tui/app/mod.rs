//! What the front end knows, and how it changes: `update` takes a message and returns what is to be done about it.
//!
//! Pure: no I/O, no clock, no threads. Knows nothing of colours and sizes.

mod editor;
mod gallery;
mod help;
mod lab;
mod steps;

pub use editor::{Editor, Field};
pub use gallery::{Gallery, ListRow, SessionRow, Tab};
pub use help::HelpPage;
pub use lab::{Cursor, Lab, PACES};
pub use steps::StepsAxis;

use std::sync::Arc;
use std::time::Duration;

use super::effects::Effect;
use super::keymap::Mode;
use super::message::{Action, Answer, EffectResult, LabAction, Message, SystemEvent};
use crate::bounds::printable;
use crate::preset::{self, Entry};
use crate::session;
use crate::train::DeviceChoice;
use crate::worker::{Note, Order, Source, Update};

/// How long a terminated program waits for its save.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

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
    /// A message in the footer until the next key.
    pub notice: Option<String>,
}

impl App {
    pub fn new(presets: Vec<Entry>, device: DeviceChoice) -> Self {
        let gallery = Gallery::new(presets, device);
        Self {
            gallery,
            lab: None,
            projector: false,
            help: None,
            help_page: HelpPage::Keys,
            editor: None,
            question: None,
            after_save: None,
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
            Self { lab: Some(lab), .. } if lab.steps.cursor.is_some() => Mode::Values,
            Self { lab: Some(_), .. } => Mode::Lab,
            Self { gallery, .. } if gallery.typing => Mode::Search,
            _ => Mode::Gallery,
        }
    }

    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        match message {
            Message::Key(action) => {
                self.notice = None;
                self.act(action)
            }
            Message::Worker(update) => self.updated(*update),
            Message::Result(result) => {
                self.resulted(result);
                vec![]
            }
            Message::System(SystemEvent::Terminate(code)) => self.terminate(code),
            Message::System(SystemEvent::Suspended) => vec![Effect::Suspend],
            Message::System(SystemEvent::Continued) => vec![Effect::Repaint],
            Message::System(SystemEvent::SaveOverdue) => self.proceed_after_save(),
        }
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Help if self.help.is_some() => self.help = None,
            Action::Help => self.open_help(HelpPage::Keys),
            Action::Explain => self.open_help(if self.lab.is_some() { HelpPage::Pane } else { HelpPage::Words }),
            Action::NextHelpPage { back } => self.next_help_page(back),
            Action::WriteScreen(format) => return vec![Effect::WriteScreen { name: self.screen_name(), format }],
            Action::ToggleProjector => self.projector = !self.projector,
            Action::Back => return self.back(),
            Action::Quit => return self.quit(),
            Action::Suspend => return vec![Effect::SuspendJob],
            Action::Repaint => return vec![Effect::Repaint],
            Action::Move(to) => match (&mut self.help, &mut self.editor, &mut self.lab) {
                (Some(scrolled), _, _) => *scrolled = help::scroll(*scrolled, to),
                (None, Some(editor), _) => editor.move_selection(to),
                (None, None, Some(lab)) => lab.move_cursor(to),
                (None, None, None) => self.gallery.move_selection(to),
            },
            Action::Gallery(action) => match self.gallery.update(action) {
                Ok(effect) => return effect.into_iter().collect(),
                Err(why) => self.notice = Some(printable(&why)),
            },
            Action::Lab(action) => return self.lab_action(action),
            Action::OpenEditor => self.open_editor(),
            Action::Editor(action) => self.editor.iter_mut().for_each(|editor| editor.update(action)),
            Action::StartEdited => return self.start_edited(),
            Action::LeaveLab => return self.go(Intent::LeaveLab),
            Action::Restart { next_seed } => return self.restart(next_seed),
            Action::Answer(answer) => return self.answer(answer),
        }
        vec![]
    }

    /// "gd-ssm-seed0-step3412": what a file with the present screen is called.
    fn screen_name(&self) -> String {
        let Some(lab) = &self.lab else { return "gallery".to_owned() };
        let name = lab.opened.as_ref().map(|opened| session::stem(&opened.name, opened.seed));
        let name = name.unwrap_or_else(|| "lab".to_owned());
        format!("{name}-step{}", lab.progress().0)
    }

    fn lab_action(&mut self, action: LabAction) -> Vec<Effect> {
        let Some(lab) = &mut self.lab else { return vec![] };
        if action == LabAction::Save && lab.opening() {
            self.notice = Some("Still opening: there is nothing to save yet.".to_owned());
        }
        lab.update(action)
    }

    fn restart(&mut self, next_seed: bool) -> Vec<Effect> {
        let Some(opened) = self.lab.as_ref().and_then(|lab| lab.opened.as_ref()) else { return vec![] };
        let seed = next_seed.then(|| opened.seed.wrapping_add(1));
        self.go(Intent::Restart(seed))
    }

    fn answer(&mut self, answer: Answer) -> Vec<Effect> {
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

    fn back(&mut self) -> Vec<Effect> {
        if self.help.take().is_some() {
            return vec![];
        }
        if self.editor.take().is_some() {
            return vec![];
        }
        match &mut self.lab {
            Some(lab) if lab.steps.cursor.is_some() => lab.steps.cursor = None,
            Some(lab) if lab.zoom => lab.zoom = false,
            Some(_) => return self.go(Intent::LeaveLab),
            None => self.gallery.clear_search(),
        }
        vec![]
    }

    /// A second quit exits at once.
    fn quit(&mut self) -> Vec<Effect> {
        if self.question.is_some() || self.after_save.is_some() {
            return self.proceed(Intent::Exit(0));
        }
        self.go(Intent::Exit(0))
    }

    /// Does it, or asks first where steps would be lost.
    fn go(&mut self, intent: Intent) -> Vec<Effect> {
        if self.lab.as_ref().is_some_and(Lab::would_lose_steps) {
            self.help = None;
            self.question = Some(intent);
            return vec![];
        }
        self.proceed(intent)
    }

    /// A signal leaves no time for a question: what is unsaved is saved.
    fn terminate(&mut self, code: u8) -> Vec<Effect> {
        if matches!(self.after_save, Some(Intent::Exit(code)) if code != 0) {
            // A lost terminal is reported twice, by a signal and by the end of input; the save is under way already.
            return vec![];
        }
        let save = self.lab.as_ref().filter(|lab| lab.unsaved()).and_then(Lab::save);
        let Some(save) = save else { return self.proceed(Intent::Exit(code)) };
        (self.question, self.after_save) = (None, Some(Intent::Exit(code)));
        vec![save, Effect::StartTimer(SAVE_WITHIN)]
    }

    fn proceed_after_save(&mut self) -> Vec<Effect> {
        self.after_save.take().map_or_else(Vec::new, |intent| self.proceed(intent))
    }

    fn proceed(&mut self, intent: Intent) -> Vec<Effect> {
        (self.question, self.after_save) = (None, None);
        match intent {
            Intent::Exit(code) => vec![Effect::Exit(code)],
            Intent::Restart(seed) => vec![Effect::Order(Order::Restart { seed })],
            Intent::StartEdited => {
                let Some(Editor { name, preset, .. }) = self.editor.take() else { return vec![] };
                vec![Effect::Start(Source::Preset(name, Box::new(preset)), self.gallery.device)]
            }
            Intent::LeaveLab => {
                self.lab = None;
                vec![Effect::Close, Effect::ListSessions, Effect::ReadResults]
            }
        }
    }

    fn resulted(&mut self, result: EffectResult) {
        match result {
            EffectResult::Started { title } => {
                let lab = Lab::new(printable(&title));
                self.lab = Some(match &self.lab {
                    Some(before) => lab.with_view_of(before),
                    None => lab,
                });
            }
            EffectResult::SessionsListed { rows, complete } => self.gallery.set_sessions(rows, complete),
            EffectResult::ScreenWritten(Ok(path)) => {
                self.notice = Some(printable(&format!("this screen is in {}", path.display())));
            }
            EffectResult::ScreenWritten(Err(why)) => {
                self.notice = Some(printable(&format!("the screen was not written: {why}")));
            }
            EffectResult::ResultsRead(results, now) => self.gallery.set_results(&results, now),
        }
    }

    fn updated(&mut self, update: Update) -> Vec<Effect> {
        let Some(lab) = &mut self.lab else { return vec![] };
        let mut effects = vec![];
        let record = update.checked.clone();
        if let Some(opened) = &update.opened {
            let original = self.gallery.preset(&opened.name);
            lab.changes = original.map_or_else(Vec::new, |original| preset::differences(original, &opened.preset));
        }
        let notes = lab.apply(update);
        if let (Some(record), Some(opened), true) = (record, &lab.opened, lab.is_unmodified()) {
            effects.push(Effect::RecordResult(opened.name.clone(), Arc::clone(&opened.preset), record));
        }
        for note in notes {
            effects.extend(match note {
                Note::Saved(path) => {
                    self.notice = Some(printable(&format!("saved to {}", path.display())));
                    self.proceed_after_save()
                }
                Note::SavedElsewhere { path, why } => {
                    self.notice = Some(printable(&format!("{why}; saved to {} instead", path.display())));
                    self.proceed_after_save()
                }
                Note::ReadOnly(why) | Note::Device(why) => {
                    self.notice = Some(printable(&why));
                    vec![]
                }
                Note::SaveFailed(why) => self.save_failed(&why),
                Note::Failed(why) => {
                    if let Some(lab) = &mut self.lab {
                        lab.failure = Some(printable(&why));
                    }
                    // Nothing is left that could be saved.
                    self.proceed_after_save()
                }
            });
        }
        effects
    }

    fn save_failed(&mut self, why: &str) -> Vec<Effect> {
        self.notice = Some(printable(&format!("not saved: {why}")));
        match self.after_save.take() {
            // Terminated by a signal: the user cannot choose another way.
            Some(intent @ Intent::Exit(code)) if code != 0 => self.proceed(intent),
            Some(_) | None => vec![],
        }
    }
}
