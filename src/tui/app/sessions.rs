//! The table of saved sessions: its order, and which are marked to be opened together.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::kept::MOST_KEPT;
use crate::run_table;
use crate::session::{Digest, Summary};
use crate::tui::labels;

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    Title,
    Seed,
    Changed,
    Step,
    Loss,
    Nearest,
    #[default]
    When,
    File,
}

impl Column {
    /// In the order of the table.
    pub const ALL: [Self; 8] =
        [Self::Title, Self::Seed, Self::Changed, Self::Step, Self::Loss, Self::Nearest, Self::When, Self::File];

    pub fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Seed => "seed",
            Self::Changed => "changed",
            Self::Step => "step",
            Self::Loss => "loss",
            Self::Nearest => "nearest",
            Self::When => "when",
            Self::File => "file",
        }
    }
}

/// A saved session and its age in seconds when the list was made.
pub struct SessionRow {
    pub summary: Summary,
    pub age: u64,
}

impl SessionRow {
    /// What a search looks in.
    pub fn text(&self) -> String {
        let path = self.summary.path.display();
        let Ok(content) = &self.summary.content else { return path.to_string() };
        let overrides = content.overrides.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        let nearest = content.digest.nearest.map(|(reference, _)| labels::label(reference)).unwrap_or_default();
        let (name, title, seed) = (&content.name, &content.preset.title, content.digest.seed);
        format!("{path} {name} {title} seed {seed} {overrides} {nearest}")
    }

    /// The name of its file without `.ron`.
    pub fn stem(&self) -> String {
        self.summary.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `None` if the file cannot be read.
    fn digest(&self) -> Option<&Digest> {
        self.summary.content.as_ref().ok().map(|content| &content.digest)
    }

    /// Ascending by a column, newest first where two are the same there. What is not known, and files that cannot be
    /// read, come last in either direction.
    fn order(&self, other: &Self, column: Column, reversed: bool) -> Ordering {
        let directed = |order: Ordering| if reversed { order.reverse() } else { order };
        fn last<T>(a: Option<T>, b: Option<T>, order: impl Fn(T, T) -> Ordering) -> Ordering {
            match (a, b) {
                (Some(a), Some(b)) => order(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        }
        let texts = |text: fn(&Self) -> Option<String>| {
            last(text(self), text(other), |a, b| directed(a.to_lowercase().cmp(&b.to_lowercase())))
        };
        let (own, theirs) = (self.digest(), other.digest());
        let order = match column {
            Column::Title => texts(|row| Some(row.summary.content.as_ref().ok()?.preset.title.clone())),
            Column::Changed => texts(|row| {
                let changed =
                    row.summary.content.as_ref().ok()?.overrides.clone().filter(|changed| !changed.is_empty());
                Some(changed?.join(" "))
            }),
            Column::File => texts(|row| Some(row.stem())),
            Column::Nearest => texts(|row| Some(labels::label(row.summary.content.as_ref().ok()?.digest.nearest?.0))),
            Column::Seed => last(own, theirs, |a, b| directed(a.seed.cmp(&b.seed))),
            Column::Step => last(own, theirs, |a, b| directed(a.step.cmp(&b.step))),
            Column::Loss => {
                let loss = |digest: Option<&Digest>| digest?.eval_loss;
                last(loss(own), loss(theirs), |a, b| directed(a.total_cmp(&b)))
            }
            Column::When => directed(self.age.cmp(&other.age)),
        };
        order.then_with(|| self.age.cmp(&other.age)).then_with(|| self.summary.path.cmp(&other.summary.path))
    }
}

#[derive(Default)]
pub struct SessionTable {
    rows: Vec<SessionRow>,
    pub column: Column,
    pub reversed: bool,
    /// In the order of marking.
    marked: Vec<PathBuf>,
}

impl SessionTable {
    pub fn rows(&self) -> &[SessionRow] {
        &self.rows
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn set(&mut self, sessions: Vec<(Summary, u64)>) {
        self.rows = sessions.into_iter().map(|(summary, age)| SessionRow { summary, age }).collect();
        self.sort();
    }

    pub fn remove(&mut self, path: &Path) {
        self.rows.retain(|row| row.summary.path != path);
        self.marked.retain(|marked| marked != path);
    }

    fn sort(&mut self) {
        let (column, reversed) = (self.column, self.reversed);
        self.rows.sort_by(|a, b| a.order(b, column, reversed));
    }

    /// Sorts by the next column, ascending; by time, newest first.
    pub fn sort_by_next(&mut self) {
        let here = Column::ALL.iter().position(|column| *column == self.column).unwrap_or(0);
        (self.column, self.reversed) = (Column::ALL[(here + 1) % Column::ALL.len()], false);
        self.sort();
    }

    pub fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.sort();
    }

    pub fn marked(&self) -> &[PathBuf] {
        &self.marked
    }

    pub fn is_marked(&self, row: &SessionRow) -> bool {
        self.marked.contains(&row.summary.path)
    }

    /// # Errors
    /// So many are marked that another one could not be shown.
    pub fn toggle_mark(&mut self, path: PathBuf) -> Result<(), String> {
        match self.marked.iter().position(|marked| *marked == path) {
            Some(at) => drop(self.marked.remove(at)),
            // One of them may be the selected one.
            None if self.marked.len() > MOST_KEPT => {
                return Err(format!("At most {MOST_KEPT} sessions stand beside another one."));
            }
            None => self.marked.push(path),
        }
        Ok(())
    }

    pub fn clear_marks(&mut self) {
        self.marked.clear();
    }

    /// The marked sessions that are to stand beside this one.
    ///
    /// # Errors
    /// This one cannot be read; they have another task, or are too many.
    pub fn beside(&self, selected: &SessionRow) -> Result<Vec<PathBuf>, String> {
        let content = selected.summary.content.as_ref().map_err(String::clone)?;
        let others = self.rows.iter().filter(|row| self.is_marked(row) && row.summary.path != selected.summary.path);
        for row in others {
            let preset = &row.summary.content.as_ref().map_err(String::clone)?.preset;
            if let Some((own, theirs)) = run_table::task_difference(&content.preset, preset) {
                let [own_file, their_file] = [selected, row].map(SessionRow::stem);
                let words = "have different tasks, so their losses cannot be compared";
                return Err(format!("{own_file} ({own}) and {their_file} ({theirs}) {words}"));
            }
        }
        // As they were marked: the first is the first of the kept runs.
        let listed = |path: &&PathBuf| self.rows.iter().any(|row| row.summary.path == **path);
        let beside = self.marked.iter().filter(|path| **path != selected.summary.path).filter(listed);
        let beside: Vec<PathBuf> = beside.cloned().collect();
        if beside.len() > MOST_KEPT {
            return Err(format!("At most {MOST_KEPT} sessions stand beside another one: {} are marked.", beside.len()));
        }
        Ok(beside)
    }
}
