//! The lab's panes: one a file, and the one list of them. A pane draws what it is about and knows no other pane.

mod claims;
mod context;
mod distance;
mod loss;
mod predictions;
mod shift;
mod state;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Padding, Widget};

use super::app::{Corner, Lab, Pane};
use super::theme::Theme;

/// Draws a pane with its border; where there are `several`, the one with the focus stands out.
pub fn draw(pane: Pane, lab: &Lab, several: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let focused = several > 1 && pane == lab.focus;
    let title = match pane {
        Pane::Loss => loss::title(lab, area.width.saturating_sub(4)),
        Pane::State => state::title(lab),
        Pane::Distance => distance::title(lab),
        Pane::Context => context::title(),
        Pane::Predictions => predictions::title(lab),
        Pane::Shift => shift::title(lab),
        Pane::Claims => claims::title(lab),
    };
    // A heavier line as well as a brighter one: without colours brightness may be all there is.
    let (kind, style) = if focused { (BorderType::Thick, theme.focus()) } else { (BorderType::Rounded, theme.muted()) };
    // Where there are fewer corners, Tab simply leads to the next pane.
    let behind = if several == Corner::ALL.len() { behind(pane) } else { String::new() };
    let title = Line::styled(format!(" {title} "), theme.title());
    let mut block = Block::bordered().border_type(kind).border_style(style).padding(Padding::ZERO);
    if title.width() + behind.chars().count() + 3 <= usize::from(area.width) {
        block = block.title(Line::styled(behind, theme.muted()).right_aligned());
    }
    let block = block.title(title);
    let inner = block.inner(area);
    block.render(area, buffer);
    match pane {
        Pane::Loss => loss::draw(lab, theme, inner, buffer),
        Pane::State => state::draw(lab, theme, inner, buffer),
        Pane::Distance => distance::draw(lab, theme, inner, buffer),
        Pane::Context => context::draw(lab, theme, inner, buffer),
        Pane::Predictions => predictions::draw(lab, theme, inner, buffer),
        Pane::Shift => shift::draw(lab, theme, inner, buffer),
        Pane::Claims => claims::draw(lab, theme, inner, buffer),
    }
}

/// The panes that Tab brings to the front in the place of this one.
fn behind(pane: Pane) -> String {
    let names = Pane::ALL.into_iter().filter(|other| *other != pane && other.corner() == pane.corner()).map(name);
    let names: Vec<_> = names.collect();
    if names.is_empty() { String::new() } else { format!(" Tab: {} ", names.join(", ")) }
}

fn name(pane: Pane) -> &'static str {
    match pane {
        Pane::Loss => "loss",
        Pane::State => "state",
        Pane::Distance => "distance",
        Pane::Context => "context",
        Pane::Predictions => "predictions",
        Pane::Shift => "off-distribution",
        Pane::Claims => "claims",
    }
}

/// The reference that the measures are against, by its short name.
fn measured_against(lab: &Lab) -> String {
    let reference = lab.history.latest.as_ref().map(|latest| latest.equivalence.reference);
    super::labels::label(reference.unwrap_or(crate::reference::Reference::Gd(1)))
}
