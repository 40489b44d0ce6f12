//! One sequence, token by token: the pair that was read, what it added to the state, and the answers so far.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::state;
use crate::nn::model::Architecture;
use crate::reference::Reference;
use crate::series::Series;
use crate::task::Objective;
use crate::train::{AnswersByPairs, ReferenceResult, TimeStep};
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{significant, with_minus};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace, ValueCursor};
use crate::tui::widget::scale::{Scale, snap_up_finely};

/// Columns from which on what the token added to the state stands beside the answers.
const WITH_MAPS: u16 = 100;
/// Columns for the answers in digits.
const GUTTER: u16 = 23;
/// Learners that read pair by pair and are shown beside those that the preset names.
const ONLINE: [Reference; 3] = [Reference::RecursiveLeastSquares, Reference::Kalman, Reference::Nlms];
/// The axis ends at this multiple of the largest of the answers of the model, of one gradient step, and the true one.
const SPACE: f32 = 1.2;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "One probe sequence, token by token, with the present weights of the training. Above, the pair (x, y) that \
     the token under the cursor completes. The curves are the answers to the query after 0, 1, …, N pairs: the \
     model's, the textbook learners' and, as a dashed line, the true one; the digits are those at the cursor. \
     Equal: the model's curve lies on that of a learner at every pair. On a wide screen, or by y in the pane of \
     the state, stands what the token added to the state beside y xᵀ, what a gradient step adds. Left and Right \
     move through the tokens, P plays them slowly, n and p lead to other sequences. Where outputs are several, \
     the first is shown.";

pub fn title(lab: &Lab, _width: u16) -> String {
    let Some((snapshot, (_, _, time_step))) = lab.snapshot.as_ref().zip(lab.time_step()) else {
        return "Token by token".to_owned();
    };
    let pairs = if time_step.pairs == 1 { "pair" } else { "pairs" };
    format!("Answers so far: token {} of {}, {} {pairs} read", time_step.token, snapshot.tokens, time_step.pairs)
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some(snapshot), Some((_, _, time_step))) = (&lab.snapshot, lab.time_step()) else { return };
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    let Some(answers) = &snapshot.answers_by_pairs else {
        return super::say(&why_none(lab, snapshot.parts.answers_by_pairs), theme, space, buffer);
    };
    if space.height < 6 {
        return;
    }
    buffer.set_line(space.x, space.y, &pair(lab, time_step, theme, usize::from(space.width)), space.width);
    let below = Rect { y: space.y + 1, height: space.height - 1, ..area };
    let curves = match area.width >= WITH_MAPS {
        true => {
            let width = area.width / 2;
            let maps = Rect { x: area.x + width + 1, width: area.width - width - 1, ..below };
            state::render_added(lab, theme, maps, buffer);
            Rect { width, ..below }
        }
        false => below,
    };
    render_answers(lab, answers, time_step.pairs, theme, curves, buffer);
}

/// Why there are no answers after each pair, or that they are being `measured`.
fn why_none(lab: &Lab, measured: bool) -> String {
    let Some(opened) = lab.opened.as_ref().filter(|_| measured) else {
        return "The answers after each pair are being measured …".to_owned();
    };
    let (preset, context) = (&opened.preset, opened.preset.task.shape().context);
    if preset.task.objective() == Objective::CrossEntropy {
        "The answers of this task are classes: there are no numbers to draw.".to_owned()
    } else if (0..context).any(|pairs| preset.model.reads(pairs, context)) {
        format!("Contexts of {context} pairs are too long to be read again after each pair.")
    } else {
        "This model reads only whole contexts: it has no answers before the last pair.".to_owned()
    }
}

/// "x₆ 0.31 −0.82 …   y₆ 0.20   P: play": the pair that the token under the cursor completes.
fn pair(lab: &Lab, time_step: &TimeStep, theme: Theme, width: usize) -> Line<'static> {
    let play = if lab.playing { "playing; P: stop" } else { "P: play" };
    match state::completed_pair(lab, time_step) {
        Some(pair) => {
            let space = (width.saturating_sub(play.len() + 10)) / 2;
            let [x, y] = [&pair.x, &pair.y].map(|numbers| state::values(numbers, space));
            Line::styled(format!("x {x}   y {y}   {play}"), theme.muted())
        }
        None => Line::styled(format!("this token completes no pair   {play}"), theme.muted()),
    }
}

/// One learner's answers.
struct Answers<'a> {
    reference: Reference,
    values: &'a [f32],
}

/// The references that the preset names, and of those that read pair by pair the ones with other answers.
fn learners<'a>(references: &'a [ReferenceResult], named: &[Reference], sequence: usize) -> Vec<Answers<'a>> {
    let of = |result: &'a ReferenceResult| {
        let values = result.answers_by_pairs.get(sequence)?;
        Some(Answers { reference: result.tuned.reference, values })
    };
    let mut shown: Vec<Answers> =
        references.iter().filter(|result| named.contains(&result.tuned.reference)).filter_map(of).collect();
    for result in references.iter().filter(|result| ONLINE.contains(&result.tuned.reference)) {
        let equal = |one: &[f32], other: &[f32]| one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-3);
        match of(result) {
            Some(answers) if !shown.iter().any(|known| equal(known.values, answers.values)) => shown.push(answers),
            Some(_) | None => {}
        }
    }
    shown
}

fn render_answers(
    lab: &Lab,
    answers: &AnswersByPairs,
    pairs: usize,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some(opened) = &lab.opened else { return };
    let sequence = lab.cursor.probe.min(answers.model.len().saturating_sub(1));
    let (Some(model), Some(&target)) = (answers.model.get(sequence), answers.targets.get(sequence)) else { return };
    let learners = learners(&opened.references, &opened.preset.references, sequence);
    let gd = learners.iter().filter(|learner| learner.reference == Reference::Gd(1)).flat_map(|learner| learner.values);
    let values = || model.iter().chain(gd.clone()).filter(|value| value.is_finite()).map(|value| value * SPACE);
    // Zero, where all begin, is always shown.
    let end = |sign: f32| {
        let most = values().fold((sign * target * SPACE).max(0.0), |most, value| most.max(sign * value));
        if most > 0.0 { snap_up_finely(f64::from(most)) } else { 0.0 }
    };
    let (low, high) = (-end(-1.0), end(1.0));
    let y = Scale::Linear { low, high: if low < high { high } else { low + 1.0 } };
    let series = |values: &[f32]| {
        let mut series = Series::default();
        for (pairs, value) in values.iter().enumerate() {
            series.push(pairs as u64, if (low..=high).contains(&f64::from(*value)) { *value } else { f32::NAN });
        }
        series
    };
    let lines: Vec<Series> = learners.iter().map(|learner| series(learner.values)).collect();
    let own = series(model);
    let mut traces = vec![Trace::Level(f64::from(target), Stroke::Dashed, theme.focus())];
    for (learner, line) in learners.iter().zip(&lines).rev() {
        let stroke = if theme.colours() { Stroke::Solid } else { labels::stroke(learner.reference) };
        traces.push(Trace::Curve(line.into(), stroke, theme.role(labels::role(learner.reference))));
    }
    let model_style = theme.role(Role::Model).patch(theme.focus());
    traces.push(Trace::Curve((&own).into(), Stroke::Solid, model_style));
    traces.push(Trace::Marks((&own).into(), "●", model_style));
    let label = |mark: &str, name: &str, value: Option<&f32>, style| {
        let value = *value.filter(|value| value.is_finite())?;
        let text = format!("{mark} {name} {}", with_minus(&significant(f64::from(value), 3)));
        // Beyond the axis it stands at the edge.
        Some(EndLabel { value: f64::from(value).clamp(low, high), text, style })
    };
    let mut labels: Vec<EndLabel> = label("●", "model", model.get(pairs), model_style).into_iter().collect();
    labels.extend(label("┄", "true", Some(&target), theme.focus()));
    labels.extend(learners.iter().filter_map(|Answers { reference, values }| {
        let style = theme.role(labels::role(*reference));
        label(labels::mark(*reference), &labels::label(*reference), values.get(pairs), style)
    }));
    let context = model.len().saturating_sub(1).max(1);
    let cursor = Some(ValueCursor { at: pairs as f64, style: theme.selected().patch(theme.focus()) });
    let (x, marks, ticks, muted) = (Scale::Linear { low: 0.0, high: context as f64 }, vec![], vec![], theme.muted());
    Plot { x, unit: "after", y, traces, labels, gutter: GUTTER, marks, ticks, cursor, muted }.render(area, buffer);
}
