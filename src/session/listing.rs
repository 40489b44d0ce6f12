//! The list of sessions: what it shows of a file, without reading all of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;

use super::store::{LARGEST, OPENING, check_schema, load};
use super::{Content, Summary};
use crate::bounds;
use crate::preset;
use crate::series::Series;

/// Bytes of a file whose curve is shown at most.
const LARGEST_WITH_CURVE: u64 = 32 << 20;

/// The session files of a folder, newest first.
pub fn files(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let file = |path: PathBuf| {
        let modified = std::fs::metadata(&path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        (path, modified)
    };
    let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<_> = paths.filter(|path| path.extension() == Some(OsStr::new("ron"))).map(file).collect();
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    files
}

/// The summary of a session from its first 64 KiB, without its curve. A file that cannot be read has its error.
pub fn summary(path: PathBuf, modified: SystemTime) -> Summary {
    let content = head(&path).map_err(|error| format!("{error:#}"));
    Summary { path, modified, content }
}

/// The sessions in a folder, newest first, without their curves.
pub fn list(folder: &Path) -> Vec<Summary> {
    files(folder).into_iter().map(|(path, modified)| summary(path, modified)).collect()
}

fn head(path: &Path) -> Result<Content> {
    let name = bounds::line(&path.display().to_string());
    let size = std::fs::metadata(path).with_context(|| name.clone())?.len();
    ensure!(size <= LARGEST, "{name}: the file is too large: at most {} MiB are read", LARGEST >> 20);
    if size <= OPENING {
        return load(path).map(|session| session.content());
    }
    let mut opening = Vec::new();
    File::open(path).and_then(|file| file.take(OPENING).read_to_end(&mut opening)).with_context(|| name.clone())?;
    let text = String::from_utf8_lossy(&opening);
    check_schema(&name, &text)?;
    let content = |text| {
        Some(Content {
            name: field(text, "name")?,
            title: field(text, "preset.title")?,
            step: field(text, "checkpoint.step")?,
            steps: field(text, "preset.train.steps")?,
            seed: field(text, "checkpoint.seed")?,
            final_loss: None,
            curve: Vec::new(),
        })
    };
    content(&text).ok_or_else(|| anyhow!("{name}: this is not a session"))
}

/// The held-out loss over the run, from the whole file; `None` if it is damaged or too large for a curve in a list.
pub fn curve(path: &Path) -> Option<Series> {
    field(&preset::read_bounded(path, LARGEST_WITH_CURVE).ok()?, "history.eval_loss")
}

fn field<T: DeserializeOwned>(text: &str, path: &str) -> Option<T> {
    preset::parse("", &text[preset::find_field(text, path)?.value]).ok()
}
