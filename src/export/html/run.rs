//! The report of one run.

use anyhow::Result;
use serde_json::Value;

use super::page::Page;
use crate::export::chart::{COLORS, Chart, parity};
use crate::export::heatmap::{self, Map};
use crate::export::{MeasuredRun, svg};
use crate::numbers::{cosine, count, percent, short, significant};
use crate::preset;
use crate::train::{Grid, LayerState, Snapshot, TimeStep};

/// How much the difference of two heatmaps is magnified.
const MAGNIFIED: f32 = 10.0;

/// The page.
pub fn report(run: &MeasuredRun<'_>) -> Result<String> {
    let (session, preset) = (run.session, &run.session.preset);
    let mut page = Page::new(&preset.title);
    page.paragraph("muted", &preset.summary);
    page.paragraph("answer", &answer(&run.report));
    page.section("Loss");
    page.figure(&svg::loss(run).svg()?, "Dashed: the loss of each reference on the same held-out tasks.");
    page.section("Distance to one step of gradient descent");
    let history = &session.history;
    let named = [
        ("predictions, relative", &history.prediction_difference, COLORS[0]),
        ("sensitivities, 1 − cosine", &history.sensitivity_angle, COLORS[5]),
        ("loss gap", &history.loss_gap, COLORS[4]),
        ("state, 1 − |cosine|", &history.state_angle, COLORS[3]),
    ];
    let curves = named.into_iter().filter(|(_, series, _)| !series.is_empty());
    let curves = curves.map(|(label, series, color)| svg::curve(label, series, color, 2)).collect();
    let title = "Equal where all curves are near zero".to_owned();
    page.figure(
        &Chart { title, curves, levels: Vec::new() }.svg()?,
        "The distances of the latest measurement stand at the right.",
    );
    states(&mut page, &run.snapshot);
    page.section("Predictions");
    let reference = text(&run.report, "/equivalence/reference");
    let caption = format!(
        "{} answers to held-out queries; on the dashed line they are equal.",
        count(run.snapshot.parity.len() as u64)
    );
    page.figure(&parity(&run.snapshot.parity, &reference)?, &caption);
    page.section("References");
    page.table(&references(run));
    claims(&mut page, run);
    made_with(&mut page, run)?;
    Ok(page.finish())
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn text(report: &Value, path: &str) -> String {
    report.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The comparison with the main reference in one sentence.
fn answer(report: &Value) -> String {
    let reference = text(report, "/equivalence/reference");
    let loss = number(report, "/eval_loss");
    let over = loss / number(report, &format!("/references/{reference}/loss"));
    format!(
        "Held-out loss {} = {} × {reference}; predictions differ from those of {reference} by {}, sensitivity cosine \
         {}. Nearest reference: {}.",
        significant(loss, 4),
        significant(over, 4),
        percent(number(report, "/equivalence/prediction_difference_relative")),
        cosine(number(report, "/equivalence/sensitivity_cosine")),
        text(report, "/equivalence/nearest"),
    )
}

/// The hidden state of the first layer after the last pair of the first probe sequence, beside Σ y xᵀ.
fn states(page: &mut Page, snapshot: &Snapshot) {
    let Some(time_step) = snapshot.probes.first().and_then(|probe| last_with_pairs(&probe.time_steps)) else { return };
    let Some(layer) = time_step.layers.first() else { return };
    page.section("Hidden state");
    let most = |grid: &Grid| grid.values.iter().filter(|v| v.is_finite()).fold(0.0f32, |most, v| most.max(v.abs()));
    let name = snapshot.layer_names.first().map_or("the model", String::as_str);
    let at = format!("After token {} of {} ({})", time_step.token, snapshot.tokens, time_step.label);
    let LayerState { state, aligned, added: _, cosine: closeness } = layer;
    let Some(aligned) = aligned else {
        let map = Map { title: format!("state of {name}"), grid: state, most: most(state) };
        let axes = format!("rows {}, columns {}", state.axes.0, state.axes.1);
        return page.figure(
            &heatmap::svg(&[map]),
            &format!("{at}; {axes}. This state cannot be compared with Σ y xᵀ entry by entry."),
        );
    };
    let accumulator = &time_step.accumulator;
    let values = aligned.values.iter().zip(&accumulator.values).map(|(a, b)| a - b).collect();
    let difference = Grid { values, ..accumulator.clone() };
    let scale = most(accumulator);
    let maps = [
        Map { title: "model's state, scaled".to_owned(), grid: aligned, most: scale },
        Map { title: "Σ y xᵀ".to_owned(), grid: accumulator, most: scale },
        Map { title: format!("difference × {MAGNIFIED}"), grid: &difference, most: scale / MAGNIFIED },
    ];
    let closeness = closeness.map_or(String::new(), |value| format!(", |cosine| {}", cosine(value)));
    let axes = format!("rows {}, columns {}", accumulator.axes.0, accumulator.axes.1);
    page.figure(
        &heatmap::svg(&maps),
        &format!("{at}; {axes}; full colour at ±{}{closeness}.", short(f64::from(scale))),
    );
}

/// The last time step at which the accumulator is not empty.
fn last_with_pairs(time_steps: &[TimeStep]) -> Option<&TimeStep> {
    time_steps.iter().rev().find(|at| at.accumulator.values.iter().any(|value| *value != 0.0)).or(time_steps.last())
}

fn references(run: &MeasuredRun<'_>) -> Vec<Vec<String>> {
    let head =
        ["reference", "loss", "model's loss over it", "distance of predictions", "parameters", "operations per query"];
    let loss = number(&run.report, "/eval_loss");
    let own = run.session.preset.title.clone();
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.push(vec![own, significant(loss, 4), "1".to_owned(), "0 %".to_owned(), String::new(), String::new()]);
    for (name, line) in run.report.get("references").and_then(Value::as_object).into_iter().flatten() {
        let distance = run.distances.iter().find(|(reference, _)| reference.to_string() == *name);
        let its = number(line, "/loss");
        rows.push(vec![
            name.clone(),
            significant(its, 4),
            significant(loss / its, 4),
            distance.map_or_else(|| "as a simpler one".to_owned(), |(_, distance)| percent(*distance)),
            parameters(line),
            line.get("flops").and_then(Value::as_u64).map_or_else(String::new, count),
        ]);
    }
    rows
}

/// "η 6.061, λ 0.5".
fn parameters(line: &Value) -> String {
    let symbols = [
        ("eta", "η"),
        ("momentum", "momentum"),
        ("forgetting", "forgetting"),
        ("lambda", "λ"),
        ("gamma", "γ"),
        ("alpha", "α"),
    ];
    let named = symbols
        .iter()
        .filter_map(|(key, symbol)| Some(format!("{symbol} {}", significant(line.get(*key)?.as_f64()?, 4))));
    let each = line.get("etas").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_f64);
    let each = each.enumerate().map(|(i, eta)| format!("η{} {}", i + 1, significant(eta, 4)));
    each.chain(named).collect::<Vec<_>>().join(", ")
}

fn claims(page: &mut Page, run: &MeasuredRun<'_>) {
    let preset = &run.session.preset;
    if preset.claims.is_empty() {
        return;
    }
    page.section("Claims of the preset");
    let mut rows = vec![["claim", "measured", "result"].map(str::to_owned).to_vec()];
    for claim in &preset.claims {
        let (value, result) = match run.claims.iter().find(|check| check.claim == *claim) {
            Some(check) if check.held => (significant(check.value, 4), "held".to_owned()),
            Some(check) => (significant(check.value, 4), "did not hold".to_owned()),
            None => (String::new(), format!("not checked: the run is at step {}", count(run.session.checkpoint.step))),
        };
        rows.push(vec![claim.to_string(), value, result]);
    }
    page.table(&rows);
}

fn made_with(page: &mut Page, run: &MeasuredRun<'_>) -> Result<()> {
    let session = run.session;
    page.section("Made with");
    let changed = match run.changed.as_deref() {
        None => "there is no preset of this name to compare with".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(fields) => fields.join(", "),
    };
    let step = format!("{} of {}", count(session.checkpoint.step), count(session.preset.train.steps));
    let rows = [
        ["preset", &session.name],
        ["changed in it", &changed],
        ["seed", &session.checkpoint.seed.to_string()],
        ["step", &step],
        ["parameters", &count(session.preset.parameters() as u64)],
        ["innerloop", run.version],
    ];
    let head = vec!["what".to_owned(), "value".to_owned()];
    let rows: Vec<Vec<String>> = [head].into_iter().chain(rows.map(|row| row.map(str::to_owned).to_vec())).collect();
    page.table(&rows);
    page.details("The preset as a file", &preset::pretty(&session.preset)?);
    Ok(())
}
