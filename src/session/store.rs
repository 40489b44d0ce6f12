//! Sessions in files: reading, listing, and atomic saving.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Inconsistency, SCHEMA, Session, SessionFile};
use crate::bounds;
use crate::preset::{self, ParseError};

/// Bytes of a session file at most: the parameters of the largest model that a preset allows, as text.
pub(super) const LARGEST: u64 = 256 << 20;
/// Bytes at the start of a file in which a session is recognised; comments may come first.
pub(super) const OPENING: u64 = 64 << 10;

/// Reads a session, checked.
pub fn load(path: &Path) -> Result<Session> {
    understand(&path.display().to_string(), &preset::read_bounded(path, LARGEST)?)
}

/// A session from its text, checked; `file` is for the errors.
pub fn understand(file: &str, text: &str) -> Result<Session> {
    check_schema(file, text)?;
    let session: Session = preset::parse(file, text)?;
    let refusal = |Inconsistency { within, message }| ParseError::of_whole(text, within, &message).in_file(file);
    session.check().map_err(refusal)?;
    Ok(session)
}

/// Refuses another version of the form, which may have other fields: to be checked before anything else.
pub(super) fn check_schema(file: &str, text: &str) -> Result<()> {
    let found = preset::find_field(text, "schema").map(|field| &text[field.value]);
    match found.filter(|found| found.parse() != Ok(SCHEMA)) {
        Some(found) => {
            let message = format!("schema: this is version {found}, and this program reads version {SCHEMA}");
            Err(ParseError::of_whole(text, "", &message).in_file(file))
        }
        None => Ok(()),
    }
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

/// Writes a session atomically to a file that no other run writes: until the new file is complete on disk, the previous
/// one stays.
pub fn save(path: &Path, session: &Session) -> Result<()> {
    SessionFile::take(path)?.save(session)
}

/// A session as the text of its file.
///
/// # Errors
/// It could not be read again: a number is not finite, or the text is longer than what is read.
pub fn text(session: &Session) -> Result<String> {
    session.check().map_err(|Inconsistency { within, message }| anyhow!("{within}: {message}"))?;
    let text = preset::pretty(session)?;
    ensure!(text.len() as u64 <= LARGEST, "the session is larger than the {} MiB that can be read", LARGEST >> 20);
    Ok(text)
}
