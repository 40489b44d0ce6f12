//! What the runs of a sweep came to over its seeds: curves with a spread at each step, and measures against a varied
//! field.
//!
//! Runs that did not come to their last step are no part of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::results::flatten;
use super::{Outcome, RunSpec, Spread};

/// What the presets are called where they stand along an axis.
const PRESET: &str = "preset";
/// The measure that is no path of the report.
const OVER_GD_1: &str = "loss / gd-1";
/// The measures that are looked at first.
const FIRST: [&str; 5] = [
    "eval_loss",
    OVER_GD_1,
    "equivalence.prediction_difference_relative",
    "equivalence.sensitivity_cosine",
    "equivalence.nearest_distance",
];
/// Numbers of the report that measure nothing.
const SETTINGS: [&str; 2] = ["seed", "steps"];

/// The runs of one preset with one combination of varied values.
pub struct Group<'a> {
    pub label: String,
    pub outcomes: Vec<&'a Outcome>,
}

/// In the order of the plan.
pub fn groups(runs: &[(RunSpec, Outcome)]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (run, outcome) in done(runs) {
        let label = label(run, several_presets(runs), None);
        match groups.iter_mut().find(|group| group.label == label) {
            Some(group) => group.outcomes.push(outcome),
            None => groups.push(Group { label, outcomes: vec![outcome] }),
        }
    }
    groups
}

fn done(runs: &[(RunSpec, Outcome)]) -> impl Iterator<Item = &(RunSpec, Outcome)> {
    runs.iter().filter(|(_, outcome)| outcome.status == "done")
}

fn several_presets(runs: &[(RunSpec, Outcome)]) -> bool {
    runs.iter().any(|(run, _)| run.preset_name != runs[0].0.preset_name)
}

/// The preset where there are several, and the varied values, without those of one key.
fn label(run: &RunSpec, several: bool, without: Option<&str>) -> String {
    let varied = run.varied.iter().filter(|(key, _)| without != Some(key.as_str()));
    let values = varied.map(|(key, value)| format!("{} {value}", key.rsplit('.').next().unwrap_or(key)));
    let named = without != Some(PRESET) && (several || run.varied.is_empty());
    let name = Some(run.preset_name.clone()).filter(|_| named);
    name.into_iter().chain(values).collect::<Vec<_>>().join(", ")
}

/// Mean and deviation of a curve at the steps that every run has.
pub fn spreads(group: &Group<'_>, curve: &str) -> Vec<(u64, Spread)> {
    let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for outcome in &group.outcomes {
        for bucket in outcome.curves.get(curve).and_then(Value::as_array).into_iter().flatten() {
            let cell = |i: usize| bucket.get(i);
            if let (Some(step), Some(mean)) = (cell(0).and_then(Value::as_u64), cell(2).and_then(Value::as_f64)) {
                at.entry(step).or_default().push(mean);
            }
        }
    }
    let complete = at.into_iter().filter(|(_, values)| values.len() == group.outcomes.len());
    complete.filter_map(|(step, values)| Some((step, Spread::of(&values)?))).collect()
}

/// The fields that a measure can be shown against: those that are varied, and the preset where there are several.
pub fn keys(runs: &[(RunSpec, Outcome)]) -> Vec<String> {
    let varied = runs.first().into_iter().flat_map(|(run, _)| run.varied.iter().map(|(key, _)| key.clone()));
    let preset =
        (several_presets(runs) || runs.first().is_some_and(|(run, _)| run.varied.is_empty())).then_some(PRESET);
    varied.chain(preset.map(str::to_owned)).collect()
}

/// What can be shown: the numbers of a report by their paths, those that are looked at most first.
pub fn measures(runs: &[(RunSpec, Outcome)]) -> Vec<String> {
    let mut cells = Vec::new();
    done(runs).take(1).for_each(|(_, outcome)| flatten("", &outcome.report, &mut cells));
    let numbers = cells.into_iter().filter(|(_, text)| text.parse::<f64>().is_ok()).map(|(path, _)| path);
    let others = numbers.filter(|path| !FIRST.contains(&path.as_str()) && !SETTINGS.contains(&path.as_str()));
    FIRST.map(str::to_owned).into_iter().chain(others).collect()
}

/// A measure against the values of one field, for the runs that differ in nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependence {
    /// What these runs have in common and others do not.
    pub label: String,
    /// One for each value of the field; `None` where no run has come to it.
    pub points: Vec<Option<Spread>>,
}

/// The values of a field in the order of the plan, and the measure against them.
pub fn dependence(runs: &[(RunSpec, Outcome)], key: &str, measure: &str) -> (Vec<String>, Vec<Dependence>) {
    let value = |run: &RunSpec| match key {
        PRESET => Some(run.preset_name.clone()),
        key => run.varied.iter().find(|(varied, _)| varied == key).map(|(_, value)| value.clone()),
    };
    let mut values: Vec<String> = Vec::new();
    let mut lines: Vec<(String, BTreeMap<usize, Vec<f64>>)> = Vec::new();
    for (run, outcome) in done(runs) {
        let (Some(value), Some(number)) = (value(run), number(&outcome.report, measure)) else { continue };
        let at = values.iter().position(|known| *known == value).unwrap_or_else(|| {
            values.push(value);
            values.len() - 1
        });
        let label = label(run, several_presets(runs), Some(key));
        match lines.iter_mut().find(|(known, _)| *known == label) {
            Some((_, numbers)) => numbers.entry(at).or_default().push(number),
            None => lines.push((label, BTreeMap::from([(at, vec![number])]))),
        }
    }
    let points = |numbers: &BTreeMap<usize, Vec<f64>>| {
        (0..values.len()).map(|at| numbers.get(&at).and_then(|numbers| Spread::of(numbers))).collect()
    };
    let lines = lines.iter().map(|(label, numbers)| Dependence { label: label.clone(), points: points(numbers) });
    (values.clone(), lines.collect())
}

fn number(report: &Value, measure: &str) -> Option<f64> {
    let at = |path: &str| report.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_f64);
    match measure {
        OVER_GD_1 => Some(at("eval_loss")? / at("references.gd-1.loss")?),
        path => at(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sweep::{Axis, Plan, PlannedPreset};

    fn runs(status: &str) -> Vec<(RunSpec, Outcome)> {
        let presets = ["gd-ssm", "s4d"].map(|name| crate::preset::find(name).unwrap());
        let presets = presets.map(|(name, preset)| PlannedPreset { name, preset });
        let vary = vec![Axis::parse("task.context=5,10").unwrap()];
        let runs = Plan::new(presets.to_vec(), vary, vec![1, 2], None).runs().unwrap();
        let outcome = |(i, run): (usize, RunSpec)| {
            let loss = 0.125 * (1 + i) as f64;
            let report = json!({"eval_loss": loss, "seed": 1, "references": {"gd-1": {"loss": 0.5}}});
            let status = if i == 7 { status.to_owned() } else { "done".to_owned() };
            (
                run,
                Outcome {
                    status,
                    report,
                    curves: json!({"eval_loss": [[0, 1.0, loss, 1.0], [10, 0.0, loss / 2.0, 1.0]]}),
                },
            )
        };
        runs.into_iter().enumerate().map(outcome).collect()
    }

    #[test]
    fn a_measure_stands_against_a_field_with_a_line_for_each_of_the_others() {
        let runs = runs("done");
        assert_eq!(keys(&runs), ["task.context", "preset"]);
        let measures = measures(&runs);
        assert_eq!(measures[..2], ["eval_loss", "loss / gd-1"]);
        assert!(measures.contains(&"references.gd-1.loss".to_owned()) && !measures.contains(&"seed".to_owned()));
        let (values, lines) = dependence(&runs, "task.context", "loss / gd-1");
        assert_eq!(values, ["5", "10"]);
        let means = |line: &Dependence| line.points.iter().map(|point| point.map(|p| p.mean)).collect::<Vec<_>>();
        assert_eq!(lines.iter().map(|line| line.label.as_str()).collect::<Vec<_>>(), ["gd-ssm", "s4d"]);
        assert_eq!(means(&lines[0]), [Some(0.375), Some(0.875)]);
        let (values, lines) = dependence(&runs, "preset", "eval_loss");
        assert_eq!((values, lines[1].label.as_str()), (vec!["gd-ssm".to_owned(), "s4d".to_owned()], "context 10"));
    }

    #[test]
    fn curves_have_a_spread_over_seeds_and_what_diverged_is_no_part_of_it() {
        let all = runs("done");
        let groups_of_all = groups(&all);
        assert_eq!(groups_of_all.len(), 4);
        let curve = spreads(&groups_of_all[0], "eval_loss");
        assert_eq!((curve[0].0, curve[0].1.mean, curve[1].1.mean, curve[1].1.n), (0, 0.1875, 0.09375, 2));
        let some = runs("diverged at step 3");
        assert_eq!(groups(&some)[3].outcomes.len(), 1);
    }
}
