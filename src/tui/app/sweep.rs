//! The screen of a sweep: which curve, which measure and which varied field are shown.

use std::path::PathBuf;

use crate::series::Series;
use crate::sweep::{self, Dependence, Folder, Outcome, RunSpec, Spread};
use crate::tui::message::SweepAction;

/// A sweep as its folder was when it was read.
#[derive(Clone, Debug)]
pub struct Ended {
    pub folder: PathBuf,
    pub runs: Vec<(RunSpec, Outcome)>,
    /// Runs of the plan.
    pub planned: usize,
}

impl Ended {
    /// # Errors
    /// The folder holds no sweep, or a file of it cannot be read.
    pub fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let (runs, planned) = Folder::open(&folder)?.ended()?;
        Ok(Self { folder, runs, planned })
    }
}

/// A curve over the seeds of one combination.
pub struct Band {
    pub label: String,
    pub mean: Series,
    /// Mean − and + standard deviation; empty for one seed.
    pub low: Series,
    pub high: Series,
    /// At the last step.
    pub last: Option<Spread>,
}

pub struct SweepScreen {
    pub ended: Ended,
    /// The names of the curves, of the fields and of the measures, and which of each is shown.
    pub curves: Vec<String>,
    pub curve: usize,
    pub keys: Vec<String>,
    pub key: usize,
    pub measures: Vec<String>,
    pub measure: usize,
    pub log_axis: bool,
    pub bands: Vec<Band>,
}

impl SweepScreen {
    pub fn new(ended: Ended) -> Self {
        let curves = ended.runs.first().and_then(|(_, outcome)| outcome.curves.as_object());
        let mut curves: Vec<String> = curves.into_iter().flat_map(|curves| curves.keys().cloned()).collect();
        // The held-out loss is what one asks for first.
        curves.sort_by_key(|name| name != "eval_loss");
        let (keys, measures) = (sweep::keys(&ended.runs), sweep::measures(&ended.runs));
        let mut screen =
            Self { ended, curves, curve: 0, keys, key: 0, measures, measure: 0, log_axis: true, bands: Vec::new() };
        screen.gather();
        screen
    }

    /// The same choice with what the folder holds now.
    pub fn renew(&mut self, ended: Ended) {
        let fresh = Self::new(ended);
        let kept = |names: &[String], name: Option<&String>| names.iter().position(|n| Some(n) == name).unwrap_or(0);
        let curve = kept(&fresh.curves, self.curves.get(self.curve));
        let key = kept(&fresh.keys, self.keys.get(self.key));
        let measure = kept(&fresh.measures, self.measures.get(self.measure));
        *self = Self { curve, key, measure, log_axis: self.log_axis, ..fresh };
        self.gather();
    }

    pub fn update(&mut self, action: SweepAction) {
        match action {
            SweepAction::NextMeasure => self.measure = (self.measure + 1) % self.measures.len().max(1),
            SweepAction::PreviousMeasure => {
                let count = self.measures.len().max(1);
                self.measure = (self.measure + count - 1) % count;
            }
            SweepAction::NextKey => self.key = (self.key + 1) % self.keys.len().max(1),
            SweepAction::NextCurve => {
                self.curve = (self.curve + 1) % self.curves.len().max(1);
                self.gather();
            }
            SweepAction::ToggleAxis => self.log_axis = !self.log_axis,
            // The app answers it.
            SweepAction::Read => {}
        }
    }

    /// The measure that is shown, against the field that is shown.
    pub fn dependence(&self) -> (Vec<String>, Vec<Dependence>) {
        let (Some(key), Some(measure)) = (self.keys.get(self.key), self.measures.get(self.measure)) else {
            return (vec![], vec![]);
        };
        sweep::dependence(&self.ended.runs, key, measure)
    }

    fn gather(&mut self) {
        let Some(curve) = self.curves.get(self.curve) else { return };
        let band = |group: &sweep::Group<'_>| {
            let spreads = sweep::spreads(group, curve);
            let series = |of: &dyn Fn(&Spread) -> Option<f64>| {
                let mut series = Series::default();
                spreads.iter().for_each(|(step, spread)| series.push(*step, of(spread).unwrap_or(f64::NAN) as f32));
                series
            };
            Band {
                label: group.label.clone(),
                mean: series(&|spread| Some(spread.mean)),
                low: series(&|spread| Some(spread.mean - spread.sd?)),
                high: series(&|spread| Some(spread.mean + spread.sd?)),
                last: spreads.last().map(|(_, spread)| *spread),
            }
        };
        self.bands = sweep::groups(&self.ended.runs).iter().map(band).collect();
    }
}
