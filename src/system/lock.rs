//! The right to write a file under one name, which one process has at a time.
//!
//! The lock is flock(2) on a hidden file beside the file itself, because saving replaces the file. The system releases
//! it when its holder ends, however that happens.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::files;

/// How the names of lock files end: `.gd-ssm-seed0.ron.lock`.
pub(super) const SUFFIX: &str = ".lock";
/// Attempts before a lock counts as held: a program that removes leftovers holds it for a moment.
const ATTEMPTS: u32 = 5;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a holder's description at most.
const LONGEST_HOLDER: u64 = 200;

/// A lock on the name of a file. Released when dropped.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    /// None where the file system has no locks.
    file: Option<File>,
}

/// Why a lock was not acquired.
#[derive(Debug)]
pub enum LockError {
    /// Another run has it; says which: "process 4711 on node3".
    Held(String),
    /// The folder is missing or may not be written.
    Io(io::Error),
}

impl FileLock {
    /// Acquires the lock on the name of a file, which need not exist. Where the file system has no locks, it is
    /// granted to everyone.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let path = lock_path(path).map_err(LockError::Io)?;
        let mut holder = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                thread::sleep(PAUSE);
            }
            let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = open.map_err(LockError::Io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    holder.clear();
                    let _ = file.take(LONGEST_HOLDER).read_to_string(&mut holder);
                    continue;
                }
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, path = %path.display(), "the file system has no locks");
                    return Ok(Self { path, file: None });
                }
            }
            // Its last holder may have removed it between opening and locking.
            if is_same(&file, &path) {
                let _ = describe(&mut file);
                return Ok(Self { path, file: Some(file) });
            }
        }
        let holder = holder.trim();
        Err(LockError::Held(if holder.is_empty() { "another process".to_owned() } else { holder.to_owned() }))
    }
}

impl FileLock {
    /// Who has the lock on the name of a file: "process 4711 on node3". `None` if it is free, or the file system has no
    /// locks.
    pub fn holder(path: &Path) -> Option<String> {
        let file = File::open(lock_path(path).ok()?).ok()?;
        // Shared, so that those who only ask do not see each other.
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut holder = String::new();
        let _ = file.take(LONGEST_HOLDER).read_to_string(&mut holder);
        let holder = holder.trim();
        Some(if holder.is_empty() { "another process".to_owned() } else { holder.to_owned() })
    }
}

/// The file that carries the lock on a name.
fn lock_path(path: &Path) -> io::Result<PathBuf> {
    let target = files::target(path)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(files::folder(&target).join(format!(".{name}{SUFFIX}")))
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While the lock is held, so that the lock of another process is not removed.
        if let Some(file) = &self.file
            && is_same(file, &self.path)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes who holds a lock, for the message to the others.
fn describe(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let host = rustix::system::uname();
    writeln!(file, "process {} on {}", std::process::id(), host.nodename().to_string_lossy())
}

/// Whether an open file is the one that has this name now.
pub(super) fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.ron");
        let lock = FileLock::acquire(&path).unwrap();
        let Err(LockError::Held(holder)) = FileLock::acquire(&path) else { panic!("two locks") };
        assert!(holder.starts_with(&format!("process {} on ", std::process::id())), "{holder}");
        assert_eq!(FileLock::holder(&path), Some(holder));
        assert_eq!(FileLock::holder(&folder.path().join("other.ron")), None);
        assert!(FileLock::acquire(&folder.path().join("other.ron")).is_ok());
        drop(lock);
        assert_eq!(FileLock::holder(&path), None);
        drop(FileLock::acquire(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(matches!(FileLock::acquire(&folder.path().join("none/s.ron")), Err(LockError::Io(_))));
    }

    #[test]
    fn a_link_and_its_target_share_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("target.ron", folder.path().join("link.ron")).unwrap();
        let _lock = FileLock::acquire(&folder.path().join("link.ron")).unwrap();
        assert!(matches!(FileLock::acquire(&folder.path().join("target.ron")), Err(LockError::Held(_))));
    }

    #[test]
    fn of_many_threads_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.ron");
        let got = thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| FileLock::acquire(&path).ok())).collect();
            tries.into_iter().filter_map(|handle| handle.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(got.len(), 1);
    }
}
