//! A raster of dots, two by four to a cell.
//!
//! Owns the packing of dots into Braille characters. A cell has one style, that of the last dot in it. Dots outside
//! are dropped; rows count from the top.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Which dots of a line are set: line styles, since colour alone must not tell curves apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    /// Solid, and several dots wide.
    Thick,
    /// Three on, three off.
    Dashed,
    /// One on, three off.
    Dotted,
    /// Five on, two off, one on, two off.
    DashDot,
}

impl Stroke {
    pub fn on(self, along: i32) -> bool {
        match self {
            Self::Solid | Self::Thick => true,
            Self::Dashed => along.rem_euclid(6) < 3,
            Self::Dotted => along.rem_euclid(4) == 0,
            Self::DashDot => !matches!(along.rem_euclid(10), 5 | 6 | 8 | 9),
        }
    }
}

pub struct Raster {
    area: Rect,
    cells: Vec<(u8, Style)>,
}

impl Raster {
    pub fn new(area: Rect) -> Self {
        Self { area, cells: vec![(0, Style::new()); area.width as usize * area.height as usize] }
    }

    /// Dots across.
    pub fn width(&self) -> i32 {
        i32::from(self.area.width) * 2
    }

    /// Dots down.
    pub fn height(&self) -> i32 {
        i32::from(self.area.height) * 4
    }

    pub fn dot(&mut self, x: i32, y: i32, style: Style) {
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        if x < 0 || y < 0 || x >= self.width() || y >= self.height() {
            return;
        }
        let at = (y / 4) as usize * self.area.width as usize + (x / 2) as usize;
        if let Some((bits, of)) = self.cells.get_mut(at) {
            *bits |= BITS[(x % 2) as usize][(y % 4) as usize];
            *of = style;
        }
    }

    /// A dot in the background: only in a cell that has no other dots.
    pub fn dot_beneath(&mut self, x: i32, y: i32, style: Style) {
        let at = (y / 4).max(0) as usize * self.area.width as usize + (x / 2).max(0) as usize;
        if self.cells.get(at).is_some_and(|&(bits, of)| bits == 0 || of == style) {
            self.dot(x, y, style);
        }
    }

    /// A dot of a line that another may cover: in every third column it takes over the colour.
    pub fn dot_through(&mut self, x: i32, y: i32, style: Style) {
        let at = (y / 4).max(0) as usize * self.area.width as usize + (x / 2).max(0) as usize;
        let taken = self.cells.get(at).filter(|(bits, _)| *bits != 0).map(|&(_, of)| of);
        self.dot(x, y, taken.filter(|_| (x / 2) % 3 != 0).unwrap_or(style));
    }

    /// A dot of a curve: in every third column, a curve that has been there before keeps its colour, so that both are seen.
    fn dot_over(&mut self, x: i32, y: i32, style: Style) {
        let at = (y / 4).max(0) as usize * self.area.width as usize + (x / 2).max(0) as usize;
        let before = self.cells.get(at).filter(|(bits, _)| *bits != 0).map(|&(_, of)| of);
        self.dot(x, y, before.filter(|_| (x / 2) % 3 == 0).unwrap_or(style));
    }

    /// A straight line. The dashes run along x, so that pieces of a curve join.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32), stroke: Stroke, style: Style) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.abs().max(dy.abs()).max(1);
        for i in 0..=length {
            let (x, y) = (from.0 + dx * i / length, from.1 + dy * i / length);
            let rows = if stroke == Stroke::Thick { y - 1..=y + 1 } else { y..=y };
            rows.filter(|_| stroke.on(x)).for_each(|y| self.dot_over(x, y, style));
        }
    }

    /// Writes the cells that have a dot.
    pub fn render(&self, buffer: &mut Buffer) {
        let width = self.area.width.max(1) as usize;
        for (i, &(bits, style)) in self.cells.iter().enumerate().filter(|(_, (bits, _))| *bits != 0) {
            let (x, y) = (self.area.x + (i % width) as u16, self.area.y + (i / width) as u16);
            let Some(cell) = buffer.cell_mut((x, y)) else { continue };
            let dots = char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
            cell.set_char(dots).set_style(style);
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Color;

    use super::*;

    #[test]
    fn two_curves_in_the_same_cells_are_both_seen() {
        let area = Rect::new(0, 0, 12, 2);
        let (mut raster, mut buffer) = (Raster::new(area), Buffer::empty(area));
        let [first, second] = [Color::Indexed(20), Color::Indexed(30)].map(|colour| Style::new().fg(colour));
        raster.line((0, 2), (23, 2), Stroke::Solid, first);
        raster.line((0, 3), (23, 3), Stroke::Solid, second);
        raster.render(&mut buffer);
        let count = |style: Style| buffer.content.iter().filter(|cell| Some(cell.fg) == style.fg).count();
        assert_eq!((count(first), count(second)), (4, 8));
    }
}
