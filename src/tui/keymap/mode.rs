//! What keys mean at a moment.

use crate::tui::message::{Action, EditorAction, GalleryAction};

/// What keys mean at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The lessons.
    Lessons,
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
    /// An answer to the question of a lesson is chosen.
    Choice,
    /// The lab, while the experiment of a lesson runs, and after its answer.
    Lesson,
    /// The answer of a lesson.
    Reveal,
    /// The fields of an experiment.
    Editor,
    /// The value of a field is being typed.
    Typing,
    /// The value cursor moves along the curves of the lab.
    Values,
    /// The runs of a sweep.
    Sweep,
    Help,
    /// The question about unsaved steps.
    Question,
}

impl Mode {
    pub const ALL: [Self; 16] = [
        Self::Lessons,
        Self::Gallery,
        Self::Sessions,
        Self::Search,
        Self::Rename,
        Self::Delete,
        Self::Choice,
        Self::Lesson,
        Self::Reveal,
        Self::Lab,
        Self::Values,
        Self::Editor,
        Self::Typing,
        Self::Sweep,
        Self::Help,
        Self::Question,
    ];

    /// Whether letters are text and no keys.
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Search | Self::Rename | Self::Typing)
    }

    /// The action that a typed character is, where letters are text.
    pub fn typed(self, c: char) -> Option<Action> {
        match self {
            Self::Search | Self::Rename => Some(Action::Gallery(GalleryAction::Type(c))),
            Self::Typing => Some(Action::Editor(EditorAction::Type(c))),
            Self::Lessons
            | Self::Gallery
            | Self::Sessions
            | Self::Choice
            | Self::Lesson
            | Self::Reveal
            | Self::Delete
            | Self::Lab
            | Self::Values
            | Self::Editor
            | Self::Sweep
            | Self::Help
            | Self::Question => None,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Lessons => "Lessons",
            Self::Gallery => "Gallery",
            Self::Sessions => "Sessions",
            Self::Search => "While searching",
            Self::Rename => "While renaming",
            Self::Delete => "Deleting",
            Self::Choice => "Question",
            Self::Lesson => "Lesson",
            Self::Reveal => "Answer",
            Self::Lab => "Lab",
            Self::Values => "Value cursor",
            Self::Editor => "Experiment",
            Self::Typing => "While typing a value",
            Self::Sweep => "Sweep",
            Self::Help => "Help",
            Self::Question => "Unsaved steps",
        }
    }
}
