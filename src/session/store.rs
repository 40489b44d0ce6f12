//! Sessions in files: reading, listing, and atomic saving.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Inconsistency, SCHEMA, Session, Summary};
use crate::bounds;
use crate::preset::{self, ParseError};

/// Bytes of a session file at most: the parameters of the largest model that a preset allows, as text.
const LARGEST: u64 = 256 << 20;
/// Bytes at the start of a file in which a session is recognised; comments may come first.
const OPENING: u64 = 64 << 10;

/// Reads a session, checked.
pub fn load(path: &Path) -> Result<Session> {
    understand(&path.display().to_string(), &preset::read_bounded(path, LARGEST)?)
}

/// A session from its text, checked; `file` is for the errors.
pub fn understand(file: &str, text: &str) -> Result<Session> {
    // Another version may have other fields, so this one is checked first.
    if let Some(field) = preset::find_field(text, "schema") {
        let found = &text[field.value];
        if found.parse() != Ok(SCHEMA) {
            let message = format!("schema: this is version {found}, and this program reads version {SCHEMA}");
            return Err(ParseError::of_whole(text, "", &message).in_file(file));
        }
    }
    let session: Session = preset::parse(file, text)?;
    let refusal = |Inconsistency { within, message }| ParseError::of_whole(text, within, &message).in_file(file);
    session.check().map_err(refusal)?;
    Ok(session)
}

/// Whether a file begins like a session.
///
/// # Errors
/// The file cannot be read.
pub fn is_session(path: &Path) -> Result<bool> {
    if !path.is_file() {
        // Its error says what is wrong.
        return preset::read_bounded(path, LARGEST).map(|_| false);
    }
    let name = bounds::line(&path.display().to_string());
    let mut opening = Vec::new();
    let file = File::open(path).with_context(|| name.clone())?;
    file.take(OPENING).read_to_end(&mut opening).context(name)?;
    Ok(preset::opens_with(&String::from_utf8_lossy(&opening), "Session", "schema"))
}

/// Checks that a save may replace what is at a path: nothing, or a session.
pub fn may_replace(path: &Path) -> Result<()> {
    let name = bounds::line(&path.display().to_string());
    let free = std::fs::symlink_metadata(path).is_err();
    ensure!(!path.is_dir(), "{name}: this is a folder, so no session can be saved here");
    ensure!(free || is_session(path).unwrap_or(false), "{name}: this is not a session, so it is not replaced");
    Ok(())
}

/// Writes a session atomically: until the new file is complete on disk, the previous one stays.
pub fn save(path: &Path, session: &Session) -> Result<()> {
    let name = bounds::line(&path.display().to_string());
    write_whole(path, session).with_context(|| format!("cannot save {name}"))
}

fn write_whole(path: &Path, session: &Session) -> Result<()> {
    // A session that could not be read again must not replace one that can.
    session.check().map_err(|Inconsistency { within, message }| anyhow!("{within}: {message}"))?;
    let text = preset::pretty(session)?;
    ensure!(text.len() as u64 <= LARGEST, "the session is larger than the {} MiB that can be read", LARGEST >> 20);
    ensure!(!path.is_dir(), "this is a folder");
    replace(path, &text)
}

/// Writes a file atomically, and the folders above it if they are missing.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".innerloop-").suffix(".tmp");
    #[cfg(unix)]
    {
        // Permissions of an ordinary new file, by the umask; those of a temporary file are private.
        let ordinary = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        builder.permissions(ordinary);
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is on disk when its folder is. Not every file system supports this; the session is written already.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The sessions in a folder, newest first. A file that cannot be read is listed with its error.
pub fn list(folder: &Path) -> Vec<Summary> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let ron = |path: &PathBuf| path.extension() == Some(OsStr::new("ron"));
    let mut rows: Vec<Summary> = paths.filter(ron).map(summary).collect();
    rows.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.path.cmp(&b.path)));
    rows
}

fn summary(path: PathBuf) -> Summary {
    let modified = std::fs::metadata(&path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let content = load(&path).map(|session| session.content()).map_err(|error| format!("{error:#}"));
    Summary { path, modified, content }
}
