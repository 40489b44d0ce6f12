//! The keys: one table, from which the footer, the help screen and the README's table are made.
//!
//! Knows nothing of what an action does.

mod file;
mod mode;

pub use file::{path, read};
pub use mode::Mode;

use std::sync::OnceLock;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::layouts::us_key;
use super::message::{
    Action, Answer, EditorAction as E, GalleryAction as G, LabAction as L, LessonAction as C, Move, ScreenFormat,
    SweepAction as S,
};

/// One row of the table: in these modes, any of these keys does this.
#[derive(Clone, Debug)]
pub struct Binding {
    pub modes: &'static [Mode],
    pub keys: &'static [Key],
    pub action: Action,
    pub help: &'static str,
    /// Keys and a word for the footer, where the row has one of its seven places.
    pub hint: Option<(&'static str, &'static str)>,
    /// The modes whose footers show the hint.
    hint_in: &'static [Mode],
}

impl Binding {
    /// All keys of the row as they are printed: "PgDn J".
    pub fn shown(&self) -> String {
        self.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(" ")
    }
}

/// A key as the table names it. Shift is part of a character and is not compared.
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

const GALLERY: &[Mode] = &[Mode::Lessons, Mode::Gallery, Mode::Sessions];
const PRESETS_AND_SESSIONS: &[Mode] = &[Mode::Gallery, Mode::Sessions];
const LESSONS: &[Mode] = &[Mode::Lessons];
const CHOICE: &[Mode] = &[Mode::Choice];
const LESSON: &[Mode] = &[Mode::Lesson];
const REVEAL: &[Mode] = &[Mode::Reveal];
const SESSIONS: &[Mode] = &[Mode::Sessions];
const RENAME: &[Mode] = &[Mode::Rename];
const DELETE: &[Mode] = &[Mode::Delete];
const SEARCH: &[Mode] = &[Mode::Search];
const SWEEP: &[Mode] = &[Mode::Sweep];
/// Whether or not the value cursor is shown.
const LAB: &[Mode] = &[Mode::Lab, Mode::Lesson, Mode::Values];
/// Where Enter has no other meaning.
const ENTER_ZOOMS: &[Mode] = &[Mode::Lab];
const TOKENS: &[Mode] = &[Mode::Lab, Mode::Lesson];
/// Whose footer has no place taken by the lesson.
const LAB_ALONE: &[Mode] = &[Mode::Lab];
const VALUES: &[Mode] = &[Mode::Values];
const EDITOR: &[Mode] = &[Mode::Editor];
const TYPING: &[Mode] = &[Mode::Typing];
const HELP: &[Mode] = &[Mode::Help];
const QUESTION: &[Mode] = &[Mode::Question];
const PRESETS: &[Mode] = &[Mode::Gallery];
const GALLERY_AND_LAB: &[Mode] = &[Mode::Lessons, Mode::Gallery, Mode::Sessions, Mode::Lab, Mode::Lesson];
/// Where the arrows move through lists, texts and tokens.
const MOVES: &[Mode] = &[
    Mode::Lessons,
    Mode::Gallery,
    Mode::Sessions,
    Mode::Lab,
    Mode::Choice,
    Mode::Lesson,
    Mode::Reveal,
    Mode::Editor,
    Mode::Help,
];
/// Where no text is typed and no question about what was done is asked.
const SCREENS: &[Mode] = &[
    Mode::Lessons,
    Mode::Gallery,
    Mode::Sessions,
    Mode::Lab,
    Mode::Choice,
    Mode::Lesson,
    Mode::Reveal,
    Mode::Values,
    Mode::Editor,
    Mode::Help,
    Mode::Sweep,
];
/// The same without the sweep, the last of them, which has rows of its own for these keys.
const ANYWHERE: &[Mode] = SCREENS.split_at(SCREENS.len() - 1).0;
/// Whose footer is seen.
const FOOTERS: &[Mode] = &[
    Mode::Lessons,
    Mode::Gallery,
    Mode::Sessions,
    Mode::Lab,
    Mode::Choice,
    Mode::Lesson,
    Mode::Reveal,
    Mode::Values,
    Mode::Editor,
    Mode::Sweep,
];

const fn bind(modes: &'static [Mode], keys: &'static [Key], action: Action, help: &'static str) -> Binding {
    Binding { modes, keys, action, help, hint: None, hint_in: &[] }
}

impl Binding {
    /// The same row with keys and a word for the footer.
    const fn hint(self, keys: &'static str, word: &'static str) -> Self {
        let modes = self.modes;
        self.hint_in(modes, keys, word)
    }

    /// The same for the footers of some of the row's modes.
    const fn hint_in(self, modes: &'static [Mode], keys: &'static str, word: &'static str) -> Self {
        Self { hint: Some((keys, word)), hint_in: modes, ..self }
    }
}

/// Every key, in the order of the help screen. Where a key is Esc or needs Ctrl, another one does the same: browsers
/// that show a terminal do not pass those on.
#[rustfmt::skip]
pub static BINDINGS: &[Binding] = &[
    bind(LESSONS, &[Code(Enter)], Action::Gallery(G::Open), "open the lesson").hint("Enter", "open"),
    bind(PRESETS_AND_SESSIONS, &[Code(Enter)], Action::Gallery(G::Open), "open the lab; training starts at once")
        .hint("Enter", "start"),
    bind(GALLERY, &[Char('/')], Action::Gallery(G::Search), "search").hint("/", "search"),
    bind(GALLERY, &[Code(Tab)], Action::Gallery(G::NextTab), "next list: lessons, presets, saved sessions")
        .hint("Tab", "next list"),
    bind(GALLERY, &[Code(BackTab)], Action::Gallery(G::PreviousTab), "previous list"),
    bind(GALLERY, &[Char('d')], Action::Gallery(G::NextDevice), "where to compute: auto, cpu or cuda")
        .hint("d", "device"),
    bind(SESSIONS, &[Char('o')], Action::Gallery(G::NextColumn), "sort by the next column").hint("o", "sort"),
    bind(SESSIONS, &[Char('O')], Action::Gallery(G::ReverseOrder), "reverse the order"),
    bind(SESSIONS, &[Char('m')], Action::Gallery(G::Mark),
        "mark: Enter then opens the selected session beside the marked")
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
    bind(PRESETS, &[Char('e')], Action::OpenEditor, "change the preset's fields, and start").hint("e", "change"),
    bind(CHOICE, &[Code(Enter)], Action::Lesson(C::Accept), "choose the selected answer; the experiment begins")
        .hint("Enter", "choose"),
    bind(CHOICE, &[Char('1')], Action::Lesson(C::Choose(0)), "choose the first answer").hint("1 2 3 4", "answer"),
    bind(CHOICE, &[Char('2')], Action::Lesson(C::Choose(1)), "choose the second answer"),
    bind(CHOICE, &[Char('3')], Action::Lesson(C::Choose(2)), "choose the third answer"),
    bind(CHOICE, &[Char('4')], Action::Lesson(C::Choose(3)), "choose the fourth answer"),
    bind(CHOICE, &[Char('s')], Action::Lesson(C::Skip), "begin the experiment without an answer").hint("s", "skip"),
    bind(LESSON, &[Code(Enter)], Action::Lesson(C::Next), "go on: the next stage, at the end the answer")
        .hint("Enter", "go on"),
    bind(REVEAL, &[Code(Enter)], Action::Lesson(C::NextLesson), "the next lesson").hint("Enter", "next lesson"),
    bind(REVEAL, &[Char('x')], Action::Lesson(C::Explore),
        "close the answer and use the lab; Enter shows the answer again").hint("x", "explore the lab"),
    bind(REVEAL, &[Char('b')], Action::LeaveLab, "back to the gallery").hint("b", "gallery"),
    bind(CHOICE, &[Char('b')], Action::Back, "back to the gallery").hint("b", "gallery"),
    bind(LAB, &[Char(' ')], Action::Lab(L::TogglePause), "pause, and continue")
        .hint_in(TOKENS, "Space", "pause"),
    bind(LAB, &[Char('.')], Action::Lab(L::StepOnce), "one training step, then pause"),
    bind(LAB, &[Char('<')], Action::Lab(L::GoBack), "back to the kept state before this step; training pauses"),
    bind(LAB, &[Char('>')], Action::Lab(L::GoAhead), "on to the kept state after this step"),
    bind(LAB, &[Char('[')], Action::Lab(L::Slower), "slower: fewer steps per second")
        .hint_in(TOKENS, "[ ]", "speed"),
    bind(LAB, &[Char(']')], Action::Lab(L::Faster), "faster: more steps per second"),
    bind(LAB, &[Char('d')], Action::Lab(L::ToggleSlowDown), "slow down by itself while the loss falls, or not"),
    bind(TOKENS, &[Char('-')], Action::Lab(L::LrDown), "halve the learning rate"),
    bind(TOKENS, &[Char('+'), Char('=')], Action::Lab(L::LrUp), "double the learning rate"),
    bind(LAB, &[Char('r')], Action::Restart { next_seed: false }, "restart with the same seed"),
    bind(LAB, &[Char('R')], Action::Restart { next_seed: true }, "restart with the next seed"),
    bind(LAB, &[Char('e')], Action::OpenEditor, "change the experiment's fields, and restart")
        .hint_in(LAB_ALONE, "e", "change"),
    bind(LAB, &[Char('a')], Action::Lab(L::ToggleAxis), "logarithmic or linear loss axis"),
    bind(TOKENS, &[Char('c')], Action::Lab(L::ToggleValues), "a value cursor on the curves")
        .hint_in(LAB_ALONE, "c", "values"),
    bind(VALUES, &[Code(Left), Char('h')], Action::Move(Move::Left), "the value before").hint("Left Right", "value"),
    bind(VALUES, &[Code(Right), Char('l')], Action::Move(Move::Right), "the next value"),
    bind(VALUES, &[Code(Enter)], Action::Lab(L::GoToCursor),
        "go to the kept state nearest to the cursor").hint("Enter", "go to"),
    bind(VALUES, &[Code(PageUp), Char('K')], Action::Move(Move::PageUp), "half of the axis back"),
    bind(VALUES, &[Code(PageDown), Char('J')], Action::Move(Move::PageDown), "half of the axis on"),
    bind(VALUES, &[Code(Home), Char('g')], Action::Move(Move::First), "the first step"),
    bind(VALUES, &[Code(End), Char('G')], Action::Move(Move::Last), "the last step"),
    bind(VALUES, &[Char('+'), Char('='), Code(Up), Char('k')], Action::Lab(L::ZoomSteps { closer: true }),
        "half as many steps around the cursor").hint("+ -", "zoom"),
    bind(VALUES, &[Char('-'), Code(Down), Char('j')], Action::Lab(L::ZoomSteps { closer: false }),
        "twice as many steps"),
    bind(VALUES, &[Char('0')], Action::Lab(L::AllSteps), "all steps of the run").hint("0", "all steps"),
    bind(VALUES, &[Char('c')], Action::Lab(L::ToggleValues), "hide the value cursor").hint("c", "close"),
    bind(LAB, &[Char('x')], Action::Lab(L::ToggleStepsAxis),
        "logarithmic or linear axis of steps, seconds or operations")
        .hint_in(VALUES, "x", "log steps"),
    bind(LAB, &[Char('X')], Action::Lab(L::NextAxisUnit), "curves over steps, seconds or operations of training"),
    bind(LAB, &[Code(Tab)], Action::Lab(L::FocusNext), "next pane").hint_in(TOKENS, "Tab", "pane"),
    bind(LAB, &[Code(BackTab)], Action::Lab(L::FocusPrevious), "previous pane"),
    bind(LAB, &[Char('z')], Action::Lab(L::ToggleZoom), "fill the screen with this pane, and back"),
    bind(ENTER_ZOOMS, &[Code(Enter)], Action::Lab(L::ToggleZoom), "fill the screen with this pane, and back"),
    bind(LAB, &[Char('y')], Action::Lab(L::ToggleAdded), "the state, or what the last token added to it"),
    bind(LAB, &[Char('P')], Action::Lab(L::PlayTokens), "play the tokens of the sequence slowly; again: stop"),
    bind(LAB, &[Char('A')], Action::Lab(L::NextForm), "recurrence and attention: the state, token weights, or both"),
    bind(LAB, &[Char('n')], Action::Lab(L::NextProbe), "next probe sequence"),
    bind(LAB, &[Char('p')], Action::Lab(L::PreviousProbe), "previous probe sequence"),
    bind(LAB, &[Char('o')], Action::Lab(L::MeasureShifts), "test on other ranges, lengths and noise"),
    bind(LAB, &[Char('C')], Action::Lab(L::MeasureCosts), "measure what the context's length costs; again: stop"),
    bind(LAB, &[Char('f')], Action::Lab(L::Fit), "fit learners to the model's answers"),
    bind(LAB, &[Char('m')], Action::Lab(L::Keep), "keep this run's curves, to compare; at most six runs"),
    bind(LAB, &[Char('M')], Action::Lab(L::DropKept), "drop the kept runs"),
    bind(LAB, &[Char('u')], Action::Lab(L::NextRun), "of several runs that train at once: the next one in the panes"),
    bind(LAB, &[Char('t')], Action::Lab(L::ShowRuns), "table of this run and the kept ones"),
    bind(LAB, &[Char('s')], Action::Lab(L::Save), "save the session"),
    bind(LAB, &[Char('b')], Action::LeaveLab, "back to the gallery"),
    bind(GALLERY_AND_LAB, &[Code(Left), Char('h')], Action::Move(Move::Left),
        "previous list; in the lab: previous token"),
    bind(GALLERY_AND_LAB, &[Code(Right), Char('l')], Action::Move(Move::Right), "next list; in the lab: next token"),
    bind(MOVES, &[Code(Up), Char('k')], Action::Move(Move::Up), "up; in the lab: the layer above"),
    bind(MOVES, &[Code(Down), Char('j')], Action::Move(Move::Down), "down; in the lab: the layer below"),
    bind(MOVES, &[Code(PageUp), Char('K')], Action::Move(Move::PageUp), "page up; in the lab: ten tokens back"),
    bind(MOVES, &[Code(PageDown), Char('J')], Action::Move(Move::PageDown), "page down; in the lab: ten tokens on"),
    bind(MOVES, &[Code(Home), Char('g')], Action::Move(Move::First), "first; in the lab: the first token"),
    bind(MOVES, &[Code(End), Char('G')], Action::Move(Move::Last), "last; in the lab: the last token"),
    bind(EDITOR, &[Code(Enter)], Action::Editor(E::Edit), "change the selected value").hint("Enter", "change"),
    bind(EDITOR, &[Char('u')], Action::Editor(E::Reset), "the preset's value again").hint("u", "preset's value"),
    bind(EDITOR, &[Char('r')], Action::StartEdited, "train with these values from the start").hint("r", "train"),
    bind(EDITOR, &[Char('f')], Action::ForkEdited, "train with these values from the present step on")
        .hint("f", "fork"),
    bind(EDITOR, &[Char('e')], Action::Back, "close; nothing is changed").hint("e", "close"),
    bind(TYPING, &[Code(Enter)], Action::Editor(E::Accept), "accept the value").hint("Enter", "accept"),
    bind(TYPING, &[Code(Esc)], Action::Editor(E::Cancel), "keep the value as it was").hint("Esc", "cancel"),
    bind(TYPING, &[Code(Backspace)], Action::Editor(E::Erase), "erase; in an empty value: keep it as it was"),
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
    bind(LAB, &[Char('v')], Action::ToggleProjector, "large, for a projector, and back"),
    bind(LAB, &[Char('i')], Action::Explain, "explain this pane").hint_in(TOKENS, "i", "explain"),
    bind(GALLERY, &[Char('i')], Action::Explain, "the words of the screens"),
    bind(HELP, &[Code(Tab), Code(Right), Char('l')], Action::NextHelpPage { back: false }, "next page"),
    bind(HELP, &[Code(BackTab), Code(Left), Char('h')], Action::NextHelpPage { back: true }, "previous page"),
    bind(SCREENS, &[Char('w')], Action::WriteScreen(ScreenFormat::Svg), "write this screen to an SVG file"),
    bind(SCREENS, &[Char('W')], Action::WriteScreen(ScreenFormat::Text), "write this screen to a text file"),
    bind(ANYWHERE, &[Char('?'), Code(F(1))], Action::Help, "this help").hint("?", "keys"),
    bind(ANYWHERE, &[Code(Esc), Code(Backspace)], Action::Back,
        "one step out: help, experiment, value cursor, zoom, answer, lab, gallery"),
    bind(ANYWHERE, &[Char('q'), Code(F(10))], Action::Quit, "quit"),
    bind(FOOTERS, &[Char('B')], Action::ToggleLink, "the rate of the link to the terminal"),
    bind(&Mode::ALL, &[Ctrl('c')], Action::Quit, "quit; twice: without saving"),
    bind(&Mode::ALL, &[Ctrl('z'), Char('Z')], Action::Suspend, "suspend to the shell; fg comes back"),
    bind(&Mode::ALL, &[Ctrl('l'), Char('L')], Action::Repaint, "repaint the screen"),
];

/// The table with the user's changes, once they are read.
static CHANGED: OnceLock<Vec<Binding>> = OnceLock::new();

/// Uses the table with the user's changes from here on.
pub fn use_table(table: Vec<Binding>) {
    // There is one front end in a program, and so one table.
    let _ = CHANGED.set(table);
}

/// The keys as they are used: with the user's changes, where there are any.
pub fn table() -> &'static [Binding] {
    CHANGED.get().map_or(BINDINGS, Vec::as_slice)
}

/// The rows of a mode, in order.
pub fn bindings(mode: Mode) -> impl Iterator<Item = &'static Binding> {
    table().iter().filter(move |binding| binding.modes.contains(&mode))
}

/// The keys and words in the footer of a mode.
pub fn hints(mode: Mode) -> impl Iterator<Item = (&'static str, &'static str)> {
    bindings(mode).filter(move |binding| binding.hint_in.contains(&mode)).filter_map(|binding| binding.hint)
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
            mode.typed(c)
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

/// The table in docs/keys.md: keys, help, and where they work. A user's changes are not in it.
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
