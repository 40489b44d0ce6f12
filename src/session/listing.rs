//! The list of sessions: what it shows of a file, without reading all of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;

use super::store::{LARGEST, OPENING, check_schema};
use super::{Content, Digest, Summary};
use crate::bounds;
use crate::preset::{self, Preset};
use crate::train::History;

/// Bytes of a file that is read whole for a list at most.
const LARGEST_READ_WHOLE: u64 = 32 << 20;

/// The session files of a folder, newest first.
pub fn files(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let file = |path: PathBuf| {
        let modified = std::fs::metadata(&path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        (path, modified)
    };
    let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    // Hidden files are no sessions: which lessons were answered is in one.
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let sessions = paths.filter(|path| path.extension() == Some(OsStr::new("ron")) && !hidden(path));
    let mut files: Vec<_> = sessions.map(file).collect();
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    files
}

/// Reads the heads of session files; each preset that they name is read once.
#[derive(Default)]
pub struct Heads {
    presets: HashMap<String, Option<Preset>>,
}

impl Heads {
    /// The summary of a session from its first 64 KiB. A file that cannot be read has its error.
    pub fn summary(&mut self, path: PathBuf, modified: SystemTime) -> Summary {
        let content = self.head(&path).map_err(|error| format!("{error:#}"));
        Summary { path, modified, content }
    }

    fn head(&mut self, path: &Path) -> Result<Content> {
        let file = bounds::line(&path.display().to_string());
        let size = std::fs::metadata(path).with_context(|| file.clone())?.len();
        ensure!(size <= LARGEST, "{file}: the file is too large: at most {} MiB are read", LARGEST >> 20);
        let mut opening = Vec::new();
        File::open(path).and_then(|file| file.take(OPENING).read_to_end(&mut opening)).with_context(|| file.clone())?;
        let text = String::from_utf8_lossy(&opening);
        check_schema(&file, &text)?;
        let found = || {
            let (name, preset): (String, Preset) = (field(&text, "name")?, field(&text, "preset")?);
            let digest = match field::<Option<Digest>>(&text, "digest").flatten() {
                Some(digest) => digest,
                None => Digest {
                    step: field(&text, "checkpoint.step")?,
                    seed: field(&text, "checkpoint.seed")?,
                    eval_loss: None,
                    nearest: None,
                    curve: Vec::new(),
                },
            };
            Some((name, preset, digest))
        };
        let (name, preset, digest) = found().ok_or_else(|| anyhow!("{file}: this is not a session"))?;
        let named = self.presets.entry(name.clone()).or_insert_with_key(|name| Some(preset::find(name).ok()?.1));
        let overrides = named.as_ref().map(|named| preset::settings(named, &preset));
        Ok(Content { name, preset: Arc::new(preset), overrides, digest })
    }
}

/// The sessions in a folder, newest first.
pub fn list(folder: &Path) -> Vec<Summary> {
    let mut heads = Heads::default();
    files(folder).into_iter().map(|(path, modified)| heads.summary(path, modified)).collect()
}

/// The digest of a session that was saved without one, from the whole file; `None` if that is damaged or too large for
/// a list.
pub fn digest(path: &Path, known: &Digest) -> Option<Digest> {
    let text = preset::read_bounded(path, LARGEST_READ_WHOLE).ok()?;
    let history: History = field(&text, "history")?;
    Some(Digest::of(known.step, known.seed, &history))
}

fn field<T: DeserializeOwned>(text: &str, path: &str) -> Option<T> {
    preset::parse("", &text[preset::find_field(text, path)?.value]).ok()
}
