//! The loss over the run, with the losses of the references as lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::reference::Reference;
use crate::task::Objective;
use crate::train::{LrChange, ReferenceResult};
use crate::tui::app::{AxisUnit, Lab, Overlaid};
use crate::tui::labels;
use crate::tui::numbers::{count, short, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::along::{Along, RunCurve};
use crate::tui::widget::braille::Stroke;
use crate::series::Bucket;
use crate::tui::widget::plot::{EndLabel, Plot, Trace};
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
    "The loss over the training. The line is the loss on held-out tasks, the dots are the least and the \
     greatest training loss of each column. The horizontal lines are the losses of the references on the same \
     held-out tasks, the dotted grey ones what theory expects of them, where there is a closed form. Equal to gradient descent: the line lies on that of GD-1. ▾ marks a change of the learning \
     rate. The key a changes the axis of the loss and x that of the steps, X makes it seconds or operations (– where \
     a run has none), and c reads values.";

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
    // The legend is left out first.
    let whole = format!("{name}{over}, {axis}{legend}");
    if whole.chars().count() <= usize::from(width) { whole } else { format!("{name}{over}, {axis}") }
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
    let along = lab.along();
    let own = |series| RunCurve { series, along };
    traces.push(Trace::Curve(own(&history.eval_loss), Stroke::Solid, model.patch(theme.focus())));
    // Beneath the measured losses, from which they differ by the sampling error.
    let theory = |result: &&ReferenceResult| Some(Trace::Level(result.expected_loss()?, Stroke::Dotted, theme.muted()));
    traces.extend(references.iter().filter_map(theory));
    traces.extend(references.iter().map(level));
    traces.push(Trace::Extremes(own(&history.train_loss), theme.faint(Role::Model)));
    // Each of several stands at other places.
    let every = BETWEEN_DIGITS.min(area.width / 4).max(kept.len() as u16);
    let first = |i: usize| 2 + (i * usize::from(every) / kept.len().max(1)) as u16;
    traces.extend(kept.iter().enumerate().map(|(i, run)| glyphs(run, first(i), every, theme)));
    let mut labels: Vec<EndLabel> = references.iter().map(|result| reference_label(result, y, wide, theme)).collect();
    if let Some(point) = super::value_at(lab, &history.eval_loss) {
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
    let mark = |change: &LrChange| Some((along.at(change.step)?, format!("lr ×{}", short(change.factor))));
    let marks = history.lr_changes.iter().filter_map(mark);
    let gutter = gutter(wide, !kept.is_empty());
    let (x, marks, cursor, muted) = (lab.steps_scale(), marks.collect(), super::value_cursor(lab, theme), theme.muted());
    Plot { x, unit: lab.steps.unit.label(), y, traces, labels, gutter, marks, cursor, muted }.render(area, buffer);
    super::say_unknown_axis(lab, theme, Rect { width: area.width.saturating_sub(gutter), ..area }, buffer);
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
    let curve = RunCurve { series: &lab.history.eval_loss, along: lab.along() };
    traces.push(Trace::Curve(curve, Stroke::Thick, model));
    let label = |name: String, value: f64, style| EndLabel { value, text: format!("{name} {}", significant(value, 3)), style };
    let named = |result: &&ReferenceResult| {
        label(labels::label(result.tuned.reference), result.loss, style(result.tuned.reference))
    };
    let mut labels: Vec<EndLabel> = references.iter().map(named).collect();
    let point = super::value_at(lab, &lab.history.eval_loss);
    labels.extend(point.map(|point| label("model".to_owned(), f64::from(point.mean), model)));
    let (x, cursor, muted) = (lab.steps_scale(), super::value_cursor(lab, theme), theme.muted());
    let unit = lab.steps.unit.label();
    Plot { x, unit, y, traces, labels, gutter: 14, marks: vec![], cursor, muted }.render(area, buffer);
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
    let value = f64::from(known.or_else(|| run.history.eval_loss.at(u64::MAX))?.mean);
    let text = match known {
        Some(_) => format!("{} {} {}", digit(run.number), digits(value, wide), run.name),
        None => format!("{} – {}", digit(run.number), run.name),
    };
    let text = fit(&text, space);
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
            let text = format!("{arrow}{} {}", labels::label(reference), significant(result.loss, if below { 1 } else { 4 }));
            // Where there is no space for both, the measured loss stays.
            let theory = result.expected_loss().filter(|_| !below).map(|loss| format!("{text} theory {}", significant(loss, 4)));
            theory.filter(|both| width(both) < usize::from(gutter(wide, true))).unwrap_or(text)
        }
    };
    EndLabel { value: result.loss, text, style: theme.role(labels::role(reference)) }
}

/// Around the visible part of the curves, and those references that are not far below them.
fn axis(lab: &Lab, kept: &[Overlaid], references: &[&ReferenceResult]) -> Scale {
    let (history, along) = (&lab.history, lab.along());
    let range = |RunCurve { series, along }: RunCurve| {
        let (first, last) = lab.steps.visible(along);
        series.range_within(first, last)
    };
    let others = || kept.iter().filter_map(|run| range(run.eval_loss()));
    let own = |series| range(RunCurve { series, along });
    let curves = [&history.train_loss, &history.eval_loss].into_iter().filter_map(own);
    let curves = curves.chain(others());
    // The variation between batches must not move the axis: the held-out curve and the references set its low end.
    let low = own(&history.eval_loss).into_iter().chain(others()).map(|(least, _)| f64::from(least));
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
