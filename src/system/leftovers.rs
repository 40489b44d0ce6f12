//! Removes what programs that were killed have left in a folder of sessions: temporary files and lock files.
//!
//! A file of a living program is locked; a file that is a moment old may be about to be.

use std::fs::{self, DirEntry, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::files::TEMPORARY;
use super::lock;

/// Files that are younger stay: their program may not have locked them yet.
const YOUNG: Duration = Duration::from_secs(2);
/// Temporary files of versions that did not lock them, and those where there are no locks: no save takes so long.
const OLD: Duration = Duration::from_secs(600);
/// How the temporary files of any version begin and end.
const ANY_VERSION: (&str, &str) = (".innerloop-", ".tmp");

/// Removes the temporary files and lock files of programs that have ended. Nothing that cannot be removed is an error.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if is_left_over(&entry) {
            tracing::info!(path = %entry.path().display(), "removed a leftover");
        }
    }
}

/// Removes the file if it is a leftover; says whether it was.
fn is_left_over(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let Some(name) = name.to_str() else { return false };
    let between = |(start, end): (&str, &str)| name.starts_with(start) && name.ends_with(end);
    let (temporary, lock) = (between(ANY_VERSION), between((".", ".ron.lock")));
    let Ok(about) = entry.metadata() else { return false };
    let age = about.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default();
    if !(temporary || lock) || !about.is_file() || age < YOUNG {
        return false;
    }
    let path = entry.path();
    let Ok(file) = File::options().read(true).write(true).open(&path) else { return false };
    let dead = match file.try_lock() {
        Ok(()) => lock || between(TEMPORARY) || age > OLD,
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(_)) => temporary && age > OLD,
    };
    dead && lock::is_same(&file, &path) && fs::remove_file(&path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::FileLock;
    use super::*;

    #[test]
    fn only_what_is_ours_and_dead_goes() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, seconds: u64| {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
            file
        };
        let stay = [".innerloop-save-young.tmp", ".innerloop-older.tmp", ".other.tmp", "s.ron", ".x.lock"];
        let go = [".innerloop-save-a.tmp", ".innerloop-b.tmp", ".dead.ron.lock"];
        for (name, age) in stay.into_iter().zip([0, 100, 9_000, 9_000, 9_000]).chain(go.into_iter().zip([5, 9_000, 5]))
        {
            make(name, age);
        }
        let writing = make(".innerloop-save-writing.tmp", 9_000);
        writing.try_lock().unwrap();
        let _held = FileLock::acquire(&folder.path().join("held.ron")).unwrap();
        make(".held.ron.lock", 9_000);
        remove_leftovers(folder.path());
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut expected: Vec<_> = stay.iter().map(|name| (*name).to_owned()).collect();
        expected.extend([".innerloop-save-writing.tmp".to_owned(), ".held.ron.lock".to_owned()]);
        expected.sort();
        assert_eq!(left, expected);
    }
}
