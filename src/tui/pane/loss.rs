//! The loss over the run, with the losses of the references as lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::reference::Reference;
use crate::task::Objective;
use crate::train::ReferenceResult;
use crate::tui::app::{Lab, Overlaid};
use crate::tui::labels;
use crate::tui::numbers::{short, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Trace, Plot};
use crate::tui::widget::scale::{Scale, steps_axis};
use crate::tui::widget::wrap::fit;

/// From this width on labels are written out, and the title has a legend.
const WIDE: u16 = 50;
/// A reference below the best other line by more than this factor does not extend a logarithmic axis: exact learners
/// without noise reach 1e-30.
const DEEPEST: f64 = 0.02;
/// Columns between two of the digits that stand along a curve, at most.
const BETWEEN_DIGITS: u16 = 24;

pub fn title(lab: &Lab, width: u16) -> String {
    let axis = if lab.log_axis { "logarithmic" } else { "linear" };
    let legend = if width >= WIDE { " (line: held out, dots: training)" } else { "" };
    let name = match lab.opened.as_ref().map(|opened| opened.preset.task.objective()) {
        Some(Objective::CrossEntropy) => "Cross-entropy",
        Some(Objective::SquaredError) | None => "Loss",
    };
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
    traces.push(Trace::Curve(&history.eval_loss, Stroke::Solid, model.patch(theme.focus())));
    traces.extend(references.iter().map(level));
    traces.push(Trace::Extremes(&history.train_loss, model.patch(theme.muted())));
    // Each of several stands at other places.
    let every = BETWEEN_DIGITS.min(area.width / 4).max(kept.len() as u16);
    let first = |i: usize| 2 + (i * usize::from(every) / kept.len().max(1)) as u16;
    traces.extend(kept.iter().enumerate().map(|(i, run)| glyphs(run, first(i), every, theme)));
    let mut labels: Vec<EndLabel> = references.iter().map(|result| reference_label(result, y, wide, theme)).collect();
    if let Some((_, loss)) = history.eval_loss.last() {
        let value = f64::from(loss);
        let text = match wide {
            wide if !own_name.is_empty() => fit(&format!("● {} {own_name}", digits(value, wide)), space),
            true => format!("model, held out {}", digits(value, wide)),
            false => format!("model {}", digits(value, wide)),
        };
        labels.push(EndLabel { value, text, style: model.patch(theme.focus()) });
    }
    labels.extend(kept.iter().filter_map(|run| kept_label(run, theme, wide)));
    let (step, planned) = lab.status.as_ref().map_or((0, 0), |status| (status.step, status.steps));
    let step = kept.iter().filter_map(|run| run.history.eval_loss.last()).map(|(step, _)| step).fold(step, u64::max);
    let marks = history.lr_changes.iter().map(|change| (change.step as f64, format!("lr ×{}", short(change.factor))));
    let gutter = gutter(wide, !kept.is_empty());
    let (x, marks, muted) = (steps_axis(step, planned), marks.collect(), theme.muted());
    Plot { x, unit: "step", y, traces, labels, gutter, marks, muted }.render(area, buffer);
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
fn kept_label(run: &Overlaid, theme: Theme, wide: bool) -> Option<EndLabel> {
    let space = usize::from(gutter(wide, true)) - 1;
    let value = f64::from(run.history.eval_loss.last()?.1);
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

/// A loss at the right end. Half a number is a wrong number: where space is short, one with an exponent gives up digits.
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

/// Around the curves, and those references that are not far below them.
fn axis(lab: &Lab, kept: &[Overlaid], references: &[&ReferenceResult]) -> Scale {
    let history = &lab.history;
    let others = || kept.iter().filter_map(|run| run.history.eval_loss.range());
    let curves = [&history.train_loss, &history.eval_loss].into_iter().filter_map(|series| series.range());
    let curves = curves.chain(others());
    // The variation between batches must not move the axis: the held-out curve and the references set its low end.
    let low = history.eval_loss.range().into_iter().chain(others()).map(|(least, _)| f64::from(least));
    let levels = || references.iter().map(|result| result.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let gd = references.iter().filter(|result| matches!(result.tuned.reference, Reference::Gd(_)));
    let gd = gd.map(|result| result.loss).filter(|loss| loss.is_finite() && *loss > 0.0);
    let first = low.chain(gd).fold(f64::INFINITY, f64::min);
    let first = if first.is_finite() { first } else { levels().fold(1.0, f64::min) };
    let least = levels().filter(|&loss| loss >= first * DEEPEST).fold(first, f64::min);
    let zero = references.iter().find(|result| result.tuned.reference == Reference::Zero).map(|result| result.loss);
    let most = curves.map(|(_, most)| f64::from(most)).chain(zero).fold(least, f64::max);
    // A start far above everything else would compress the rest: it is cut two decades above zero's loss.
    let most = zero.map_or(most, |zero| most.min(zero * 100.0));
    if lab.log_axis { Scale::log_around(least * 0.9, most) } else { Scale::linear_to(most) }
}
