//! The lab screen: status, answer, panes, and a message where the run cannot go on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{answer, status};
use crate::tui::app::Lab;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::{layout, pane};

/// Draws all but the footer and returns its place.
pub fn draw(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let places = layout::lab(lab, area);
    status::draw(lab, theme, places.status, buffer);
    answer::draw(lab, theme, places.answer, buffer);
    for (which, place) in &places.panes {
        pane::draw(*which, lab, places.panes.len(), theme, *place, buffer);
    }
    if let Some(why) = &lab.failure {
        let mut lines: Vec<Line> = why.lines().map(Line::from).collect();
        lines.extend([Line::default(), Line::styled("Esc: back to the gallery   q: quit", theme.muted())]);
        panel::draw("The run cannot go on", lines, theme.role(Role::Warning), 76, area, buffer);
    }
    places.footer
}
