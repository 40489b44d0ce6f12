//! The loss over the run, with the losses of the references as lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::bounds::line;
use crate::reference::Reference;
use crate::task::Objective;
use crate::train::ReferenceResult;
use crate::tui::app::{Lab, Overlaid};
use crate::tui::labels;
use crate::tui::numbers::{count, short, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::series::{Bucket, Series};
use crate::tui::widget::plot::{EndLabel, Plot, Trace, ValueCursor};
use crate::tui::widget::scale::Scale;
use crate::tui::widget::wrap::fit;

/// From this width on labels are written out, and the title has a legend.
const WIDE: u16 = 50;
/// A reference below the best other line by more than this factor does not extend a logarithmic axis: exact learners
/// without noise reach 1e-30.
const DEEPEST: f64 = 0.02;
/// Columns between two of the digits that stand along a curve, at most.
const BETWEEN_DIGITS: u16 = 24;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The loss over the training steps. The line is the loss on held-out tasks, the dots are the least and the \
     greatest training loss of each column. The horizontal lines are the losses of the references on the same \
     held-out tasks. Equal to gradient descent: the line lies on that of GD-1. ▾ marks a change of the learning \
     rate or of other fields. While training is paused, ╵ at the foot marks the states that < and > go to; after that \
     the dotted curve is what followed before. The key a changes the axis of the loss, x that of the steps, and c reads \
     values.";

pub fn title(lab: &Lab, width: u16) -> String {
    let axis = if lab.log_axis { "logarithmic" } else { "linear" };
    let legend = if width >= WIDE { " (line: held out, dots: training)" } else { "" };
    let name = match lab.opened.as_ref().map(|opened| opened.preset.task.objective()) {
        Some(Objective::CrossEntropy) => "Cross-entropy",
        Some(Objective::SquaredError) | None => "Loss",
    };
    if let Some(step) = lab.steps.cursor {
        return format!("{name} at step {}", count(step));
    }
    // The legend is left out first.
    let whole = format!("{name}, {axis}{legend}");
    if whole.chars().count() <= usize::from(width) { whole } else { format!("{name}, {axis}") }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let references = shown_references(lab);
    let history = &lab.history;
    let (kept, own_name) = lab.overlaid();
    let space = usize::from(gutter(area.width >= WIDE, true)) - 1;
    let y = axis(lab, &kept, &references);
    let wide = area.width >= WIDE;
    let model = theme.role(Role::Model);
    let level = |result: &&ReferenceResult| {
        let reference = result.tuned.reference;
        Trace::Level(result.loss, labels::stroke(reference), theme.role(labels::role(reference)))
    };
    let mut traces: Vec<Trace> = kept.iter().map(|run| curve(run, theme)).collect();
    // What followed the state that the run went back to.
    traces.extend(lab.ahead.iter().map(|ahead| Trace::Curve(&ahead.eval_loss, Stroke::Dotted, theme.role(Role::Model))));
    traces.push(Trace::Curve(&history.eval_loss, Stroke::Solid, model.patch(theme.focus())));
    traces.extend(references.iter().map(level));
    traces.push(Trace::Extremes(&history.train_loss, theme.faint(Role::Model)));
    // Each of several stands at other places.
    let every = BETWEEN_DIGITS.min(area.width / 4).max(kept.len() as u16);
    let first = |i: usize| 2 + (i * usize::from(every) / kept.len().max(1)) as u16;
    traces.extend(kept.iter().enumerate().map(|(i, run)| glyphs(run, first(i), every, theme)));
    let mut labels: Vec<EndLabel> = references.iter().map(|result| reference_label(result, y, wide, theme)).collect();
    if let Some(point) = model_point(lab) {
        let value = f64::from(point.mean);
        let text = match own_name.as_str() {
            "" => model_label(lab, &point, wide),
            name => fit(&format!("● {} {name}", digits(value, wide)), space),
        };
        labels.push(EndLabel { value, text, style: model.patch(theme.focus()) });
    }
    if let Some(point) = lab.steps.cursor.and_then(|step| history.train_loss.at(step)) {
        labels.push(EndLabel { value: f64::from(point.mean), text: training_label(&point, wide), style: model });
    }
    labels.extend(kept.iter().filter_map(|run| kept_label(lab, run, theme, wide)));
    let marks = marks(lab);
    let ticks = if lab.is_paused() { lab.kept_states.iter().map(|step| *step as f64).collect() } else { vec![] };
    let gutter = gutter(wide, !kept.is_empty());
    let cursor = super::value_cursor(lab, theme).or_else(|| present_cursor(lab, theme));
    let (x, muted) = (lab.steps_scale(), theme.muted());
    Plot { x, unit: "step", y, traces, labels, gutter, marks, ticks, cursor, muted }.render(area, buffer);
}

/// The loss for a projector: a thick curve, and the lines of the main reference and of zero.
pub fn render_large(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let main = lab.history.latest.as_ref().map(|latest| latest.equivalence.reference);
    let wanted = |result: &&ReferenceResult| {
        Some(result.tuned.reference) == main || result.tuned.reference == Reference::Zero
    };
    let references: Vec<&ReferenceResult> = shown_references(lab).into_iter().filter(wanted).collect();
    let y = axis(lab, &[], &references);
    let style = |reference: Reference| theme.role(labels::role(reference)).patch(theme.focus());
    let model = theme.role(Role::Model).patch(theme.focus());
    let level = |result: &&ReferenceResult| Trace::Level(result.loss, Stroke::Thick, style(result.tuned.reference));
    let mut traces: Vec<Trace> = references.iter().map(level).collect();
    traces.push(Trace::Curve(&lab.history.eval_loss, Stroke::Thick, model));
    let label = |name: String, value: f64, style| EndLabel { value, text: format!("{name} {}", significant(value, 3)), style };
    let named = |result: &&ReferenceResult| {
        label(labels::label(result.tuned.reference), result.loss, style(result.tuned.reference))
    };
    let mut labels: Vec<EndLabel> = references.iter().map(named).collect();
    let point = super::value_at(lab, &lab.history.eval_loss);
    labels.extend(point.map(|point| label("model".to_owned(), f64::from(point.mean), model)));
    let (x, cursor, muted) = (lab.steps_scale(), super::value_cursor(lab, theme), theme.muted());
    let (marks, ticks) = (vec![], vec![]);
    Plot { x, unit: "step", y, traces, labels, gutter: 14, marks, ticks, cursor, muted }.render(area, buffer);
}

/// The held-out loss at the value cursor, else the latest measurement, which the curve need not have.
fn model_point(lab: &Lab) -> Option<Bucket> {
    let point = super::value_at(lab, &lab.history.eval_loss)?;
    let latest = lab.history.latest.as_ref().filter(|latest| lab.steps.cursor.is_none() && latest.step > point.step);
    Some(latest.map_or(point, |latest| {
        let loss = latest.eval_loss as f32;
        Bucket { step: latest.step, min: loss, max: loss, mean: loss, count: 1 }
    }))
}

/// What was changed by hand, at its step.
fn marks(lab: &Lab) -> Vec<(f64, String)> {
    let history = &lab.history;
    let lr = history.lr_changes.iter().map(|change| (change.step as f64, format!("lr ×{}", short(change.factor))));
    let forks = history.forks.iter().map(|fork| (fork.step as f64, line(&fork.changes.join(" "))));
    let mut marks: Vec<_> = lr.chain(forks).collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    marks
}

/// A line at the present step, where the run went back to it.
fn present_cursor(lab: &Lab, theme: Theme) -> Option<ValueCursor> {
    let style = theme.role(Role::Model).patch(theme.focus());
    lab.is_rewound().then(|| ValueCursor { at: lab.progress().0 as f64, style })
}

/// The held-out loss at the value cursor, else the latest; with its step where that is not the cursor's.
fn model_label(lab: &Lab, point: &Bucket, wide: bool) -> String {
    let digits = digits(f64::from(point.mean), wide);
    match (wide, lab.steps.cursor) {
        (true, Some(step)) if step != point.step => format!("at {}: held out {digits}", count(point.step)),
        (true, _) => format!("model, held out {digits}"),
        (false, _) => format!("model {digits}"),
    }
}

/// The training loss of one step, or the least and the greatest of those steps that are remembered together.
fn training_label(point: &Bucket, wide: bool) -> String {
    let name = if wide { "training " } else { "" };
    let digits = |value: f32| significant(f64::from(value), if wide { 4 } else { 3 });
    match point.count {
        1 => format!("training {}", significant(f64::from(point.mean), if wide { 4 } else { 2 })),
        _ => format!("{name}{}–{}", digits(point.min), digits(point.max)),
    }
}

/// The digit that a run beside the present one has everywhere.
pub fn digit(number: usize) -> &'static str {
    ["1", "2", "3", "4", "5", "6"].get(number).copied().unwrap_or("?")
}

fn curve<'a>(run: &Overlaid<'a>, theme: Theme) -> Trace<'a> {
    Trace::Curve(&run.history.eval_loss, Stroke::Solid, theme.role(Role::Kept(run.number)))
}

/// The digit along the curve of a run, from the cell `first` on in every so many.
fn glyphs<'a>(run: &Overlaid<'a>, first: u16, every: u16, theme: Theme) -> Trace<'a> {
    let style = theme.role(Role::Kept(run.number)).patch(theme.focus());
    Trace::Glyphs { series: &run.history.eval_loss, glyph: digit(run.number), first, every, style }
}

/// "1 0.2067 seed 1": the number stands first, so that it is never cut.
fn kept_label(lab: &Lab, run: &Overlaid, theme: Theme, wide: bool) -> Option<EndLabel> {
    let space = usize::from(gutter(wide, true)) - 1;
    let value = f64::from(super::value_at(lab, &run.history.eval_loss)?.mean);
    let text = fit(&format!("{} {} {}", digit(run.number), digits(value, wide), run.name), space);
    Some(EndLabel { value, text, style: theme.role(Role::Kept(run.number)) })
}

/// Columns for the labels at the right end.
fn gutter(wide: bool, kept: bool) -> u16 {
    match (wide, kept) {
        (true, _) => 26,
        // "1 0.207 seed 1"
        (false, true) => 15,
        (false, false) => 14,
    }
}

/// A loss at the right end. Half a number is a wrong number: where space is short, one with an exponent gives up
/// digits.
fn digits(loss: f64, wide: bool) -> String {
    match wide {
        true => significant(loss, 4),
        false if !(1e-3..1e4).contains(&loss) => format!("{loss:.0e}"),
        false => significant(loss, 3),
    }
}

/// The results of those references whose lines the preset asks for.
fn shown_references(lab: &Lab) -> Vec<&ReferenceResult> {
    let Some(opened) = &lab.opened else { return vec![] };
    let asked = |result: &&ReferenceResult| opened.preset.references.contains(&result.tuned.reference);
    opened.references.iter().filter(asked).collect()
}

fn reference_label(result: &ReferenceResult, y: Scale, wide: bool, theme: Theme) -> EndLabel {
    let reference = result.tuned.reference;
    let below = y.share(result.loss).is_none_or(|share| share < -1e-9);
    let arrow = if below { "↓ " } else { "" };
    let text = match (reference, wide) {
        (Reference::LeastSquares, false) => format!("{arrow}least sq."),
        (_, false) => format!("{arrow}{} {}", labels::label(reference), significant(result.loss, 3)),
        (_, true) => {
            let digits = significant(result.loss, if below { 1 } else { 4 });
            format!("{arrow}{} {digits}", labels::label(reference))
        }
    };
    EndLabel { value: result.loss, text, style: theme.role(labels::role(reference)) }
}

/// Around the visible part of the curves, and those references that are not far below them.
fn axis(lab: &Lab, kept: &[Overlaid], references: &[&ReferenceResult]) -> Scale {
    let (history, (first_step, last_step)) = (&lab.history, lab.steps.visible());
    let range = |series: &Series| series.range_within(first_step, last_step);
    let histories = || kept.iter().map(|run| run.history).chain(&lab.ahead);
    let others = || histories().filter_map(|history| range(&history.eval_loss));
    let curves = [&history.train_loss, &history.eval_loss].into_iter().filter_map(range);
    let curves = curves.chain(others());
    // The variation between batches must not move the axis: the held-out curve and the references set its low end.
    let low = range(&history.eval_loss).into_iter().chain(others()).map(|(least, _)| f64::from(least));
    let levels = || references.iter().map(|result| result.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let gd = references.iter().filter(|result| matches!(result.tuned.reference, Reference::Gd(_)));
    let gd = gd.map(|result| result.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let first = low.chain(gd).fold(f64::INFINITY, f64::min);
    let first = if first.is_finite() { first } else { levels().fold(1.0, f64::min) };
    let least = levels().filter(|&loss| loss >= first * DEEPEST).fold(first, f64::min);
    let zero = references.iter().find(|result| result.tuned.reference == Reference::Zero).map(|result| result.loss);
    // Where only a part of the run is shown, its curves are to fill the pane.
    let zero_line = zero.filter(|_| !lab.steps.is_zoomed());
    let most = curves.map(|(_, most)| f64::from(most)).chain(zero_line).fold(least, f64::max);
    // A start far above everything else would compress the rest: it is cut two decades above zero's loss.
    let most = zero.map_or(most, |zero| most.min(zero * 100.0));
    if lab.log_axis { Scale::log_around(least * 0.9, most) } else { Scale::linear_to(most) }
}
