//! Claims that compare a preset with another one, which is trained with the same seeds.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::job::Outcome;
use super::seeds::Seeds;
use crate::preset::{self, Preset};

/// The presets that claims of these name and that are not among them.
///
/// # Errors
/// One cannot be read, has no claim after which it could be measured, or has another task.
pub fn others(presets: &[(String, Preset)]) -> Result<Vec<(String, Preset)>> {
    let mut found: Vec<(String, Preset)> = Vec::new();
    for (name, preset) in presets {
        for other in preset.claims.iter().filter_map(preset::Claim::other_preset) {
            let known = presets.iter().chain(&found).find(|(name, _)| *name == name_of(other)).cloned();
            let (stem, companion) = match known {
                Some(known) => known,
                None => preset::find(other).with_context(|| format!("{name}: a claim names {other}"))?,
            };
            ensure!(companion.task == preset.task, "{name}: a claim names {other}, whose task is another one");
            ensure!(!companion.claims.is_empty(), "{name}: a claim names {other}, which has no claims");
            if presets.iter().chain(&found).all(|(name, _)| *name != stem) {
                found.push((stem, companion));
            }
        }
    }
    Ok(found)
}

/// The seeds of each preset. Those that others name are trained with the seeds of these, too.
pub fn seeds(presets: &[(String, Preset)], verified: usize, seeds: &Seeds) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = presets
        .iter()
        .enumerate()
        .map(|(place, (_, preset))| if place < verified { seeds.of(preset) } else { Vec::new() })
        .collect();
    for place in 0..verified {
        for other in named_by(place, presets) {
            let missing: Vec<u64> = all[place].iter().filter(|seed| !all[other].contains(seed)).copied().collect();
            all[other].extend(missing);
        }
    }
    all
}

/// The places of the presets that the claims of one name.
pub fn named_by(place: usize, presets: &[(String, Preset)]) -> impl Iterator<Item = usize> {
    let names = presets[place].1.claims.iter().filter_map(preset::Claim::other_preset);
    names.filter_map(|other| place_of(other, presets))
}

/// Divides the losses that wait for another preset's run by the loss there with the same seed.
pub fn complete(place: usize, presets: &[(String, Preset)], outcomes: &mut [Vec<Outcome>]) {
    for (number, claim) in presets[place].1.claims.iter().enumerate() {
        let Some(other) = claim.other_preset().and_then(|other| place_of(other, presets)) else { continue };
        let losses: Vec<(u64, f64)> = outcomes[other]
            .iter()
            .map(|outcome| (outcome.seed, outcome.result.as_ref().map_or(f64::NAN, |result| result.loss)))
            .collect();
        for outcome in &mut outcomes[place] {
            let loss = losses.iter().find(|(seed, _)| *seed == outcome.seed).map_or(f64::NAN, |(_, loss)| *loss);
            let check = &mut outcome.checks[number];
            check.value /= loss;
            check.held = claim.holds(check.value);
        }
    }
}

/// The name of a preset that a claim gives by its name or as a path.
fn name_of(other: &str) -> String {
    if preset::is_path(other) { preset::stem(Path::new(other)) } else { other.to_owned() }
}

fn place_of(other: &str, presets: &[(String, Preset)]) -> Option<usize> {
    presets.iter().position(|(name, _)| *name == name_of(other))
}
