//! What a person changes of a preset on the command line, alike in `run` and `train`.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use super::completions;
use super::exit::Usage;
use crate::bounds;
use crate::preset::{self, Preset};
use crate::session::{Session, Source};

/// Steps that a run may be asked for.
const MOST_STEPS: u64 = 1_000_000_000;

/// Options that change a preset.
#[derive(Args, Clone, Debug, Default)]
pub struct Changes {
    /// The step to stop at, counted from the run's start. The schedule of the learning rate stays that of train.steps
    #[arg(long, value_name = "N", value_parser = steps)]
    pub steps: Option<u64>,
    /// Another seed for the initial weights and the training tasks
    #[arg(long, value_name = "N", value_parser = seed)]
    pub seed: Option<u64>,
    /// Change a field of the preset, for example task.dim=5 or model.init=Constructed
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting, add = completions::keys())]
    pub set: Vec<(String, String)>,
}

/// KEY=VALUE, taken apart.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE, for example task.dim=5")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn steps(text: &str) -> Result<u64, String> {
    whole(text, MOST_STEPS)
}

fn seed(text: &str) -> Result<u64, String> {
    whole(text, u64::MAX)
}

fn whole(text: &str, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| format!("give a whole number from 0 to {most}"))
}

/// Refuses a key that is given twice: one of the values would be lost.
pub fn without_repetition(settings: &[(String, String)]) -> Result<(), Usage> {
    let mut before =
        settings.iter().enumerate().flat_map(|(i, (key, _))| settings[..i].iter().filter(move |s| s.0 == *key));
    match before.next() {
        Some((key, _)) => Err(Usage(format!("--set {} is given twice: give it once", bounds::line(key)))),
        None => Ok(()),
    }
}

impl Changes {
    /// Makes the changes of a preset; refuses those that would change what a session has been trained on.
    pub fn apply(&self, source: Source) -> Result<Source> {
        match source {
            Source::Preset(name, preset) => Ok(Source::Preset(name, Box::new(self.preset(&preset)?))),
            Source::Session(file, session) => {
                self.fits(&file, &session)?;
                Ok(Source::Session(file, session))
            }
        }
    }

    /// The same for runs that train at once. Presets have one seed, that of the first where none is given, so that
    /// presets with one task train on the same batches.
    pub fn apply_to_all(&self, sources: Vec<Source>) -> Result<Vec<Source>> {
        let named = |source: Source| {
            let name = bounds::line(source.name());
            self.apply(source).with_context(|| name)
        };
        if sources.len() < 2 {
            return sources.into_iter().map(|source| self.apply(source)).collect();
        }
        let mut sources = sources.into_iter().map(named).collect::<Result<Vec<_>>>()?;
        let seed = sources.first().map_or(0, |first| first.preset().train.seed);
        for source in &mut sources {
            if let Source::Preset(_, preset) = source {
                preset.train.seed = seed;
            }
        }
        Ok(sources)
    }

    /// Refuses changes where there is nothing that they could change.
    pub fn need_preset(&self) -> Result<(), Usage> {
        let words = "--set, --seed and --steps need a preset: `innerloop gd-ssm --seed 3`";
        if self.is_empty() { Ok(()) } else { Err(Usage(words.to_owned())) }
    }

    /// Refuses changes of a session that is used as it is.
    pub fn none_for_session(&self, file: &str) -> Result<(), Usage> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Usage(format!("{file} is a session and is used as it is: --set, --seed and --steps are for presets")))
    }

    fn is_empty(&self) -> bool {
        self.steps.is_none() && self.seed.is_none() && self.set.is_empty()
    }

    /// The preset with the changes.
    pub fn preset(&self, preset: &Preset) -> Result<Preset> {
        without_repetition(&self.set)?;
        if self.seed.is_some() && self.set.iter().any(|(key, _)| key == "train.seed") {
            return Err(Usage("--seed and --set train.seed are the same: give one of them".to_owned()).into());
        }
        let settings = self.set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut preset = preset::set(preset, settings).map_err(Usage::or_value)?;
        preset.train.seed = self.seed.unwrap_or(preset.train.seed);
        Ok(preset)
    }

    fn fits(&self, file: &Path, session: &Session) -> Result<(), Usage> {
        let file = bounds::line(&file.display().to_string());
        let refuse = |words: String| Err(Usage(format!("{file} is a session {words}")));
        if !self.set.is_empty() || self.seed.is_some() {
            let words = "and continues as it began: --set and --seed are for presets, and `innerloop eval` measures it \
                         on other tasks";
            return refuse(words.to_owned());
        }
        match (self.steps, session.checkpoint.step) {
            (Some(last), step) if last < step => refuse(format!(
                "at step {step} already: --steps {last} counts from the run's start, so give {step} or more"
            )),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_refused_with_what_is_allowed() {
        assert_eq!(steps("12"), Ok(12));
        for text in ["x", "", "-1", "1.5", "1e3", "1000000001"] {
            assert_eq!(steps(text).unwrap_err(), "give a whole number from 0 to 1000000000", "{text}");
        }
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        assert!(seed("18446744073709551616").is_err());
    }

    #[test]
    fn presets_that_train_at_once_have_one_seed() {
        let source = |name: &str| {
            let (name, preset) = preset::find(name).unwrap();
            Source::Preset(name, Box::new(preset))
        };
        let none = Changes::default();
        let seeds = |changes: &Changes| {
            let mut first = source("s4d");
            if let Source::Preset(_, preset) = &mut first {
                preset.train.seed = 5;
            }
            let sources = changes.apply_to_all(vec![first, source("mamba")]).unwrap();
            sources.iter().map(|source| source.preset().train.seed).collect::<Vec<_>>()
        };
        assert_eq!(seeds(&none), [5, 5]);
        assert_eq!(seeds(&Changes { seed: Some(9), ..Changes::default() }), [9, 9]);
        assert_eq!(none.apply_to_all(vec![source("gd-ssm")]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        let (name, preset) = preset::find("gd-ssm").unwrap();
        let source = || Source::Preset(name.clone(), Box::new(preset.clone()));
        let set = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let twice =
            Changes { set: set(&[("task.dim", "3"), ("train.lr", "1"), ("task.dim", "3")]), ..Changes::default() };
        assert_eq!(twice.apply(source()).unwrap_err().to_string(), "--set task.dim is given twice: give it once");
        let seeds = Changes { seed: Some(1), set: set(&[("train.seed", "1")]), ..Changes::default() };
        assert!(seeds.apply(source()).unwrap_err().to_string().starts_with("--seed and --set train.seed"));
        let once = Changes { seed: Some(9), set: set(&[("task.dim", "3")]), ..Changes::default() };
        let Source::Preset(_, changed) = once.apply(source()).unwrap() else { panic!("a preset") };
        assert_eq!((changed.train.seed, changed.task.shape().dim), (9, 3));
    }
}
