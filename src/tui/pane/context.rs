//! The loss after each example of the context, the model's and the references', and what a query costs each of them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::series::Series;
use crate::train::ReferenceResult;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{count, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace, ValueCursor};
use crate::tui::widget::scale::Scale;
use crate::tui::widget::wrap::{fit, width as width_of};

/// From this width on labels are written out.
const WIDE: u16 = 50;
/// From this width on the table has a column of what theory expects.
const WITH_THEORY: u16 = 60;
/// Rows that the curves keep, whatever the table needs.
const CURVES: u16 = 7;
/// Columns of a learner's name in the table, at least and at most.
const NAME: (usize, usize) = (14, 16);
/// Columns between two marks: where examples are closer together, not every one has a mark.
const MARKED: usize = 3;
/// The axis ends at this factor below the lowest loss of an iterative learner: exact learners reach 1e-30.
const DEEPEST: f64 = 0.02;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The loss after the first 0, 1, …, N pairs of the context, of the model and of the references, and below it the \
     floating-point operations that one query costs each. Equal: the model's marks lie on those of a reference at \
     every number of pairs. The dotted grey curves are what theory expects of the references, where there is a closed \
     form. ↓ is a curve that lies below the axis.";

pub fn title(lab: &Lab, _width: u16) -> String {
    match pairs_at_cursor(lab) {
        Some(1) => "Loss after 1 example, and cost per query".to_owned(),
        Some(pairs) => format!("Loss after {pairs} examples, and cost per query"),
        None => "Loss after each example, and cost per query".to_owned(),
    }
}

/// The pairs that have been read at the token under the cursor; `None` at the end of the sequence.
fn pairs_at_cursor(lab: &Lab) -> Option<usize> {
    lab.cursor.time_step?;
    lab.time_step().map(|(_, _, time_step)| time_step.pairs)
}

/// One learner: its curve, its mark, and its line in the table.
struct Learner {
    name: String,
    /// In a narrow pane.
    short_name: String,
    mark: &'static str,
    stroke: Stroke,
    style: Style,
    /// Loss after 0, 1, …, N examples.
    losses: Vec<f64>,
    /// Loss after N, over all held-out tasks.
    loss: f64,
    /// The expected loss after 0, 1, …, N examples by formula; empty where there is no closed form.
    theory: Vec<f64>,
    /// Floating-point operations for one query.
    flops: Option<u64>,
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(opened) = &lab.opened else { return };
    let learners = learners(lab, theme);
    let table = table(&learners, theme, area.width);
    // A row for the label of every curve, and one for the axis.
    let curves = CURVES.max(learners.len() as u16 + 1);
    let rows = (table.len() as u16).min(area.height.saturating_sub(curves));
    let plot = Rect { height: area.height - rows, ..area };
    let pairs = (opened.preset.task.shape().context, pairs_at_cursor(lab));
    render_curves(&learners, pairs, theme, plot, buffer);
    for (row, line) in (plot.bottom()..area.bottom()).zip(table) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// The model, and the references that the preset names.
fn learners(lab: &Lab, theme: Theme) -> Vec<Learner> {
    let Some(opened) = &lab.opened else { return vec![] };
    let latest = lab.history.latest.as_ref();
    let model = latest.map(|latest| Learner {
        name: "model".to_owned(),
        short_name: "model".to_owned(),
        mark: "●",
        stroke: Stroke::Solid,
        style: theme.role(Role::Model).patch(theme.focus()),
        losses: latest.loss_by_pairs.clone(),
        loss: latest.eval_loss,
        theory: Vec::new(),
        flops: opened.preset.query_flops(),
    });
    let is_asked = |r: &&ReferenceResult| opened.preset.references.contains(&r.tuned.reference);
    let asked: Vec<_> = opened.references.iter().filter(is_asked).collect();
    let marks = labels::marks(&asked.iter().map(|result| result.tuned.reference).collect::<Vec<_>>());
    let references = asked.into_iter().zip(marks).map(|(result, mark)| Learner {
        name: labels::label(result.tuned.reference),
        short_name: labels::short_label(result.tuned.reference),
        mark,
        stroke: labels::stroke(result.tuned.reference),
        style: theme.role(labels::role(result.tuned.reference)),
        losses: result.loss_by_pairs.clone(),
        loss: result.loss,
        theory: result.expected_by_pairs.clone().unwrap_or_default(),
        flops: Some(result.flops),
    });
    model.into_iter().chain(references).collect()
}

/// The curves over the pairs of a context, with a cursor at so many of them.
fn render_curves(
    learners: &[Learner],
    (pairs, cursor): (usize, Option<usize>),
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let wide = area.width >= WIDE;
    let y = axis(learners);
    let theories: Vec<Series> = learners.iter().map(|learner| series(&learner.theory, y)).collect();
    let series: Vec<Series> = learners.iter().map(|learner| series(&learner.losses, y)).collect();
    // The model, which comes first, is rendered last and so above the others.
    let both = || learners.iter().zip(&series).rev();
    let stroke = |learner: &Learner| if theme.colours() { Stroke::Solid } else { learner.stroke };
    let theory = theories.iter().map(|theory| Trace::Curve(theory.into(), Stroke::Dotted, theme.muted()));
    let mut traces: Vec<Trace> = theory.collect();
    traces.extend(both().map(|(learner, series)| Trace::Curve(series.into(), stroke(learner), learner.style)));
    let gutter = if wide { 26 } else { 16 };
    if usize::from(area.width.saturating_sub(gutter)) >= MARKED * (pairs + 1) {
        traces.extend(both().map(|(learner, series)| Trace::Marks(series.into(), learner.mark, learner.style)));
    } else {
        // A few on each curve, those of one curve beside those of the next.
        let every = (MARKED * learners.len()) as u16;
        traces.extend(both().zip((0..every).step_by(MARKED)).map(|((learner, series), first)| Trace::Glyphs {
            curve: series.into(),
            glyph: learner.mark,
            first,
            every,
            style: learner.style,
        }));
    }
    let labels = learners.iter().filter_map(|learner| {
        let value = cursor.map_or_else(|| learner.losses.last(), |pairs| learner.losses.get(pairs));
        let value = value.copied().filter(|loss| loss.is_finite())?;
        let below = y.share(value).is_none_or(|share| share < -1e-9);
        let arrow = if below { "↓ " } else { "" };
        let digits = significant(value, if below { 1 } else { 3 });
        let text = match wide {
            true => format!("{arrow}{} {} {digits}", learner.mark, learner.name),
            // The whole name is in the table.
            false => format!("{arrow}{} {}", learner.mark, learner.short_name),
        };
        Some(EndLabel { value, text, style: learner.style })
    });
    let style = theme.selected().patch(theme.focus());
    let cursor = cursor.map(|pairs| ValueCursor { at: pairs as f64, style });
    let (marks, ticks, muted) = (vec![], vec![], theme.muted());
    let (x, labels) = (Scale::Linear { low: 0.0, high: pairs.max(1) as f64 }, labels.collect());
    Plot { x, unit: "after", y, traces, labels, gutter, marks, ticks, cursor, muted }.render(area, buffer);
}

/// A curve that ends where it leaves the axis: along its edge it would show a wrong value.
fn series(losses: &[f64], y: Scale) -> Series {
    let mut series = Series::default();
    let outside = |loss: f64| y.share(loss).is_none_or(|share| !(0.0..=1.0).contains(&share));
    let before = [f64::NAN].iter().chain(losses);
    for (pairs, (loss, before)) in losses.iter().zip(before).enumerate() {
        let invisible = outside(*loss) && outside(*before);
        series.push(pairs as u64, if invisible { f32::NAN } else { *loss as f32 });
    }
    series
}

/// Around the curves, down to the best of the iterative learners: see `DEEPEST`.
fn axis(learners: &[Learner]) -> Scale {
    let usable = |loss: &f64| loss.is_finite() && *loss > 0.0;
    let lowest = |learner: &Learner| learner.losses.iter().copied().filter(usable).fold(f64::INFINITY, f64::min);
    let iterate = learners.iter().filter(|learner| learner.name == "model" || learner.name.starts_with("GD"));
    let foot = iterate.map(lowest).fold(f64::INFINITY, f64::min);
    let least = learners.iter().map(lowest).filter(|low| *low >= foot * DEEPEST).fold(foot, f64::min);
    // Before the first example every reference predicts zero; a model that has not learnt that yet may start higher.
    let start = learners.iter().filter_map(|learner| learner.losses.first().copied()).filter(usable);
    let most = start.fold(least, f64::max).min(least * 1e6);
    Scale::log_around(least * 0.9, most)
}

/// Mark, name, loss after the whole context, what theory expects of it, and operations.
fn table(learners: &[Learner], theme: Theme, width: u16) -> Vec<Line<'static>> {
    // The curves are of fewer tasks, since each of their points costs a forward pass.
    let (columns, loss) = if width >= WIDE { ((15, 16), "loss, all tasks") } else { ((10, 14), "loss") };
    let theory = if width >= WITH_THEORY { 10 } else { 0 };
    // A long name takes its columns from those between the numbers.
    let name = learners.iter().map(|learner| width_of(&learner.name)).fold(NAME.0, usize::max).min(NAME.1);
    let taken = name - NAME.0;
    let columns = if width >= WIDE { (columns.0, columns.1 - taken) } else { (columns.0 - taken, columns.1) };
    let head = format!(
        "{:<n$}{loss:>a$}{:>t$.t$}{:>b$}",
        "",
        "theory",
        "flops a query",
        n = name + 2,
        a = columns.0,
        t = theory,
        b = columns.1
    );
    let mut lines = vec![Line::styled(head, theme.muted())];
    lines.extend(learners.iter().map(|learner| {
        let flops = learner.flops.map_or_else(String::new, count);
        let digits = |loss: f64| significant(loss, if loss < 1e-4 { 1 } else { 4 });
        let (loss, expected) =
            (digits(learner.loss), learner.theory.last().map_or_else(String::new, |loss| digits(*loss)));
        Line::from(vec![
            Span::styled(format!("{} {:<name$}", learner.mark, fit(&learner.name, name)), learner.style),
            Span::raw(format!("{loss:>a$}{expected:>t$.t$}{flops:>b$}", a = columns.0, t = theory, b = columns.1)),
        ])
    }));
    if learners.first().is_some_and(|model| model.name == "model" && model.losses.is_empty()) {
        lines.push(Line::styled("The model reads only whole contexts, so it has no curve.", theme.muted()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::capabilities::{Background, Depth};

    #[test]
    fn numbers_stand_below_each_other_beside_names_of_any_length() {
        let theme = Theme::new(Depth::None, Background::Dark);
        let learner = |name: &str| Learner {
            name: name.to_owned(),
            short_name: name.to_owned(),
            mark: "●",
            stroke: Stroke::Solid,
            style: theme.muted(),
            losses: vec![0.5],
            loss: 0.5,
            theory: vec![],
            flops: Some(1_575),
        };
        for width in [40, 55, 70] {
            let lines = table(&["model", "GD-1 forgetting", "a learner with a long name"].map(learner), theme, width);
            let ends: Vec<usize> = lines.iter().map(Line::width).collect();
            assert!(ends.iter().all(|end| *end == ends[0] && *end <= usize::from(width)), "{width}: {ends:?}");
        }
    }
}
