//! Matrices as heatmaps: half blocks of a diverging ramp, or characters where there are too few colours.
//!
//! Owns the ramp's characters and how values become its levels. Knows nothing of what a matrix means.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::train::Grid;
use crate::tui::theme::{Ramp, SHADES, Theme};

/// Columns that one value may be wide.
const WIDEST: u16 = 12;

/// From strongly negative to strongly positive: lines are below zero, shades above.
const GLYPHS: [char; 9] = ['#', '≡', '=', '-', '·', '░', '▒', '▓', '█'];

/// How much longer one side of a value may be than the other, on the screen.
const STRETCH: u16 = 4;
/// The same of a grid with one row or one column, which else would be a thin line.
const STRETCH_OF_LINE: u16 = 12;

/// How large a value is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellSize {
    /// Columns.
    wide: u16,
    /// Half rows where heatmaps are made of colours, else rows.
    high: u16,
}

impl CellSize {
    /// A value as high as it is wide: a cell is twice as high as wide.
    fn square(theme: Theme, wide: u16) -> Self {
        Self { wide, high: if theme.shades() { wide } else { wide.div_ceil(2) } }
    }

    /// Values of so many columns and rows of the screen.
    pub fn bar(theme: Theme, columns: u16, rows: u16) -> Self {
        Self { wide: columns, high: if theme.shades() { 2 * rows } else { rows } }
    }

    /// The largest at which a grid of this shape fits, with values at most twice as long one way as the other.
    pub fn largest(theme: Theme, (rows, columns): (usize, usize), space: (u16, u16)) -> Option<Self> {
        let (rows, columns) = (u16::try_from(rows).ok()?.max(1), u16::try_from(columns).ok()?.max(1));
        let half_rows = if theme.shades() { 2 * space.1 } else { space.1 };
        let (wide, high) = ((space.0 / columns).min(WIDEST), half_rows / rows);
        // Half rows are as high as a column is wide, rows twice that.
        let halves = if theme.shades() { 1 } else { 2 };
        let size =
            Self { wide: wide.min(2 * halves * high), high: high.min(if theme.shades() { 2 * wide } else { wide }) };
        (size.wide > 0 && size.high > 0).then_some(size)
    }

    /// Columns times half rows that a value takes.
    pub fn extent(self, theme: Theme) -> u16 {
        self.wide * self.high * if theme.shades() { 1 } else { 2 }
    }

    /// The largest at which `maps` grids of this shape stand side by side, `gap` columns apart, with square values.
    pub fn fitting(
        theme: Theme,
        (rows, columns): (usize, usize),
        maps: u16,
        gap: u16,
        space: (u16, u16),
    ) -> Option<Self> {
        let (rows, columns) = (u16::try_from(rows).ok()?.max(1), u16::try_from(columns).ok()?.max(1));
        let across = space.0.checked_sub(gap * (maps - 1))? / maps / columns;
        let squares = (1..=across.min(WIDEST)).rev().map(|wide| Self::square(theme, wide));
        squares.into_iter().find(|size| size.height(theme, rows) <= space.1)
    }

    /// The same with values that may be longer one way, where that fills more of the space.
    pub fn filling(theme: Theme, (rows, columns): (usize, usize), space: (u16, u16)) -> Option<Self> {
        let square = Self::fitting(theme, (rows, columns), 1, 0, space)?;
        let (rows, columns) = (rows.max(1) as u16, columns.max(1) as u16);
        let half_rows = if theme.shades() { 2 * space.1 } else { space.1 };
        let stretch = if rows.min(columns) == 1 { STRETCH_OF_LINE } else { STRETCH };
        let wide = (space.0 / columns).min(stretch * square.wide).min(WIDEST).max(square.wide);
        let high = (half_rows / rows).min(stretch * square.high).max(square.high);
        // One side only: with both it would be another square.
        let wider = Self { wide, ..square };
        let higher = Self { high, ..square };
        Some(if u32::from(wide) * u32::from(square.high) >= u32::from(high) * u32::from(square.wide) {
            wider
        } else {
            higher
        })
    }

    /// Whether a pattern of such values is seen from a distance.
    pub fn is_visible(self, theme: Theme) -> bool {
        self.extent(theme) >= 2
    }

    pub fn width(self, columns: usize) -> u16 {
        self.wide * columns as u16
    }

    /// Rows of the screen for so many rows of a grid.
    pub fn height(self, theme: Theme, rows: u16) -> u16 {
        if theme.shades() { (rows * self.high).div_ceil(2) } else { rows * self.high }
    }
}

/// Weights of attention have no negative values, and shares of a variance none that matter.
pub fn ramp(grid: &Grid) -> Ramp {
    if ["query", "layer"].contains(&grid.axes.0) { Ramp::Sequential } else { Ramp::Diverging }
}

/// Renders a grid at the top left of `area`; `most` is the value at the ends of the ramp.
pub fn render(grid: &Grid, most: f32, size: CellSize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let height = size.height(theme, grid.rows as u16);
    let area = Rect::new(area.x, area.y, area.width.min(size.width(grid.columns)), area.height.min(height));
    let ramp = ramp(grid);
    let at = |row: u16, column: u16| -> Option<i8> {
        let row = usize::from(row);
        let value =
            grid.values.get(row * grid.columns + usize::from(column / size.wide)).filter(|_| row < grid.rows)?;
        level(*value, most)
    };
    for y in 0..area.height {
        for x in 0..area.width {
            let Some(cell) = buffer.cell_mut((area.x + x, area.y + y)) else { continue };
            if theme.shades() {
                // A missing value (a last half row, a value that is not finite) shows the terminal's background.
                match (at(2 * y / size.high, x), at((2 * y + 1) / size.high, x)) {
                    (Some(top), Some(low)) if top == low => {
                        cell.set_char(' ').set_style(Style::new().bg(theme.shade(ramp, top)))
                    }
                    (Some(top), Some(low)) => {
                        cell.set_char('▀').set_style(Style::new().fg(theme.shade(ramp, top)).bg(theme.shade(ramp, low)))
                    }
                    (Some(top), None) => cell.set_char('▀').set_style(Style::new().fg(theme.shade(ramp, top))),
                    (None, Some(low)) => cell.set_char('▄').set_style(Style::new().fg(theme.shade(ramp, low))),
                    (None, None) => cell.set_char('?'),
                };
            } else {
                cell.set_char(at(y / size.high, x).map_or('?', glyph));
            }
        }
    }
}

/// A grid of at most so many rows and columns, and the block of values, rows by columns, that each entry stands for: an
/// entry is the value of its block that is furthest from zero.
pub fn condense(grid: &Grid, (rows, columns): (usize, usize)) -> (Grid, (usize, usize)) {
    let block = (grid.rows.div_ceil(rows.max(1)).max(1), grid.columns.div_ceil(columns.max(1)).max(1));
    let (rows, columns) = (grid.rows.div_ceil(block.0), grid.columns.div_ceil(block.1));
    let mut values = vec![0.0f32; rows * columns];
    for (row, numbers) in grid.values.chunks(grid.columns.max(1)).enumerate() {
        for (column, number) in numbers.iter().enumerate() {
            let kept = &mut values[row / block.0 * columns + column / block.1];
            if number.abs() > kept.abs() {
                *kept = *number;
            }
        }
    }
    (Grid { rows, columns, values, axes: grid.axes }, block)
}

/// The ramp from −most to +most, or from 0 to most, in one line.
pub fn legend(most: f32, ramp: Ramp, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let number = crate::tui::numbers::short(f64::from(most));
    let (low, high) = match ramp {
        Ramp::Diverging => (format!("−{number} "), format!(" +{number}")),
        Ramp::Sequential => ("0 ".to_owned(), format!(" {number}")),
    };
    let first = match ramp {
        Ramp::Diverging => -SHADES,
        Ramp::Sequential => 0,
    };
    let (low_width, high_width) = (low.chars().count() as u16, high.chars().count() as u16);
    let every = |stride: usize| (first..=SHADES).step_by(stride).collect::<Vec<i8>>();
    let space = usize::from(area.width.saturating_sub(low_width + high_width));
    // Every second step where space is short.
    let strides = if theme.shades() { 1..=2 } else { 2..=2 };
    let Some(levels) = strides.map(every).find(|levels| levels.len() <= space && area.height > 0) else { return };
    let steps = levels.len() as u16;
    buffer.set_string(area.x, area.y, &low, theme.muted());
    for (i, level) in levels.into_iter().enumerate() {
        let Some(cell) = buffer.cell_mut((area.x + low_width + i as u16, area.y)) else { continue };
        if theme.shades() {
            cell.set_char(' ').set_style(Style::new().bg(theme.shade(ramp, level)));
        } else {
            cell.set_char(glyph(level));
        }
    }
    buffer.set_string(area.x + low_width + steps, area.y, &high, theme.muted());
}

/// The step of the ramp, from −SHADES to SHADES; `None` for a value that is not finite.
fn level(value: f32, most: f32) -> Option<i8> {
    let share = if most > 0.0 { value / most } else { value.signum() * f32::from(value != 0.0) };
    share.is_finite().then(|| (share.clamp(-1.0, 1.0) * f32::from(SHADES)).round() as i8)
}

fn glyph(level: i8) -> char {
    GLYPHS[((i16::from(level) + i16::from(SHADES)) / 2) as usize]
}

#[cfg(test)]
mod tests {
    use super::{CellSize, Grid, condense, glyph, level};
    use crate::tui::capabilities::{Background, Depth};
    use crate::tui::theme::{SHADES, Theme};

    #[test]
    fn a_condensed_grid_keeps_what_is_furthest_from_zero() {
        let grid = Grid { rows: 3, columns: 4, values: (0..12).map(|i| i as f32 - 6.0).collect(), axes: ("r", "c") };
        let (small, block) = condense(&grid, (2, 2));
        assert_eq!((small.rows, small.columns, block), (2, 2, (2, 2)));
        assert_eq!(small.values, [-6.0, -4.0, 3.0, 5.0]);
        assert_eq!(condense(&grid, (3, 4)), (grid, (1, 1)));
    }

    #[test]
    fn the_ramp_has_its_zero_in_the_middle_and_its_ends_at_the_ends() {
        assert_eq!([level(0.0, 2.0), level(2.0, 2.0), level(-9.0, 2.0)], [Some(0), Some(SHADES), Some(-SHADES)]);
        assert_eq!([level(f32::NAN, 2.0), level(1.0, 0.0)], [None, Some(SHADES)]);
        assert_eq!([glyph(-SHADES), glyph(0), glyph(SHADES)], ['#', '·', '█']);
    }

    #[test]
    fn three_grids_of_ten_fit_a_pane_of_a_large_screen() {
        let theme = Theme::new(Depth::True, Background::Dark);
        let fitting = |space| CellSize::fitting(theme, (10, 10), 3, 1, space);
        assert_eq!(fitting((62, 10)), Some(CellSize { wide: 2, high: 2 }));
        assert_eq!(fitting((62, 9)), Some(CellSize { wide: 1, high: 1 }));
        assert_eq!(fitting((5, 5)), None);
    }

    #[test]
    fn values_may_be_twice_as_long_one_way() {
        let theme = Theme::new(Depth::True, Background::Dark);
        let largest = |space| CellSize::largest(theme, (10, 10), space);
        assert_eq!(largest((13, 13)), Some(CellSize { wide: 1, high: 2 }));
        assert_eq!(largest((23, 9)), Some(CellSize { wide: 2, high: 1 }));
        assert_eq!(largest((62, 10)), Some(CellSize { wide: 4, high: 2 }));
        assert_eq!((largest((9, 9)), largest((10, 4))), (None, None));
        let plain = Theme::new(Depth::None, Background::Dark);
        let size = CellSize::largest(plain, (10, 10), (13, 13)).unwrap();
        assert_eq!((size, size.is_visible(plain)), (CellSize { wide: 1, high: 1 }, true));
        assert!(!CellSize { wide: 1, high: 1 }.is_visible(theme));
    }

    #[test]
    fn a_grid_that_is_long_one_way_is_stretched_the_other() {
        let theme = Theme::new(Depth::True, Background::Dark);
        let filling = |shape| CellSize::filling(theme, shape, (62, 10));
        assert_eq!(filling((2, 32)), Some(CellSize { wide: 1, high: 4 }));
        assert_eq!(filling((20, 4)), Some(CellSize { wide: 4, high: 1 }));
        assert_eq!(filling((10, 10)), Some(CellSize { wide: 6, high: 2 }));
        assert_eq!(filling((21, 4)), None);
    }
}
