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
const WIDE: u16 = 56;

/// Columns of the name of a shift, and of each number of several runs.
const FIRST: usize = 15;
const COLUMN: usize = 12;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The key o tests the present weights on tasks unlike those of the training. Each line has the loss of the model \
     and of the reference, how much their predictions differ, and the nearest reference; below, how far the order of \
     the pairs moves the answers. A model that has learnt the algorithm stays equal; one that has learnt only the \
     training tasks does not.";

pub fn title(lab: &Lab, _width: u16) -> String {
    match lab.shifts.last() {
        Some(shift) => format!("Off-distribution, step {}", count(shift.step)),
        None => "Off-distribution".to_owned(),
    }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(2));
    let lines = if lab.shifts.is_empty() {
        let text = "o: test these weights on other ranges, lengths and noise. Training waits for the result.";
        wrap(text, width).into_iter().map(|line| Line::styled(line, theme.muted())).collect()
    } else if lab.runs() > 1 {
        table_of_several(lab, theme, width)
    } else {
        table(&lab.shifts, theme, area.width >= WIDE)
    };
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// A line for each shift, with a column for each of several runs: how much its predictions differ from the reference's,
/// and where there is space its loss.
fn table_of_several(lab: &Lab, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut runs: Vec<&Lab> = lab.every_run().collect();
    runs.sort_by_key(|run| run.run);
    let against = labels::label(lab.shifts.first().map_or(Reference::Gd(1), |shift| shift.reference));
    let style = |run: &Lab| theme.role(if run.run == lab.run { Role::Model } else { Role::Kept(run.run) });
    let fits = |columns: usize| FIRST + COLUMN * columns <= width;
    let losses = fits(2 * runs.len() + 1);
    let names = |lines: &mut Vec<Span<'static>>| {
        lines.extend(runs.iter().map(|run| {
            let name = run.opened.as_ref().map_or_else(String::new, |opened| fit(&line(&opened.name), COLUMN - 1));
            Span::styled(format!("{name:>COLUMN$}"), style(run))
        }));
    };
    let mut head = vec![Span::styled(format!("{:<FIRST$}", ""), theme.muted())];
    names(&mut head);
    if losses {
        head.push(Span::styled(format!("{against:>COLUMN$}"), theme.role(Role::Gd)));
        names(&mut head);
    }
    let mut title =
        format!("{:<FIRST$}{:>column$}", "", format!("differ from {against}"), column = COLUMN * runs.len());
    if losses {
        title += &format!("{:>column$}", "loss", column = COLUMN * (runs.len() + 1));
    }
    let mut lines = vec![Line::styled(title, theme.muted()), Line::from(head)];
    for (row, shift) in lab.shifts.iter().enumerate() {
        let of_run = |run: &&Lab| run.shifts.get(row).cloned();
        let value = |run: &&Lab, text: fn(&Shift) -> String| {
            Span::styled(format!("{:>COLUMN$}", of_run(run).map_or_else(String::new, |shift| text(&shift))), style(run))
        };
        let mut spans = vec![Span::raw(format!("{:<FIRST$}", shift.name))];
        spans.extend(runs.iter().map(|run| value(run, |shift| percent(shift.difference))));
        if losses {
            spans.push(Span::raw(format!("{:>COLUMN$}", significant(shift.reference_loss, 3))));
            spans.extend(runs.iter().map(|run| value(run, |shift| significant(shift.loss, 3))));
        }
        lines.push(Line::from(spans));
    }
    lines
}

/// A line for each shift: the losses, and how far the model is from the reference, by the marks of the answer line.
fn table(shifts: &[Shift], theme: Theme, wide: bool) -> Vec<Line<'static>> {
    let against = labels::label(shifts.first().map_or(Reference::Gd(1), |shift| shift.reference));
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
    lines.extend([Line::default(), Line::styled(format!("{} to the nearest", keys.join("   ")), theme.muted())]);
    if let Some(moved) = shifts.iter().find_map(|shift| shift.moved) {
        let text = format!("the same tasks with shuffled pairs move the answers by {}", percent(moved));
        lines.push(Line::styled(text, theme.muted()));
    }
    let frozen = |shift: &Shift| matches!(shift.nearest, Reference::Frozen(_));
    if shifts.iter().any(frozen) {
        lines.push(Line::styled("frozen: with the gain η/N of training, not that of the new N", theme.muted()));
    }
    lines
}
