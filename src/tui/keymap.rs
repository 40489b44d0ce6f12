//! The keys: one table, from which the footer, the help screen and the README's table are made.
//!
//! Knows nothing of what an action does.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::action::{Action, Direction};

/// What the keys are meant for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Gallery,
    /// A search is being typed.
    Search,
    Lab,
    Help,
    /// The question about unsaved work.
    Question,
}

impl Mode {
    pub const ALL: [Self; 5] = [Self::Gallery, Self::Search, Self::Lab, Self::Help, Self::Question];

    pub fn title(self) -> &'static str {
        match self {
            Self::Gallery => "Gallery",
            Self::Search => "While searching",
            Self::Lab => "Lab",
            Self::Help => "Help",
            Self::Question => "Unsaved work",
        }
    }
}

/// One row: in these modes, any of these keys does this.
pub struct Row {
    pub modes: &'static [Mode],
    pub keys: &'static [Key],
    /// The keys as they are printed: "Space", "[".
    pub shown: &'static str,
    pub action: Action,
    pub help: &'static str,
    /// Keys and a word for the footer, where the row deserves one of its seven places.
    pub hint: Option<(&'static str, &'static str)>,
}

/// A key as the table names it. Shift is part of a character and not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Code(KeyCode),
}

impl Key {
    pub fn event(self) -> KeyEvent {
        match self {
            Self::Char(c) => KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
            Self::Ctrl(c) => KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL),
            Self::Code(code) => KeyEvent::new(code, KeyModifiers::NONE),
        }
    }

    fn is(self, event: &KeyEvent) -> bool {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match (self, event.code) {
            (Self::Char(c), KeyCode::Char(typed)) => {
                c == typed && !control && !event.modifiers.contains(KeyModifiers::ALT)
            }
            (Self::Ctrl(c), KeyCode::Char(typed)) => c == typed.to_ascii_lowercase() && control,
            (Self::Code(code), pressed) => code == pressed,
            _ => false,
        }
    }
}

use Key::{Char, Code, Ctrl};
use Mode::{Gallery, Help, Lab, Question, Search};

/// Where no text is typed and nothing is asked.
const ANYWHERE: &[Mode] = &[Gallery, Lab, Help];

macro_rules! row {
    ($modes:expr, $shown:literal [$($key:expr),+] $action:expr, $help:literal) => {
        Row { modes: $modes, keys: &[$($key),+], shown: $shown, action: $action, help: $help, hint: None }
    };
    ($modes:expr, $shown:literal [$($key:expr),+] $action:expr, $help:literal, $hint:literal) => {
        row!($modes, $shown [$($key),+] $action, $help, $shown => $hint)
    };
    ($modes:expr, $shown:literal [$($key:expr),+] $action:expr, $help:literal, $keys:literal => $hint:literal) => {
        Row { modes: $modes, keys: &[$($key),+], shown: $shown, action: $action, help: $help, hint: Some(($keys, $hint)) }
    };
}

/// Every key there is, in the order of the help screen.
pub static ROWS: &[Row] = &[
    row!(&[Gallery], "Enter" [Code(KeyCode::Enter)] Action::Open, "open the lab; training starts at once", "start"),
    row!(&[Gallery], "/" [Char('/')] Action::Search, "search", "search"),
    row!(&[Gallery], "Tab" [Code(KeyCode::Tab), Code(KeyCode::BackTab)] Action::NextTab, "presets or saved sessions", "presets / sessions"),
    row!(&[Gallery], "d" [Char('d')] Action::NextDevice, "where to compute: auto, cpu or cuda", "device"),
    row!(&[Gallery, Help], "PgDn J" [Code(KeyCode::PageDown), Char('J')] Action::ScrollDown, "down a long card, or this help"),
    row!(&[Gallery, Help], "PgUp K" [Code(KeyCode::PageUp), Char('K')] Action::ScrollUp, "up again"),
    row!(&[Search], "Enter" [Code(KeyCode::Enter)] Action::AcceptSearch, "keep what is found", "keep"),
    row!(&[Search], "Esc" [Code(KeyCode::Esc)] Action::ClearSearch, "clear the search", "clear"),
    row!(&[Search], "Backspace" [Code(KeyCode::Backspace)] Action::Erase, "erase the last letter"),
    row!(&[Lab], "Space" [Char(' ')] Action::TogglePause, "pause, and go on", "pause"),
    row!(&[Lab], "." [Char('.')] Action::StepOnce, "one training step, then pause", "step"),
    row!(&[Lab], "[" [Char('[')] Action::Slower, "slower: fewer steps a second", "[ ]" => "speed"),
    row!(&[Lab], "]" [Char(']')] Action::Faster, "faster: more steps a second"),
    row!(&[Lab], "-" [Char('-')] Action::LrDown, "halve the learning rate"),
    row!(&[Lab], "+" [Char('+'), Char('=')] Action::LrUp, "double the learning rate"),
    row!(&[Lab], "r" [Char('r')] Action::Restart, "restart with the same seed"),
    row!(&[Lab], "R" [Char('R')] Action::RestartNewSeed, "restart with the next seed"),
    row!(&[Lab], "a" [Char('a')] Action::ToggleAxis, "logarithmic or linear loss axis"),
    row!(&[Lab], "Tab" [Code(KeyCode::Tab)] Action::FocusNext, "next pane", "pane"),
    row!(&[Lab], "Shift-Tab" [Code(KeyCode::BackTab)] Action::FocusPrevious, "previous pane"),
    row!(&[Lab], "z" [Char('z'), Code(KeyCode::Enter)] Action::ToggleZoom, "the focused pane on the whole screen, and back", "zoom"),
    row!(&[Lab], "n" [Char('n')] Action::NextProbe, "next probe sequence"),
    row!(&[Lab], "p" [Char('p')] Action::PreviousProbe, "previous probe sequence"),
    row!(&[Lab], "o" [Char('o')] Action::MeasureShifts, "measure off the training distribution"),
    row!(&[Lab], "s" [Char('s')] Action::Save, "save the session", "save"),
    row!(&[Lab], "b" [Char('b')] Action::Gallery, "back to the gallery"),
    row!(ANYWHERE, "← h" [Code(KeyCode::Left), Char('h')] Action::Move(Direction::Left), "in the lab: the token before"),
    row!(ANYWHERE, "→ l" [Code(KeyCode::Right), Char('l')] Action::Move(Direction::Right), "in the lab: the next token"),
    row!(ANYWHERE, "↑ k" [Code(KeyCode::Up), Char('k')] Action::Move(Direction::Up), "up a list; in the lab: the layer above"),
    row!(ANYWHERE, "↓ j" [Code(KeyCode::Down), Char('j')] Action::Move(Direction::Down), "down a list; in the lab: the layer below"),
    row!(ANYWHERE, "g" [Char('g'), Code(KeyCode::Home)] Action::First, "first of a list; in the lab: the first token"),
    row!(ANYWHERE, "G" [Char('G'), Code(KeyCode::End)] Action::Last, "last of a list; in the lab: the last token"),
    row!(&[Question], "y" [Char('y'), Code(KeyCode::Enter)] Action::SaveAndLeave, "save, then leave", "save"),
    row!(&[Question], "n" [Char('n')] Action::LeaveUnsaved, "leave without saving", "don't save"),
    row!(&[Question], "Esc" [Code(KeyCode::Esc)] Action::Stay, "stay", "stay"),
    row!(ANYWHERE, "?" [Char('?')] Action::Help, "this help", "keys"),
    row!(ANYWHERE, "Esc" [Code(KeyCode::Esc)] Action::Back, "one step out: help, zoom, lab, gallery"),
    row!(ANYWHERE, "q" [Char('q')] Action::Quit, "quit"),
    row!(&Mode::ALL, "Ctrl-C" [Ctrl('c')] Action::Quit, "quit"),
    row!(&Mode::ALL, "Ctrl-Z" [Ctrl('z')] Action::Suspend, "suspend to the shell; fg comes back"),
    row!(&Mode::ALL, "Ctrl-L" [Ctrl('l')] Action::Repaint, "paint the screen afresh"),
];

/// The rows of a mode, in order: one pair of keys and help for each.
pub fn rows(mode: Mode) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.modes.contains(&mode))
}

/// The rows that stand in the footer of a mode.
pub fn hints(mode: Mode) -> impl Iterator<Item = (&'static str, &'static str)> {
    rows(mode).filter_map(|row| row.hint)
}

/// What a key does in a mode.
pub fn action(mode: Mode, event: &KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let row = rows(mode).find(|row| row.keys.iter().any(|key| key.is(event)));
    if let Some(row) = row {
        return Some(row.action.clone());
    }
    match (mode, event.code) {
        (Search, KeyCode::Char(c)) if !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            Some(Action::Type(c))
        }
        _ => None,
    }
}

/// The key table of the README: keys, help, and where they work.
pub fn markdown_table() -> String {
    let mut table = String::from("| key | what it does | where |\n|---|---|---|\n");
    for row in ROWS {
        let everywhere = Mode::ALL.iter().all(|mode| row.modes.contains(mode));
        let places: Vec<_> = row.modes.iter().map(|mode| mode.title().to_lowercase()).collect();
        let places = if everywhere { "everywhere".to_owned() } else { places.join(", ") };
        table.push_str(&format!("| `{}` | {} | {places} |\n", row.shown, row.help));
    }
    table
}
