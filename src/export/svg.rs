//! The loss over the run with the losses of the references; of a sweep, its mean over seeds with a band.

use anyhow::Result;
use serde_json::Value;

use super::chart::{COLORS, Chart, Curve, GREY, Level, color_of};
use super::{EndedRuns, MeasuredRun, bands};
use crate::series::Series;

/// One run.
pub fn run(run: &MeasuredRun<'_>) -> Result<String> {
    loss(run).svg()
}

/// A sweep.
pub fn sweep(ended: &EndedRuns<'_>) -> Result<String> {
    bands::chart(
        ended.runs,
        "eval_loss",
        &format!("{}: held-out loss, mean ± standard deviation over seeds", ended.title),
    )
    .svg()
}

/// Held-out loss, training loss with its extremes, and the references that the preset asks for.
pub(super) fn loss(run: &MeasuredRun<'_>) -> Chart {
    let (history, preset) = (&run.session.history, &run.session.preset);
    let train = Curve {
        band: history
            .train_loss
            .buckets()
            .iter()
            .map(|b| (b.step as f64, f64::from(b.min), f64::from(b.max)))
            .collect(),
        ..curve("", &history.train_loss, GREY, 1)
    };
    let level = |reference: &String| {
        let value = run.report.pointer(&format!("/references/{reference}/loss")).and_then(Value::as_f64)?;
        Some(Level { label: reference.clone(), color: color_of(reference), value })
    };
    let names: Vec<String> = preset.references.iter().map(ToString::to_string).collect();
    let title =
        format!("{}: {} (orange: held out; grey: training batches)", preset.title, preset.task.objective().name());
    let curves = vec![train, curve("model", &history.eval_loss, COLORS[0], 2)];
    Chart { title, curves, levels: names.iter().filter_map(level).collect() }
}

pub(super) fn curve(label: &str, series: &Series, color: plotters::style::RGBColor, width: u32) -> Curve {
    let points = series.buckets().iter().map(|bucket| (bucket.step as f64, f64::from(bucket.mean))).collect();
    Curve { label: label.to_owned(), color, width, points, band: Vec::new() }
}
