//! Results of presets on this machine: one small RON file, from which the gallery shows which claims have held.
//!
//! Defines where the file is and its form. It is a cache: if it is absent, damaged or of another version it counts as
//! empty, and the next result replaces it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::preset::{self, Claim, Preset};
use crate::system::files::{self, Existing};
use crate::system::{FileLock, LockError};
use crate::train::ClaimCheck;

/// The version of the file's form.
const SCHEMA: u32 = 1;
/// Bytes of the file at most: a few hundred for each preset.
const LARGEST: u64 = 4 << 20;

/// Attempts to lock the cache, which another program holds for milliseconds, and the time between two.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Results of presets, by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Ledger")]
pub struct ResultCache {
    schema: u32,
    presets: BTreeMap<String, PresetResults>,
}

/// The results of one version of a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Page")]
pub struct PresetResults {
    /// [`Preset::fingerprint`] of that version.
    version: String,
    /// Seconds of a training step, if it was timed.
    seconds_per_step: Option<f64>,
    results: Vec<ClaimResult>,
}

/// A claim, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Entry")]
pub struct ClaimResult {
    /// When, in seconds since 1970.
    pub at: u64,
    pub verdict: ClaimCheck,
}

/// The claims that a run of a preset has checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimRecord {
    pub verdicts: Vec<ClaimCheck>,
    /// The loss on all held-out tasks; `None` if no claim is about them.
    pub loss: Option<f64>,
    /// Seconds of a training step; `None` if no step was done.
    pub seconds_per_step: Option<f64>,
}

impl Default for ResultCache {
    fn default() -> Self {
        Self { schema: SCHEMA, presets: BTreeMap::new() }
    }
}

impl ResultCache {
    /// `claims.ron` in the folder for states of programs: `$XDG_STATE_HOME/innerloop`, else
    /// `~/.local/state/innerloop`. `None` if neither variable is an absolute path.
    pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        // The XDG standard: relative paths are ignored.
        let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let states = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
        Some(states.join("innerloop/claims.ron"))
    }

    /// The results in a file; none if it cannot be read.
    pub fn read(path: &Path) -> Self {
        let result_cache = preset::read_bounded(path, LARGEST).and_then(|text| preset::parse::<Self>("", &text));
        result_cache.ok().filter(|result_cache| result_cache.schema == SCHEMA).unwrap_or_default()
    }

    /// Adds a result to a file. Programs that do so at the same time wait for one another.
    pub fn record(path: &Path, (name, preset): (&str, &Preset), outcome: ClaimRecord, at: u64) -> Result<()> {
        std::fs::create_dir_all(files::folder(path))?;
        let _lock = lock(path)?;
        let mut result_cache = Self::read(path);
        result_cache.add((name, preset), outcome, at);
        Ok(files::write(path, &preset::pretty(&result_cache)?, Existing::Replace)?)
    }

    /// Adds a result.
    pub fn add(&mut self, (name, preset): (&str, &Preset), outcome: ClaimRecord, at: u64) {
        let version = preset.fingerprint();
        let fresh = || PresetResults { version: preset.fingerprint(), seconds_per_step: None, results: Vec::new() };
        let page = self.presets.entry(name.to_owned()).or_insert_with(fresh);
        if page.version != version {
            *page = fresh();
        }
        page.seconds_per_step = outcome.seconds_per_step.or(page.seconds_per_step);
        for verdict in outcome.verdicts {
            page.results.retain(|entry| entry.verdict.claim != verdict.claim);
            page.results.push(ClaimResult { at, verdict });
        }
        // Claims that the preset no longer makes are dropped.
        page.results.retain(|entry| preset.claims.contains(&entry.verdict.claim));
    }

    /// The results of this version of a preset; `None` if it has none.
    pub fn results(&self, name: &str, preset: &Preset) -> Option<&PresetResults> {
        self.presets.get(name).filter(|page| page.version == preset.fingerprint())
    }
}

/// Locks the cache for the moment that changing it takes.
fn lock(path: &Path) -> Result<FileLock> {
    let mut attempts = 0;
    loop {
        match FileLock::acquire(path) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Io(error)) => return Err(error.into()),
            Err(LockError::Held(holder)) if attempts == ATTEMPTS => return Err(anyhow!("{holder} holds its lock")),
            Err(LockError::Held(_)) => attempts += 1,
        }
        std::thread::sleep(PAUSE);
    }
}

impl PresetResults {
    /// The result of a claim; `None` if it was not checked.
    pub fn result(&self, claim: &Claim) -> Option<&ClaimResult> {
        self.results.iter().find(|entry| entry.verdict.claim == *claim)
    }

    /// Seconds of a training step on this machine, if it was timed.
    pub fn seconds_per_step(&self) -> Option<f64> {
        self.seconds_per_step.filter(|seconds| seconds.is_finite() && *seconds > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Quantity;
    use std::fs;

    fn tried() -> (Preset, ClaimRecord) {
        let (_, preset) = preset::find("gd-ssm").unwrap();
        let verdict = |claim: &Claim| ClaimCheck { claim: claim.clone(), value: f64::NAN, held: false };
        let verdicts = preset.claims.iter().map(verdict).collect();
        (preset, ClaimRecord { verdicts, loss: None, seconds_per_step: Some(0.001) })
    }

    #[test]
    fn results_are_found_for_the_same_version_of_a_preset_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/claims.ron");
        let (preset, outcome) = tried();
        ResultCache::record(&path, ("gd-ssm", &preset), outcome.clone(), 5).unwrap();
        let first = ClaimCheck { value: 0.5, held: true, ..outcome.verdicts[0].clone() };
        let again = ClaimRecord { verdicts: vec![first.clone()], ..ClaimRecord::default() };
        ResultCache::record(&path, ("gd-ssm", &preset), again, 9).unwrap();

        let result_cache = ResultCache::read(&path);
        let page = result_cache.results("gd-ssm", &preset).unwrap();
        assert_eq!(page.result(&preset.claims[0]), Some(&ClaimResult { at: 9, verdict: first }));
        let second = page.result(&preset.claims[1]).unwrap();
        assert!(second.at == 5 && second.verdict.value.is_nan());
        assert_eq!(page.seconds_per_step(), Some(0.001));
        let claim = Claim { measure: Quantity::LossGap, within: Some(0.5), ..preset.claims[0].clone() };
        assert_eq!(page.result(&claim), None);

        let mut other = preset.clone();
        other.train.lr *= 2.0;
        assert_eq!(result_cache.results("gd-ssm", &other), None);
        assert_eq!(result_cache.results("gru", &preset), None);
        let reworded = Preset { about: String::new(), ..preset.clone() };
        assert!(result_cache.results("gd-ssm", &reworded).is_some(), "words change no numbers");
    }

    #[test]
    fn a_file_that_cannot_be_read_counts_as_empty_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims.ron");
        let (preset, outcome) = tried();
        for text in [
            "",
            "ResultCache(",
            "\u{0}\u{1}",
            "ResultCache(schema: 9, presets: {})",
            "ResultCache(schema: 1, presets: {\"a\": 1})",
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(ResultCache::read(&path), ResultCache::default(), "{text}");
        }
        ResultCache::record(&path, ("gd-ssm", &preset), outcome, 5).unwrap();
        assert_ne!(ResultCache::read(&path), ResultCache::default());
        assert_eq!(ResultCache::read(folder.path()), ResultCache::default(), "a folder");
    }

    #[test]
    fn results_that_come_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims.ron");
        let (preset, outcome) = tried();
        let names: Vec<String> = (0..6).map(|i| format!("preset-{i}")).collect();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| ResultCache::record(&path, (name, &preset), outcome.clone(), 5).unwrap());
            }
        });
        let result_cache = ResultCache::read(&path);
        assert!(names.iter().all(|name| result_cache.results(name, &preset).is_some()));
    }

    #[test]
    fn its_path_follows_the_environment() {
        let path = |variables: &'static [(&str, &str)]| {
            ResultCache::path(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
        };
        assert_eq!(path(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/innerloop/claims.ron".into()));
        let at_home = Some("/h/.local/state/innerloop/claims.ron".into());
        assert_eq!(path(&[("HOME", "/h")]), at_home);
        assert_eq!(path(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]), at_home);
        assert_eq!(path(&[]), None);
    }
}
