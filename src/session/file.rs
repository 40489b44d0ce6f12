//! A session file that one run owns: until it is dropped, no other run writes it.
//!
//! Owns the names of new session files. Knows nothing of when a run is saved.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::{Session, store};
use crate::bounds;
use crate::system::files::{self, Existing};
use crate::system::{FileLock, LockError, remove_leftovers};

/// Names that are tried for a new file: `gd-ssm-seed0.ron`, `gd-ssm-seed0-2.ron`, …
const MOST_NAMES: u32 = 100_000;

/// The right to write one session file.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    /// Nothing has been saved yet, and nothing had this name.
    is_new: bool,
    /// What its name begins with, where another number would do as well.
    stem: Option<String>,
    /// Held for as long as this lives.
    _lock: FileLock,
}

impl SessionFile {
    /// Takes a file for one run. It need not exist, but its folder must.
    ///
    /// # Errors
    /// Another run writes it; the folder is missing or may not be written.
    pub fn take(path: &Path) -> Result<Self> {
        let folder = existing_folder(path)?;
        remove_leftovers(folder);
        let lock = match FileLock::acquire(path) {
            Ok(lock) => lock,
            Err(LockError::Held(holder)) => {
                bail!("{}: another run writes this file ({})", shown(path), bounds::line(&holder))
            }
            Err(LockError::Io(error)) => {
                return Err(error).with_context(|| format!("{}: cannot write in this folder", shown(folder)));
            }
        };
        let is_new = !files::target(path).is_ok_and(|target| target.exists());
        Ok(Self { path: path.to_owned(), is_new, stem: None, _lock: lock })
    }

    /// Takes a file that does not exist yet, for a run of a preset: `gd-ssm-seed0.ron`, and with `-2`, `-3`, … where
    /// that is taken. Makes the folder where it is missing.
    ///
    /// # Errors
    /// The folder may not be made or written.
    pub fn new_in(folder: &Path, stem: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", shown(folder)))?;
        remove_leftovers(folder);
        for number in 1..=MOST_NAMES {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = folder.join(format!("{stem}{suffix}.ron"));
            // Looked at before the lock, for speed, and after it, because another run may have been faster.
            if std::fs::symlink_metadata(&path).is_ok() {
                continue;
            }
            match FileLock::acquire(&path) {
                Ok(lock) if std::fs::symlink_metadata(&path).is_err() => {
                    return Ok(Self { path, is_new: true, stem: Some(stem.to_owned()), _lock: lock });
                }
                Ok(_) | Err(LockError::Held(_)) => {}
                Err(LockError::Io(error)) => {
                    return Err(error).with_context(|| format!("{}: cannot write in this folder", shown(folder)));
                }
            }
        }
        bail!("{}: there are {MOST_NAMES} sessions named {stem} already", shown(folder))
    }

    /// Takes a new file in the system's folder for temporary files, for a run that cannot be saved where it should be.
    pub fn elsewhere(name: &str, seed: u64) -> Result<Self> {
        Self::new_in(&std::env::temp_dir(), &stem(name, seed))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a session, whole or not at all: until the new file is complete on disk, the previous one stands.
    pub fn save(&mut self, session: &Session) -> Result<()> {
        let text = store::text(session).with_context(|| format!("cannot save {}", shown(&self.path)))?;
        loop {
            let existing = if self.is_new { Existing::Keep } else { Existing::Replace };
            match files::write(&self.path, &text, existing) {
                Ok(()) => {
                    self.is_new = false;
                    tracing::info!(path = %self.path.display(), step = session.checkpoint.step, "saved");
                    return Ok(());
                }
                // Only where the file system has no locks.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && self.stem.is_some() => {
                    let stem = self.stem.clone().unwrap_or_default();
                    *self = Self::new_in(files::folder(&self.path), &stem)?;
                }
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "not saved");
                    return Err(anyhow!("cannot save {}: {error}", shown(&self.path)));
                }
            }
        }
    }
}

/// What the name of a run's file begins with: its preset and its seed.
pub fn stem(name: &str, seed: u64) -> String {
    // A preset given as a path has slashes in its name; a file's name has none.
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("{}-seed{seed}", name.trim_matches('-'))
}

/// The folder of a file that is to be written.
///
/// # Errors
/// It does not exist.
pub(super) fn existing_folder(path: &Path) -> Result<&Path> {
    let folder = files::folder(path);
    if !folder.is_dir() {
        let folder = shown(folder);
        bail!("{}: the folder {folder} does not exist: make it with `mkdir -p {folder}`", shown(path));
    }
    Ok(folder)
}

fn shown(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn new_names_say_what_they_hold_and_are_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let saves = folder.path().join("saves");
        let take = |name: &str| SessionFile::new_in(&saves, &stem(name, 7)).unwrap();
        let name = |file: &SessionFile| file.path().file_name().unwrap().to_str().unwrap().to_owned();
        let first = take("gd-ssm");
        let second = take("gd-ssm");
        assert_eq!((name(&first).as_str(), name(&second).as_str()), ("gd-ssm-seed7.ron", "gd-ssm-seed7-2.ron"));
        assert_eq!(name(&take("./my/own preset.ron")), "my-own-preset-ron-seed7.ron");
        // Nothing was saved under it, so the name is free again.
        drop(first);
        assert_eq!(name(&take("gd-ssm")), "gd-ssm-seed7.ron");
        fs::write(saves.join("gd-ssm-seed7.ron"), "").unwrap();
        assert_eq!(name(&take("gd-ssm")), "gd-ssm-seed7-3.ron");
    }

    #[test]
    fn many_runs_at_once_get_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut names: Vec<PathBuf> = std::thread::scope(|scope| {
            let runs: Vec<_> =
                (0..12).map(|_| scope.spawn(|| SessionFile::new_in(folder.path(), "a").unwrap())).collect();
            let files: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
            files.iter().map(|file| file.path().to_owned()).collect()
        });
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 12);
    }

    #[test]
    fn a_file_is_taken_by_one_run_and_needs_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.ron");
        let file = SessionFile::take(&path).unwrap();
        let error = format!("{:#}", SessionFile::take(&path).unwrap_err());
        assert!(error.contains("s.ron: another run writes this file (process "), "{error}");
        drop(file);
        SessionFile::take(&path).unwrap();
        let error = format!("{:#}", SessionFile::take(&folder.path().join("a/b.ron")).unwrap_err());
        assert!(error.contains("does not exist: make it with `mkdir -p "), "{error}");
        assert!(!folder.path().join("a").exists());
    }
}
