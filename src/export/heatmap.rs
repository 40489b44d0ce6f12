//! Matrices as SVG: blue below zero, orange above, white at zero.

use std::fmt::Write;

use crate::train::Grid;

/// Pixels of a map's longer side, and of the space between two maps.
const SIDE: f64 = 220.0;
const GAP: f64 = 24.0;
/// Pixels above a map for its title.
const TITLE: f64 = 22.0;

/// A matrix with its title, and the value that has the full colour.
pub struct Map<'a> {
    pub title: String,
    pub grid: &'a Grid,
    pub most: f32,
}

/// Maps side by side.
pub fn svg(maps: &[Map<'_>]) -> String {
    let longest = maps.iter().map(|map| map.grid.rows.max(map.grid.columns)).max().unwrap_or(1).max(1);
    let cell = SIDE / longest as f64;
    let width = maps.len() as f64 * (SIDE + GAP);
    let height = TITLE + maps.iter().map(|map| map.grid.rows).max().unwrap_or(0) as f64 * cell;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n"
    );
    for (i, map) in maps.iter().enumerate() {
        let left = i as f64 * (SIDE + GAP);
        let _ = writeln!(
            text,
            "<text x=\"{left:.1}\" y=\"14\" fill=\"#808080\">{}</text>",
            super::html::escaped(&map.title)
        );
        let rows = map.grid.values.chunks(map.grid.columns.max(1));
        for (y, x, value) in rows.enumerate().flat_map(|(y, row)| row.iter().enumerate().map(move |(x, v)| (y, x, v))) {
            let (x, y) = (left + x as f64 * cell, TITLE + y as f64 * cell);
            let color = color(value / map.most);
            let _ = write!(
                text,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell:.2}\" height=\"{cell:.2}\" \
                 fill=\"{color}\"><title>{value:.4}</title></rect>"
            );
        }
        text.push('\n');
    }
    text + "</svg>\n"
}

/// From −1, blue, over white to 1, orange; grey for what is not a number.
fn color(share: f32) -> String {
    if share.is_nan() {
        return "#808080".to_owned();
    }
    let end = if share < 0.0 { [33.0, 102.0, 172.0] } else { [200.0, 95.0, 0.0] };
    let share = share.abs().min(1.0);
    let [r, g, b] = end.map(|end: f32| (255.0 + (end - 255.0) * share).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_symmetric_about_white() {
        assert_eq!([color(0.0), color(1.0), color(9.0)], ["#ffffff", "#c85f00", "#c85f00"]);
        assert_eq!([color(-1.0), color(f32::NAN)], ["#2166ac", "#808080"]);
        let grid = Grid { rows: 1, columns: 2, values: vec![0.5, -0.5], axes: ("y", "x") };
        let text = svg(&[Map { title: "Σ y xᵀ".to_owned(), grid: &grid, most: 1.0 }]);
        assert_eq!(text.matches("<rect").count(), 2);
    }
}
