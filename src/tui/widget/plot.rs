//! Curves over steps, with a true logarithmic axis where it is asked for.
//!
//! Owns the places of axes, ticks and the labels at the right end. Values that are not finite, or not positive on a
//! logarithmic axis, leave a gap.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::braille::{Raster, Stroke};
use super::scale::{Scale, tick_label};
use crate::series::Series;

/// Columns for the numbers on the left axis, the axis itself included.
const AXIS: u16 = 6;
/// Dots by which an extreme stands above both its neighbours to be a spike.
const SPIKE: i32 = 6;

/// One thing to render. Of several, later ones lie above.
pub enum Trace<'a> {
    /// The least and the greatest value of each column, where the cell has no other dots.
    Extremes(&'a Series, Style),
    /// The mean of each stretch.
    Curve(&'a Series, Stroke, Style),
    /// A character at each value, above all curves.
    Marks(&'a Series, &'static str, Style),
    /// A character on a curve, at its first value from the cell `first` on and then every so many cells: it tells the curve
    /// from others.
    Glyphs { series: &'a Series, glyph: &'static str, first: u16, every: u16, style: Style },
    /// A horizontal line; a curve that lies on it keeps most of its colour.
    Level(f64, Stroke, Style),
}

/// A word at the right end, at the height of its value, moved only as far as needed not to cover another.
pub struct EndLabel {
    pub value: f64,
    pub text: String,
    pub style: Style,
}

pub struct Plot<'a> {
    pub x: Scale,
    /// What the horizontal axis counts, in at most five letters.
    pub unit: &'static str,
    pub y: Scale,
    pub traces: Vec<Trace<'a>>,
    pub labels: Vec<EndLabel>,
    /// Columns for the labels.
    pub gutter: u16,
    /// Words on the top edge, each at a value of x.
    pub marks: Vec<(f64, String)>,
    pub muted: Style,
}

impl Plot<'_> {
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let gutter = if area.width > AXIS + self.gutter + 12 { self.gutter } else { 0 };
        if area.width < AXIS + 2 + gutter || area.height < 3 {
            return;
        }
        let inner = Rect::new(area.x + AXIS, area.y, area.width - AXIS - gutter, area.height - 1);
        self.axes(inner, buffer);
        let mut raster = Raster::new(inner);
        self.traces.iter().for_each(|trace| self.trace(trace, &mut raster));
        raster.render(buffer);
        self.traces.iter().for_each(|trace| self.points(trace, inner, &raster, buffer));
        self.marks(inner, buffer);
        if gutter > 0 {
            self.end_labels(Rect::new(inner.right(), area.y, gutter, inner.height), buffer);
        }
    }

    fn axes(&self, inner: Rect, buffer: &mut Buffer) {
        let axis = inner.x - 1;
        for row in inner.top()..inner.bottom() {
            buffer.set_string(axis, row, "│", self.muted);
        }
        for tick in self.y.ticks(usize::from(inner.height / 2)) {
            let Some(share) = self.y.share(tick) else { continue };
            let row = inner.top() + row_of(share, inner.height);
            let text = tick_label(tick);
            let width = text.chars().count().min(usize::from(AXIS - 1)) as u16;
            buffer.set_stringn(axis - width, row, &text, usize::from(width), self.muted);
            buffer.set_string(axis, row, "┤", self.muted);
        }
        buffer.set_string(inner.x - AXIS, inner.bottom(), self.unit, self.muted);
        let mut free = inner.x;
        for tick in self.x.ticks(usize::from(inner.width / 12)) {
            let Some(share) = self.x.share(tick) else { continue };
            let text = tick_label(tick);
            let width = text.chars().count() as u16;
            let centre = inner.x + (share * f64::from(inner.width - 1)).round() as u16;
            let left = centre.saturating_sub(width / 2).min((inner.right() + 1).saturating_sub(width)).max(inner.x - 1);
            if left >= free || tick == 0.0 {
                buffer.set_string(left, inner.bottom(), &text, self.muted);
                free = left + width + 1;
            }
        }
    }

    fn trace(&self, trace: &Trace, raster: &mut Raster) {
        match trace {
            Trace::Extremes(series, style) => self.extremes(series, *style, raster),
            Trace::Curve(series, stroke, style) => self.curve(series, *stroke, *style, raster),
            // Characters are written after all dots.
            Trace::Marks(..) | Trace::Glyphs { .. } => {}
            Trace::Level(value, stroke, style) => {
                // A level outside is not shown: a line at the edge would show a wrong value.
                let inside = self.y.share(*value).filter(|share| (-1e-9..=1.0 + 1e-9).contains(share));
                if let Some(y) = inside.map(|share| dot_row(share, raster)) {
                    (0..raster.width()).filter(|&x| stroke.on(x)).for_each(|x| raster.dot_through(x, y, *style));
                }
            }
        }
    }

    /// An outline and not a filled band, so that the curve in its middle stays visible.
    fn extremes(&self, series: &Series, style: Style, raster: &mut Raster) {
        let mut columns: Vec<Option<(i32, i32)>> = vec![None; raster.width() as usize];
        for bucket in series.buckets() {
            let ends = [bucket.max, bucket.min].map(|end| self.y.clamped(f64::from(end)));
            let [Some(high), Some(low)] = ends.map(|share| share.map(|share| dot_row(share, raster))) else { continue };
            let Some(column) = self.column(bucket.step, raster).and_then(|x| columns.get_mut(x as usize)) else {
                continue;
            };
            *column = Some(column.map_or((high, low), |(top, foot)| (high.min(top), low.max(foot))));
        }
        for (x, &column) in columns.iter().enumerate() {
            let Some((high, low)) = column else { continue };
            raster.dot_beneath(x as i32, high, style);
            raster.dot_beneath(x as i32, low, style);
            // A spike has a stem: a single dot far from everything would be overlooked.
            let beside = [x.wrapping_sub(1), x + 1].into_iter().filter_map(|x| columns.get(x).copied().flatten());
            let shoulder = beside.map(|(high, _)| high).min().unwrap_or(low);
            let stem = if shoulder - high > SPIKE { shoulder } else { high };
            (high..stem).step_by(2).for_each(|y| raster.dot_beneath(x as i32, y, style));
        }
    }

    fn curve(&self, series: &Series, stroke: Stroke, style: Style, raster: &mut Raster) {
        let mut before: Option<(i32, i32)> = None;
        for bucket in series.buckets() {
            let y = self.y.clamped(f64::from(bucket.mean)).map(|share| dot_row(share, raster));
            let Some(here) = self.column(bucket.step, raster).zip(y) else {
                before = None;
                continue;
            };
            raster.line(before.unwrap_or(here), here, stroke, style);
            before = Some(here);
        }
    }

    fn points(&self, trace: &Trace, inner: Rect, raster: &Raster, buffer: &mut Buffer) {
        let (series, mark, style, mut next, every) = match trace {
            Trace::Marks(series, mark, style) => (series, mark, style, 0, 0),
            Trace::Glyphs { series, glyph, first, every, style } => (series, glyph, style, *first, *every),
            Trace::Extremes(..) | Trace::Curve(..) | Trace::Level(..) => return,
        };
        for bucket in series.buckets() {
            let cell = self.column(bucket.step, raster).map(|x| (x / 2) as u16).filter(|cell| *cell >= next);
            // A point outside is not shown: a mark at the edge would show a wrong value.
            let share = || self.y.share(f64::from(bucket.mean)).filter(|share| (-1e-9..=1.0 + 1e-9).contains(share));
            let Some((cell, share)) = cell.and_then(|cell| Some((cell, share()?))) else { continue };
            buffer.set_string(inner.x + cell, inner.y + row_of(share, inner.height), mark, *style);
            next = if every == 0 { 0 } else { cell + every };
        }
    }

    fn column(&self, step: u64, raster: &Raster) -> Option<i32> {
        let share = self.x.share(step as f64).filter(|share| (0.0..=1.0).contains(share))?;
        Some((share * f64::from(raster.width() - 1)).round() as i32)
    }

    /// From the right, so that where marks are close together the latest keeps its text.
    fn marks(&self, inner: Rect, buffer: &mut Buffer) {
        // Above everything else, and in the default colours.
        let plain = Style::reset();
        let mut free_until = inner.right();
        for (value, text) in self.marks.iter().rev() {
            let Some(share) = self.x.share(*value).filter(|share| (0.0..=1.0).contains(share)) else { continue };
            let column = inner.x + (share * f64::from(inner.width - 1)).round() as u16;
            buffer.set_string(column, inner.top(), "▾", plain);
            let space = usize::from(free_until.saturating_sub(column + 1));
            if text.chars().count() <= space {
                buffer.set_string(column + 1, inner.top(), text, plain.patch(self.muted));
            }
            free_until = free_until.min(column);
        }
    }

    fn end_labels(&self, gutter: Rect, buffer: &mut Buffer) {
        let mut labels: Vec<_> = self.labels.iter().filter(|label| label.value.is_finite()).collect();
        labels.sort_by(|a, b| b.value.total_cmp(&a.value));
        labels.truncate(usize::from(gutter.height));
        let wanted = labels.iter().map(|label| {
            // Zero lies below every logarithmic axis.
            let share = self.y.clamped(label.value).unwrap_or(0.0);
            row_of(share, gutter.height)
        });
        for (label, row) in labels.iter().zip(apart(wanted.collect(), gutter.height)) {
            let space = usize::from(gutter.width - 1);
            buffer.set_stringn(gutter.x + 1, gutter.y + row, &label.text, space, label.style);
        }
    }
}

/// Moves rows (in order, from the top) apart so that no two are the same, as little as that takes.
fn apart(mut rows: Vec<u16>, height: u16) -> Vec<u16> {
    for i in 1..rows.len() {
        rows[i] = rows[i].max(rows[i - 1] + 1);
    }
    let mut below = height;
    for row in rows.iter_mut().rev() {
        *row = (*row).min(below.saturating_sub(1));
        below = *row;
    }
    rows
}

fn row_of(share: f64, height: u16) -> u16 {
    ((1.0 - share.clamp(0.0, 1.0)) * f64::from(height.saturating_sub(1))).round() as u16
}

fn dot_row(share: f64, raster: &Raster) -> i32 {
    // Through the middle of the cell that has the tick of the same value.
    let cells = f64::from(raster.height() / 4 - 1);
    ((1.0 - share) * cells * 4.0 + 1.5).round() as i32
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn labels_do_not_cover_each_other() {
        assert_eq!(apart(vec![0, 3, 3, 3], 10), [0, 3, 4, 5]);
        assert_eq!(apart(vec![8, 9, 9], 10), [7, 8, 9]);
        assert_eq!(apart(vec![], 0), [] as [u16; 0]);
    }
}
