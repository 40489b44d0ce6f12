//! Everything that the app reacts to: one closed enum of four kinds.
//!
//! Knows nothing of keys: [`keymap`](super::keymap) says which key leads to which [`Action`].

use std::path::PathBuf;

use super::app::{Ended, KeptRun};
use super::pane::Pane;
use crate::lesson::Answered;
use crate::session::{ResultCache, Summary};
use crate::worker::Update;

pub use super::screen_file::ScreenFormat;

/// What [`App::update`](super::app::App::update) reacts to.
#[derive(Clone, Debug)]
pub enum Message {
    /// The user pressed a key.
    Key(Action),
    /// The training thread reports.
    Worker(Box<Update>),
    /// An effect has a result.
    Result(EffectResult),
    /// The operating system or a timer interferes.
    System(SystemEvent),
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Opens the keys, or closes the help screen.
    Help,
    /// Opens what explains the screen: the pane in focus, or the words.
    Explain,
    /// The page of the help screen so many pages further on.
    NextHelpPage {
        back: bool,
    },
    /// Little, and large, for a projector; or all of it.
    ToggleProjector,
    /// Shows what is known of the link to the terminal, or hides it.
    ToggleLink,
    /// Writes the present screen to a file.
    WriteScreen(ScreenFormat),
    /// One step out: help → editor → value cursor → zoom → lab → gallery.
    Back,
    Quit,
    Suspend,
    Repaint,
    /// Moves through whatever is in front: a list, the tokens and layers of the lab, a long text.
    Move(Move),
    Gallery(GalleryAction),
    Lab(LabAction),
    Lesson(LessonAction),
    Sweep(SweepAction),
    /// From the lab to the gallery.
    LeaveLab,
    /// Trains from the start again, with the same seed or with the next.
    Restart {
        next_seed: bool,
    },
    Answer(Answer),
    /// Opens the editor of the experiment's fields.
    OpenEditor,
    Editor(EditorAction),
    /// Trains the edited experiment from the start.
    StartEdited,
    /// Trains the edited experiment from the present state on.
    ForkEdited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Left,
    Right,
    Up,
    Down,
    First,
    Last,
    PageUp,
    PageDown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GalleryAction {
    /// Opens the selected lesson, or the selected preset or session in the lab.
    Open,
    NextTab,
    PreviousTab,
    NextDevice,
    Search,
    Type(char),
    Erase,
    AcceptSearch,
    ClearSearch,
    /// Sorts the sessions by the next column.
    NextColumn,
    ReverseOrder,
    /// Marks the selected session, to be opened beside another, or takes the mark away.
    Mark,
    ClearMarks,
    /// Begins to type another name for the file of the selected session.
    Rename,
    AcceptName,
    CancelName,
    /// Asks whether the selected session is to be deleted.
    Delete,
    ConfirmDelete,
    CancelDelete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonAction {
    /// Chooses this answer, from 0; the experiment begins.
    Choose(usize),
    /// Chooses the answer under the cursor.
    Accept,
    /// Begins the experiment without an answer.
    Skip,
    /// The next stage, or the answer after the last one.
    Next,
    /// Closes the answer; the lab is free to be used.
    Explore,
    NextLesson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabAction {
    TogglePause,
    /// Goes to the kept state before the present step.
    GoBack,
    /// Goes to the kept state after the present step.
    GoAhead,
    /// Goes to the kept state nearest to the value cursor.
    GoToCursor,
    StepOnce,
    Slower,
    Faster,
    /// Whether the run slows down by itself.
    ToggleSlowDown,
    LrDown,
    LrUp,
    ToggleAxis,
    /// Logarithmic or linear steps.
    ToggleStepsAxis,
    /// Steps, seconds or operations of training along the axis of the curves.
    NextAxisUnit,
    /// Shows or hides the value cursor of the curves.
    ToggleValues,
    /// Shows half or twice as many steps.
    ZoomSteps {
        closer: bool,
    },
    /// Shows all steps of the run.
    AllSteps,
    /// Shows the whole state, or what the last token added to it.
    ToggleAdded,
    /// Plays the tokens of the sequence slowly, or stops.
    PlayTokens,
    /// Both forms of a recurrence, its state, or its weights between tokens.
    NextForm,
    ToggleZoom,
    Focus(Pane),
    FocusNext,
    FocusPrevious,
    NextProbe,
    PreviousProbe,
    /// Measures the present weights on tasks that differ from those of the training.
    MeasureShifts,
    /// Measures what the length of the context costs this model and others; again, stops it.
    MeasureCosts,
    /// Fits learners to the model's answers.
    Fit,
    /// Keeps the run's curves on the screen, beside those of what follows.
    Keep,
    /// Drops all kept runs.
    DropKept,
    /// Brings the table of runs to the front.
    ShowRuns,
    /// Of several runs, shows the next one in the panes.
    NextRun,
    Save,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditorAction {
    /// Begins to change the selected value.
    Edit,
    Type(char),
    Erase,
    Accept,
    Cancel,
    /// Sets the selected field to the preset's own value.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepAction {
    NextMeasure,
    PreviousMeasure,
    /// The next varied field along the axis.
    NextKey,
    NextCurve,
    ToggleAxis,
    /// Reads the folder again.
    Read,
}

/// An answer to the question about unsaved steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Save,
    Discard,
    Stay,
}

/// What came of an [`Effect`](super::effects::Effect).
#[derive(Clone, Debug)]
pub enum EffectResult {
    /// A run was started; its first report will follow.
    Started { title: String },
    /// Several runs were started, with these titles.
    SeveralStarted(Vec<String>),
    /// The saved sessions, each with its age in seconds; the newest alone while the list is not complete.
    SessionsListed { rows: Vec<(Summary, u64)>, complete: bool },
    /// The file that holds the screen, or why it could not be written.
    ScreenWritten(Result<PathBuf, String>),
    /// Sessions that are to stand beside a run, or why they cannot be read.
    KeptRead(Vec<Result<KeptRun, String>>),
    /// A sweep as its folder is now.
    SweepRead(Result<Box<Ended>, String>),
    /// Which lessons were answered, or why that cannot be read or recorded.
    AnsweredRead(Result<Answered, String>),
    /// The new path of a session.
    Renamed(Result<PathBuf, String>),
    /// The path of a session that is no more.
    Deleted(Result<PathBuf, String>),
    /// Earlier results of presets on this machine, and the present time in seconds since 1970.
    ResultsRead(ResultCache, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// A signal ended the process, or the terminal is gone: save and leave with this exit code.
    Terminate(u8),
    /// The process is to stop until it is continued.
    Suspended,
    /// The process was stopped and continues: the terminal may be in any state.
    Continued,
    /// A save that leaving waits for takes too long.
    SaveOverdue,
    /// While tokens are played: time for the next one.
    TokenDue,
}
