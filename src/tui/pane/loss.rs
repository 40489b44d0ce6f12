//! The loss over the run, with the losses of the references as lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::reference::Reference;
use crate::task::Objective;
use crate::train::{History, ReferenceResult};
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{short, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Trace, Plot};
use crate::tui::widget::scale::{Scale, steps_axis};

/// From this width on labels are written out, and the title has a legend.
const WIDE: u16 = 50;
/// A reference below the best other line by more than this factor does not extend a logarithmic axis: exact learners
/// without noise reach 1e-30.
const DEEPEST: f64 = 0.02;

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
    let y = axis(history, &references, lab.log_axis);
    let wide = area.width >= WIDE;
    let model = theme.role(Role::Model);
    let level = |result: &&ReferenceResult| {
        let reference = result.tuned.reference;
        Trace::Level(result.loss, labels::stroke(reference), theme.role(labels::role(reference)))
    };
    let mut traces = vec![Trace::Curve(&history.eval_loss, Stroke::Solid, model.patch(theme.focus()))];
    traces.extend(references.iter().map(level));
    traces.push(Trace::Extremes(&history.train_loss, model.patch(theme.muted())));
    let mut labels: Vec<EndLabel> = references.iter().map(|result| reference_label(result, y, wide, theme)).collect();
    if let Some((_, loss)) = history.eval_loss.last() {
        let value = f64::from(loss);
        let text = match wide {
            true => format!("model, held out {}", significant(value, 4)),
            // Half a number is a wrong number: one with an exponent gives up digits.
            false if !(1e-3..1e4).contains(&value) => format!("model {value:.0e}"),
            false => format!("model {}", significant(value, 3)),
        };
        labels.push(EndLabel { value, text, style: model.patch(theme.focus()) });
    }
    let (step, planned) = lab.status.as_ref().map_or((0, 0), |status| (status.step, status.steps));
    let marks = history.lr_changes.iter().map(|change| (change.step as f64, format!("lr ×{}", short(change.factor))));
    let gutter = if wide { 26 } else { 14 };
    let (x, marks, muted) = (steps_axis(step, planned), marks.collect(), theme.muted());
    Plot { x, unit: "step", y, traces, labels, gutter, marks, muted }.render(area, buffer);
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
fn axis(history: &History, references: &[&ReferenceResult], logarithmic: bool) -> Scale {
    let curves = [&history.train_loss, &history.eval_loss].into_iter().filter_map(|series| series.range());
    // The variation between batches must not move the axis: the held-out curve and the references set its low end.
    let low = history.eval_loss.range().map(|(least, _)| f64::from(least)).into_iter();
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
    if logarithmic { Scale::log_around(least * 0.9, most) } else { Scale::linear_to(most) }
}
