//! Finds lessons: in the folder `presets/lessons/` if there is one, else the copies inside the program.

use std::path::Path;

use anyhow::{Result, bail};
use include_dir::{Dir, include_dir};

use super::Lesson;
use super::check::resolved;
use crate::bounds;
use crate::preset::{self, ParseError};

/// The lessons that the program was built with.
static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/presets/lessons");
/// Their folder inside that of the presets.
const LESSONS: &str = "lessons";

/// A lesson with its name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file's name without `.ron`.
    pub name: String,
    /// The lesson, or one line on what is wrong with its file.
    pub lesson: Result<Lesson, String>,
}

/// Every lesson in the order of their numbers; files that cannot be read come last.
pub fn all() -> Vec<Entry> {
    all_in(Path::new(preset::FOLDER))
}

/// The lessons beside the presets of a folder, or the embedded ones where it holds none.
pub fn all_in(presets: &Path) -> Vec<Entry> {
    let read = |name: String, lesson: Result<Lesson>| Entry { name, lesson: lesson.map_err(|e| format!("{e:#}")) };
    let files = preset::ron_files(&presets.join(LESSONS)).into_iter();
    let mut entries: Vec<Entry> = files.map(|(name, path)| read(name, load_in(presets, &path))).collect();
    if entries.is_empty() {
        let embedded = embedded().map(|(name, text)| (name, understand(presets, &embedded_name(name), text)));
        entries = embedded.map(|(name, lesson)| read(name.to_owned(), lesson)).collect();
    }
    entries.sort_by_cached_key(|entry| {
        let number = entry.lesson.as_ref().map(|lesson| lesson.number);
        (number.is_err(), number.ok(), entry.name.clone())
    });
    entries
}

/// A lesson by path or by name; a file in `presets/lessons/` hides an embedded lesson of its name.
pub fn find(name_or_path: &str) -> Result<(String, Lesson)> {
    find_in(Path::new(preset::FOLDER), name_or_path)
}

/// The same with another folder instead of `presets/`.
pub fn find_in(presets: &Path, name_or_path: &str) -> Result<(String, Lesson)> {
    let path = Path::new(name_or_path);
    if preset::is_path(name_or_path) {
        return Ok((preset::stem(path), load_in(presets, path)?));
    }
    let name = name_or_path;
    let on_disk = presets.join(LESSONS).join(format!("{name}.ron"));
    if preset::is_name(name) && on_disk.exists() {
        return Ok((name.to_owned(), load_in(presets, &on_disk)?));
    }
    if let Some((name, text)) = embedded().find(|(embedded, _)| *embedded == name) {
        return Ok((name.to_owned(), understand(presets, &embedded_name(name), text)?));
    }
    let nearest = preset::nearest(name, &names_in(presets));
    bail!("there is no lesson `{}`; {nearest}; `innerloop lessons` lists all", bounds::short(name))
}

/// The names of all lessons that can be found by name.
pub fn names() -> Vec<String> {
    names_in(Path::new(preset::FOLDER))
}

fn names_in(presets: &Path) -> Vec<String> {
    let files = preset::ron_files(&presets.join(LESSONS)).into_iter().map(|(name, _)| name);
    let mut names: Vec<String> = files.chain(embedded().map(|(name, _)| name.to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// Reads a lesson's file.
pub fn load(path: &Path) -> Result<Lesson> {
    load_in(Path::new(preset::FOLDER), path)
}

fn load_in(presets: &Path, path: &Path) -> Result<Lesson> {
    understand(presets, &path.display().to_string(), &preset::read_bounded(path, preset::LARGEST)?)
}

/// A lesson from its text, checked, with its presets; `file` is for the errors.
fn understand(presets: &Path, file: &str, text: &str) -> Result<Lesson> {
    let lesson: Lesson = preset::parse(file, text)?;
    resolved(presets, lesson).map_err(|error| ParseError::of_whole(text, "", &format!("{error:#}")).in_file(file))
}

/// Whether a file begins like a lesson.
pub fn is_lesson(path: &Path) -> bool {
    let text = preset::read_bounded(path, preset::LARGEST);
    text.is_ok_and(|text| preset::opens_with(&text, "Lesson", "number"))
}

fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.files().filter_map(|file| Some((file.path().to_str()?.strip_suffix(".ron")?, file.contents_utf8()?)))
}

/// The name of an embedded lesson in errors.
fn embedded_name(name: &str) -> String {
    format!("(built in) presets/lessons/{name}.ron")
}
