//! The editor of an experiment's fields: what they are, what they may be, and what a change costs.
//!
//! A value is checked as `--set` checks it, so that its bounds and messages are the same. Knows nothing of how it is
//! rendered.

use super::{App, Intent, Tab};
use crate::bounds::printable;
use crate::preset::{self, Preset};
use crate::tui::effects::Effect;
use crate::tui::message::{EditorAction, Move};

/// Fields that a page moves by.
const PAGE: usize = 8;
/// Where the fields are that an experiment is made of; the others describe it.
const SECTIONS: [&str; 4] = ["task.", "layout", "model.", "train."];

/// One field of the preset.
pub struct Field {
    /// `task.dim`
    pub key: String,
    pub value: String,
    /// The value in the preset's file; `None` if it has no such field there.
    pub original: Option<String>,
    /// "1 to 256"
    pub allowed: String,
}

impl Field {
    /// Whether the value is another one than the preset's.
    pub fn is_changed(&self) -> bool {
        self.original.as_ref() != Some(&self.value)
    }
}

pub struct Editor {
    /// The preset's name.
    pub name: String,
    /// The step of the run that can go on with the changes; `None` where none is open.
    pub step: Option<u64>,
    /// The preset as its file has it.
    original: Preset,
    /// The experiment as it was when the editor was opened.
    pub before: Preset,
    /// The experiment with the changes.
    pub preset: Preset,
    pub fields: Vec<Field>,
    pub selected: usize,
    /// The value that is being typed.
    pub typed: Option<String>,
    /// Why the last value was refused.
    pub error: Option<String>,
}

impl Editor {
    /// An editor of the experiment `before`, which was made from the preset `original` and is at this step.
    pub fn new(name: String, original: Preset, before: Preset, step: Option<u64>) -> Self {
        let fields = fields(&original, &before, &[]);
        let preset = before.clone();
        Self { name, step, original, before, preset, fields, selected: 0, typed: None, error: None }
    }

    pub fn selected_field(&self) -> Option<&Field> {
        self.fields.get(self.selected)
    }

    pub fn update(&mut self, action: EditorAction) {
        self.error = None;
        match action {
            EditorAction::Edit => self.typed = self.selected_field().map(|field| field.value.clone()),
            EditorAction::Type(c) if c.is_control() => {}
            EditorAction::Type(c) => self.typed.iter_mut().for_each(|typed| typed.push(c)),
            EditorAction::Erase => {
                // Erasing in an empty value leaves it, for terminals that do not pass Esc on.
                if self.typed.as_mut().is_some_and(|typed| typed.pop().is_none()) {
                    self.typed = None;
                }
            }
            EditorAction::Cancel => self.typed = None,
            EditorAction::Accept => {
                let typed = self.typed.clone();
                typed.into_iter().for_each(|typed| self.set(typed.trim()));
            }
            EditorAction::Reset => {
                let original = self.selected_field().and_then(|field| field.original.clone());
                original.into_iter().for_each(|value| self.set(&value));
            }
        }
    }

    /// Sets the selected field; where that is refused, what was typed stays.
    fn set(&mut self, value: &str) {
        let Some(key) = self.selected_field().map(|field| field.key.clone()) else { return };
        match preset::set(&self.preset, [(key.as_str(), value)]) {
            Ok(preset) => {
                self.preset = preset;
                let known = std::mem::take(&mut self.fields);
                self.fields = fields(&self.original, &self.preset, &known);
                self.selected = self.fields.iter().position(|field| field.key == key).unwrap_or(0);
                self.typed = None;
            }
            Err(error) => {
                let message = error.to_string();
                // The option of the command line means nothing here.
                let option = format!("--set {key}={value}: ");
                self.error = Some(message.strip_prefix(&option).unwrap_or(&message).to_owned());
            }
        }
    }

    pub fn move_selection(&mut self, to: Move) {
        let last = self.fields.len().saturating_sub(1);
        self.selected = match to {
            Move::Up => self.selected.saturating_sub(1),
            Move::Down => (self.selected + 1).min(last),
            Move::PageUp => self.selected.saturating_sub(PAGE),
            Move::PageDown => (self.selected + PAGE).min(last),
            Move::First => 0,
            Move::Last => last,
            Move::Left | Move::Right => self.selected,
        };
        self.error = None;
    }
}

impl App {
    /// Opens the editor on the run that is open, or on the selected preset.
    pub(super) fn open_editor(&mut self) {
        let opened = self.lab.as_ref().map(|lab| (lab.is_watched(), lab.opened.as_ref()));
        let step = self.lab.as_ref().map(|lab| lab.progress().0);
        let found = match opened {
            Some((true, _)) => Err("this run is only watched: another program trains it".to_owned()),
            Some((false, _)) if self.lab.as_ref().is_some_and(|lab| lab.runs() > 1) => {
                Err("several runs train at once: open one of them alone to change it".to_owned())
            }
            Some((false, None)) => Err("Still opening: there is nothing to change yet.".to_owned()),
            Some((false, Some(opened))) => {
                let mut before = Preset::clone(&opened.preset);
                before.train.seed = opened.seed;
                let original = self.gallery.preset(&opened.name).unwrap_or(&opened.preset).clone();
                Ok(Editor::new(opened.name.clone(), original, before, step))
            }
            None => match self.gallery.selected_preset().map(|entry| (entry.name.clone(), entry.preset.clone())) {
                Some((name, preset)) if self.gallery.tab == Tab::Presets => {
                    preset.map(|preset| Editor::new(name, preset.clone(), preset, None))
                }
                Some(_) | None => Err("the fields of a preset can be changed, not those of a session".to_owned()),
            },
        };
        match found {
            Ok(editor) => self.editor = Some(editor),
            Err(why) => self.notice = Some(printable(&why)),
        }
    }

    pub(super) fn start_edited(&mut self) -> Vec<Effect> {
        if self.lab.is_some() && self.editor.as_ref().is_some_and(|editor| editor.before == editor.preset) {
            self.notice = Some("Nothing is changed: Enter changes the selected value.".to_owned());
            return vec![];
        }
        self.go(Intent::StartEdited)
    }
}

/// The fields of a preset beside those of its file. What a field may be does not change with its value: `known` has it
/// for the fields that were there before.
fn fields(original: &Preset, preset: &Preset, known: &[Field]) -> Vec<Field> {
    let from = preset::values(original);
    let wanted = |key: &str| SECTIONS.iter().any(|section| key.starts_with(section));
    let fields = preset::values(preset).into_iter().filter(|(key, _)| wanted(key)).map(|(key, value)| {
        let original = from.iter().find(|(other, _)| *other == key).map(|(_, value)| value.clone());
        let known = known.iter().find(|field| field.key == key).map(|field| field.allowed.clone());
        Field { allowed: known.unwrap_or_else(|| preset::allowed(preset, &key)), original, key, value }
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_value(editor: &mut Editor, key: &str, value: &str) {
        editor.selected = editor.fields.iter().position(|field| field.key == key).unwrap();
        editor.update(EditorAction::Edit);
        while editor.typed.as_deref() != Some("") {
            editor.update(EditorAction::Erase);
        }
        value.chars().for_each(|c| editor.update(EditorAction::Type(c)));
        editor.update(EditorAction::Accept);
    }

    #[test]
    fn a_value_is_checked_and_one_that_is_refused_can_be_corrected() {
        let (name, preset) = preset::find("gd-ssm").unwrap();
        let mut editor = Editor::new(name, preset.clone(), preset.clone(), None);
        assert!(editor.fields.iter().all(|field| !field.is_changed() && !field.allowed.is_empty()));
        type_value(&mut editor, "task.dim", "5");
        assert_eq!((editor.preset.task.shape().dim, editor.typed.as_deref()), (5, None));
        assert!(editor.selected_field().unwrap().is_changed());
        type_value(&mut editor, "task.dim", "500");
        let error = editor.error.clone().unwrap();
        assert!(error.contains("from 1 to 256") && !error.contains("--set"), "{error}");
        assert_eq!((editor.preset.task.shape().dim, editor.typed.as_deref()), (5, Some("500")));
        editor.update(EditorAction::Cancel);
        editor.update(EditorAction::Reset);
        assert_eq!((editor.preset.clone(), editor.error.clone()), (preset, None));
    }
}
