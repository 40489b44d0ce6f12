//! Whether a run may be saved in a file that the person has named.
//!
//! A save never replaces what it does not hold itself: another kind of file, another experiment, or a later step of the
//! same experiment.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::{Session, file, store};
use crate::bounds;
use crate::preset::Preset;

/// A run that is about to be saved.
pub struct Planned<'a> {
    /// The preset's name.
    pub name: &'a str,
    pub preset: &'a Preset,
    pub seed: u64,
    /// The step that it starts at.
    pub step: u64,
}

/// How a session's file must be named, so that lists and shells know it.
pub fn is_session_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ron")
}

/// Refuses to replace what is not an earlier state of the same run. With `force`, any session may be replaced, but no
/// other file.
pub fn may_replace(path: &Path, planned: &Planned, force: bool) -> Result<()> {
    let shown = bounds::line(&path.display().to_string());
    ensure!(!path.is_dir(), "{shown}: this is a folder, so no session can be saved here");
    ensure!(is_session_name(path), "{shown}: the name of a session ends in .ron");
    file::existing_folder(path)?;
    if !path.exists() {
        return Ok(());
    }
    ensure!(store::is_session(path).unwrap_or(false), "{shown}: this is not a session, so it is not replaced");
    if force {
        return Ok(());
    }
    let found = match store::load(path) {
        Ok(session) => session,
        Err(error) => bail!("{error:#}; this session cannot be read, and only --force replaces it"),
    };
    let (step, steps) = (found.checkpoint.step, found.preset.train.steps);
    let is = format!("{}, seed {}, step {step} of {steps}", bounds::line(&found.name), found.checkpoint.seed);
    if !is_same(&found, planned) {
        let settings = if found.name == planned.name && found.checkpoint.seed == planned.seed {
            " with other settings"
        } else {
            ""
        };
        bail!("{shown}: this is the session of another experiment{settings} ({is}); only --force replaces it");
    }
    let start = planned.step;
    ensure!(
        step <= start,
        "{shown}: this run is there already at a later step ({is}), and would start again at step {start}: \
         `innerloop train {shown} --save {shown}` goes on with it, and only --force replaces it"
    );
    Ok(())
}

fn is_same(found: &Session, planned: &Planned) -> bool {
    found.preset.fingerprint() == planned.preset.fingerprint() && found.checkpoint.seed == planned.seed
}
