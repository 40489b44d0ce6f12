//! Session files renamed and deleted, as the gallery does on request.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::SessionFile;
use crate::bounds;
use crate::system::files;

/// Gives a session file another name in its folder; `.ron` may be left out.
///
/// # Errors
/// The name is taken or cannot be that of a file; another run writes the session.
pub fn rename(path: &Path, name: &str) -> Result<PathBuf> {
    let stem = name.trim().trim_end_matches(".ron").trim_end();
    ensure!(!stem.is_empty(), "give a name");
    ensure!(!stem.contains(['/', '\\', '\0']), "a name must not contain / or \\: {}", bounds::line(stem));
    ensure!(!stem.starts_with('.'), "a name must not begin with a dot: {}", bounds::line(stem));
    let to = files::folder(path).join(format!("{stem}.ron"));
    if to == path {
        return Ok(to);
    }
    let _owned = SessionFile::take(path)?;
    // A second name and then one less: unlike `rename`, this never replaces a file.
    match std::fs::hard_link(path, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{} exists already", shown(&to)),
        Err(error) => return Err(error).with_context(|| format!("cannot rename {}", shown(path))),
    }
    std::fs::remove_file(path).with_context(|| format!("cannot remove the old name {}", shown(path)))?;
    Ok(to)
}

/// Deletes a session file.
///
/// # Errors
/// Another run writes it, or the folder may not be written.
pub fn delete(path: &Path) -> Result<()> {
    let _owned = SessionFile::take(path)?;
    std::fs::remove_file(path).with_context(|| format!("cannot delete {}", shown(path)))
}

fn shown(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_gets_a_free_name_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.ron"), "first").unwrap();
        fs::write(at("b.ron"), "second").unwrap();
        let said = |name: &str| format!("{:#}", rename(&at("a.ron"), name).unwrap_err());
        assert!(said("b").contains("b.ron exists already") && said("b.ron").contains("exists already"));
        assert!(said("../c").contains("must not contain /"), "{}", said("../c"));
        assert_eq!((said(" "), said(".ron")), ("give a name".to_owned(), "give a name".to_owned()));
        assert!(said(".c").contains("begin with a dot"));
        let taken = SessionFile::take(&at("a.ron")).unwrap();
        assert!(said("c").contains("another run writes this file"));
        let error = format!("{:#}", delete(&at("a.ron")).unwrap_err());
        assert!(error.contains("another run writes this file"), "{error}");
        drop(taken);
        assert_eq!(rename(&at("a.ron"), "gd, noise ½.ron").unwrap(), at("gd, noise ½.ron"));
        assert_eq!(fs::read_to_string(at("gd, noise ½.ron")).unwrap(), "first");
        assert_eq!(rename(&at("b.ron"), "b").unwrap(), at("b.ron"));
        delete(&at("b.ron")).unwrap();
        let left: Vec<_> = files_in(folder.path());
        assert_eq!(left, ["gd, noise ½.ron"]);
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}
