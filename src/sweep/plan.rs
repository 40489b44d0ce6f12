//! Which runs a sweep consists of, in which order, and under which names.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::preset::{self, Preset, SetError};

/// The version of the plan's form.
const SCHEMA: u32 = 1;
/// Runs of a plan at most.
const MOST_RUNS: usize = 100_000;
/// Characters of a run's name at most, without its number.
const LONGEST_NAME: usize = 80;

/// What a sweep runs: every preset × every combination of varied values × every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub schema: u32,
    pub presets: Vec<PlannedPreset>,
    pub vary: Vec<Axis>,
    pub seeds: Vec<u64>,
    /// The step to stop at; none: each preset's own.
    pub steps: Option<u64>,
}

/// A preset with the name it is known by, after what `--set` changes in all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedPreset {
    pub name: String,
    pub preset: Preset,
}

/// A field that is varied: its path, and its values in RON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    pub key: String,
    pub values: Vec<String>,
}

/// One run of a plan.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Unique in the plan, and the stem of the run's files: `0007-gd-ssm-task.dim=5-seed=2`.
    pub name: String,
    pub preset_name: String,
    /// With the varied fields and the seed in place.
    pub preset: Preset,
    /// Path and value of each varied field.
    pub varied: Vec<(String, String)>,
    /// The step to stop at.
    pub steps: u64,
}

impl Axis {
    /// From `KEY=V1,V2,…`. Commas within brackets or quotes belong to a value.
    ///
    /// # Errors
    /// There is no `=`, or a value is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "give KEY=V1,V2,…, for example task.context=5,10,20".to_owned();
        let (key, list) = text.split_once('=').ok_or_else(wrong)?;
        let values: Vec<String> = split_values(list).into_iter().map(|value| value.trim().to_owned()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        if let Some(value) = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)) {
            return Err(format!("the value {} stands there twice", value.1));
        }
        Ok(Self { key: key.trim().to_owned(), values })
    }
}

/// The parts of a list between commas that are outside of brackets and quotes.
fn split_values(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0i32, false);
    for (at, c) in list.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

impl Plan {
    pub fn new(presets: Vec<PlannedPreset>, vary: Vec<Axis>, seeds: Vec<u64>, steps: Option<u64>) -> Self {
        Self { schema: SCHEMA, presets, vary, seeds, steps }
    }

    /// All runs: presets in their order, within each the varied values with the last field fastest, within these the
    /// seeds.
    ///
    /// # Errors
    /// A varied field does not exist, a value is refused by a preset, or there are more than 100,000 runs.
    pub fn runs(&self) -> Result<Vec<RunSpec>> {
        let combinations = self.vary.iter().map(|axis| axis.values.len()).product::<usize>();
        let count = combinations.saturating_mul(self.presets.len()).saturating_mul(self.seeds.len());
        ensure!(count > 0, "this sweep has no runs: give at least one preset and one seed");
        ensure!(count <= MOST_RUNS, "this sweep has {count} runs; at most {MOST_RUNS} are allowed");
        let mut runs = Vec::with_capacity(count);
        for planned in &self.presets {
            for combination in 0..combinations {
                let varied = self.combination(combination);
                let settings = varied.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let preset = preset::set(&planned.preset, settings).map_err(SetErrorIn(&planned.name).context())?;
                for seed in &self.seeds {
                    let mut preset = preset.clone();
                    preset.train.seed = *seed;
                    let steps = self.steps.unwrap_or(preset.train.steps);
                    let name = run_name(runs.len() + 1, &planned.name, &varied, *seed);
                    let (preset_name, varied) = (planned.name.clone(), varied.clone());
                    runs.push(RunSpec { name, preset_name, preset, varied, steps });
                }
            }
        }
        Ok(runs)
    }

    /// Path and value of every varied field of a combination.
    fn combination(&self, mut number: usize) -> Vec<(String, String)> {
        let mut varied: Vec<(String, String)> = Vec::new();
        for axis in self.vary.iter().rev() {
            varied.push((axis.key.clone(), axis.values[number % axis.values.len()].clone()));
            number /= axis.values.len();
        }
        varied.reverse();
        varied
    }
}

/// Adds the preset's name to a refused setting.
struct SetErrorIn<'a>(&'a str);

impl SetErrorIn<'_> {
    fn context(self) -> impl Fn(SetError) -> anyhow::Error {
        let name = self.0.to_owned();
        move |error| anyhow::anyhow!("{name}: {}", error.to_string().replacen("--set", "--vary", 1))
    }
}

/// The number of the run and what distinguishes it, in characters that every file system allows.
fn run_name(number: usize, preset: &str, varied: &[(String, String)], seed: u64) -> String {
    let varied: String = varied.iter().map(|(key, value)| format!("-{key}={value}")).collect();
    let words: String = format!("{preset}{varied}-seed={seed}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.=".contains(c) { c } else { '_' })
        .take(LONGEST_NAME)
        .collect();
    format!("{number:04}-{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str) -> PlannedPreset {
        let (name, preset) = preset::find(name).unwrap();
        PlannedPreset { name, preset }
    }

    #[test]
    fn a_plan_runs_every_combination_once_with_the_seed_fastest() {
        let vary = ["task.dim=3,4", "train.lr=0.01,0.02,0.03"].map(|axis| Axis::parse(axis).unwrap()).to_vec();
        let runs = Plan::new(vec![planned("gd-ssm"), planned("gd-ssm-scalar")], vary, vec![1, 7], Some(5));
        let runs = runs.runs().unwrap();
        assert_eq!(runs.len(), 2 * 2 * 3 * 2);
        let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names[1], "0002-gd-ssm-task.dim=3-train.lr=0.01-seed=7");
        names.dedup();
        assert_eq!(names.len(), 24);
        assert_eq!((runs[2].preset.train.lr, runs[2].preset.train.seed, runs[2].steps), (0.02, 1, 5));
        assert_eq!(runs[6].preset.task.shape().dim, 4);
    }

    #[test]
    fn commas_in_brackets_belong_to_a_value() {
        let axis = Axis::parse("train.optimiser=Adam(beta1: 0.9, beta2: 0.98),Sgd").unwrap();
        assert_eq!(axis.values, ["Adam(beta1: 0.9, beta2: 0.98)", "Sgd"]);
        for wrong in ["task.dim", "task.dim=", "=3", "task.dim=3,,4", "task.dim=3,3"] {
            assert!(Axis::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refused_value_names_preset_and_option() {
        let vary = vec![Axis::parse("task.dim=3,0").unwrap()];
        let error = Plan::new(vec![planned("gd-ssm")], vary, vec![1], None).runs().unwrap_err().to_string();
        assert!(error.starts_with("gd-ssm: --vary task.dim=0: "), "{error}");
    }
}
