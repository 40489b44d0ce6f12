//! Everything that can happen to the app, and everything that it can ask for.
//!
//! Two closed enums. A key, an update of the worker and a signal all become an [`Action`]; what the app wants of the
//! world outside is an [`Effect`], and one place performs those.

use std::path::PathBuf;
use std::sync::Arc;

use crate::preset::Preset;
use crate::session::{ClaimRecord, ResultCache, Summary};
use crate::worker::{Order, Update};

/// What the app reacts to.
#[derive(Clone, Debug)]
pub enum Action {
    // Everywhere.
    Help,
    /// One step out: help → zoom → lab → gallery.
    Back,
    Quit,
    Suspend,
    Repaint,

    // Lists, and scrubbing in the lab.
    Move(Direction),
    First,
    Last,

    // Gallery.
    Open,
    NextTab,
    Search,
    Type(char),
    Erase,
    AcceptSearch,
    ClearSearch,
    NextDevice,
    /// A text that is longer than its place: the card, the help.
    ScrollDown,
    ScrollUp,

    // Lab.
    TogglePause,
    StepOnce,
    Slower,
    Faster,
    LrDown,
    LrUp,
    Restart,
    RestartNewSeed,
    ToggleAxis,
    ToggleZoom,
    FocusNext,
    FocusPrevious,
    NextProbe,
    PreviousProbe,
    /// The present weights on tasks off the training distribution.
    MeasureShifts,
    Save,
    Gallery,

    // Answers to "there is unsaved work".
    SaveAndLeave,
    LeaveUnsaved,
    Stay,

    // The world outside.
    Updated(Box<Update>),
    /// The saved sessions, each with its age in seconds.
    SessionsListed(Vec<(Summary, u64)>),
    /// What presets came to on this machine, and the seconds since 1970.
    LedgerRead(ResultCache, u64),
    /// A session could not be read.
    OpenFailed(String),
    /// A run was started.
    Started {
        title: String,
    },
    /// The process was told to end, or the terminal is gone: save and leave with this exit code.
    Terminate(u8),
    /// A save that leaving waits for takes too long.
    SaveOverdue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Left,
    Right,
    Up,
    Down,
}

/// What the app asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Train a preset from its start.
    StartPreset(String, Box<Preset>),
    /// Read a session and go on with it.
    OpenSession(PathBuf),
    ListSessions,
    ReadLedger,
    /// Keep what a run of a preset came to.
    Note(String, Arc<Preset>, ClaimRecord),
    Order(Order),
    /// Save the run to the file it came from, or to a new one.
    Save,
    /// Save, and see to it that `SaveOverdue` comes if nothing else does.
    SaveWithin(std::time::Duration),
    /// End the training thread.
    Close,
    Suspend,
    Repaint,
    /// Leave the program with this exit code.
    Leave(u8),
}
