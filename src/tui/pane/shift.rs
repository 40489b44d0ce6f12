//! The present weights on tasks that they were not trained on: is the model still gradient descent there?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::reference::Reference;
use crate::train::Shift;
use crate::tui::app::Lab;
use crate::tui::labels::{self, Closeness};
use crate::tui::numbers::{count, percent, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::wrap;

/// From this width on there is room for the nearest reference.
const WIDE: u16 = 56;

pub fn title(lab: &Lab) -> String {
    match lab.shifts.last() {
        Some(shift) => format!("Off-distribution, step {}", count(shift.step)),
        None => "Off-distribution".to_owned(),
    }
}

pub fn draw(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(2));
    let lines = if lab.shifts.is_empty() {
        let text = "o measures the present weights on tasks that they were not trained on: other ranges, longer and \
                    shorter contexts, noise. Training waits while it does.";
        wrap(text, width).into_iter().map(|line| Line::styled(line, theme.muted())).collect()
    } else {
        table(&lab.shifts, theme, area.width >= WIDE)
    };
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// A line for each shift; how far the model is from the reference there, by the marks of the answer line.
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
        let mark = Closeness::of_difference(shift.difference).glyph();
        let mut line = Line::from(vec![
            Span::raw(format!("{mark} {:<14}", shift.name)),
            Span::raw(format!("{:>8}{:>8}", significant(shift.loss, 3), significant(shift.reference_loss, 3))),
            Span::styled(format!("{:>9}", percent(shift.difference)), theme.focus()),
        ]);
        if wide {
            let nearest = labels::label(shift.nearest);
            line.push_span(Span::styled(format!("  {nearest}"), theme.role(labels::role(shift.nearest))));
        }
        line
    }));
    let key = |verdict: Closeness, words: &str| format!("{} {words}", verdict.glyph());
    let keys = [key(Closeness::Equal, "equal"), key(Closeness::Close, "close"), key(Closeness::NotYet, "neither")];
    lines.extend([Line::default(), Line::styled(keys.join("   "), theme.muted())]);
    lines
}
