//! Which lessons were answered, and how: a small RON file in the folder of sessions, which the gallery shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::preset;
use crate::system::files::{self, Existing};

/// The version of the file's form.
const SCHEMA: u32 = 1;
/// The file. A dot before it: the other RON files of the folder are sessions.
const FILE: &str = ".lessons.ron";
/// Bytes of the file at most: some ten for each lesson.
const LARGEST: u64 = 1 << 20;

/// What came of a lesson.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Right,
    Wrong,
    /// It was seen to its end without an answer.
    Skipped,
}

/// What came of each lesson, by the lessons' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    schema: u32,
    lessons: BTreeMap<String, Outcome>,
}

impl Default for Answered {
    fn default() -> Self {
        Self { schema: SCHEMA, lessons: BTreeMap::new() }
    }
}

impl Answered {
    /// What came of a lesson the last time; `None` if it was never seen to its end.
    pub fn outcome(&self, lesson: &str) -> Option<Outcome> {
        self.lessons.get(lesson).copied()
    }

    pub fn record(&mut self, lesson: &str, outcome: Outcome) {
        self.lessons.insert(lesson.to_owned(), outcome);
    }

    /// What the folder's file holds; nothing where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is of another version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = path(folder);
        if !path.exists() {
            return Ok(Self::default());
        }
        let file = bounds::line(&path.display().to_string());
        let answered: Self = preset::parse(&file, &preset::read_bounded(&path, LARGEST)?)?;
        let found = answered.schema;
        ensure!(found == SCHEMA, "{file}: schema: this is version {found}, and this program reads version {SCHEMA}");
        Ok(answered)
    }

    /// Adds an outcome to the folder's file, which is not replaced if it cannot be read.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn store(folder: &Path, lesson: &str, outcome: Outcome) -> Result<Self> {
        let mut answered = Self::read(folder)?;
        answered.record(lesson, outcome);
        let path = path(folder);
        let file = bounds::line(&path.display().to_string());
        std::fs::create_dir_all(folder).with_context(|| file.clone())?;
        files::write(&path, preset::pretty(&answered)?, Existing::Replace).context(file)?;
        Ok(answered)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_outcome_of_each_lesson_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let saves = folder.path().join("saves");
        assert_eq!(Answered::read(&saves).unwrap(), Answered::default());
        Answered::store(&saves, "one-step", Outcome::Wrong).unwrap();
        Answered::store(&saves, "depth", Outcome::Skipped).unwrap();
        let stored = Answered::store(&saves, "one-step", Outcome::Right).unwrap();
        assert_eq!(Answered::read(&saves).unwrap(), stored);
        assert_eq!(stored.outcome("one-step"), Some(Outcome::Right));
        assert_eq!([stored.outcome("depth"), stored.outcome("x")], [Some(Outcome::Skipped), None]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "(schema: 9, lessons: {})", "(schema: 1, lessons: {\"a\": Perhaps})"] {
            std::fs::write(path(folder.path()), text).unwrap();
            assert!(Answered::store(folder.path(), "one-step", Outcome::Right).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(path(folder.path())).unwrap(), text);
        }
    }
}
