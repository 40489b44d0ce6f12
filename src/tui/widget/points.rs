//! Points with their spread above the values of a field, which need not be numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::plot::TICKS;
use super::scale::{Scale, tick_label};
use super::wrap::{fit, width};

/// Columns for the numbers on the left axis, the axis itself included.
const AXIS: u16 = 8;

/// Mean and standard deviation above each value; `None` where there is none.
pub struct Line {
    pub glyph: &'static str,
    pub style: Style,
    pub points: Vec<Option<(f64, f64)>>,
}

pub struct Points<'a> {
    pub values: &'a [String],
    pub y: Scale,
    pub lines: Vec<Line>,
    pub muted: Style,
}

impl Points<'_> {
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        if area.width < AXIS + 4 || area.height < 4 || self.values.is_empty() {
            return;
        }
        let inner = Rect::new(area.x + AXIS, area.y, area.width - AXIS, area.height - 1);
        for row in inner.top()..inner.bottom() {
            buffer.set_string(inner.x - 1, row, "│", self.muted);
        }
        for tick in self.y.ticks(usize::from(inner.height / 2).min(TICKS)) {
            let Some(row) = self.row(tick, inner) else { continue };
            let text = fit(&tick_label(tick), usize::from(AXIS - 1));
            let left = inner.x - 1 - width(&text) as u16;
            buffer.set_string(left, row, &text, self.muted);
            buffer.set_string(inner.x - 1, row, "┤", self.muted);
        }
        let each = (usize::from(inner.width) / self.values.len()).max(1);
        for (i, value) in self.values.iter().enumerate() {
            let left = inner.x + (i * each) as u16;
            if left >= inner.right() {
                return;
            }
            let space = each.min(usize::from(inner.right() - left));
            let text = fit(value, space.saturating_sub(1).max(1));
            let gap = (space.saturating_sub(width(&text)) / 2) as u16;
            buffer.set_stringn(left + gap, inner.bottom(), &text, space, self.muted);
            self.column(i, Rect::new(left, inner.y, space as u16, inner.height), buffer);
        }
    }

    /// The points above one value, side by side.
    fn column(&self, value: usize, area: Rect, buffer: &mut Buffer) {
        for (i, line) in self.lines.iter().enumerate() {
            let Some((mean, sd)) = line.points.get(value).copied().flatten() else { continue };
            let place = (usize::from(area.width) * (2 * i + 1) / (2 * self.lines.len())) as u16;
            let x = area.x + place.min(area.width - 1);
            let Some(at) = self.row(mean, area) else { continue };
            let (high, low) =
                (self.row(mean + sd, area).unwrap_or(at), self.row(mean - sd, area).unwrap_or(area.bottom() - 1));
            for row in high..=low {
                buffer.set_string(x, row, "│", line.style);
            }
            buffer.set_string(x, at, line.glyph, line.style);
        }
    }

    fn row(&self, value: f64, area: Rect) -> Option<u16> {
        let share = self.y.clamped(value)?;
        Some(area.y + ((1.0 - share) * f64::from(area.height - 1)).round() as u16)
    }
}
