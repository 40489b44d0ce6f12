//! Named points over two axes, and lines that join some of them.
//!
//! Owns where names stand: beside their points, above or below them, and nowhere where there is no space. Names of
//! earlier points are placed first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::{Raster, Stroke};
use super::plot::Plot;
use super::scale::Scale;
use super::wrap::width;

/// A point with its name. A value outside of an axis stands at its end, with an arrow before the name.
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub mark: &'static str,
    pub name: String,
    pub style: Style,
}

pub struct Scatter<'a> {
    pub x: Scale,
    /// What the horizontal axis counts, in at most five letters.
    pub unit: &'static str,
    pub y: Scale,
    /// The most important first.
    pub points: &'a [Point],
    /// Points that a line joins, as indices.
    pub lines: Vec<Vec<usize>>,
    pub muted: Style,
}

impl Scatter<'_> {
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let Self { x, unit, y, muted, .. } = *self;
        let axes = Plot {
            x,
            unit,
            y,
            traces: vec![],
            labels: vec![],
            gutter: 0,
            marks: vec![],
            ticks: vec![],
            cursor: None,
            muted,
        };
        // A number at the right end of the axis stands out by a column.
        let area = Rect { width: area.width.saturating_sub(1), ..area };
        let Some(inner) = axes.inner(area) else { return };
        axes.render(area, buffer);
        let cells: Vec<Option<(u16, u16)>> = self.points.iter().map(|point| self.cell(point, inner)).collect();
        self.render_lines(&cells, inner, buffer);
        // What covers which cells: marks, and then names.
        let mut taken: Vec<Rect> = cells.iter().flatten().map(|&(column, row)| Rect::new(column, row, 1, 1)).collect();
        // The most important mark lies above the others.
        for (point, cell) in self.points.iter().zip(&cells).rev() {
            let Some((column, row)) = *cell else { continue };
            buffer.set_string(column, row, point.mark, point.style);
        }
        for (point, cell) in self.points.iter().zip(&cells) {
            let Some(place) = cell.and_then(|cell| self.place(point, cell, inner, &taken)) else { continue };
            buffer.set_string(place.x, place.y, self.text(point), point.style);
            taken.push(place);
        }
    }

    /// The cell of a point, at the edge where it lies outside.
    fn cell(&self, point: &Point, inner: Rect) -> Option<(u16, u16)> {
        // Zero lies to the left of every logarithmic axis, and below it.
        let share = |scale: Scale, value: f64| value.is_finite().then(|| scale.clamped(value).unwrap_or(0.0));
        let (x, y) = (share(self.x, point.x)?, share(self.y, point.y)?);
        let column = inner.x + (x * f64::from(inner.width - 1)).round() as u16;
        Some((column, inner.y + ((1.0 - y) * f64::from(inner.height - 1)).round() as u16))
    }

    /// "↓ least squares": the name, and on which side of the axes the point lies.
    fn text(&self, point: &Point) -> String {
        let outside = |scale: Scale, value: f64| scale.share(value).is_none_or(|share| share < -1e-9);
        let beyond = |scale: Scale, value: f64| scale.share(value).is_some_and(|share| share > 1.0 + 1e-9);
        let arrows = [
            ("←", outside(self.x, point.x)),
            ("→", beyond(self.x, point.x)),
            ("↓", outside(self.y, point.y)),
            ("↑", beyond(self.y, point.y)),
        ];
        let arrows: String = arrows.into_iter().filter(|(_, shown)| *shown).map(|(arrow, _)| arrow).collect();
        if arrows.is_empty() { point.name.clone() } else { format!("{arrows} {}", point.name) }
    }

    /// The free place for a name: to the right of its point, to the left, above, or below.
    fn place(&self, point: &Point, (column, row): (u16, u16), inner: Rect, taken: &[Rect]) -> Option<Rect> {
        let wide = u16::try_from(width(&self.text(point))).ok()?;
        let (column, row, half) = (i32::from(column), i32::from(row), i32::from(wide) / 2);
        let starts = [
            (column + 2, row),
            (column - 1 - i32::from(wide), row),
            (column - half, row - 1),
            (column - half, row + 1),
            (column + 1, row - 1),
            (column + 1, row + 1),
        ];
        let place = |(x, y): (i32, i32)| {
            let place = Rect::new(u16::try_from(x).ok()?, u16::try_from(y).ok()?, wide, 1);
            let inside = place.x >= inner.x
                && place.right() <= inner.right()
                && (inner.top()..inner.bottom()).contains(&place.y);
            // A name keeps a column to the next one.
            let around = Rect { x: place.x.saturating_sub(1), width: wide + 2, ..place };
            let free = |other: &Rect| !around.intersects(*other) || (other.width == 1 && !place.intersects(*other));
            (inside && taken.iter().all(free)).then_some(place)
        };
        starts.into_iter().find_map(place)
    }

    fn render_lines(&self, cells: &[Option<(u16, u16)>], inner: Rect, buffer: &mut Buffer) {
        let mut raster = Raster::new(inner);
        let dot = |(column, row): (u16, u16)| (i32::from(column - inner.x) * 2, i32::from(row - inner.y) * 4 + 1);
        for line in &self.lines {
            let ends: Vec<_> = line.iter().filter_map(|&i| cells.get(i).copied().flatten()).map(dot).collect();
            ends.windows(2).for_each(|pair| raster.line(pair[0], pair[1], Stroke::Dotted, self.muted));
        }
        raster.render(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(points: &[Point], (width, height): (u16, u16)) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let x = Scale::Log { low: 1.0, high: 100.0 };
        let y = Scale::Log { low: 0.1, high: 1.0 };
        Scatter { x, unit: "flop", y, points, lines: vec![vec![0, 1]], muted: Style::new() }.render(area, &mut buffer);
        buffer.content.iter().map(|cell| cell.symbol()).collect()
    }

    fn point(x: f64, y: f64, name: &str) -> Point {
        Point { x, y, mark: "●", name: name.to_owned(), style: Style::new() }
    }

    #[test]
    fn names_do_not_cover_each_other_and_the_first_has_its_place() {
        let points = [point(10.0, 0.5, "first"), point(10.0, 0.5, "second"), point(10.0, 0.5, "third")];
        let text = shown(&points, (40, 8));
        assert!(text.contains("● first") && text.contains("second ●") && text.contains("third"), "{text}");
        // Where there is no space, the name is left out, and never cut.
        let text = shown(&points, (16, 4));
        assert!(!text.contains("fir ") && text.contains('●'), "{text}");
    }

    #[test]
    fn a_point_outside_stands_at_the_edge_with_an_arrow() {
        let text =
            shown(&[point(10.0, 1e-30, "exact"), point(0.0, 0.5, "zero"), point(f64::NAN, 0.5, "lost")], (40, 8));
        assert!(text.contains("↓ exact") && text.contains("● ← zero") && !text.contains("lost"), "{text}");
    }
}
