//! Charts as SVG: curves over steps with bands, lines of the references, and labels at their right ends.
//!
//! The vertical axis is logarithmic. Text and axes are grey, so that a chart can be read on white and on black.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::numbers::{count, short, significant};

/// Pixels of a chart: width, height.
const SIZE: (u32, u32) = (960, 440);
/// Pixels of a parity plot, which is square.
const PARITY: u32 = 380;
/// The backend draws at whole pixels; it is given so many for each one.
const SCALE: u32 = 8;
/// Pixels between two labels at the right, and their width.
const LABEL: (i32, u32) = (16, 210);
/// A level further below all curves than this factor is named with an arrow and does not extend the axis.
const DEEPEST: f64 = 0.02;

/// Axes and text.
pub const GREY: RGBColor = RGBColor(128, 128, 128);
/// Curves beside each other, the first one the model's; safe for the colour-blind (after Okabe and Ito).
pub const COLORS: [RGBColor; 8] = [
    RGBColor(224, 123, 20),
    RGBColor(46, 139, 214),
    RGBColor(24, 158, 134),
    RGBColor(206, 96, 160),
    RGBColor(160, 116, 220),
    RGBColor(176, 142, 0),
    RGBColor(222, 62, 79),
    RGBColor(110, 110, 110),
];

/// The colour that a reference has in the lab, by its name.
pub fn color_of(reference: &str) -> RGBColor {
    match reference {
        "zero" => GREY,
        name if name.starts_with("gd") || name.contains("lms") => COLORS[1],
        _ => COLORS[2],
    }
}

/// Curves over steps.
pub struct Chart {
    pub title: String,
    pub curves: Vec<Curve>,
    pub levels: Vec<Level>,
}

pub struct Curve {
    pub label: String,
    pub color: RGBColor,
    /// Pixels of the line.
    pub width: u32,
    /// Step and value.
    pub points: Vec<(f64, f64)>,
    /// Step, lower and upper end; empty without a band.
    pub band: Vec<(f64, f64, f64)>,
}

/// A horizontal, dashed line: the loss of a reference.
pub struct Level {
    pub label: String,
    pub color: RGBColor,
    pub value: f64,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> Result<String> {
        let (least, most) = self.range();
        let last = self.curves.iter().flat_map(|curve| &curve.points).map(|(step, _)| *step).fold(1.0, f64::max);
        let log = |value: f64| value.clamp(least, most).log10();
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (SIZE.0 * SCALE, SIZE.1 * SCALE)).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .caption(&self.title, font(16).color(&GREY))
                .margin(8 * SCALE)
                .margin_right(LABEL.1 * SCALE)
                .x_label_area_size(36 * SCALE)
                .y_label_area_size(58 * SCALE)
                .build_cartesian_2d(0.0..last, least.log10()..most.log10())?;
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(GREY.stroke_width(SCALE))
                .label_style(font(13).color(&GREY))
                .x_desc("step")
                .x_labels(6)
                .x_label_formatter(&|step| count(*step as u64))
                .y_labels(0)
                .set_all_tick_mark_size(4 * SCALE)
                .draw()?;
            let area = chart.plotting_area().clone();
            for tick in ticks(least, most) {
                let line = [(0.0, log(tick)), (last, log(tick))];
                area.draw(&PathElement::new(line, GREY.mix(0.25).stroke_width(SCALE)))?;
                let (x, y) = area.map_coordinate(&(0.0, log(tick)));
                root.draw(&Text::new(short(tick), (x - 8 * SCALE as i32, y), label_style(GREY, 13, HPos::Right)))?;
            }
            for curve in self.curves.iter().filter(|curve| !curve.band.is_empty()) {
                let upper = curve.band.iter().map(|(step, _, high)| (*step, log(*high)));
                let lower = curve.band.iter().rev().map(|(step, low, _)| (*step, log(*low)));
                area.draw(&Polygon::new(upper.chain(lower).collect::<Vec<_>>(), curve.color.mix(0.18)))?;
            }
            for level in self.levels.iter().filter(|level| level.value >= least) {
                let ends = [(0.0, log(level.value)), (last, log(level.value))];
                let style = level.color.stroke_width(3 * SCALE / 2);
                chart.draw_series(DashedLineSeries::new(ends, 8 * SCALE, 5 * SCALE, style))?;
            }
            for curve in &self.curves {
                let points = curve.points.iter().map(|(step, value)| (*step, log(*value)));
                chart.draw_series(LineSeries::new(points, curve.color.stroke_width(curve.width * SCALE)))?;
            }
            let (right, _) = area.map_coordinate(&(last, log(least)));
            let rows = self.labels(least).into_iter();
            let labels = rows.map(|(value, text, color)| (area.map_coordinate(&(last, log(value))).1, text, color));
            for (y, text, color) in spread(labels.collect(), SIZE.1 as i32 * SCALE as i32) {
                root.draw(&Text::new(text, (right + 8 * SCALE as i32, y), label_style(color, 13, HPos::Left)))?;
            }
            root.present()?;
        }
        Ok(shrunk(text, SIZE))
    }

    /// Value, text and colour of every label at the right.
    fn labels(&self, least: f64) -> Vec<(f64, String, RGBColor)> {
        let of_curve = |curve: &Curve| {
            let (_, value) = curve.points.last()?;
            Some((*value, format!("{} {}", curve.label, significant(*value, 4)), curve.color))
        };
        let of_level = |level: &Level| {
            let arrow = if level.value < least { "↓ " } else { "" };
            (level.value, format!("{arrow}{} {}", level.label, significant(level.value, 4)), level.color)
        };
        let curves = self.curves.iter().filter(|curve| !curve.label.is_empty()).filter_map(of_curve);
        curves.chain(self.levels.iter().map(of_level)).collect()
    }

    /// Around the curves and those levels that are not far below them.
    fn range(&self) -> (f64, f64) {
        let positive = |value: &f64| value.is_finite() && *value > 0.0;
        let points = || self.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value).filter(positive);
        let bands = self.curves.iter().flat_map(|curve| &curve.band).map(|(_, low, _)| *low).filter(positive);
        let levels = || self.levels.iter().map(|level| level.value).filter(positive);
        let lowest = points().fold(f64::INFINITY, f64::min);
        let deepest = if lowest.is_finite() { lowest * DEEPEST } else { 0.0 };
        let least = levels().chain(bands).filter(|value| *value >= deepest).fold(lowest, f64::min);
        let most = points().chain(levels()).fold(0.0, f64::max);
        match least.is_finite() && most >= least {
            true => (least * 0.9, most * 1.1),
            false => (0.1, 1.0),
        }
    }
}

/// A model's answers against a reference's: on the diagonal they are equal.
pub fn parity(points: &[(f32, f32)], reference: &str) -> Result<String> {
    let most = points.iter().map(|(x, _)| f64::from(x.abs())).filter(|x| x.is_finite()).fold(0.0, f64::max) * 1.05;
    let most = if most > 0.0 { most } else { 1.0 };
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (PARITY * SCALE, PARITY * SCALE)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10 * SCALE)
            .x_label_area_size(38 * SCALE)
            .y_label_area_size(52 * SCALE)
            .build_cartesian_2d(-most..most, -most..most)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(GREY.stroke_width(SCALE))
            .label_style(font(13).color(&GREY))
            .x_desc(format!("prediction of {reference}"))
            .y_desc("prediction of the model")
            .x_labels(5)
            .y_labels(5)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        let diagonal = [(-most, -most), (most, most)];
        let style = color_of(reference).stroke_width(3 * SCALE / 2);
        chart.draw_series(DashedLineSeries::new(diagonal, 8 * SCALE, 5 * SCALE, style))?;
        let inside = points.iter().map(|(x, y)| (f64::from(*x), f64::from(*y))).filter(|(_, y)| y.abs() <= most);
        let dots = inside.map(|point| Circle::new(point, 3 * SCALE as i32, COLORS[0].mix(0.6).filled()));
        chart.draw_series(dots)?;
        root.present()?;
    }
    Ok(shrunk(text, (PARITY, PARITY)))
}

fn font(size: u32) -> FontDesc<'static> {
    ("sans-serif", (size * SCALE) as i32).into_font()
}

fn label_style(color: RGBColor, size: u32, side: HPos) -> TextStyle<'static> {
    font(size).color(&color).pos(Pos::new(side, VPos::Center))
}

/// Shown at the size that is meant; the coordinates stay.
fn shrunk(text: String, (width, height): (u32, u32)) -> String {
    let (drawn, meant) = ((width * SCALE, height * SCALE), (width, height));
    let size = |(width, height)| format!("width=\"{width}\" height=\"{height}\"");
    text.replacen(&size(drawn), &size(meant), 1)
}

/// Values of a logarithmic axis that are easy to read: 1, 2 and 5 times powers of ten, fewer where there are many, and
/// evenly spaced where there are few.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
    let of = |factors: &[f64]| -> Vec<f64> {
        let all = decades.clone().flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
        all.filter(|tick| (least..=most).contains(tick)).collect()
    };
    let fine = of(&[1.0, 2.0, 5.0]);
    match fine.len() {
        0..4 => {
            let rough = (most - least) / 5.0;
            let power = 10f64.powf(rough.log10().floor());
            let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
            let first = (least / step).ceil() as i64;
            (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= most).take(12).collect()
        }
        4..10 => fine,
        _ => of(&[1.0]),
    }
}

/// Moves labels apart that would cover each other, and keeps their order.
fn spread(mut labels: Vec<(i32, String, RGBColor)>, height: i32) -> Vec<(i32, String, RGBColor)> {
    let gap = LABEL.0 * SCALE as i32;
    labels.sort_by_key(|(y, _, _)| *y);
    let mut next = gap;
    for (y, _, _) in &mut labels {
        *y = (*y).max(next);
        next = *y + gap;
    }
    let mut limit = height - gap;
    for (y, _, _) in labels.iter_mut().rev() {
        *y = (*y).min(limit);
        limit = *y - gap;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(ticks(0.1, 1.0), [0.1, 0.2, 0.5, 1.0]);
        assert_eq!(ticks(1e-6, 10.0).len(), 8);
        let narrow = ticks(0.205, 0.45);
        assert!((4..=6).contains(&narrow.len()), "{narrow:?}");
    }

    #[test]
    fn labels_never_cover_each_other() {
        let labels = (0..10).map(|i| (3000 + i, String::new(), GREY)).collect();
        let placed = spread(labels, 3520);
        let gap = LABEL.0 * SCALE as i32;
        assert!(placed.windows(2).all(|pair| pair[1].0 - pair[0].0 >= gap));
        assert!(placed[9].0 <= 3520 - gap);
    }

    #[test]
    fn a_chart_names_its_curves_and_those_levels_that_lie_below() {
        let curve = Curve {
            label: "model".to_owned(),
            color: COLORS[0],
            width: 2,
            points: vec![(0.0, 0.5), (10.0, 0.25)],
            band: vec![],
        };
        let level = |label: &str, value| Level { label: label.to_owned(), color: color_of(label), value };
        let levels = vec![level("gd-1", 0.2), level("least-squares", 1e-30)];
        let svg = Chart { title: "Loss <held out>".to_owned(), curves: vec![curve], levels }.svg().unwrap();
        for part in
            ["width=\"960\" height=\"440\"", "model 0.2500", "gd-1 0.2000", "↓ least-squares 1.00e-30", "Loss &lt;held"]
        {
            assert!(svg.contains(part), "{part}");
        }
    }
}
