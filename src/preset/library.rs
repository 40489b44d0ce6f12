//! Finds presets: in the folder `presets/` if there is one, else the copies inside the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use include_dir::{Dir, include_dir};

use super::nearest::nearest;
use super::parse_error::ParseError;
use super::{Preset, ron_file};
use crate::bounds;

/// The presets that the program was built with.
static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/presets");
/// The folder of the working directory whose presets come first.
pub const FOLDER: &str = "presets";
/// Bytes of a preset file at most: a page of settings and prose needs a few thousand.
pub const LARGEST: u64 = 1 << 20;

/// A preset with its name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file's name without `.ron`.
    pub name: String,
    /// The preset, or one line on what is wrong with its file.
    pub preset: Result<Preset, String>,
}

/// Every preset: by family in its order, then by name; files that cannot be read come last.
pub fn all() -> Vec<Entry> {
    all_in(Path::new(FOLDER))
}

/// The presets of a folder, or the embedded ones where it holds none.
pub fn all_in(folder: &Path) -> Vec<Entry> {
    let read = |name: String, preset: Result<Preset>| Entry { name, preset: preset.map_err(|e| format!("{e:#}")) };
    let mut entries: Vec<Entry> = ron_files(folder).into_iter().map(|(name, path)| read(name, load(&path))).collect();
    if entries.is_empty() {
        entries =
            embedded().map(|(name, text)| read(name.to_owned(), understand(&embedded_name(name), text))).collect();
    }
    entries.sort_by_cached_key(|entry| {
        let family = entry.preset.as_ref().map(|preset| preset.family);
        (family.is_err(), family.ok(), entry.name.clone())
    });
    entries
}

/// A preset by path or by name; a file in `presets/` hides an embedded preset of its name.
pub fn find(name_or_path: &str) -> Result<(String, Preset)> {
    find_in(Path::new(FOLDER), name_or_path)
}

/// The same with another folder instead of `presets/`.
pub fn find_in(folder: &Path, name_or_path: &str) -> Result<(String, Preset)> {
    let path = Path::new(name_or_path);
    if is_path(name_or_path) {
        return Ok((stem(path), load(path)?));
    }
    let name = name_or_path;
    let on_disk = folder.join(format!("{name}.ron"));
    if is_name(name) && on_disk.exists() {
        return Ok((name.to_owned(), load(&on_disk)?));
    }
    if let Some((name, text)) = embedded().find(|(embedded, _)| *embedded == name) {
        return Ok((name.to_owned(), understand(&embedded_name(name), text)?));
    }
    let nearest = nearest(name, &names_in(folder));
    bail!("there is no preset `{}`; {nearest}; `innerloop presets` lists all", bounds::short(name))
}

/// The names of all presets that can be found by name.
pub fn names() -> Vec<String> {
    names_in(Path::new(FOLDER))
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = ron_files(folder).into_iter().map(|(name, _)| name).collect();
    names.extend(embedded().map(|(name, _)| name.to_owned()));
    names.sort();
    names.dedup();
    names
}

/// Whether an argument is a file and not a preset's name.
pub fn is_path(argument: &str) -> bool {
    argument.contains(['/', '\\']) || argument.ends_with(".ron") || Path::new(argument).is_file()
}

/// Reads a preset file.
pub fn load(path: &Path) -> Result<Preset> {
    understand(&path.display().to_string(), &ron_file::read_bounded(path, LARGEST)?)
}

/// A preset from its text, checked; `file` is for the errors.
pub fn understand(file: &str, text: &str) -> Result<Preset> {
    let preset: Preset = ron_file::parse(file, text)?;
    preset.check().map_err(|error| ParseError::of_whole(text, "", &format!("{error:#}")).in_file(file))?;
    Ok(preset)
}

/// The name of a file's preset: safe to print.
pub fn stem(path: &Path) -> String {
    bounds::line(&path.file_stem().unwrap_or(OsStr::new("preset")).to_string_lossy())
}

/// Names that need no quoting in a shell and fit into a file name.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The RON files of a folder, each with its name without `.ron`; none where the folder cannot be read.
pub fn ron_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let ron = |path: &PathBuf| path.extension() == Some(OsStr::new("ron"));
    paths.filter(ron).map(|path| (stem(&path), path)).collect()
}

fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.files().filter_map(|file| Some((file.path().to_str()?.strip_suffix(".ron")?, file.contents_utf8()?)))
}

/// The name of an embedded preset in errors.
fn embedded_name(name: &str) -> String {
    format!("(built in) presets/{name}.ron")
}
