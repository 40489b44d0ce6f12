//! X.
use crate::tui::app::Lab;
use crate::tui::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
pub fn title() -> String {
    "Loss against pairs read".to_owned()
}
pub fn draw(_lab: &Lab, _theme: Theme, _area: Rect, _buffer: &mut Buffer) {}
