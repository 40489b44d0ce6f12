//! A box in the middle of the screen, above everything else.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph, Widget, Wrap};

/// Renders lines in a box at most `widest` columns wide, wrapped, and as high as they need.
pub fn render(title: &str, lines: Vec<Line>, style: Style, widest: u16, area: Rect, buffer: &mut Buffer) {
    let width = area.width.min(widest);
    let inner = usize::from(width.saturating_sub(4).max(1));
    // Words wrap early at worst: one row more for every other row that a line needs.
    let rows = |line: &Line| {
        let needed = line.width().div_ceil(inner).max(1);
        needed + needed / 2
    };
    let height = area.height.min(lines.iter().map(rows).sum::<usize>() as u16 + 2);
    let area = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(style)
        .title(Line::styled(format!(" {title} "), style))
        .padding(Padding::horizontal(1));
    Paragraph::new(Text::from(lines)).block(block).wrap(Wrap { trim: false }).render(area, buffer);
}
