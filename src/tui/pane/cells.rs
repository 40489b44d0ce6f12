//! How much each cell of a grid counts in the answer: the model beside the references.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::train::{CellWeights, Grid};
use crate::tui::app::Lab;
use crate::tui::numbers::significant;
use crate::tui::theme::{Ramp, Role, Theme};
use crate::tui::widget::heatmap::{self, CellSize};
use crate::tui::widget::wrap::{first_that_fits, width as width_of};

/// Columns between two maps.
const GAP: u16 = 3;
/// Rows that are not maps: titles, a legend, the ratio.
const TEXT: u16 = 3;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "On a task on a grid: how much the pair of each cell counts in the answer at the cell in the middle, the query's, \
     whose own target is withheld. One gradient step that weighs each distance as is best, and kriging, which is \
     exact, weigh near cells most, above and below as much as beside. A model that reads row by row has the cell above \
     a whole row away. In the map of the model the three would look alike where they are equal.";

pub fn title(_lab: &Lab, _width: u16) -> String {
    "Weight of each cell".to_owned()
}

fn cells(lab: &Lab) -> Option<&CellWeights> {
    lab.history.latest.as_ref()?.cell_weights.as_ref()
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    let Some(cells) = cells(lab) else {
        let text = "Only tasks on a grid have cells, such as that of the preset grid-axes.";
        return super::say(text, theme, inside, buffer);
    };
    if area.height <= TEXT {
        return;
    }
    let references = &cells.references;
    let maps = [
        ("model", "model", Role::Model, &cells.model),
        ("GD-1 by distance", "distance", Role::Gd, &references.by_distance),
        ("kriging", "kriging", Role::LeastSquares, &references.kriging),
    ];
    // Each map has a scale of its own: a model's answers may be smaller than the references' and weigh cells alike.
    let space = (inside.width, inside.height - TEXT);
    let shape = (cells.rows, cells.columns);
    let Some(size) = CellSize::fitting(theme, shape, maps.len() as u16, GAP, space) else { return };
    let width = size.width(cells.columns);
    let step = (width + GAP).max((inside.width / maps.len() as u16).min(width + 4 * GAP));
    for (x, (title, short, role, weights)) in (inside.x..).step_by(usize::from(step)).zip(maps) {
        let most = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
        let room = usize::from(step.saturating_sub(1).min(inside.right().saturating_sub(x)));
        let title = if width_of(title) <= room { title } else { short };
        buffer.set_stringn(x, inside.y, title, room, theme.role(role));
        let values = weights.clone();
        let grid = Grid { rows: cells.rows, columns: cells.columns, values, axes: ("row", "column") };
        let place = Rect { x, y: inside.y + 1, width: width.min(inside.right().saturating_sub(x)), height: space.1 };
        heatmap::render(&grid, most.max(f32::MIN_POSITIVE), size, theme, place, buffer);
    }
    let foot = area.bottom() - 2;
    let most = cells.model.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    heatmap::legend(most, Ramp::Diverging, theme, Rect { y: foot, height: 1, ..inside }, buffer);
    if let Some(ratio) = cells.above_over_beside() {
        let text = format!("a cell above counts {} × one beside", significant(ratio, 2));
        let text = first_that_fits(&[format!("model: {text}"), text], usize::from(inside.width));
        buffer.set_stringn(inside.x, foot + 1, text, usize::from(inside.width), theme.focus());
    }
}
