//! Curves of a sweep over seeds: mean and standard deviation at every step.

use super::chart::{COLORS, Chart, Curve, Level, color_of};
use crate::sweep::{Group, Outcome, RunSpec, Spread, groups, spreads};

/// A chart of one curve: a line for the mean of each combination, a band of one standard deviation on either side. Of
/// the loss also that of one step of gradient descent.
pub fn chart(runs: &[(RunSpec, Outcome)], curve: &str, title: &str) -> Chart {
    let groups = groups(runs);
    let mut chart = Chart { title: title.to_owned(), curves: Vec::new(), levels: Vec::new() };
    for (i, group) in groups.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let spreads = spreads(group, curve);
        let points = spreads.iter().map(|(step, spread)| (*step as f64, spread.mean)).collect();
        let band = spreads
            .iter()
            .filter_map(|(step, Spread { mean, sd, .. })| sd.map(|sd| (*step as f64, mean - sd, mean + sd)));
        chart.curves.push(Curve { label: group.label.clone(), color, width: 2, points, band: band.collect() });
    }
    if curve == "eval_loss" {
        chart.levels = levels(&groups);
    }
    chart
}

/// The loss of one step of gradient descent: one line if it is the same everywhere, else one for each combination, in
/// its colour.
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
