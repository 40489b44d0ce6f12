//! What presets came to on this machine: one small RON file, from which the gallery knows which claims have held.
//!
//! Owns the file's place and form. It is a memory and nothing depends on it: a ledger that is absent, damaged or of
//! another version counts as empty, and the next result begins it anew. Knows nothing of how a run is made.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::store::replace;
use crate::preset::{self, Claim, Preset};
use crate::train::ClaimCheck;

/// The version of the file's form.
const SCHEMA: u32 = 1;
/// Bytes of a ledger at most: a few hundred for each preset.
const LARGEST: u64 = 4 << 20;

/// Results of presets, by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultCache {
    schema: u32,
    presets: BTreeMap<String, PresetResults>,
}

/// The results of one version of a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetResults {
    /// [`Preset::fingerprint`] of that version.
    version: String,
    /// What a training step took, where it was timed.
    seconds_per_step: Option<f64>,
    results: Vec<Entry>,
}

/// A claim, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub at: u64,
    pub verdict: ClaimCheck,
}

/// What a run of a preset came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimRecord {
    pub verdicts: Vec<ClaimCheck>,
    /// What a training step took; none where no step was made.
    pub seconds_per_step: Option<f64>,
}

impl Default for ResultCache {
    fn default() -> Self {
        Self { schema: SCHEMA, presets: BTreeMap::new() }
    }
}

impl ResultCache {
    /// `claims.ron` in the folder for states of programs: `$XDG_STATE_HOME/innerloop`, else
    /// `~/.local/state/innerloop`. None where the environment names neither.
    pub fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        // The standard wants relative paths ignored.
        let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let states = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
        Some(states.join("innerloop/claims.ron"))
    }

    /// The ledger in a file; an empty one where there is none that can be read.
    pub fn read(path: &Path) -> Self {
        let result_cache = preset::read_bounded(path, LARGEST).and_then(|text| preset::parse::<Self>("", &text));
        result_cache.ok().filter(|result_cache| result_cache.schema == SCHEMA).unwrap_or_default()
    }

    /// Adds a result to the ledger in a file. Of two programs that do so at one moment one may go unheard.
    pub fn note(path: &Path, (name, preset): (&str, &Preset), outcome: ClaimRecord, at: u64) -> Result<()> {
        let mut result_cache = Self::read(path);
        result_cache.add((name, preset), outcome, at);
        replace(path, &preset::pretty(&result_cache)?)
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
            page.results.push(Entry { at, verdict });
        }
        // Claims come and go with the preset's file; only those that it makes now are of interest.
        page.results.retain(|entry| preset.claims.contains(&entry.verdict.claim));
    }

    /// What this version of a preset came to here; none where it was not tried.
    pub fn page(&self, name: &str, preset: &Preset) -> Option<&PresetResults> {
        self.presets.get(name).filter(|page| page.version == preset.fingerprint())
    }
}

impl PresetResults {
    /// What a claim came to; none where it was not tried.
    pub fn entry(&self, claim: &Claim) -> Option<&Entry> {
        self.results.iter().find(|entry| entry.verdict.claim == *claim)
    }

    /// Seconds that a training step takes here, where it was timed.
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
        (preset, ClaimRecord { verdicts, seconds_per_step: Some(0.001) })
    }

    #[test]
    fn what_was_noted_is_found_again_for_the_same_version_and_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/claims.ron");
        let (preset, outcome) = tried();
        ResultCache::note(&path, ("gd-ssm", &preset), outcome.clone(), 5).unwrap();
        let first = ClaimCheck { value: 0.5, held: true, ..outcome.verdicts[0].clone() };
        let again = ClaimRecord { verdicts: vec![first.clone()], seconds_per_step: None };
        ResultCache::note(&path, ("gd-ssm", &preset), again, 9).unwrap();

        let result_cache = ResultCache::read(&path);
        let page = result_cache.page("gd-ssm", &preset).unwrap();
        assert_eq!(page.entry(&preset.claims[0]), Some(&Entry { at: 9, verdict: first }));
        let second = page.entry(&preset.claims[1]).unwrap();
        assert!(second.at == 5 && second.verdict.value.is_nan());
        assert_eq!(page.seconds_per_step(), Some(0.001));
        let claim = Claim { measure: Quantity::LossGap, within: Some(0.5), ..preset.claims[0].clone() };
        assert_eq!(page.entry(&claim), None);

        let mut other = preset.clone();
        other.train.lr *= 2.0;
        assert_eq!(result_cache.page("gd-ssm", &other), None);
        assert_eq!(result_cache.page("gru", &preset), None);
        let reworded = Preset { about: String::new(), ..preset.clone() };
        assert!(result_cache.page("gd-ssm", &reworded).is_some(), "words change no numbers");
    }

    #[test]
    fn a_ledger_that_cannot_be_read_is_empty_and_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims.ron");
        let (preset, outcome) = tried();
        for text in
            ["", "Ledger(", "\u{0}\u{1}", "Ledger(schema: 9, presets: {})", "Ledger(schema: 1, presets: {\"a\": 1})"]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(ResultCache::read(&path), ResultCache::default(), "{text}");
        }
        ResultCache::note(&path, ("gd-ssm", &preset), outcome, 5).unwrap();
        assert_ne!(ResultCache::read(&path), ResultCache::default());
        assert_eq!(ResultCache::read(folder.path()), ResultCache::default(), "a folder");
    }

    #[test]
    fn its_place_follows_the_environment() {
        let place = |variables: &'static [(&str, &str)]| {
            ResultCache::place(|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(place(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/innerloop/claims.ron".into()));
        let at_home = Some("/h/.local/state/innerloop/claims.ron".into());
        assert_eq!(place(&[("HOME", "/h")]), at_home);
        assert_eq!(place(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]), at_home);
        assert_eq!(place(&[]), None);
    }
}
