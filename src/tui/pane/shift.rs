//! The present weights on tasks that differ from those of the training: is the model still gradient descent there?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::bounds::line;
use crate::reference::Reference;
use crate::train::Shift;
use crate::tui::app::Lab;
use crate::tui::labels::{self, Closeness};
use crate::tui::numbers::{count, percent, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{fit, wrap};

/// From this width on the nearest reference is shown.
const WIDE: usize = 54;

/// Columns of the name of a shift, and of each number of several runs.
const FIRST: usize = 15;
const COLUMN: usize = 12;
/// Columns of a number at least.
const LEAST: usize = 9;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The key o tests the present weights on tasks unlike those of the training. Each line has the loss of the model \
     and of the reference, how much their predictions differ, and the nearest reference; below, how far the order of \
     the pairs moves the answers. A model that has learnt the algorithm stays equal; one that has learnt only the \
     training tasks does not. Of several runs the losses are divided by that of predicting zero on the same tasks: \
     above 1 is worse than always answering zero.";

pub fn title(lab: &Lab, _width: u16) -> String {
    match lab.shifts.last() {
        Some(shift) => format!("Off-distribution, step {}", count(shift.step)),
        None => "Off-distribution".to_owned(),
    }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(2));
    let lines = if lab.shifts.is_empty() {
        let text = match lab.pending.shifts {
            true => "The present weights are being tested on other ranges, lengths and noise …",
            false => "o: test these weights on other ranges, lengths and noise. Training waits for the result.",
        };
        wrap(text, width).into_iter().map(|line| Line::styled(line, theme.muted())).collect()
    } else if lab.runs() > 1 {
        table_of_several(lab, theme, width)
    } else {
        table(&lab.shifts, theme, width)
    };
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// A line for each shift, with columns for each of several runs: its loss, and where there is space how much its
/// predictions differ from the reference's, and the reference's own loss. Losses are shares of that of predicting zero.
fn table_of_several(lab: &Lab, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut runs: Vec<&Lab> = lab.every_run().collect();
    runs.sort_by_key(|run| run.run);
    let against = labels::label(lab.shifts.first().map_or(Reference::Gd(1), |shift| shift.reference));
    let style = |run: &Lab| theme.role(if run.run == lab.run { Role::Model } else { Role::Kept(run.run) });
    let space = width.saturating_sub(FIRST);
    let both = LEAST * (2 * runs.len() + 1) <= space;
    let column = (space / if both { 2 * runs.len() + 1 } else { runs.len() }).min(COLUMN);
    let (own_name, others) = (lab.overlaid().1, lab.overlaid().0);
    let name = |run: &Lab| match others.iter().find(|other| other.number == run.run && run.run != lab.run) {
        Some(other) => other.name.clone(),
        None => own_name.clone(),
    };
    let names = || {
        let name = |run: &&Lab| {
            Span::styled(format!("{:>column$}", fit(&line(&name(run)), column.saturating_sub(1))), style(run))
        };
        runs.iter().map(name).collect::<Vec<_>>()
    };
    let (mut title, mut head) = (format!("{:<FIRST$}", ""), vec![Span::raw(format!("{:<FIRST$}", ""))]);
    if both {
        title += &format!("{:>width$}", format!("differ from {against}"), width = column * runs.len());
        head.extend(names());
        head.push(Span::styled(format!("{against:>column$}"), theme.role(Role::Gd)));
    }
    let of_zero = lab.shifts.iter().all(|shift| shift.zero_loss.is_some());
    let columns = runs.len() + usize::from(both);
    let losses = if of_zero { "loss ÷ zero's" } else { "loss" };
    title += &format!("{losses:>width$}", width = column * columns);
    head.extend(names());
    let mut lines = vec![Line::styled(title, theme.muted()), Line::from(head)];
    for (row, shift) in lab.shifts.iter().enumerate() {
        let unit = shift.zero_loss.filter(|_| of_zero).unwrap_or(1.0);
        let value = |run: &&Lab, text: &dyn Fn(&Shift) -> String| {
            let shift = run.shifts.get(row);
            Span::styled(format!("{:>column$}", shift.map_or_else(String::new, text)), style(run))
        };
        let mut spans = vec![Span::raw(format!("{:<FIRST$}", shift.name))];
        if both {
            spans.extend(runs.iter().map(|run| value(run, &|shift| percent(shift.difference))));
            spans.push(Span::raw(format!("{:>column$}", significant(shift.reference_loss / unit, 3))));
        }
        spans.extend(runs.iter().map(|run| value(run, &|shift| significant(shift.loss / unit, 3))));
        lines.push(Line::from(spans));
    }
    lines
}

/// A line for each shift: the losses, and how far the model is from the reference, by the marks of the answer line.
fn table(shifts: &[Shift], theme: Theme, width: usize) -> Vec<Line<'static>> {
    let against = labels::label(shifts.first().map_or(Reference::Gd(1), |shift| shift.reference));
    let wide = width >= WIDE;
    let head = Line::from(vec![
        Span::styled(format!("{:<16}", "loss of"), theme.muted()),
        Span::styled(format!("{:>8}", "model"), theme.role(Role::Model)),
        Span::styled(format!("{against:>8}"), theme.role(Role::Gd)),
        Span::styled("   differ", theme.muted()),
        Span::styled(if wide { "  nearest" } else { "" }, theme.muted()),
    ]);
    let mut lines = vec![head];
    lines.extend(shifts.iter().map(|shift| {
        let mark = Closeness::of_difference(shift.nearest_distance).glyph();
        let mut line = Line::from(vec![
            Span::raw(format!("{mark} {:<14}", shift.name)),
            Span::raw(format!("{:>8}{:>8}", significant(shift.loss, 3), significant(shift.reference_loss, 3))),
            Span::styled(format!("{:>9}", percent(shift.difference)), theme.focus()),
        ]);
        if wide {
            let nearest = format!("{} {}", labels::label(shift.nearest), percent(shift.nearest_distance));
            line.push_span(Span::styled(format!("  {nearest}"), theme.role(labels::role(shift.nearest))));
        }
        line
    }));
    let key = |closeness: Closeness, label: &str| format!("{} {label}", closeness.glyph());
    let keys = [key(Closeness::Equal, "equal"), key(Closeness::Close, "close"), key(Closeness::Neither, "neither")];
    let mut notes = vec![format!("{} to the nearest", keys.join("   "))];
    if let Some(moved) = shifts.iter().find_map(|shift| shift.moved) {
        notes.push(format!("the same tasks with shuffled pairs move the answers by {}", percent(moved)));
    }
    if shifts.iter().any(|shift| matches!(shift.nearest, Reference::Frozen(_))) {
        notes.push("frozen: with the gain η/N of training, not that of the new N".to_owned());
    }
    lines.push(Line::default());
    let notes = notes.iter().flat_map(|note| wrap(note, width));
    lines.extend(notes.map(|note| Line::styled(note, theme.muted())));
    lines
}
