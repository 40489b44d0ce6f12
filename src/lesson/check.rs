//! Whether a lesson can be given: its presets exist, its runs fit together, its claims are measured before the answer
//! is shown, and its texts fit on a small screen.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::{ExperimentSpec, Lesson, Stage, Until};
use crate::preset::{self, Preset, Quantity};

/// Characters of each text at most: what fits on a screen of 80 columns and 24 rows.
const QUESTION: usize = 140;
const BACKGROUND: usize = 420;
const ANSWER: usize = 140;
const CAPTION: usize = 140;
const REVEAL: usize = 560;
/// Answers to choose from.
const ANSWERS: std::ops::RangeInclusive<usize> = 2..=4;
/// Runs that train at once.
const RUNS: std::ops::RangeInclusive<usize> = 1..=4;
/// Panes that are shown at once at most.
const PANES: usize = 4;
/// Claims of a lesson at most: as many as are shown with the answer.
const CLAIMS: usize = 6;

/// The lesson with its presets.
///
/// # Errors
/// Each begins with the field that it is about.
pub fn resolved(presets: &Path, mut lesson: Lesson) -> Result<Lesson> {
    texts(&lesson)?;
    lesson.presets = Vec::new();
    for (place, spec) in lesson.experiments.iter().enumerate() {
        let (at, name) = (format!("experiments[{place}]"), spec.name());
        ensure!(preset::is_name(name), "{at}.name: `{name}` may have letters, digits and .-_ only");
        ensure!(lesson.preset(name).is_none(), "{at}.name: there are two experiments `{name}`: give one a name");
        lesson.presets.push((name.to_owned(), with_claims(presets, spec, &at)?));
    }
    comparisons(&lesson)?;
    let claims = lesson.claims().count();
    ensure!(claims > 0, "experiments: at least one claim must settle the question: `claims` or `preset_claims`");
    ensure!(claims <= CLAIMS, "experiments: {claims} claims are more than are shown with the answer: at most {CLAIMS}");
    stages(&lesson)?;
    Ok(lesson)
}

fn texts(lesson: &Lesson) -> Result<()> {
    let fits = |key: &str, text: &str, most: usize| {
        let length = text.chars().count();
        ensure!(!text.trim().is_empty(), "{key}: this text is empty");
        ensure!(length <= most, "{key}: {length} characters are more than fit on a screen: at most {most}");
        Ok(())
    };
    fits("question", &lesson.question, QUESTION)?;
    fits("background", &lesson.background, BACKGROUND)?;
    fits("reveal", &lesson.reveal, REVEAL)?;
    let count = lesson.answers.len();
    ensure!(ANSWERS.contains(&count), "answers: {count} are given: two to four are needed");
    for (place, answer) in lesson.answers.iter().enumerate() {
        fits(&format!("answers[{place}].text"), &answer.text, ANSWER)?;
    }
    let right = lesson.answers.iter().filter(|answer| answer.right).count();
    ensure!((1..count).contains(&right), "answers: at least one must have `right: true`, and one must be wrong");
    for (place, stage) in lesson.stages.iter().enumerate() {
        fits(&format!("stages[{place}].look_for"), &stage.look_for, CAPTION)?;
    }
    Ok(())
}

/// The preset of an experiment with its changes, and with those claims that belong to the lesson.
fn with_claims(presets: &Path, spec: &ExperimentSpec, at: &str) -> Result<Preset> {
    let (_, named) = preset::find_in(presets, &spec.preset).with_context(|| format!("{at}.preset"))?;
    let settings = spec.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut preset = preset::set(&named, settings).map_err(|error| anyhow!("{at}.set: {error}"))?;
    let mut claims = Vec::new();
    for (place, quantity) in spec.preset_claims.iter().enumerate() {
        let at = format!("{at}.preset_claims[{place}]");
        ensure!(!matches!(quantity, Quantity::LossOverPreset(_)), "{at}: this claim names another preset");
        let of_preset = named.claims.iter().filter(|claim| claim.measure == *quantity);
        let before = claims.len();
        claims.extend(of_preset.cloned());
        ensure!(claims.len() > before, "{at}: the preset {} claims nothing about the {quantity}", spec.preset);
    }
    claims.extend(spec.claims.iter().cloned());
    preset.claims = claims;
    preset.check().with_context(|| at.to_owned())?;
    for claim in &preset.claims {
        let (after, steps) = (claim.after, preset.train.steps);
        ensure!(after <= steps, "{at}.claims: a claim is about step {after}, beyond train.steps, which is {steps}");
        preset.shifted(claim.settings()).map_err(|error| anyhow!("{at}.claims: {error}"))?;
    }
    Ok(preset)
}

/// Checks the claims that compare two experiments.
fn comparisons(lesson: &Lesson) -> Result<()> {
    for (place, (_, preset)) in lesson.presets.iter().enumerate() {
        for other in preset.claims.iter().filter_map(preset::Claim::other_preset) {
            let at = format!("experiments[{place}].claims");
            let named = lesson.preset(other);
            let named = named.with_context(|| format!("{at}: there is no experiment `{other}` in this lesson"))?;
            ensure!(named.task == preset.task, "{at}: the experiment `{other}` has another task");
            ensure!(!named.claims.is_empty(), "{at}: the experiment `{other}` has no claim after which it is measured");
        }
    }
    Ok(())
}

fn stages(lesson: &Lesson) -> Result<()> {
    ensure!(!lesson.stages.is_empty(), "stages: at least one is needed");
    for (place, stage) in lesson.stages.iter().enumerate() {
        let (at, runs) = (format!("stages[{place}]"), lesson.runs(place));
        let count = runs.len();
        ensure!(RUNS.contains(&count), "{at}.runs: {count} experiments: one to four train at once");
        let unknown = runs.iter().find(|name| lesson.preset(name).is_none());
        ensure!(
            unknown.is_none(),
            "{at}.runs: there is no experiment `{}` in this lesson",
            unknown.map_or("", |name| name)
        );
        let repeated = runs.iter().enumerate().find(|(i, name)| runs[..*i].contains(name));
        ensure!(repeated.is_none(), "{at}.runs: an experiment is named twice");
        ensure!(stage.layer != Some(0), "{at}.layer: the first layer is 1");
        ensure!(stage.panes.len() <= PANES, "{at}.panes: at most {PANES} can be named");
    }
    for (name, preset) in &lesson.presets {
        let shown = (0..lesson.stages.len()).rev().find(|stage| lesson.runs(*stage).contains(name));
        let shown = shown.with_context(|| format!("stages: the experiment `{name}` runs in none of them"))?;
        let last = preset.claims.iter().map(|claim| claim.after).max().unwrap_or(0);
        let at = format!("stages[{shown}].until");
        ensure!(
            reaches(&lesson.stages[shown], last),
            "{at}: a claim about `{name}` is measured after step {last}: use `End`, or `Step({last})` or later"
        );
    }
    Ok(())
}

/// Whether the claims for a step have been measured when a stage ends.
fn reaches(stage: &Stage, step: u64) -> bool {
    match stage.until {
        Until::End => true,
        Until::Step(last) => last >= step,
        Until::LossOver(..) => step == 0,
    }
}
