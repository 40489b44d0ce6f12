//! The lab screen: status, answer, panes, and a message where the run has failed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{answer, lesson, status};
use crate::tui::app::Lab;
use crate::tui::layout;
use crate::tui::pane::Pane;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;

/// Renders all but the footer and returns the footer's area.
pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let places = layout::lab(lab, area);
    status::render(lab, theme, places.status, buffer);
    match &lab.caption {
        Some(caption) => lesson::render_caption(caption, theme, places.answer, buffer),
        None => answer::render(lab, theme, places.answer, buffer),
    }
    let shown: Vec<Pane> = places.panes.iter().map(|(pane, _)| *pane).collect();
    for (pane, area) in &places.panes {
        pane.render(lab, &shown, theme, *area, buffer);
    }
    if let Some(why) = &lab.failure {
        let mut lines: Vec<Line> = why.lines().map(Line::from).collect();
        lines.extend([Line::default(), Line::styled("b: back to the gallery   q: quit", theme.muted())]);
        panel::render("The run has failed", lines, theme.role(Role::Warning), 76, area, buffer);
    }
    places.footer
}
