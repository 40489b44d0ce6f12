//! The learnt weights beside those of the construction, their symmetries divided out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::bounds::printable;
use crate::train::{Grid, WeightGrids};
use crate::tui::app::Lab;
use crate::tui::numbers::{percent, short};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::heatmap::{self, CellSize};
use crate::tui::widget::scale::snap_up_finely;
use crate::tui::widget::wrap::{width as width_of, wrap};

/// Columns between two weights.
const GAP: u16 = 2;
/// The least columns of a weight: its name and its scale.
const LEAST: u16 = 6;
/// Rows of text: names, two headings, distances.
const TEXT: u16 = 4;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The weights that the model has learnt, above those of its construction, which make one step of gradient descent. \
     Factors that can move from one weight to another without changing the model are divided out, so that the two can \
     be compared, and what is multiplied by zero is left out. Each small field is one number: one colour below zero, \
     another above; ± says what the strongest colour stands for. Below stands each weight's relative distance from \
     its construction: 0 % is equal. Up and Down lead to the weights of other layers. A model that has no \
     construction is shown by itself.";

pub fn title(_lab: &Lab, _width: u16) -> String {
    "Weights, learnt and constructed".to_owned()
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let weights = of_layer(lab);
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    if weights.is_empty() {
        let text = "The weights of this model cannot be compared with a construction's: there is none, or other \
                    weights give the same model.";
        let lines = if lab.snapshot.is_some() { wrap(text, usize::from(space.width)) } else { Vec::new() };
        for (y, line) in (space.top()..space.bottom()).zip(lines) {
            buffer.set_stringn(space.x, y, line, usize::from(space.width), theme.muted());
        }
        return;
    }
    let constructed = weights.iter().any(|weight| weight.constructed.is_some());
    let maps = if constructed { 2 } else { 1 };
    let height = space.height.saturating_sub(if constructed { TEXT } else { TEXT - 1 }) / maps;
    let condensed = condense(&weights, space.width, height, theme);
    let rows = condensed.iter().map(|weight| weight.learnt.rows).max().unwrap_or(1);
    let columns: usize = condensed.iter().map(|weight| weight.learnt.columns).sum();
    let narrow = |weight: &WeightGrids| LEAST.saturating_sub(weight.learnt.columns as u16);
    let gaps = GAP * (condensed.len() as u16 - 1) + condensed.iter().map(narrow).sum::<u16>();
    let Some(size) = CellSize::largest(theme, (rows, columns), (space.width.saturating_sub(gaps), height)) else {
        return;
    };
    let below = space.y + 2 + size.height(theme, rows as u16);
    let model = if constructed { "learnt" } else { "learnt; there is no construction with these fields" };
    buffer.set_stringn(space.x, space.y + 1, model, usize::from(space.width), theme.role(Role::Model));
    if constructed {
        buffer.set_stringn(space.x, below, "construction", usize::from(space.width), theme.role(Role::Gd));
    }
    let mut x = space.x;
    for weight in &condensed {
        let most = most(weight);
        let wide = size.width(weight.learnt.columns);
        let name = format!("{} ±{}", printable(&weight.name), short(f64::from(most)));
        let name_width = usize::from((wide.max(LEAST) + GAP - 1).min(space.right().saturating_sub(x)));
        buffer.set_stringn(x, space.y, name, name_width, theme.muted());
        for (y, grid) in [(space.y + 2, Some(&weight.learnt)), (below + 1, weight.constructed.as_ref())] {
            let place = Rect { x, y, width: space.right().saturating_sub(x), height: space.bottom().saturating_sub(y) };
            if let Some(grid) = grid {
                heatmap::render(grid, most, size, theme, place, buffer);
            }
        }
        x = (x + wide.max(LEAST) + GAP).min(space.right());
    }
    let distances = weights.iter().filter_map(|weight| Some(format!("{} {}", weight.name, percent(weight.distance?))));
    let distances: Vec<_> = distances.collect();
    if !distances.is_empty() {
        let texts = ["relative distance  ", "distance  ", ""].map(|name| format!("{name}{}", distances.join("  ")));
        let text = texts.iter().find(|text| width_of(text) <= usize::from(space.width)).unwrap_or(&texts[2]);
        buffer.set_stringn(space.x, space.bottom() - 1, printable(text), usize::from(space.width), theme.muted());
    }
}

/// The weights of the layer under the cursor; all of them where they are not of layers.
fn of_layer(lab: &Lab) -> Vec<&WeightGrids> {
    let weights = lab.snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.weights);
    let prefix = format!("{}.", lab.layer().map_or(1, |(index, _)| index + 1));
    let own: Vec<_> = weights.iter().filter(|weight| weight.name.starts_with(&prefix)).collect();
    if own.is_empty() { weights.iter().collect() } else { own }
}

/// The weights in at most so many columns and rows of the screen together.
fn condense(weights: &[&WeightGrids], width: u16, height: u16, theme: Theme) -> Vec<WeightGrids> {
    let rows = usize::from(if theme.shades() { 2 * height } else { height }).max(1);
    let each = (usize::from(width) / weights.len()).saturating_sub(usize::from(GAP)).max(1);
    let all: usize =
        weights.iter().map(|weight| weight.learnt.columns.max(usize::from(LEAST)) + usize::from(GAP)).sum();
    let columns = if all <= usize::from(width) + usize::from(GAP) { usize::MAX } else { each };
    let smaller = |grid: &Grid| heatmap::condense(grid, (rows, columns)).0;
    let condensed = |weight: &&WeightGrids| WeightGrids {
        learnt: smaller(&weight.learnt),
        constructed: weight.constructed.as_ref().map(smaller),
        ..(*weight).clone()
    };
    weights.iter().map(condensed).collect()
}

/// The value of the strongest colour.
fn most(weight: &WeightGrids) -> f32 {
    let grids = [Some(&weight.learnt), weight.constructed.as_ref()].into_iter().flatten();
    let values = grids.flat_map(|grid| &grid.values).filter(|value| value.is_finite());
    snap_up_finely(f64::from(values.fold(0.0f32, |most, value| most.max(value.abs())))) as f32
}
