//! Files that are replaced whole or not at all.
//!
//! A new content is written to a temporary file beside the old one, forced to the disk, and renamed. Symbolic links are
//! followed, and the file's permissions stay. Knows nothing of what is in a file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How the names of temporary files begin and end.
pub(super) const TEMPORARY: (&str, &str) = (".innerloop-save-", ".tmp");
/// Symbolic links that are followed at most, as by Linux.
const MOST_LINKS: usize = 40;
/// What a new file may be used for, before the umask: read and written by all.
const NEW_FILE: u32 = 0o666;

/// What happens to a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Replace,
    /// It stays, and writing fails with [`ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes a file whole or not at all: until the new content is complete on the disk, the old one stands.
///
/// # Errors
/// The folder is missing or may not be written, the disk is full, the file is read-only.
pub fn write(path: &Path, content: impl AsRef<[u8]>, existing: Existing) -> io::Result<()> {
    let target = target(path)?;
    let folder = folder(&target);
    let old = fs::metadata(&target).ok().map(|about| about.permissions());
    if old.as_ref().is_some_and(fs::Permissions::readonly) {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1).permissions(fs::Permissions::from_mode(NEW_FILE));
    let mut file = builder.tempfile_in(folder).map_err(|error| without_path(&error))?;
    // Shows other programs that this file is in use. Not every file system has locks.
    let _ = file.as_file().try_lock();
    file.as_file_mut().write_all(content.as_ref())?;
    if let Some(permissions) = old {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    match existing {
        Existing::Replace => file.persist(&target)?,
        Existing::Keep => file.persist_noclobber(&target)?,
    };
    // The new name is on the disk when its folder is. Not every file system can do this, and the file stands already.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The file that a path means: symbolic links are followed, and the last one may point to a file that does not exist.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(link) => target = folder(&target).join(link),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// The folder that a file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// The system's error: tempfile adds a random name, which means nothing to a person.
fn without_path(error: &io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), text.split(" at path ").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_link_is_followed_and_the_mode_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        fs::write(at("deep/file"), "old").unwrap();
        fs::set_permissions(at("deep/file"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("deep/file", at("near")).unwrap();
        symlink(at("near"), at("far")).unwrap();
        write(&at("far"), "new", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(at("deep/file")).unwrap(), "new");
        assert!(at("far").is_symlink() && at("near").is_symlink());
        assert_eq!(mode(&at("deep/file")), 0o600);
        assert_eq!(fs::read_dir(at("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_dangling_link_makes_its_target_and_a_circle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("target", at("link")).unwrap();
        write(&at("link"), "new", Existing::Keep).unwrap();
        assert_eq!(fs::read_to_string(at("target")).unwrap(), "new");
        assert!(at("link").is_symlink());
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(write(&at("a"), "new", Existing::Replace).is_err());
    }

    #[test]
    fn what_is_to_stay_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, "first", Existing::Keep).unwrap();
        assert_eq!(write(&path, "second", Existing::Keep).unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(write(&path, "third", Existing::Replace).unwrap_err().to_string(), "the file is read-only");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = write(&folder.path().join("none/file"), "x", Existing::Replace).unwrap_err();
        assert!(!missing.to_string().contains("innerloop"), "{missing}");
    }
}
