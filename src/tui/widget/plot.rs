//! Curves over steps, with a true logarithmic axis where it is asked for.
//!
//! Owns the places of axes, ticks and the labels at the right end. Values that are not finite, or not positive on a
//! logarithmic axis, leave a gap.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::along::{Along, RunCurve};
use super::braille::{Raster, Stroke};
use super::scale::{Scale, short_tick_label, tick_label};
use super::wrap::with_whole_number;
use crate::tui::numbers::{count, significant};

/// Columns for the numbers on the left axis, the axis itself included.
const AXIS: u16 = 6;
/// Columns between two numbers of the horizontal axis, at least: one such as 10,000 and a gap.
const COLUMNS_PER_TICK: u16 = 7;
/// Numbers on an axis, at most.
pub const TICKS: usize = 12;
/// Dots by which an extreme stands above both its neighbours to be a spike.
const SPIKE: i32 = 6;

/// One thing to render. Of several, later ones lie above.
pub enum Trace<'a> {
    /// The least and the greatest value of each column, where the cell has no other dots.
    Extremes(RunCurve<'a>, Style),
    /// The mean of each stretch.
    Curve(RunCurve<'a>, Stroke, Style),
    /// A character at each value, above all curves.
    Marks(RunCurve<'a>, &'static str, Style),
    /// A character on a curve, at its first value from the cell `first` on and then every so many cells: it tells the
    /// curve from others.
    Glyphs { curve: RunCurve<'a>, glyph: &'static str, first: u16, every: u16, style: Style },
    /// A horizontal line; a curve that lies on it keeps most of its colour.
    Level(f64, Stroke, Style),
}

/// A word at the right end, at the height of its value, moved only as far as needed not to cover another.
pub struct EndLabel {
    pub value: f64,
    pub text: String,
    pub style: Style,
}

/// The place at which values are read.
pub struct ValueCursor {
    pub at: f64,
    /// The style of its number on the horizontal axis.
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
    /// Small marks at the foot, at values of x.
    pub ticks: Vec<f64>,
    pub cursor: Option<ValueCursor>,
    pub muted: Style,
}

impl Plot<'_> {
    /// The area between the axes and the labels; `None` if there is no space for it.
    pub fn inner(&self, area: Rect) -> Option<Rect> {
        let gutter = if area.width >= AXIS + self.gutter + 12 { self.gutter } else { 0 };
        let fits = area.width >= AXIS + 2 + gutter && area.height >= 3;
        fits.then(|| Rect::new(area.x + AXIS, area.y, area.width - AXIS - gutter, area.height - 1))
    }

    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let Some(inner) = self.inner(area) else { return };
        self.axes(inner, buffer);
        let mut raster = Raster::new(inner);
        self.traces.iter().for_each(|trace| self.trace(trace, &mut raster));
        raster.render(buffer);
        // At the right end the label has the mark.
        let labelled = inner.right() < area.right() && !self.labels.is_empty();
        let marked = Rect { width: inner.width - u16::from(labelled), ..inner };
        self.traces.iter().for_each(|trace| self.points(trace, marked, &raster, buffer));
        self.foot_ticks(inner, buffer);
        self.cursor(inner, buffer);
        self.marks(inner, buffer);
        if inner.right() < area.right() {
            let gutter = Rect::new(inner.right(), area.y, area.right() - inner.right(), inner.height);
            self.end_labels(gutter, buffer);
        }
    }

    fn axes(&self, inner: Rect, buffer: &mut Buffer) {
        let axis = inner.x - 1;
        for row in inner.top()..inner.bottom() {
            buffer.set_string(axis, row, "│", self.muted);
        }
        for tick in self.y.ticks(usize::from(inner.height / 2).min(TICKS)) {
            let Some(share) = self.y.share(tick) else { continue };
            let row = inner.top() + row_of(share, inner.height);
            let text = short_tick_label(tick, usize::from(AXIS - 1));
            let width = text.chars().count().min(usize::from(AXIS - 1)) as u16;
            buffer.set_stringn(axis - width, row, &text, usize::from(width), self.muted);
            buffer.set_string(axis, row, "┤", self.muted);
        }
        buffer.set_string(inner.x - AXIS, inner.bottom(), self.unit, self.muted);
        let mut free = inner.x;
        let cursor = self.cursor_label(inner).map(|(_, place)| place);
        for tick in self.x.ticks(usize::from(inner.width / COLUMNS_PER_TICK).min(TICKS)) {
            let Some(share) = self.x.share(tick) else { continue };
            let text = tick_label(tick);
            let width = text.chars().count() as u16;
            let centre = inner.x + (share * f64::from(inner.width - 1)).round() as u16;
            let left = centre.saturating_sub(width / 2).min((inner.right() + 1).saturating_sub(width)).max(inner.x - 1);
            let covered = cursor.is_some_and(|place| left < place.right() && left + width > place.left());
            if (left >= free || tick == 0.0) && !covered {
                buffer.set_string(left, inner.bottom(), &text, self.muted);
                free = left + width + 1;
            }
        }
    }

    /// Where no curve is.
    fn foot_ticks(&self, inner: Rect, buffer: &mut Buffer) {
        let shares = self.ticks.iter().filter_map(|tick| self.x.share(*tick));
        for share in shares.filter(|share| (0.0..=1.0).contains(share)) {
            let column = inner.x + (share * f64::from(inner.width - 1)).round() as u16;
            let Some(cell) = buffer.cell_mut((column, inner.bottom() - 1)) else { continue };
            if cell.symbol() == " " {
                cell.set_char('╵').set_style(self.muted);
            }
        }
    }

    /// A vertical line behind the curves, and its place on the axis in digits.
    fn cursor(&self, inner: Rect, buffer: &mut Buffer) {
        let (Some(ValueCursor { at, style }), Some((column, place))) = (&self.cursor, self.cursor_label(inner)) else {
            return;
        };
        for row in inner.top()..inner.bottom() {
            let Some(cell) = buffer.cell_mut((column, row)) else { continue };
            if cell.symbol() == " " {
                cell.set_char('┊').set_style(self.muted);
            }
        }
        buffer.set_stringn(place.x, place.y, cursor_text(*at), usize::from(place.width), *style);
    }

    /// The column of the cursor, and the place of its number on the axis.
    fn cursor_label(&self, inner: Rect) -> Option<(u16, Rect)> {
        let at = self.cursor.as_ref()?.at;
        let share = self.x.share(at).filter(|share| (0.0..=1.0).contains(share))?;
        let column = inner.x + (share * f64::from(inner.width - 1)).round() as u16;
        let width = (cursor_text(at).chars().count() as u16).min(inner.width);
        let left = column.saturating_sub(width / 2).min(inner.right() - width).max(inner.x - 1);
        Some((column, Rect::new(left, inner.bottom(), width, 1)))
    }

    fn trace(&self, trace: &Trace, raster: &mut Raster) {
        match trace {
            Trace::Extremes(curve, style) => self.extremes(*curve, *style, raster),
            Trace::Curve(curve, stroke, style) => self.curve(*curve, *stroke, *style, raster),
            // Characters are written after all dots.
            Trace::Marks(..) | Trace::Glyphs { .. } => {}
            Trace::Level(value, stroke, style) => {
                // A level outside is not shown: a line at the edge would show a wrong value.
                let inside = self.y.share(*value).filter(|share| (-1e-9..=1.0 + 1e-9).contains(share));
                if let Some(y) = inside.map(|share| dot_row(share, raster)) {
                    let rows = if *stroke == Stroke::Thick { y..=y + 1 } else { y..=y };
                    for y in rows {
                        (0..raster.width()).filter(|&x| stroke.on(x)).for_each(|x| raster.dot_through(x, y, *style));
                    }
                }
            }
        }
    }

    /// An outline and not a filled band, so that the curve in its middle stays visible.
    fn extremes(&self, curve: RunCurve, style: Style, raster: &mut Raster) {
        let mut columns: Vec<Option<(i32, i32)>> = vec![None; raster.width() as usize];
        for bucket in curve.series.buckets() {
            let ends = [bucket.max, bucket.min].map(|end| self.y.clamped(curve.value(end)));
            let [Some(high), Some(low)] = ends.map(|share| share.map(|share| dot_row(share, raster))) else { continue };
            let Some(column) = self.column(curve.along, bucket.step, raster).and_then(|x| columns.get_mut(x as usize))
            else {
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

    /// Through the mean of each column of dots: a long curve has many values in one.
    fn curve(&self, curve: RunCurve, stroke: Stroke, style: Style, raster: &mut Raster) {
        let last = f64::from(raster.width() - 1);
        let dot = |(x, y): (f64, f64)| ((x * last).round() as i32, dot_row(y, raster));
        let mut pieces = Vec::new();
        let mut before: Option<(f64, f64)> = None;
        let mut column: Option<ColumnMean> = None;
        let mut close = |column: Option<ColumnMean>| {
            let here = column.and_then(|column| Some((column.place(), self.y.clamped(column.mean())?)));
            if let Some(here) = here {
                pieces.extend(clipped(before.unwrap_or(here), here).map(|(from, to)| (dot(from), dot(to))));
            }
            before = here;
        };
        for bucket in curve.series.buckets() {
            let place = curve.along.at(bucket.step).and_then(|place| self.x.share(place));
            let new = place.map(|place| ColumnMean { place, value: curve.value(bucket.mean), count: 1.0 });
            match (&mut column, &new) {
                (Some(column), Some(new)) if (column.place() * last).round() == (new.place * last).round() => {
                    column.add(new);
                }
                _ => close(std::mem::replace(&mut column, new)),
            }
        }
        close(column);
        pieces.into_iter().for_each(|(from, to)| raster.line(from, to, stroke, style));
    }

    fn points(&self, trace: &Trace, inner: Rect, raster: &Raster, buffer: &mut Buffer) {
        let (curve, mark, style, mut next, every) = match trace {
            Trace::Marks(curve, mark, style) => (*curve, mark, style, 0, 0),
            Trace::Glyphs { curve, glyph, first, every, style } => (*curve, glyph, style, *first, *every),
            Trace::Extremes(..) | Trace::Curve(..) | Trace::Level(..) => return,
        };
        for bucket in curve.series.buckets() {
            let cell = self.column(curve.along, bucket.step, raster).map(|x| (x / 2) as u16);
            let cell = cell.filter(|cell| (next..inner.width).contains(cell));
            // A point outside is not shown: a mark at the edge would show a wrong value.
            let share = || self.y.share(curve.value(bucket.mean)).filter(|share| (-1e-9..=1.0 + 1e-9).contains(share));
            let Some((cell, share)) = cell.and_then(|cell| Some((cell, share()?))) else { continue };
            buffer.set_string(inner.x + cell, inner.y + row_of(share, inner.height), mark, *style);
            next = if every == 0 { 0 } else { cell + every };
        }
    }

    fn column(&self, along: Along, step: u64, raster: &Raster) -> Option<i32> {
        let share = self.x.share(along.at(step)?).filter(|share| (0.0..=1.0).contains(share))?;
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
        // Zero lies below every logarithmic axis.
        let row = |label: &EndLabel, rows| row_of(self.y.clamped(label.value).unwrap_or(0.0), rows);
        // Those whose curves have the same dots keep their order, whichever value is greater at the moment.
        labels.sort_by_key(|label| row(label, 4 * gutter.height));
        labels.truncate(usize::from(gutter.height));
        let rows = labels.iter().map(|label| row(label, gutter.height)).collect();
        for (label, row) in labels.iter().zip(apart(rows, gutter.height)) {
            let space = usize::from(gutter.width - 1);
            buffer.set_stringn(gutter.x + 1, gutter.y + row, with_whole_number(&label.text, space), space, label.style);
        }
    }
}

/// Sums over the values of a curve in one column of dots.
struct ColumnMean {
    place: f64,
    value: f64,
    count: f64,
}

impl ColumnMean {
    fn add(&mut self, other: &Self) {
        self.place += other.place;
        self.value += other.value;
        self.count += other.count;
    }

    fn place(&self) -> f64 {
        self.place / self.count
    }

    fn mean(&self) -> f64 {
        self.value / self.count
    }
}

/// Steps are whole numbers; seconds and operations have three digits.
fn cursor_text(at: f64) -> String {
    let text = if at.fract() == 0.0 && at < 1e7 { count(at as u64) } else { significant(at, 3) };
    format!(" {text} ")
}

/// The part of a line from left to right whose x is between 0 and 1.
fn clipped(from: (f64, f64), to: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    let at = |x: f64| {
        let share = if to.0 > from.0 { (x - from.0) / (to.0 - from.0) } else { 0.0 };
        (x, from.1 + share * (to.1 - from.1))
    };
    let (low, high) = (from.0.max(0.0), to.0.min(1.0));
    (low <= high).then(|| (at(low), at(high)))
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
    use super::{apart, clipped};

    #[test]
    fn a_line_that_leaves_the_axis_is_cut_there() {
        assert_eq!(clipped((-1.0, 0.0), (1.0, 1.0)), Some(((0.0, 0.5), (1.0, 1.0))));
        assert_eq!(clipped((0.5, 0.0), (1.5, 1.0)), Some(((0.5, 0.0), (1.0, 0.5))));
        assert_eq!(clipped((0.3, 0.7), (0.3, 0.7)), Some(((0.3, 0.7), (0.3, 0.7))));
        assert_eq!((clipped((-2.0, 0.0), (-1.0, 1.0)), clipped((1.1, 0.0), (1.2, 1.0))), (None, None));
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        assert_eq!(apart(vec![0, 3, 3, 3], 10), [0, 3, 4, 5]);
        assert_eq!(apart(vec![8, 9, 9], 10), [7, 8, 9]);
        assert_eq!(apart(vec![], 0), [] as [u16; 0]);
    }
}
