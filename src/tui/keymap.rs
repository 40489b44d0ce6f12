//! The keys: one table, from which the footer, the help screen and the README's table are made.
//!
//! Knows nothing of what an action does.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::layouts::us_key;
use super::message::{Action, Answer, GalleryAction as G, LabAction as L, Move, SweepAction as S};

/// What keys mean at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The presets.
    Gallery,
    /// The saved sessions.
    Sessions,
    /// A search is being typed.
    Search,
    /// The name of a file is being typed.
    Rename,
    /// The question whether a session is to be deleted.
    Delete,
    Lab,
    /// The runs of a sweep.
    Sweep,
    Help,
    /// The question about unsaved steps.
    Question,
}

impl Mode {
    pub const ALL: [Self; 9] = [
        Self::Gallery,
        Self::Sessions,
        Self::Search,
        Self::Rename,
        Self::Delete,
        Self::Lab,
        Self::Sweep,
        Self::Help,
        Self::Question,
    ];

    /// Whether letters are text and no keys.
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Search | Self::Rename)
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Gallery => "Gallery",
            Self::Sessions => "Sessions",
            Self::Search => "While searching",
            Self::Rename => "While renaming",
            Self::Delete => "Deleting",
            Self::Lab => "Lab",
            Self::Sweep => "Sweep",
            Self::Help => "Help",
            Self::Question => "Unsaved steps",
        }
    }
}

/// One row of the table: in these modes, any of these keys does this.
pub struct Binding {
    pub modes: &'static [Mode],
    pub keys: &'static [Key],
    pub action: Action,
    pub help: &'static str,
    /// Keys and a word for the footer, where the row has one of its seven places.
    pub hint: Option<(&'static str, &'static str)>,
}

impl Binding {
    /// All keys of the row as they are printed: "PgDn J".
    pub fn shown(&self) -> String {
        self.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(" ")
    }
}

/// A key as the table names it. Shift is part of a character and is not told apart.
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

    /// The key as it is printed: "Space", "Ctrl-C", "Left".
    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("Ctrl-{}", c.to_ascii_uppercase()),
            Self::Code(KeyCode::BackTab) => "Shift-Tab".to_owned(),
            Self::Code(KeyCode::PageUp) => "PgUp".to_owned(),
            Self::Code(KeyCode::PageDown) => "PgDn".to_owned(),
            Self::Code(code) => code.to_string(),
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
            (Self::Char(_) | Self::Ctrl(_), _) => false,
        }
    }
}

use Key::{Char, Code, Ctrl};
use KeyCode::{BackTab, Backspace, Delete, Down, End, Enter, Esc, F, Home, Left, PageDown, PageUp, Right, Tab, Up};

const GALLERY: &[Mode] = &[Mode::Gallery, Mode::Sessions];
const SESSIONS: &[Mode] = &[Mode::Sessions];
const RENAME: &[Mode] = &[Mode::Rename];
const DELETE: &[Mode] = &[Mode::Delete];
const SEARCH: &[Mode] = &[Mode::Search];
const SWEEP: &[Mode] = &[Mode::Sweep];
const LAB: &[Mode] = &[Mode::Lab];
const QUESTION: &[Mode] = &[Mode::Question];
const GALLERY_AND_LAB: &[Mode] = &[Mode::Gallery, Mode::Sessions, Mode::Lab];
/// Where no text is typed and no question is asked.
const ANYWHERE: &[Mode] = &[Mode::Gallery, Mode::Sessions, Mode::Lab, Mode::Help];

const fn bind(modes: &'static [Mode], keys: &'static [Key], action: Action, help: &'static str) -> Binding {
    Binding { modes, keys, action, help, hint: None }
}

impl Binding {
    /// The same row with keys and a word for the footer.
    const fn hint(self, keys: &'static str, word: &'static str) -> Self {
        Self { hint: Some((keys, word)), ..self }
    }
}

/// Every key, in the order of the help screen. Where a key is Esc or needs Ctrl, another one does the same: browsers
/// that show a terminal do not pass those on.
#[rustfmt::skip]
pub static BINDINGS: &[Binding] = &[
    bind(GALLERY, &[Code(Enter)], Action::Gallery(G::Open), "open the lab; training starts at once")
        .hint("Enter", "start"),
    bind(GALLERY, &[Char('/')], Action::Gallery(G::Search), "search").hint("/", "search"),
    bind(GALLERY, &[Code(Tab), Code(BackTab)], Action::Gallery(G::NextTab), "presets or saved sessions")
        .hint("Tab", "presets / sessions"),
    bind(GALLERY, &[Char('d')], Action::Gallery(G::NextDevice), "where to compute: auto, cpu or cuda")
        .hint("d", "device"),
    bind(SESSIONS, &[Char('o')], Action::Gallery(G::NextColumn), "sort by the next column").hint("o", "sort"),
    bind(SESSIONS, &[Char('O')], Action::Gallery(G::ReverseOrder), "reverse the order"),
    bind(SESSIONS, &[Char('m')], Action::Gallery(G::Mark), "mark: Enter then opens the selected session beside the marked")
        .hint("m", "mark"),
    bind(SESSIONS, &[Char('M')], Action::Gallery(G::ClearMarks), "take all marks away"),
    bind(SESSIONS, &[Char('r')], Action::Gallery(G::Rename), "rename the file"),
    bind(SESSIONS, &[Char('x'), Code(Delete)], Action::Gallery(G::Delete), "delete the session, after a question"),
    bind(RENAME, &[Code(Enter)], Action::Gallery(G::AcceptName), "rename").hint("Enter", "rename"),
    bind(RENAME, &[Code(Esc)], Action::Gallery(G::CancelName), "keep the old name").hint("Esc", "cancel"),
    bind(RENAME, &[Code(Backspace)], Action::Gallery(G::Erase), "erase; in an empty name: keep the old one"),
    bind(DELETE, &[Char('y')], Action::Gallery(G::ConfirmDelete), "delete it").hint("y", "delete"),
    bind(DELETE, &[Char('n'), Char('c'), Code(Esc)], Action::Gallery(G::CancelDelete), "cancel").hint("n", "cancel"),
    bind(SEARCH, &[Code(Enter)], Action::Gallery(G::AcceptSearch), "keep what is found").hint("Enter", "keep"),
    bind(SEARCH, &[Code(Esc)], Action::Gallery(G::ClearSearch), "clear the search").hint("Esc", "clear"),
    bind(SEARCH, &[Code(Backspace)], Action::Gallery(G::Erase), "erase; in an empty search: leave it"),
    bind(LAB, &[Char(' ')], Action::Lab(L::TogglePause), "pause, and continue").hint("Space", "pause"),
    bind(LAB, &[Char('.')], Action::Lab(L::StepOnce), "one training step, then pause").hint(".", "step"),
    bind(LAB, &[Char('[')], Action::Lab(L::Slower), "slower: fewer steps per second").hint("[ ]", "speed"),
    bind(LAB, &[Char(']')], Action::Lab(L::Faster), "faster: more steps per second"),
    bind(LAB, &[Char('-')], Action::Lab(L::LrDown), "halve the learning rate"),
    bind(LAB, &[Char('+'), Char('=')], Action::Lab(L::LrUp), "double the learning rate"),
    bind(LAB, &[Char('r')], Action::Restart { next_seed: false }, "restart with the same seed"),
    bind(LAB, &[Char('R')], Action::Restart { next_seed: true }, "restart with the next seed"),
    bind(LAB, &[Char('a')], Action::Lab(L::ToggleAxis), "logarithmic or linear loss axis"),
    bind(LAB, &[Code(Tab)], Action::Lab(L::FocusNext), "next pane").hint("Tab", "pane"),
    bind(LAB, &[Code(BackTab)], Action::Lab(L::FocusPrevious), "previous pane"),
    bind(LAB, &[Char('z'), Code(Enter)], Action::Lab(L::ToggleZoom), "fill the screen with this pane, and back")
        .hint("z", "zoom"),
    bind(LAB, &[Char('n')], Action::Lab(L::NextProbe), "next probe sequence"),
    bind(LAB, &[Char('p')], Action::Lab(L::PreviousProbe), "previous probe sequence"),
    bind(LAB, &[Char('o')], Action::Lab(L::MeasureShifts), "test on other ranges, lengths and noise"),
    bind(LAB, &[Char('f')], Action::Lab(L::Fit), "fit learners to the model's answers"),
    bind(LAB, &[Char('m')], Action::Lab(L::Keep), "keep this run's curves, to compare; at most six runs"),
    bind(LAB, &[Char('M')], Action::Lab(L::DropKept), "drop the kept runs"),
    bind(LAB, &[Char('u')], Action::Lab(L::NextRun), "of several runs that train at once: the next one in the panes"),
    bind(LAB, &[Char('t')], Action::Lab(L::ShowRuns), "table of this run and the kept ones"),
    bind(LAB, &[Char('s')], Action::Lab(L::Save), "save the session").hint("s", "save"),
    bind(LAB, &[Char('b')], Action::LeaveLab, "back to the gallery"),
    bind(GALLERY_AND_LAB, &[Code(Left), Char('h')], Action::Move(Move::Left), "presets; in the lab: previous token"),
    bind(GALLERY_AND_LAB, &[Code(Right), Char('l')], Action::Move(Move::Right), "sessions; in the lab: next token"),
    bind(ANYWHERE, &[Code(Up), Char('k')], Action::Move(Move::Up), "up; in the lab: the layer above"),
    bind(ANYWHERE, &[Code(Down), Char('j')], Action::Move(Move::Down), "down; in the lab: the layer below"),
    bind(ANYWHERE, &[Code(PageUp), Char('K')], Action::Move(Move::PageUp), "page up; in the lab: ten tokens back"),
    bind(ANYWHERE, &[Code(PageDown), Char('J')], Action::Move(Move::PageDown), "page down; in the lab: ten tokens on"),
    bind(ANYWHERE, &[Code(Home), Char('g')], Action::Move(Move::First), "first; in the lab: the first token"),
    bind(ANYWHERE, &[Code(End), Char('G')], Action::Move(Move::Last), "last; in the lab: the last token"),
    bind(SWEEP, &[Char('n'), Code(Right)], Action::Sweep(S::NextMeasure), "the next measure").hint("n p", "measure"),
    bind(SWEEP, &[Char('p'), Code(Left)], Action::Sweep(S::PreviousMeasure), "the measure before"),
    bind(SWEEP, &[Char('x')], Action::Sweep(S::NextKey), "against the next varied field").hint("x", "field"),
    bind(SWEEP, &[Char('c')], Action::Sweep(S::NextCurve), "the next curve").hint("c", "curve"),
    bind(SWEEP, &[Char('a')], Action::Sweep(S::ToggleAxis), "logarithmic or linear axes").hint("a", "axes"),
    bind(SWEEP, &[Char('r')], Action::Sweep(S::Read), "read the folder again").hint("r", "read again"),
    bind(SWEEP, &[Char('b'), Code(Esc), Code(Backspace)], Action::Back, "back to the gallery").hint("b", "gallery"),
    bind(SWEEP, &[Char('?'), Code(F(1))], Action::Help, "this help").hint("?", "keys"),
    bind(SWEEP, &[Char('q'), Code(F(10))], Action::Quit, "quit"),
    bind(QUESTION, &[Char('y'), Code(Enter)], Action::Answer(Answer::Save), "save the steps first").hint("y", "save"),
    bind(QUESTION, &[Char('n')], Action::Answer(Answer::Discard), "discard the steps").hint("n", "discard"),
    bind(QUESTION, &[Char('c'), Code(Esc)], Action::Answer(Answer::Stay), "cancel").hint("c", "cancel"),
    bind(ANYWHERE, &[Char('?'), Code(F(1))], Action::Help, "this help").hint("?", "keys"),
    bind(ANYWHERE, &[Code(Esc), Code(Backspace)], Action::Back, "one step out: help, zoom, lab, gallery"),
    bind(ANYWHERE, &[Char('q'), Code(F(10))], Action::Quit, "quit"),
    bind(&Mode::ALL, &[Ctrl('c')], Action::Quit, "quit; twice: without saving"),
    bind(&Mode::ALL, &[Ctrl('z'), Char('Z')], Action::Suspend, "suspend to the shell; fg comes back"),
    bind(&Mode::ALL, &[Ctrl('l'), Char('L')], Action::Repaint, "repaint the screen"),
];

/// The rows of a mode, in order.
pub fn bindings(mode: Mode) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.modes.contains(&mode))
}

/// The keys and words in the footer of a mode.
pub fn hints(mode: Mode) -> impl Iterator<Item = (&'static str, &'static str)> {
    bindings(mode).filter_map(|binding| binding.hint)
}

/// What a key does in a mode; `None` where it does nothing.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum")]
pub fn action(mode: Mode, event: &KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    match event.code {
        KeyCode::Char(c)
            if mode.takes_text() && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) =>
        {
            Some(Action::Gallery(G::Type(c)))
        }
        KeyCode::Char(c) => bound(mode, event).or_else(|| {
            // On a layout without Latin letters the position of the key counts.
            bound(mode, &KeyEvent { code: KeyCode::Char(us_key(c)?), ..*event })
        }),
        _ => bound(mode, event),
    }
}

fn bound(mode: Mode, event: &KeyEvent) -> Option<Action> {
    let binding = bindings(mode).find(|binding| binding.keys.iter().any(|key| key.is(event)));
    binding.map(|binding| binding.action.clone())
}

/// The key table of the README: keys, help, and where they work.
pub fn markdown_table() -> String {
    let mut table = String::from("| key | what it does | where |\n|---|---|---|\n");
    for binding in BINDINGS {
        let everywhere = Mode::ALL.iter().all(|mode| binding.modes.contains(mode));
        let modes: Vec<_> = binding.modes.iter().map(|mode| mode.title().to_lowercase()).collect();
        let modes = if everywhere { "everywhere".to_owned() } else { modes.join(", ") };
        table.push_str(&format!("| `{}` | {} | {modes} |\n", binding.shown(), binding.help));
    }
    table
}
