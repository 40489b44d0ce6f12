//! The loss over the run, with the losses of the references as lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::bounds::line;
use crate::reference::Reference;
use crate::series::Bucket;
use crate::task::Objective;
use crate::train::ReferenceResult;
use crate::tui::app::{AxisUnit, Lab, Overlaid};
use crate::tui::labels;
use crate::tui::numbers::{count, short, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::along::{Along, RunCurve};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace, ValueCursor};
use crate::tui::widget::scale::Scale;
use crate::tui::widget::wrap::{fit, width};

/// From this width on labels are written out, and the title has a legend.
const WIDE: u16 = 50;
/// A reference below the best other line by more than this factor does not extend a logarithmic axis: exact learners
/// without noise reach 1e-30.
const DEEPEST: f64 = 0.02;
/// Columns between two of the digits that stand along a curve, at most.
const BETWEEN_DIGITS: u16 = 24;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The loss over the training. The line is the loss on held-out tasks, the dots are the least and the greatest \
     training loss of each column. The horizontal lines are the losses of the references on the same held-out \
     tasks, the dotted grey ones what theory expects of them, where there is a closed form. Equal to gradient \
     descent: the line lies on that of GD-1. ▾ marks a change of the learning rate or of other fields. While \
     training is paused, ╵ at the foot marks the states that < and > go to; after that the dotted curve is what \
     followed before. The key a changes the axis of the loss and x that of the steps, X makes it seconds or \
     operations (– where a run has none), and c reads values. Where runs with different tasks train together, \
     every loss is divided by that of predicting zero on its own task: 1 is no better than zero.";

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
    let over = match lab.steps.unit {
        AxisUnit::Steps => "",
        AxisUnit::Seconds => " over seconds",
        AxisUnit::Operations => " over operations",
    };
    let of_zero = if lab.tasks_differ() { " ÷ zero's" } else { "" };
    // The legend is left out first.
    let whole = format!("{name}{of_zero}{over}, {axis}{legend}");
    if whole.chars().count() <= usize::from(width) { whole } else { format!("{name}{of_zero}{over}, {axis}") }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let references = shown_references(lab);
    let history = &lab.history;
    let (kept, own_name) = lab.overlaid();
    let space = usize::from(gutter(area.width >= WIDE, true)) - 1;
    let y = axis(lab, &kept, &references);
    let wide = area.width >= WIDE;
    let model = theme.role(Role::Model);
    let level = |level: &Level| {
        Trace::Level(level.loss, labels::stroke(level.reference), theme.role(labels::role(level.reference)))
    };
    let mut traces: Vec<Trace> = kept.iter().map(|run| curve(run, theme)).collect();
    traces.extend(ahead_curve(lab).map(|ahead| Trace::Curve(ahead, Stroke::Dotted, model)));
    let own = |series| lab.loss_curve(series);
    traces.push(Trace::Curve(own(&history.eval_loss), Stroke::Solid, model.patch(theme.focus())));
    // Beneath the measured losses, from which they differ by the sampling error.
    let theory = |level: &Level| Some(Trace::Level(level.theory?, Stroke::Dotted, theme.muted()));
    traces.extend(references.iter().filter_map(theory));
    traces.extend(references.iter().map(level));
    traces.push(Trace::Extremes(own(&history.train_loss), theme.faint(Role::Model)));
    // Each of several stands at other places.
    let every = BETWEEN_DIGITS.min(area.width / 4).max(kept.len() as u16);
    let first = |i: usize| 2 + (i * usize::from(every) / kept.len().max(1)) as u16;
    traces.extend(kept.iter().enumerate().map(|(i, run)| glyphs(run, first(i), every, theme)));
    // Of those at one height the model's stands first, and those of references last.
    let mut labels: Vec<EndLabel> = Vec::new();
    if let Some(point) = model_point(lab) {
        let value = own(&history.eval_loss).value(point.mean);
        let text = match own_name.as_str() {
            "" => model_label(lab, &point, wide),
            name => run_label("●", value, name, (space, wide)),
        };
        labels.push(EndLabel { value, text, style: model.patch(theme.focus()) });
    }
    if let Some(point) = lab.steps.cursor.and_then(|step| history.train_loss.at(step)) {
        let curve = own(&history.train_loss);
        let text = training_label(curve, &point, wide);
        labels.push(EndLabel { value: curve.value(point.mean), text, style: model });
    }
    labels.extend(kept.iter().filter_map(|run| kept_label(lab, run, theme, wide)));
    labels.extend(references.iter().map(|level| reference_label(level, y, wide, theme)));
    let (marks, ticks, gutter) = (marks(lab), ticks(lab), gutter(wide, !kept.is_empty()));
    let cursor = super::value_cursor(lab, theme).or_else(|| present_cursor(lab, theme));
    let (x, unit, muted) = (lab.steps_scale(), lab.steps.unit.label(), theme.muted());
    Plot { x, unit, y, traces, labels, gutter, marks, ticks, cursor, muted }.render(area, buffer);
    super::say_unknown_axis(lab, theme, Rect { width: area.width.saturating_sub(gutter), ..area }, buffer);
}

/// The loss for a projector: thick curves of all runs, and the lines of the main reference and of zero.
pub fn render_large(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let main = lab.history.latest.as_ref().map(|latest| latest.equivalence.reference);
    let wanted = |level: &Level| Some(level.reference) == main || level.reference == Reference::Zero;
    let references: Vec<Level> = shown_references(lab).into_iter().filter(wanted).collect();
    let (kept, own_name) = lab.overlaid();
    let y = axis(lab, &kept, &references);
    let style = |reference: Reference| theme.role(labels::role(reference)).patch(theme.focus());
    let model = theme.role(Role::Model).patch(theme.focus());
    let level = |level: &Level| Trace::Level(level.loss, Stroke::Thick, style(level.reference));
    let mut traces: Vec<Trace> = references.iter().map(level).collect();
    let of_run = |run: &Overlaid| theme.role(Role::Kept(run.number)).patch(theme.focus());
    traces.extend(kept.iter().map(|run| Trace::Curve(run.eval_loss(), Stroke::Thick, of_run(run))));
    let curve = lab.loss_curve(&lab.history.eval_loss);
    traces.push(Trace::Curve(curve, Stroke::Thick, model));
    let label = |name: String, value: f64, style| {
        let text = format!("{name} {}", significant(value, 3));
        EndLabel { value, text, style }
    };
    let named = |level: &Level| label(labels::label(level.reference), level.loss, style(level.reference));
    let point = super::value_at(lab, &lab.history.eval_loss);
    let gutter = gutter(false, !kept.is_empty());
    let space = (usize::from(gutter) - 1, false);
    let own = point.map(|point| {
        let value = curve.value(point.mean);
        match own_name.as_str() {
            "" => label("model".to_owned(), value, model),
            name => EndLabel { value, text: run_label("●", value, name, space), style: model },
        }
    });
    let others = kept.iter().filter_map(|run| kept_label(lab, run, theme, false));
    let labels: Vec<EndLabel> = own.into_iter().chain(others).chain(references.iter().map(named)).collect();
    let (x, cursor, muted) = (lab.steps_scale(), super::value_cursor(lab, theme), theme.muted());
    let (unit, marks, ticks) = (lab.steps.unit.label(), vec![], vec![]);
    Plot { x, unit, y, traces, labels, gutter, marks, ticks, cursor, muted }.render(area, buffer);
}

/// The curve of what followed the state that the run went back to.
fn ahead_curve(lab: &Lab) -> Option<RunCurve<'_>> {
    let ahead = lab.ahead.as_ref()?;
    let along = lab.steps.unit.along(ahead, &lab.time);
    Some(RunCurve { along, series: &ahead.eval_loss, ..lab.loss_curve(&ahead.eval_loss) })
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

/// What was changed by hand, at its place on the axis.
fn marks(lab: &Lab) -> Vec<(f64, String)> {
    let history = &lab.history;
    let lr = history.lr_changes.iter().map(|change| (change.step, format!("lr ×{}", short(change.factor))));
    let forks = history.forks.iter().map(|fork| (fork.step, line(&fork.changes.join(" "))));
    let mut marks: Vec<_> = lr.chain(forks).collect();
    marks.sort_by_key(|(step, _)| *step);
    marks.into_iter().filter_map(|(step, text)| Some((lab.along().at(step)?, text))).collect()
}

/// The places of the states that a paused run can go to.
fn ticks(lab: &Lab) -> Vec<f64> {
    let states = lab.kept_states.iter().filter(|_| lab.is_paused());
    states.filter_map(|step| lab.along().at(*step)).collect()
}

/// A line at the present step, where the run went back to it.
fn present_cursor(lab: &Lab, theme: Theme) -> Option<ValueCursor> {
    let style = theme.role(Role::Model).patch(theme.focus());
    let at = lab.along().at(lab.progress().0).filter(|_| lab.is_rewound())?;
    Some(ValueCursor { at, style })
}

/// The held-out loss at the value cursor, else the latest; with its step where that is not the cursor's.
fn model_label(lab: &Lab, point: &Bucket, wide: bool) -> String {
    let digits = digits(lab.loss_curve(&lab.history.eval_loss).value(point.mean), wide);
    match (wide, lab.steps.cursor) {
        (true, Some(step)) if step != point.step => format!("at {}: held out {digits}", count(point.step)),
        (true, _) => format!("model, held out {digits}"),
        (false, _) => format!("model {digits}"),
    }
}

/// The training loss of one step, or the least and the greatest of those steps that are remembered together.
fn training_label(curve: RunCurve, point: &Bucket, wide: bool) -> String {
    let name = if wide { "training " } else { "" };
    let digits = |value: f32| significant(curve.value(value), if wide { 4 } else { 3 });
    match point.count {
        1 => format!("training {}", significant(curve.value(point.mean), if wide { 4 } else { 2 })),
        _ => format!("{name}{}–{}", digits(point.min), digits(point.max)),
    }
}

/// The digit that a run beside the present one has everywhere.
pub fn digit(number: usize) -> &'static str {
    ["1", "2", "3", "4", "5", "6"].get(number).copied().unwrap_or("?")
}

fn curve<'a>(run: &Overlaid<'a>, theme: Theme) -> Trace<'a> {
    Trace::Curve(run.eval_loss(), Stroke::Solid, theme.role(Role::Kept(run.number)))
}

/// The digit along the curve of a run, from the cell `first` on in every so many.
fn glyphs<'a>(run: &Overlaid<'a>, first: u16, every: u16, theme: Theme) -> Trace<'a> {
    let style = theme.role(Role::Kept(run.number)).patch(theme.focus());
    Trace::Glyphs { curve: run.eval_loss(), glyph: digit(run.number), first, every, style }
}

/// "1 0.2067 seed 1": the number stands first, so that it is never cut. "1 – seed 1" where its place is not known.
fn kept_label(lab: &Lab, run: &Overlaid, theme: Theme, wide: bool) -> Option<EndLabel> {
    let space = usize::from(gutter(wide, true)) - 1;
    let known = super::value_of_other(lab, run.eval_loss()).filter(|_| !matches!(run.along, Along::Unknown));
    let value = run.eval_loss().value(known.or_else(|| run.history.eval_loss.at(u64::MAX))?.mean);
    let text = match known {
        Some(_) => run_label(digit(run.number), value, &run.name, (space, wide)),
        None => fit(&format!("{} – {}", digit(run.number), run.name), space),
    };
    Some(EndLabel { value, text, style: theme.role(Role::Kept(run.number)) })
}

/// "● 0.2067 gd-ssm": where the name does not fit, a digit less, so that more of it does.
fn run_label(mark: &str, loss: f64, name: &str, (space, wide): (usize, bool)) -> String {
    let text = |digits: String| format!("{mark} {digits} {name}");
    let long = text(digits(loss, wide));
    let short = text(significant(loss, 2));
    fit(if width(&long) > space && width(&short) < width(&long) { &short } else { &long }, space)
}

/// Columns for the labels at the right end.
fn gutter(wide: bool, kept: bool) -> u16 {
    match (wide, kept) {
        (true, _) => 26,
        // "1 0.21 attention"
        (false, true) => 16,
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

/// The line of a reference, in the unit of the axis.
struct Level {
    reference: Reference,
    loss: f64,
    /// What a closed form expects, where there is one.
    theory: Option<f64>,
}

/// The lines of those references that the preset asks for.
fn shown_references(lab: &Lab) -> Vec<Level> {
    let Some(opened) = &lab.opened else { return vec![] };
    let asked = |result: &&ReferenceResult| opened.preset.references.contains(&result.tuned.reference);
    let unit = lab.loss_unit();
    let level = |result: &ReferenceResult| Level {
        reference: result.tuned.reference,
        loss: result.loss / unit,
        theory: result.expected_loss().map(|loss| loss / unit),
    };
    opened.references.iter().filter(asked).map(level).collect()
}

fn reference_label(level: &Level, y: Scale, wide: bool, theme: Theme) -> EndLabel {
    let Level { reference, loss, theory } = *level;
    let below = y.share(loss).is_none_or(|share| share < -1e-9);
    let arrow = if below { "↓ " } else { "" };
    let text = match (reference, wide) {
        (Reference::LeastSquares, false) => format!("{arrow}least sq."),
        (_, false) => format!("{arrow}{} {}", labels::short_label(reference), significant(loss, 3)),
        (_, true) => {
            let text = format!("{arrow}{} {}", labels::label(reference), significant(loss, if below { 1 } else { 4 }));
            // Where there is no space for both, the measured loss stays.
            let theory = theory.filter(|_| !below).map(|loss| format!("{text} theory {}", significant(loss, 4)));
            theory.filter(|both| width(both) < usize::from(gutter(wide, true))).unwrap_or(text)
        }
    };
    EndLabel { value: loss, text, style: theme.role(labels::role(reference)) }
}

/// Around the visible part of the curves, and those references that are not far below them.
fn axis(lab: &Lab, kept: &[Overlaid], references: &[Level]) -> Scale {
    let history = &lab.history;
    let range = |curve: RunCurve| {
        let (first, last) = lab.steps.visible(curve.along);
        let (least, most) = curve.series.range_within(first, last)?;
        Some((curve.value(least), curve.value(most)))
    };
    let others = || kept.iter().map(Overlaid::eval_loss).chain(ahead_curve(lab)).filter_map(range);
    let own = |series| range(lab.loss_curve(series));
    let curves = [&history.train_loss, &history.eval_loss].into_iter().filter_map(own);
    let curves = curves.chain(others());
    // The variation between batches must not move the axis: the held-out curve and the references set its low end.
    let low = own(&history.eval_loss).into_iter().chain(others()).map(|(least, _)| least);
    let levels = || references.iter().map(|level| level.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let gd = references.iter().filter(|level| matches!(level.reference, Reference::Gd(_)));
    let gd = gd.map(|level| level.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let first = low.chain(gd).fold(f64::INFINITY, f64::min);
    let first = if first.is_finite() { first } else { levels().fold(1.0, f64::min) };
    let least = levels().filter(|&loss| loss >= first * DEEPEST).fold(first, f64::min);
    let zero = references.iter().find(|level| level.reference == Reference::Zero).map(|level| level.loss);
    // Where only a part of the run is shown, its curves are to fill the pane.
    let zero_line = zero.filter(|_| !lab.steps.is_zoomed());
    let most = curves.map(|(_, most)| most).chain(zero_line).fold(least, f64::max);
    // A start far above everything else would compress the rest: it is cut two decades above zero's loss.
    let most = zero.map_or(most, |zero| most.min(zero * 100.0));
    if lab.log_axis { Scale::log_around(least * 0.9, most) } else { Scale::linear_to(most) }
}
