//! Compiled kernels on disk, so that a run opens at once if a run of the same kernel was opened before.
//!
//! A file is named by a hash of what it was compiled from, and holds that before the code: a file of another text that
//! has the same hash is not used. A cache that cannot be read or written costs time only.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;

use crate::system::files::{self, Existing};

/// Kernels that are kept; each takes about half a megabyte.
const KEPT: usize = 100;
const ENDING: &str = "kernel";

/// A folder of compiled kernels.
pub struct KernelCache {
    folder: PathBuf,
}

impl KernelCache {
    /// `$XDG_CACHE_HOME/innerloop`, else `~/.cache/innerloop`. `None` if neither variable is an absolute path.
    pub fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        // The XDG standard: relative paths are ignored.
        let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let all = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
        Some(Self { folder: all.join("innerloop") })
    }

    fn path(&self, origin: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        origin.hash(&mut hasher);
        self.folder.join(format!("{:016x}.{ENDING}", hasher.finish()))
    }

    /// The code that was compiled from this; `origin` is the text and all else that the code depends on.
    pub fn find(&self, origin: &str) -> Option<Vec<u8>> {
        let content = fs::read(self.path(origin)).ok()?;
        let (length, rest) = content.split_first_chunk::<8>()?;
        let (found, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        (found == origin.as_bytes() && !code.is_empty()).then(|| code.to_vec())
    }

    /// Keeps this code; the oldest of too many kernels are removed.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn keep(&self, origin: &str, code: &[u8]) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let length = (origin.len() as u64).to_le_bytes();
        files::write(&self.path(origin), [&length, origin.as_bytes(), code].concat(), Existing::Replace)?;
        for (_, path) in kernels(&self.folder)?.into_iter().skip(KEPT) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The kernels in a folder, the newest first.
fn kernels(folder: &Path) -> Result<Vec<(SystemTime, PathBuf)>> {
    let files = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let kernels = files.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
    let mut dated: Vec<_> = kernels.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).collect();
    dated.sort_unstable_by(|a, b| b.cmp(a));
    Ok(dated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, KernelCache) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("new");
        (folder, KernelCache { folder: inner })
    }

    #[test]
    fn a_kernel_is_found_by_what_it_was_compiled_from() {
        let (_folder, cache) = cache();
        assert_eq!(cache.find("a text"), None);
        cache.keep("a text", b"code").unwrap();
        cache.keep("another", b"other code").unwrap();
        assert_eq!(cache.find("a text").as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.find("another").as_deref(), Some(&b"other code"[..]));
        assert_eq!(cache.find("a texts"), None);
    }

    #[test]
    fn a_file_that_is_cut_off_or_of_another_text_is_not_used() {
        let (_folder, cache) = cache();
        cache.keep("a text", b"code").unwrap();
        let path = cache.path("a text");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() - b"code".len() + 1 {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.find("a text"), None, "{length} bytes");
        }
        fs::write(&path, [&8u64.to_le_bytes()[..], b"the text", b"code"].concat()).unwrap();
        assert_eq!(cache.find("a text"), None);
        fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(cache.find("a text"), None);
    }

    #[test]
    fn the_oldest_kernels_are_removed() {
        let (_folder, cache) = cache();
        for i in 0..KEPT + 3 {
            cache.keep(&format!("text {i}"), b"code").unwrap();
        }
        assert_eq!(kernels(&cache.folder).unwrap().len(), KEPT);
        assert!(cache.find(&format!("text {}", KEPT + 2)).is_some());
    }

    #[test]
    fn the_folder_is_that_of_the_user() {
        let folder = |variables: &[(&str, &str)]| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            KernelCache::of_user(variable).map(|cache| cache.folder)
        };
        assert_eq!(folder(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/innerloop".into()));
        assert_eq!(folder(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), Some("/h/.cache/innerloop".into()));
        assert_eq!(folder(&[]), None);
    }
}
