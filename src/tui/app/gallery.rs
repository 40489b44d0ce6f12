//! The gallery: lessons, presets in families, saved sessions, a search over all of them.
//!
//! Owns what is listed and what is selected. Knows nothing of how it is rendered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::sessions::{SessionRow, SessionTable};
use crate::lesson::{self, Answered, Lesson};
use crate::preset::{self, Entry, Family, Preset};
use crate::session::{PresetResults, ResultCache, Summary};
use crate::train::DeviceChoice;
use crate::tui::effects::Effect;
use crate::tui::message::{GalleryAction, Move};
use crate::worker::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Lessons,
    Presets,
    Sessions,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Lessons, Self::Presets, Self::Sessions];

    /// The tab so many places further on, around the end.
    fn shifted(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// A line in the list of presets.
pub enum ListRow<'a> {
    Family(&'static str),
    /// A preset and its index among those that match the search.
    Preset(usize, &'a Entry),
}

pub struct Gallery {
    pub tab: Tab,
    lessons: Vec<lesson::Entry>,
    /// What came of the lessons.
    pub answered: Answered,
    presets: Vec<Entry>,
    pub sessions: SessionTable,
    /// Earlier results of presets on this machine, by their names.
    results: HashMap<String, PresetResults>,
    /// When the results were read, in seconds since 1970.
    pub now: u64,
    /// What was typed after `/`.
    pub search: String,
    /// Whether keys go into the search.
    pub typing: bool,
    /// The new name of the selected session's file, while it is typed.
    pub renaming: Option<String>,
    /// The session that is to be deleted, while that is asked.
    pub deleting: Option<PathBuf>,
    /// The session to select once it is listed.
    awaited: Option<PathBuf>,
    /// The selected index in each tab, among those that match.
    selected: [usize; Tab::ALL.len()],
    pub device: DeviceChoice,
    /// The device that each choice leads to on this machine.
    pub descriptions: Vec<(DeviceChoice, String)>,
    /// Rows that the details are scrolled by; rendering stops at their end.
    pub details_scroll: usize,
}

/// Rows that the details are scrolled by at once.
const PAGE: usize = 8;
/// Rows that they may be scrolled by: more than the longest have.
const FURTHEST: usize = 40;

impl Gallery {
    pub fn new(presets: Vec<Entry>, device: DeviceChoice) -> Self {
        Self {
            tab: Tab::Presets,
            lessons: Vec::new(),
            answered: Answered::default(),
            presets,
            sessions: SessionTable::default(),
            results: HashMap::new(),
            now: 0,
            search: String::new(),
            typing: false,
            renaming: None,
            deleting: None,
            awaited: None,
            selected: [0; Tab::ALL.len()],
            device,
            descriptions: Vec::new(),
            details_scroll: 0,
        }
    }

    /// Lists lessons, and opens their tab.
    pub fn set_lessons(&mut self, lessons: Vec<lesson::Entry>) {
        self.lessons = lessons;
        self.tab = Tab::Lessons;
    }

    /// The lessons that match the search.
    pub fn lessons(&self) -> Vec<&lesson::Entry> {
        let text = |entry: &lesson::Entry| match &entry.lesson {
            Ok(lesson) => format!("{} {} {}", entry.name, lesson.question, lesson.preset_names().join(" ")),
            Err(_) => entry.name.clone(),
        };
        self.lessons.iter().filter(|entry| self.matches(&text(entry))).collect()
    }

    pub fn selected_lesson(&self) -> Option<&lesson::Entry> {
        self.lessons().get(self.selected[Tab::Lessons as usize]).copied()
    }

    /// The lesson after the one of this name, and selects it; `None` after the last, and where its file cannot be read.
    pub fn lesson_after(&mut self, name: &str) -> Option<(String, Lesson)> {
        let place = self.lessons.iter().position(|entry| entry.name == name)? + 1;
        let next = self.lessons.get(place)?;
        let found = (next.name.clone(), next.lesson.clone().ok()?);
        self.selected[Tab::Lessons as usize] =
            self.lessons().iter().position(|entry| entry.name == found.0).unwrap_or(0);
        Some(found)
    }

    pub fn set_results(&mut self, cache: &ResultCache, now: u64) {
        let results = |entry: &Entry| {
            let results = cache.results(&entry.name, entry.preset.as_ref().ok()?)?;
            Some((entry.name.clone(), results.clone()))
        };
        self.results = self.presets.iter().filter_map(results).collect();
        self.now = now;
    }

    /// Earlier results of a preset on this machine.
    pub fn results(&self, name: &str) -> Option<&PresetResults> {
        self.results.get(name)
    }

    /// What was changed in the preset of this name, as for `--set`; `None` if there is no such preset.
    pub fn overrides(&self, name: &str, preset: &Preset) -> Option<Vec<String>> {
        let entry = self.presets.iter().find(|entry| entry.name == name)?;
        Some(preset::settings(entry.preset.as_ref().ok()?, preset))
    }

    /// Where a run would compute.
    pub fn device_description(&self) -> String {
        let known = self.descriptions.iter().find(|(choice, _)| *choice == self.device);
        known.map_or_else(|| self.device.to_string(), |(_, description)| description.clone())
    }

    /// Replaces the list, unless a list that is not complete would hide sessions. The selected session stays selected.
    pub fn set_sessions(&mut self, sessions: Vec<(Summary, u64)>, complete: bool) {
        if !complete && sessions.len() < self.sessions.len() {
            return;
        }
        let awaited = if complete { self.awaited.take() } else { None };
        self.keep_selected(|table| table.set(sessions));
        if let Some(at) = awaited.and_then(|path| self.position(&path)) {
            self.selected[Tab::Sessions as usize] = at;
        }
    }

    /// Changes the table, and selects the same session again.
    fn keep_selected(&mut self, change: impl FnOnce(&mut SessionTable)) {
        let path = self.selected_session().map(|row| row.summary.path.clone());
        change(&mut self.sessions);
        if let Some(at) = path.and_then(|path| self.position(&path)) {
            self.selected[Tab::Sessions as usize] = at;
        }
        self.clamp_selection();
    }

    fn position(&self, path: &Path) -> Option<usize> {
        self.sessions().iter().position(|row| row.summary.path == path)
    }

    /// Selects a session as soon as it is listed.
    pub fn await_session(&mut self, path: PathBuf) {
        self.awaited = Some(path);
    }

    /// How many sessions there are, matching or not.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The preset with this name, whether or not it matches the search.
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.iter().find(|entry| entry.name == name)?.preset.as_ref().ok()
    }

    /// The presets that match the search.
    pub fn presets(&self) -> Vec<&Entry> {
        let text = |entry: &Entry| match &entry.preset {
            Ok(preset) => format!("{} {} {} {}", entry.name, preset.title, preset.summary, preset.family.title()),
            Err(_) => entry.name.clone(),
        };
        self.presets.iter().filter(|entry| self.matches(&text(entry))).collect()
    }

    /// The sessions that match the search, in the order of the table.
    pub fn sessions(&self) -> Vec<&SessionRow> {
        self.sessions.rows().iter().filter(|row| self.matches(&row.text())).collect()
    }

    /// The presets that match, under the titles of their families; unreadable files come last.
    pub fn rows(&self) -> Vec<ListRow<'_>> {
        let family = |entry: &Entry| entry.preset.as_ref().ok().map(|preset| preset.family);
        let mut rows = Vec::new();
        let mut above: Option<Option<Family>> = None;
        for (index, entry) in self.presets().into_iter().enumerate() {
            let family = family(entry);
            if above != Some(family) {
                rows.push(ListRow::Family(family.map_or("Unreadable", Family::title)));
                above = Some(family);
            }
            rows.push(ListRow::Preset(index, entry));
        }
        rows
    }

    /// The selected index in the tab that is open.
    pub fn selected(&self) -> usize {
        self.selected[self.tab as usize]
    }

    pub fn selected_preset(&self) -> Option<&Entry> {
        self.presets().get(self.selected[Tab::Presets as usize]).copied()
    }

    pub fn selected_session(&self) -> Option<&SessionRow> {
        self.sessions().get(self.selected[Tab::Sessions as usize]).copied()
    }

    pub fn clear_search(&mut self) {
        self.search.clear();
        self.typing = false;
        self.clamp_selection();
    }

    /// # Errors
    /// Why the selected file cannot be opened.
    pub fn update(&mut self, action: GalleryAction) -> Result<Vec<Effect>, String> {
        if action != GalleryAction::NextDevice {
            self.details_scroll = 0;
        }
        match action {
            GalleryAction::Open => return self.open(),
            GalleryAction::NextTab => {
                self.tab = self.tab.shifted(1);
            }
            GalleryAction::PreviousTab => self.tab = self.tab.shifted(Tab::ALL.len() - 1),
            GalleryAction::NextDevice => self.device = next_device(self.device, &self.descriptions),
            GalleryAction::Search => self.typing = true,
            GalleryAction::Type(c) if c.is_control() => {}
            GalleryAction::Type(c) => match &mut self.renaming {
                Some(name) => name.push(c),
                None => self.edit(|search| search.push(c)),
            },
            GalleryAction::Erase => match &mut self.renaming {
                // Erasing where nothing is left ends it, for terminals that do not pass Esc on.
                Some(name) => self.renaming = name.pop().and(self.renaming.take()),
                None if self.search.is_empty() => self.typing = false,
                None => self.edit(|search| _ = search.pop()),
            },
            GalleryAction::AcceptSearch => self.typing = false,
            GalleryAction::ClearSearch => self.clear_search(),
            GalleryAction::NextColumn => self.keep_selected(SessionTable::sort_by_next),
            GalleryAction::ReverseOrder => self.keep_selected(SessionTable::reverse),
            GalleryAction::Mark => {
                let Some(row) = self.selected_session() else { return Ok(vec![]) };
                row.summary.content.clone()?;
                let path = row.summary.path.clone();
                self.sessions.toggle_mark(path)?;
            }
            GalleryAction::ClearMarks => self.sessions.clear_marks(),
            GalleryAction::Rename => self.renaming = self.selected_session().map(SessionRow::stem),
            GalleryAction::CancelName => self.renaming = None,
            GalleryAction::AcceptName => {
                let (row, name) = (self.selected_session(), self.renaming.clone());
                let effect = row.zip(name).map(|(row, name)| Effect::Rename(row.summary.path.clone(), name));
                self.renaming = None;
                return Ok(effect.into_iter().collect());
            }
            GalleryAction::Delete => self.deleting = self.selected_session().map(|row| row.summary.path.clone()),
            GalleryAction::CancelDelete => self.deleting = None,
            GalleryAction::ConfirmDelete => {
                return Ok(self.deleting.take().map(Effect::Delete).into_iter().collect());
            }
        }
        Ok(vec![])
    }

    pub fn move_selection(&mut self, to: Move) {
        // The details of another entry are read from their start.
        self.details_scroll = match to {
            Move::PageDown => (self.details_scroll + PAGE).min(FURTHEST),
            Move::PageUp => self.details_scroll.saturating_sub(PAGE),
            Move::Left | Move::Right | Move::Up | Move::Down | Move::First | Move::Last => 0,
        };
        match to {
            Move::Up => self.select(self.selected().saturating_sub(1)),
            Move::Down => self.select(self.selected() + 1),
            Move::Left if self.tab != Tab::Lessons => self.tab = self.tab.shifted(Tab::ALL.len() - 1),
            Move::Right if self.tab != Tab::Sessions => self.tab = self.tab.shifted(1),
            Move::Left | Move::Right => {}
            Move::First => self.select(0),
            Move::Last => self.select(usize::MAX),
            // Presets have long details to read.
            Move::PageUp if self.tab != Tab::Presets => self.select(self.selected().saturating_sub(PAGE)),
            Move::PageDown if self.tab != Tab::Presets => self.select(self.selected() + PAGE),
            Move::PageUp | Move::PageDown => {}
        }
    }

    /// The effects that open what is selected; none where the list is empty. Marked sessions are opened beside the
    /// selected one.
    fn open(&self) -> Result<Vec<Effect>, String> {
        match self.tab {
            // The app opens lessons: nothing is started then.
            Tab::Lessons => Ok(vec![]),
            Tab::Presets => {
                let Some(Entry { name, preset }) = self.selected_preset() else { return Ok(vec![]) };
                let source = Source::Preset(name.clone(), Box::new(preset.clone()?));
                Ok(vec![Effect::Start(source, self.device)])
            }
            Tab::Sessions => {
                let Some(row) = self.selected_session() else { return Ok(vec![]) };
                let beside = self.sessions.beside(row)?;
                let open = Effect::OpenSession(row.summary.path.clone(), self.device);
                let read = (!beside.is_empty()).then_some(Effect::ReadKept(beside));
                Ok([open].into_iter().chain(read).collect())
            }
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.search);
        self.selected = [0; Tab::ALL.len()];
    }

    fn select(&mut self, index: usize) {
        self.selected[self.tab as usize] = index;
        self.clamp_selection();
    }

    fn clamp_selection(&mut self) {
        let lengths = [self.lessons().len(), self.presets().len(), self.sessions().len()];
        for (selected, length) in self.selected.iter_mut().zip(lengths) {
            *selected = (*selected).min(length.saturating_sub(1));
        }
    }

    /// Whether every word of the search occurs in the text.
    fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.search.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// The choice after this one, of those that the machine offers.
fn next_device(device: DeviceChoice, offered: &[(DeviceChoice, String)]) -> DeviceChoice {
    let at = offered.iter().position(|(choice, _)| *choice == device).map_or(0, |at| at + 1);
    offered.get(at).or(offered.first()).map_or(DeviceChoice::Auto, |(choice, _)| *choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_of_a_device_follow_each_other_round() {
        let choices = [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(1)];
        let offered = choices.map(|choice| (choice, choice.to_string()));
        let mut device = DeviceChoice::Auto;
        for choice in choices.into_iter().cycle().skip(1).take(5) {
            device = next_device(device, &offered);
            assert_eq!(device, choice);
        }
        assert_eq!(next_device(DeviceChoice::Cuda(7), &offered), DeviceChoice::Auto);
        assert_eq!(next_device(DeviceChoice::Cpu, &[]), DeviceChoice::Auto);
    }
}
