//! A lesson: a question, the experiments that settle it, what is shown of them, and the answer; one commented RON file.
//!
//! Knows nothing of the screen: a stage names the panes that it wants to be seen.

mod answered;
mod check;
mod library;
mod stage;

pub use answered::{Answered, Outcome};
pub use library::{Entry, all, all_in, find, find_in, is_lesson, load, names};
pub use stage::{AxisName, Extra, PaneName, Stage, Until};

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::preset::{Claim, Preset, Quantity};

/// A question that an experiment on the screen settles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// The place in the list, from 1: the list is in an order in which one can learn.
    #[serde(deserialize_with = "bounds::lesson")]
    pub number: u32,
    #[serde(deserialize_with = "bounds::text")]
    pub question: String,
    /// What one needs to know to understand the question. It does not answer it.
    #[serde(deserialize_with = "bounds::text")]
    pub background: String,
    /// What one may choose from: two to four.
    pub answers: Vec<Answer>,
    pub experiments: Vec<ExperimentSpec>,
    pub stages: Vec<Stage>,
    /// The right answer with its reason, in two to four sentences.
    #[serde(deserialize_with = "bounds::text")]
    pub reveal: String,
    /// The experiments by their names, with their changes and the lesson's claims: found when the lesson is read.
    #[serde(skip)]
    pub presets: Vec<(String, Preset)>,
}

/// One of the answers to choose from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    #[serde(deserialize_with = "bounds::text")]
    pub text: String,
    #[serde(default)]
    pub right: bool,
}

/// A preset that a lesson trains, with changes and with the claims that settle the question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    /// The name beside its curves and in the stages; without one, that of the preset.
    #[serde(default)]
    pub name: Option<String>,
    pub preset: String,
    /// Fields that are changed, as by `--set`: keys and values.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// The claims of the preset that belong to the lesson: all that are about these quantities.
    #[serde(default)]
    pub preset_claims: Vec<Quantity>,
    /// Claims of its own. `LossOverPreset` names another experiment of the lesson.
    #[serde(default)]
    pub claims: Vec<Claim>,
}

impl ExperimentSpec {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.preset)
    }
}

impl Lesson {
    /// The preset of an experiment, with the changes and claims of the lesson.
    pub fn preset(&self, experiment: &str) -> Option<&Preset> {
        self.presets.iter().find(|(name, _)| name == experiment).map(|(_, preset)| preset)
    }

    /// The names of the presets that the lesson uses, each once.
    pub fn preset_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for spec in &self.experiments {
            if !names.contains(&spec.preset.as_str()) {
                names.push(&spec.preset);
            }
        }
        names
    }

    /// The experiments that run in a stage: its own, else those of the stage before.
    pub fn runs(&self, stage: usize) -> &[String] {
        let named = self.stages.iter().take(stage + 1).rev().find(|stage| !stage.runs.is_empty());
        named.map_or(&[], |stage| &stage.runs)
    }

    /// Whether an answer is right; `None`: it was skipped.
    pub fn outcome(&self, chosen: Option<usize>) -> Outcome {
        match chosen.and_then(|chosen| self.answers.get(chosen)) {
            Some(answer) if answer.right => Outcome::Right,
            Some(_) => Outcome::Wrong,
            None => Outcome::Skipped,
        }
    }

    /// Every claim with the experiment that it is about.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.presets.iter().flat_map(|(name, preset)| preset.claims.iter().map(move |claim| (name.as_str(), claim)))
    }
}
