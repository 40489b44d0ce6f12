//! Parts of panes. They know numbers, styles and areas, and nothing of runs and references.

pub mod along;
pub mod big;
pub mod braille;
pub mod heatmap;
pub mod hints;
pub mod panel;
pub mod plot;
pub mod points;
pub mod scale;
pub mod scatter;
pub mod sparkline;
pub mod wrap;
