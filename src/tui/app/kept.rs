//! Runs whose curves stay on the screen beside those of the present run.
//!
//! Owns how many there may be, how they are called, and which may stand beside which. Knows nothing of how they are
//! drawn.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Lab;
use crate::bounds::line;
use crate::numbers::short as short_number;
use crate::preset::Preset;
use crate::reference::Reference;
use crate::run_table::{self, Compared, Measured, Row};
use crate::series::Series;
use crate::session::Session;
use crate::train::{History, ReferenceResult, TrainingTime};
use crate::tui::widget::along::{Along, RunCurve};

/// Kept runs at most: as many as there are colours for them.
pub const MOST_KEPT: usize = 6;

/// A run as it was when it was kept, without its weights.
#[derive(Clone, Debug)]
pub struct KeptRun {
    /// The preset's name.
    pub name: String,
    pub preset: Arc<Preset>,
    pub seed: u64,
    /// What was changed in the preset; `None` if there is no preset of that name.
    pub overrides: Option<Vec<String>>,
    pub file: Option<PathBuf>,
    pub history: History,
    pub time: TrainingTime,
}

/// A run whose curves are shown beside those of the present one.
pub struct Overlaid<'a> {
    /// From 0: it has the digit and the colour of this number everywhere.
    pub number: usize,
    pub name: String,
    pub preset: &'a Preset,
    pub history: &'a History,
    /// Where its steps lie on the axis of the curves.
    pub along: Along<'a>,
    /// See [`Lab::loss_unit`].
    loss_unit: f64,
}

impl<'a> Overlaid<'a> {
    /// Its held-out loss.
    pub fn eval_loss(&self) -> RunCurve<'a> {
        RunCurve { series: &self.history.eval_loss, along: self.along, factor: 1.0 / self.loss_unit }
    }
}

impl KeptRun {
    pub fn of_session(file: PathBuf, session: Session, overrides: Option<Vec<String>>) -> Self {
        let Session { name, preset, checkpoint, history, time, .. } = session;
        let (seed, preset) = (checkpoint.seed, Arc::new(preset));
        Self { name, preset, seed, overrides, file: Some(file), history, time }
    }

    /// What the table of runs shows; `descent_loss` is that of one step of gradient descent on the run's task. `None`
    /// if the run was never measured.
    pub fn compared(&self, descent_loss: Option<f64>) -> Option<Compared<'_>> {
        let Self { name, preset, seed, overrides, file, history, time } = self;
        Some(Compared {
            file: file.as_deref(),
            name,
            preset,
            overrides: overrides.clone(),
            seed: *seed,
            history,
            time,
            measured: Measured::of(history.latest.as_ref()?, descent_loss),
        })
    }

    /// What distinguishes it from other runs.
    pub fn words(&self) -> Vec<String> {
        words(&self.name, self.seed, self.overrides.as_deref())
    }
}

/// The words that the name of a run is made of: preset, seed, and each changed field without the part of the preset
/// that it is in.
pub fn words(name: &str, seed: u64, overrides: Option<&[String]>) -> Vec<String> {
    let short = |setting: &String| {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        line(&format!("{} {value}", key.rsplit('.').next().unwrap_or(key)))
    };
    let changed = overrides.unwrap_or_default().iter().map(short);
    [line(name), format!("seed {seed}")].into_iter().chain(changed).collect()
}

impl Lab {
    /// Keeps the run's curves; returns what is to be said about it.
    ///
    /// # Errors
    /// Why the run cannot be kept.
    pub fn keep(&mut self) -> Result<String, String> {
        let opened = self.opened.as_ref().filter(|_| self.history.latest.is_some());
        let opened = opened.ok_or("Still opening: there are no curves to keep yet.")?;
        self.add_kept(KeptRun {
            name: opened.name.clone(),
            preset: Arc::clone(&opened.preset),
            seed: opened.seed,
            overrides: self.overrides.clone(),
            file: opened.file.clone(),
            history: self.history.clone(),
            time: self.time.clone(),
        })?;
        let number = self.first_kept() + self.kept.len();
        Ok(format!("Kept as {number}. r, R or another preset starts the next run beside it; M drops what is kept."))
    }

    /// # Errors
    /// There are six already, or their task is another one.
    pub fn add_kept(&mut self, run: KeptRun) -> Result<(), String> {
        if let Some(why) = refusal(&self.kept, &run.preset) {
            return Err(why);
        }
        self.space_for_kept()?;
        self.kept.push(run);
        Ok(())
    }

    /// # Errors
    /// As many runs are kept as there are colours for.
    pub fn space_for_kept(&self) -> Result<(), String> {
        match self.others.len() {
            _ if self.first_kept() + self.kept.len() < MOST_KEPT => Ok(()),
            0 => Err(format!("{MOST_KEPT} runs are kept already: M drops them.")),
            _ => Err(format!("{MOST_KEPT} runs can be shown, those that train included: M drops the kept ones.")),
        }
    }

    /// Why the kept runs are not shown beside this one; `None` if they are.
    pub fn kept_refusal(&self) -> Option<String> {
        refusal(&self.kept, &self.opened.as_ref()?.preset)
    }

    /// The runs whose curves are shown beside this one's, those that train with it first, and a short name of this one.
    pub fn overlaid(&self) -> (Vec<Overlaid<'_>>, String) {
        let kept = if self.kept_refusal().is_none() { self.kept.as_slice() } else { &[] };
        let own = self.words().filter(|_| !self.others.is_empty() || !kept.is_empty());
        let Some(own) = own else { return (vec![], String::new()) };
        let (unit, differ, own_unit) = (self.steps.unit, self.tasks_differ(), self.loss_unit());
        let live = self.others.iter().filter_map(|other| {
            let (number, history, along) = (other.run, &other.history, unit.along(&other.history, &other.time));
            let preset = &other.opened.as_ref()?.preset;
            let loss_unit = if differ { other.loss_of(Reference::Zero)? } else { 1.0 };
            Some((Overlaid { number, name: String::new(), preset, history, along, loss_unit }, other.words()?))
        });
        let kept = (self.first_kept()..).zip(kept).map(|(number, run)| {
            let KeptRun { preset, history, time, .. } = run;
            let along = unit.along(history, time);
            // Kept runs are shown beside a run of the same task only.
            (Overlaid { number, name: String::new(), preset, history, along, loss_unit: own_unit }, run.words())
        });
        let (mut runs, mut words): (Vec<_>, Vec<_>) = live.chain(kept).unzip();
        words.push(own);
        let histories = runs.iter().map(|run| run.history).chain([&self.history]);
        let mut names = names(&distinguished(&words, histories));
        let name = names.pop().unwrap_or_default();
        runs.iter_mut().zip(names).for_each(|(run, name)| run.name = name);
        (runs, name)
    }

    /// What distinguishes this run from others; `None` until it is open.
    fn words(&self) -> Option<Vec<String>> {
        let opened = self.opened.as_ref()?;
        Some(words(&opened.name, opened.seed, self.overrides.as_deref()))
    }

    /// The number of the first kept run: those that train with this one come before.
    pub(super) fn first_kept(&self) -> usize {
        if self.others.is_empty() { 0 } else { self.others.len() + 1 }
    }

    /// The loss of one step of gradient descent on this run's task.
    pub fn descent_loss(&self) -> Option<f64> {
        self.loss_of(Reference::Gd(1))
    }

    fn loss_of(&self, reference: Reference) -> Option<f64> {
        let is_it = |result: &&ReferenceResult| result.tuned.reference == reference;
        self.opened.as_ref()?.references.iter().find(is_it).map(|result| result.loss)
    }

    /// Whether the runs that train at once have different tasks, so that their losses are no measure of each other.
    pub fn tasks_differ(&self) -> bool {
        let mut presets = self.every_run().filter_map(|run| Some(&run.opened.as_ref()?.preset.task));
        let first = presets.next();
        presets.any(|task| Some(task) != first)
    }

    /// What this run's losses are divided by where they are shown: the loss of predicting zero where runs with
    /// different tasks are shown together, else 1.
    pub fn loss_unit(&self) -> f64 {
        self.loss_of(Reference::Zero).filter(|_| self.tasks_differ()).unwrap_or(1.0)
    }

    /// A curve of this run's losses as it is shown.
    pub fn loss_curve<'a>(&'a self, series: &'a Series) -> RunCurve<'a> {
        RunCurve { series, along: self.along(), factor: 1.0 / self.loss_unit() }
    }

    /// The rows of the table: the runs that are shown beside this one, each with its number, and this one.
    pub fn rows(&self) -> Vec<(Option<usize>, Row)> {
        let descent_loss = self.descent_loss();
        // Steps of gradient descent, and what is to be reached, are those of a run's own task.
        let kept = if self.kept_refusal().is_none() { self.kept.as_slice() } else { &[] };
        let kept = (self.first_kept()..)
            .zip(kept)
            .map(|(number, run)| (Some(number), descent_loss, run.compared(descent_loss)));
        let live = self.others.iter().map(|other| (Some(other.run), other.descent_loss(), other.compared()));
        let runs = live.chain(kept).chain([(None, descent_loss, self.compared())]);
        let row = |(number, level, run): (_, Option<f64>, Option<Compared<'_>>)| {
            Some((number, Row::of(&run?, level.unwrap_or(f64::NAN))))
        };
        let mut rows: Vec<_> = runs.filter_map(row).collect();
        // One of several that train has its place among them; otherwise the present run is the last.
        let place = if self.others.is_empty() { usize::MAX } else { self.run };
        rows.sort_by_key(|(number, _)| number.unwrap_or(place));
        rows
    }

    /// This run for the table; `None` until it is measured.
    fn compared(&self) -> Option<Compared<'_>> {
        let (opened, latest) = (self.opened.as_ref()?, self.history.latest.as_ref()?);
        Some(Compared {
            file: opened.file.as_deref(),
            name: &opened.name,
            preset: &opened.preset,
            overrides: self.overrides.clone(),
            seed: opened.seed,
            history: &self.history,
            time: &self.time,
            measured: Measured::of(latest, self.descent_loss()),
        })
    }
}

/// The words of runs; those that have the same words as another one, with the factor on their learning rate too, where
/// it was changed by hand.
fn distinguished<'a>(words: &[Vec<String>], histories: impl Iterator<Item = &'a History>) -> Vec<Vec<String>> {
    let shared = |own: &Vec<String>| words.iter().filter(|other| *other == own).count() > 1;
    let lr = |own: &Vec<String>, history: &History| {
        let last = history.lr_changes.last().filter(|_| shared(own));
        last.map(|change| format!("lr ×{}", short_number(change.factor)))
    };
    words.iter().zip(histories).map(|(own, history)| own.iter().cloned().chain(lr(own, history)).collect()).collect()
}

/// A short name for each run: that of its experiment where it distinguishes all runs, else the words that not all runs
/// share; the seed where they share all.
pub fn names(words: &[Vec<String>]) -> Vec<String> {
    let experiments: Vec<String> = words.iter().filter_map(|words| words.first().cloned()).collect();
    if experiments.iter().collect::<BTreeSet<_>>().len() == words.len() && words.len() > 1 {
        return experiments;
    }
    let shared = |word: &String| words.iter().all(|other| other.contains(word));
    let name = |words: &Vec<String>| {
        let own: Vec<&str> = words.iter().filter(|word| !shared(word)).map(String::as_str).collect();
        if own.is_empty() { words.get(1).cloned().unwrap_or_default() } else { own.join(" ") }
    };
    words.iter().map(name).collect()
}

/// Why a run may not stand beside those that are kept; `None` if it may.
pub fn refusal(kept: &[KeptRun], preset: &Preset) -> Option<String> {
    let (theirs, own) = run_table::task_difference(&kept.first()?.preset, preset)?;
    let words = "their losses cannot be compared";
    Some(format!("The kept runs have another task ({theirs}) than this one ({own}), so {words}. M drops them."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, seed: u64, overrides: &[&str]) -> KeptRun {
        let (_, preset) = crate::preset::find("gd-ssm").unwrap();
        KeptRun {
            name: name.to_owned(),
            preset: Arc::new(preset),
            seed,
            overrides: Some(overrides.iter().map(|text| (*text).to_owned()).collect()),
            file: None,
            history: History::default(),
            time: TrainingTime::default(),
        }
    }

    #[test]
    fn names_say_what_differs() {
        let named = |runs: &[KeptRun]| names(&runs.iter().map(KeptRun::words).collect::<Vec<_>>());
        assert_eq!(named(&[run("gd-ssm", 1, &[]), run("gd-ssm", 2, &[])]), ["seed 1", "seed 2"]);
        assert_eq!(named(&[run("gd-ssm", 1, &[]), run("s4d", 1, &["train.lr=0.01"])]), ["gd-ssm", "s4d"]);
        assert_eq!(named(&[run("gd-ssm", 1, &["train.lr=0.01"]), run("gd-ssm", 1, &[])]), ["lr 0.01", "seed 1"]);
        assert_eq!(named(&[run("gd-ssm", 1, &[])]), ["seed 1"]);
    }

    #[test]
    fn a_run_of_another_task_is_refused_with_both_tasks() {
        let kept = [run("gd-ssm", 1, &[])];
        assert_eq!(refusal(&kept, &kept[0].preset), None);
        let other = crate::preset::set(&kept[0].preset, [("task.dim", "4")]).unwrap();
        let said = refusal(&kept, &other).unwrap();
        assert!(said.contains("(task.dim=10) than this one (task.dim=4)"), "{said}");
        assert_eq!(refusal(&[], &other), None);
    }
}
