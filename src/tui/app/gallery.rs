//! The gallery: presets in families, saved sessions, a search over both.
//!
//! Owns what is listed and what is chosen. Knows nothing of how it is drawn.

use std::collections::HashMap;

use crate::bounds::printable;
use crate::preset::{Entry, Family};
use crate::session::{PresetResults, ResultCache, Summary};
use crate::train::DeviceChoice;
use crate::tui::action::{Action, Direction, Effect};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Presets,
    Sessions,
}

/// A line in the list of presets.
pub enum Row<'a> {
    Family(&'static str),
    /// A preset and its place among those that match the search.
    Preset(usize, &'a Entry),
}

/// A saved session and its age in seconds when the list was made.
pub struct SessionRow {
    pub summary: Summary,
    pub age: u64,
}

pub struct Gallery {
    pub tab: Tab,
    presets: Vec<Entry>,
    sessions: Vec<SessionRow>,
    /// What presets came to on this machine, by their names.
    tried: HashMap<String, PresetResults>,
    /// When the ledger was read, in seconds since 1970.
    pub now: u64,
    /// What was typed after `/`.
    pub search: String,
    /// Whether keys go into the search.
    pub typing: bool,
    /// The chosen place in each tab, among those that match.
    chosen: (usize, usize),
    pub device: DeviceChoice,
    /// What choices of a device come to on this machine, asked for before the screen was taken.
    pub descriptions: Vec<(DeviceChoice, String)>,
    /// Rows that the card is scrolled by; drawing stops at its end.
    pub card_scroll: usize,
}

/// Rows that the card moves by at once, and the most that it may be moved by.
const SCROLL: (usize, usize) = (8, 40);

impl Gallery {
    pub fn new(presets: Vec<Entry>, device: DeviceChoice) -> Self {
        Self {
            tab: Tab::Presets,
            presets,
            sessions: Vec::new(),
            tried: HashMap::new(),
            now: 0,
            search: String::new(),
            typing: false,
            chosen: (0, 0),
            device,
            descriptions: Vec::new(),
            card_scroll: 0,
        }
    }

    pub fn set_result_cache(&mut self, result_cache: &ResultCache, now: u64) {
        let page = |entry: &Entry| {
            let page = result_cache.results(&entry.name, entry.preset.as_ref().ok()?)?;
            Some((entry.name.clone(), page.clone()))
        };
        self.tried = self.presets.iter().filter_map(page).collect();
        self.now = now;
    }

    /// What a preset came to on this machine; none where it was not tried.
    pub fn tried(&self, name: &str) -> Option<&PresetResults> {
        self.tried.get(name)
    }

    /// Where a run would compute.
    pub fn describe(&self) -> String {
        let known = self.descriptions.iter().find(|(choice, _)| *choice == self.device);
        known.map_or_else(|| self.device.to_string(), |(_, labels)| labels.clone())
    }

    pub fn set_sessions(&mut self, sessions: Vec<(Summary, u64)>) {
        self.sessions = sessions.into_iter().map(|(summary, age)| SessionRow { summary, age }).collect();
        self.keep_in_list();
    }

    /// How many sessions there are, matching or not.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The presets that match the search.
    pub fn presets(&self) -> Vec<&Entry> {
        let text = |entry: &Entry| match &entry.preset {
            Ok(preset) => format!("{} {} {} {}", entry.name, preset.title, preset.summary, preset.family.title()),
            Err(_) => entry.name.clone(),
        };
        self.presets.iter().filter(|entry| self.matches(&text(entry))).collect()
    }

    /// The sessions that match the search, newest first.
    pub fn sessions(&self) -> Vec<&SessionRow> {
        let text = |row: &SessionRow| match &row.summary.content {
            Ok(content) => format!("{} {} {}", row.summary.path.display(), content.name, content.title),
            Err(_) => row.summary.path.display().to_string(),
        };
        self.sessions.iter().filter(|row| self.matches(&text(row))).collect()
    }

    /// The presets that match, under the titles of their families; unreadable files come last.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let family = |entry: &Entry| entry.preset.as_ref().ok().map(|preset| preset.family);
        let mut rows = Vec::new();
        let mut above: Option<Option<Family>> = None;
        for (place, entry) in self.presets().into_iter().enumerate() {
            let family = family(entry);
            if above != Some(family) {
                rows.push(Row::Family(family.map_or("Unreadable", Family::title)));
                above = Some(family);
            }
            rows.push(Row::Preset(place, entry));
        }
        rows
    }

    /// The chosen place in the tab that is open.
    pub fn chosen(&self) -> usize {
        match self.tab {
            Tab::Presets => self.chosen.0,
            Tab::Sessions => self.chosen.1,
        }
    }

    pub fn chosen_preset(&self) -> Option<&Entry> {
        self.presets().get(self.chosen.0).copied()
    }

    pub fn chosen_session(&self) -> Option<&SessionRow> {
        self.sessions().get(self.chosen.1).copied()
    }

    pub fn clear_search(&mut self) {
        self.search.clear();
        self.typing = false;
        self.keep_in_list();
    }

    pub fn update(&mut self, action: Action, notice: &mut Option<String>) -> Vec<Effect> {
        // Another card is read from its start.
        self.card_scroll = match action {
            Action::ScrollDown => (self.card_scroll + SCROLL.0).min(SCROLL.1),
            Action::ScrollUp => self.card_scroll.saturating_sub(SCROLL.0),
            Action::NextDevice => self.card_scroll,
            _ => 0,
        };
        match action {
            Action::Move(Direction::Up) => self.choose(self.chosen().saturating_sub(1)),
            Action::Move(Direction::Down) => self.choose(self.chosen() + 1),
            Action::Move(Direction::Left) => self.tab = Tab::Presets,
            Action::Move(Direction::Right) => self.tab = Tab::Sessions,
            Action::First => self.choose(0),
            Action::Last => self.choose(usize::MAX),
            Action::NextTab => {
                self.tab = if self.tab == Tab::Presets { Tab::Sessions } else { Tab::Presets };
            }
            Action::Search => self.typing = true,
            Action::Type(c) if !c.is_control() => self.edit(|search| search.push(c)),
            Action::Erase => self.edit(|search| {
                search.pop();
            }),
            Action::AcceptSearch => self.typing = false,
            Action::ClearSearch => self.clear_search(),
            Action::NextDevice => self.device = next_device(self.device),
            Action::Open => return self.open(notice),
            _ => {}
        }
        vec![]
    }

    fn open(&self, notice: &mut Option<String>) -> Vec<Effect> {
        let refused = |why: &String, notice: &mut Option<String>| {
            *notice = Some(printable(why));
            vec![]
        };
        match self.tab {
            Tab::Presets => match self.chosen_preset().map(|entry| (&entry.name, &entry.preset)) {
                Some((name, Ok(preset))) => vec![Effect::StartPreset(name.clone(), Box::new(preset.clone()))],
                Some((_, Err(why))) => refused(why, notice),
                None => vec![],
            },
            Tab::Sessions => match self.chosen_session().map(|row| (&row.summary.path, &row.summary.content)) {
                Some((path, Ok(_))) => vec![Effect::OpenSession(path.clone())],
                Some((_, Err(why))) => refused(why, notice),
                None => vec![],
            },
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.search);
        self.chosen = (0, 0);
    }

    fn choose(&mut self, place: usize) {
        match self.tab {
            Tab::Presets => self.chosen.0 = place,
            Tab::Sessions => self.chosen.1 = place,
        }
        self.keep_in_list();
    }

    fn keep_in_list(&mut self) {
        self.chosen.0 = self.chosen.0.min(self.presets().len().saturating_sub(1));
        self.chosen.1 = self.chosen.1.min(self.sessions().len().saturating_sub(1));
    }

    /// Every word of the search is somewhere in the text.
    fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.search.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

fn next_device(device: DeviceChoice) -> DeviceChoice {
    match device {
        DeviceChoice::Auto => DeviceChoice::Cpu,
        DeviceChoice::Cpu if cfg!(feature = "cuda") => DeviceChoice::Cuda(0),
        DeviceChoice::Cpu | DeviceChoice::Cuda(_) => DeviceChoice::Auto,
    }
}
