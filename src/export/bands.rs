//! Curves of a sweep over seeds: mean and standard deviation at every step.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::{COLORS, Chart, Curve, Level, color_of};
use crate::sweep::{Outcome, RunSpec, Spread};

/// The runs of one preset with one combination of varied values that came to their last step.
struct Group<'a> {
    label: String,
    outcomes: Vec<&'a Outcome>,
}

/// A chart of one curve: a line for the mean of each combination, a band of one standard deviation on either side. Of the
/// loss also that of one step of gradient descent.
pub fn chart(runs: &[(RunSpec, Outcome)], curve: &str, title: &str) -> Chart {
    let groups = groups(runs);
    let mut chart = Chart { title: title.to_owned(), curves: Vec::new(), levels: Vec::new() };
    for (i, group) in groups.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let spreads = spreads(group, curve);
        let points = spreads.iter().map(|(step, spread)| (*step, spread.mean)).collect();
        let band =
            spreads.iter().filter_map(|(step, Spread { mean, sd, .. })| sd.map(|sd| (*step, mean - sd, mean + sd)));
        chart.curves.push(Curve { label: group.label.clone(), color, width: 2, points, band: band.collect() });
    }
    if curve == "eval_loss" {
        chart.levels = levels(&groups);
    }
    chart
}

fn groups(runs: &[(RunSpec, Outcome)]) -> Vec<Group<'_>> {
    let several = runs.iter().any(|(run, _)| run.preset_name != runs[0].0.preset_name);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (run, outcome) in runs.iter().filter(|(_, outcome)| outcome.status == "done") {
        let values = run.varied.iter().map(|(key, value)| format!("{} {value}", key.rsplit('.').next().unwrap_or(key)));
        let name = Some(run.preset_name.clone()).filter(|_| several || run.varied.is_empty());
        let label = name.into_iter().chain(values).collect::<Vec<_>>().join(", ");
        match groups.iter_mut().find(|group| group.label == label) {
            Some(group) => group.outcomes.push(outcome),
            None => groups.push(Group { label, outcomes: vec![outcome] }),
        }
    }
    groups
}

/// Mean and deviation at the steps that every run has.
fn spreads(group: &Group<'_>, curve: &str) -> Vec<(f64, Spread)> {
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
    complete.filter_map(|(step, values)| Some((step as f64, Spread::of(&values)?))).collect()
}

/// The loss of one step of gradient descent: one line if it is the same everywhere, else one for each combination, in its
/// colour.
fn levels(groups: &[Group<'_>]) -> Vec<Level> {
    let loss = |group: &Group<'_>| group.outcomes.first()?.report.pointer("/references/gd-1/loss")?.as_f64();
    let losses: Vec<Option<f64>> = groups.iter().map(loss).collect();
    match losses.first() {
        Some(Some(value)) if losses.iter().all(|loss| loss == &Some(*value)) => {
            vec![Level { label: "gd-1".to_owned(), color: color_of("gd-1"), value: *value }]
        }
        Some(_) | None => {
            let level = |(i, (group, loss)): (usize, (&Group<'_>, &Option<f64>))| {
                let label = format!("gd-1, {}", group.label);
                loss.map(|value| Level { label, color: COLORS[i % COLORS.len()], value })
            };
            groups.iter().zip(&losses).enumerate().filter_map(level).collect()
        }
    }
}
