//! The model's predictions against the reference's: on the diagonal they are equal.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::app::Lab;
use crate::tui::numbers::{count, percent, short, significant, with_minus};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::{Raster, Stroke};
use crate::tui::widget::scale::snap_up_finely;

/// Columns of the text beside the plot, and rows of the text below it.
const TEXT: (u16, u16) = (22, 3);
/// Rows of the smallest plot that has text beside or below it.
const LEAST: u16 = 6;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "Each point is one answer to a held-out query: the reference's to the right, the model's upwards. Equal: all \
     points lie on the diagonal. A line that is less steep means smaller answers; a cloud means that another rule \
     is used.";

pub fn title(lab: &Lab, _width: u16) -> String {
    format!("Predictions: model against {}", super::measured_against(lab))
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(snapshot) = &lab.snapshot else { return };
    let pairs: Vec<(f32, f32)> =
        snapshot.parity.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if pairs.is_empty() || area.height < 4 || area.width < 12 {
        return;
    }
    // The reference never changes, so neither does the scale.
    let most = snap_up_finely(pairs.iter().map(|(x, _)| f64::from(x.abs())).fold(0.0, f64::max)) as f32;
    // A cell is twice as high as wide: as many columns as twice the rows make a square.
    let fitting = |beside: u16, below: u16| {
        let (width, height) = (area.width.checked_sub(beside + 2)?, area.height.checked_sub(below + 1)?);
        Some(height.min(width / 2)).filter(|&rows| rows >= LEAST)
    };
    // The text stands where it leaves more space to the plot.
    let (beside, below) = (fitting(TEXT.0, 0), fitting(0, TEXT.1));
    let rows = beside.max(below).or_else(|| fitting(0, 0)).unwrap_or(2);
    let square = Rect::new(area.x + 2, area.y, rows * 2, rows);
    render_axes(most, lab, theme, square, area, buffer);
    let outside = render_points(&pairs, most, theme, square, buffer);
    let lines = labels(lab, &pairs, outside, theme);
    if beside.is_some() && beside >= below {
        let place = Rect::new(square.right() + 2, area.y, area.right() - square.right() - 2, area.height);
        render_lines(lines, place, buffer);
    } else if below.is_some() {
        let place = Rect::new(area.x + 2, square.bottom() + 1, area.width - 2, area.bottom() - square.bottom() - 1);
        let not_empty = lines.into_iter().filter(|(text, _)| !text.is_empty());
        render_lines(not_empty.collect(), place, buffer);
    }
}

fn render_axes(most: f32, lab: &Lab, theme: Theme, square: Rect, area: Rect, buffer: &mut Buffer) {
    for row in square.top()..square.bottom() {
        buffer.set_string(square.x - 1, row, "│", theme.muted());
    }
    for (row, letter) in (square.top()..square.bottom()).zip("model".chars()) {
        buffer.set_string(area.x, row, letter.to_string(), theme.role(Role::Model));
    }
    let most = short(f64::from(most));
    let left = format!("−{most}");
    let name = super::measured_against(lab);
    let space = usize::from(area.width);
    buffer.set_stringn(square.x, square.bottom(), &left, space, theme.muted());
    let middle = square.x + (square.width / 2).saturating_sub(name.chars().count() as u16 / 2);
    if middle > square.x + left.chars().count() as u16 {
        buffer.set_stringn(middle, square.bottom(), &name, space, theme.role(Role::Gd));
        let right = square.right().saturating_sub(most.chars().count() as u16);
        buffer.set_string(right, square.bottom(), &most, theme.muted());
    }
}

/// Renders the diagonal and the points; returns how many points lie outside.
fn render_points(pairs: &[(f32, f32)], most: f32, theme: Theme, square: Rect, buffer: &mut Buffer) -> usize {
    let mut raster = Raster::new(square);
    let (width, height) = (raster.width() - 1, raster.height() - 1);
    raster.line((0, height), (width, 0), Stroke::Dashed, theme.role(Role::Gd));
    let position = |value: f32, length: i32| ((value / most + 1.0) / 2.0 * length as f32).round() as i32;
    let mut outside = 0;
    for &(x, y) in pairs {
        if y.abs() > most {
            outside += 1;
        } else {
            raster.dot(position(x, width), height - position(y, height), theme.role(Role::Model));
        }
    }
    raster.render(buffer);
    outside
}

/// Lines with their styles, the most important first.
fn labels(lab: &Lab, pairs: &[(f32, f32)], outside: usize, theme: Theme) -> Vec<(String, Style)> {
    let mut lines = vec![
        ("diagonal: equal".to_owned(), theme.role(Role::Gd)),
        (String::new(), theme.muted()),
        (format!("slope {}", slope(pairs)), theme.focus()),
    ];
    if let Some(latest) = &lab.history.latest {
        let difference = percent(latest.equivalence.prediction_difference_relative);
        lines.push((format!("they differ by {difference}"), theme.focus()));
    }
    lines.push((format!("{} predictions", count(pairs.len() as u64)), theme.muted()));
    if outside > 0 {
        lines.push((format!("{} of them outside", count(outside as u64)), theme.muted()));
    }
    lines
}

fn render_lines(lines: Vec<(String, Style)>, area: Rect, buffer: &mut Buffer) {
    for (row, (text, style)) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_stringn(area.x, row, text, usize::from(area.width), style);
    }
}

/// The least-squares factor from the reference's predictions to the model's: Σ x y / Σ x².
fn slope(pairs: &[(f32, f32)]) -> String {
    let sum = |of: fn(f64, f64) -> f64| pairs.iter().map(|&(x, y)| of(f64::from(x), f64::from(y))).sum::<f64>();
    let slope = sum(|x, y| x * y) / sum(|x, _| x * x);
    with_minus(&significant(slope, 3))
}
