//! The lab for a projector: the answer, one number, one curve and one map, large and in strong colours, and nothing
//! else.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::{answer, lab as lab_screen, lesson, status};
use crate::bounds::printable;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::layout;
use crate::tui::numbers::percent;
use crate::tui::pane;
use crate::tui::theme::Theme;
use crate::tui::widget::big;

/// Columns and rows below which the lab is shown as always.
const LEAST: (u16, u16) = (60, 20);
/// Columns and rows from which on the digits are twice as large.
const LARGE: (u16, u16) = (120, 40);

/// Renders all but the footer and returns the footer's area.
pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    if area.width < LEAST.0 || area.height < LEAST.1 || lab.failure.is_some() {
        return lab_screen::render(lab, theme, area, buffer);
    }
    let scale = if area.width >= LARGE.0 && area.height >= LARGE.1 { 2 } else { 1 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(layout::answer_rows(lab, area.width)),
        // A row of space above the digits, and one below.
        Constraint::Length(5 * scale + 2),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [title, verdict, number, pictures, footer] = Layout::vertical(rows).areas(area);
    render_title(lab, theme, title, buffer);
    match &lab.caption {
        Some(caption) => lesson::render_caption(caption, theme, verdict, buffer),
        None => {
            let headline = answer::headline(lab, theme);
            Paragraph::new(Text::from(headline)).wrap(Wrap { trim: false }).render(verdict, buffer);
        }
    }
    if lab.opening() {
        return footer;
    }
    render_number(lab, scale, theme, number, buffer);
    let [curve, map] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(pictures);
    let inside = Rect { x: curve.x + 1, width: curve.width.saturating_sub(1), ..curve };
    pane::render_large_loss(lab, theme, inside, buffer);
    pane::render_state_map(lab, theme, map, buffer);
    footer
}

/// The title, and the step on the right.
fn render_title(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let progress = match &lab.status {
        Some(status) => labels::progress(status.step, status.steps, 0),
        None => status::opening(lab),
    };
    let width = progress.chars().count() as u16 + 1;
    let title = lab.opened.as_ref().map_or(&lab.title, |opened| &opened.preset.title);
    let space = usize::from(area.width.saturating_sub(width + 2));
    buffer.set_stringn(area.x + 1, area.y, printable(title).replace('\n', " "), space, theme.focus());
    buffer.set_stringn(area.right().saturating_sub(width), area.y, progress, usize::from(width), theme.focus());
}

/// How much the predictions differ, in digits as large as there is space for, and what they are.
fn render_number(lab: &Lab, scale: u16, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(latest) = &lab.history.latest else { return };
    let equal = &latest.equivalence;
    let text = percent(equal.prediction_difference_relative);
    let style: Style = theme.role(labels::role(equal.reference));
    let place = Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(2), height: area.height - 1 };
    let (width, _) = big::size(&text, scale);
    let beside = if big::render(&text, scale, style, place, buffer) { width + 3 } else { 0 };
    let lines = ["predictions", "differ from", &format!("{}'s", labels::label(equal.reference))].map(str::to_owned);
    let text = if beside == 0 { vec![format!("{} {text}", lines.join(" "))] } else { lines.to_vec() };
    let left = place.x + beside;
    for (row, line) in (place.y + 1..place.bottom()).zip(text) {
        buffer.set_line(left, row, &Line::styled(line, theme.focus()), area.right().saturating_sub(left));
    }
}
