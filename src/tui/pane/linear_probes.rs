//! Which iterates of the textbook algorithms can be read out of each layer, layer by layer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::bounds::printable;
use crate::reference::Reference;
use crate::train::{Grid, LinearProbes};
use crate::tui::app::Lab;
use crate::tui::labels::label;
use crate::tui::theme::Theme;
use crate::tui::widget::heatmap::{self, CellSize};
use crate::tui::widget::wrap::{fit, wrap};

/// Columns of a number, at least and at most.
const NUMBER: (usize, usize) = (4, 7);
/// Rows of a layer's colours at most.
const HIGHEST: u16 = 4;
/// Columns of a layer's name at least.
const SHORT: usize = 4;
/// R² from which on an answer counts as read.
const READ: f64 = 0.9;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "Linear probes: whether the answer of each textbook algorithm stands in the query's token after each layer. A \
     linear map from the token to that answer is fitted on 512 held-out tasks; the number is R², the share of the \
     answers' variance that it explains on 512 others: 1.0 is equal, 0 is nothing. Rows are layers, from the \
     embedding on; columns are steps of gradient descent, iterations of Newton's method, and least squares (LS), to \
     which both lead. A network that steps through iterates has its highest number further right in each row. The \
     probes are computed only while this pane is on the screen, and take at most 0.5 % of the time, more where \
     training waits for its pace.";

pub fn title(_lab: &Lab, _width: u16) -> String {
    "Linear probes: R² of each iterate in each layer".to_owned()
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(snapshot) = &lab.snapshot else { return };
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    match &snapshot.linear_probes {
        Some(probes) => table(probes, theme, space, buffer),
        None if snapshot.parts.linear_probes => {
            let text = "This network has no layers of tokens that probes could look into, as transformers, linear \
                        attention and stacks of recurrent layers have.";
            super::say(text, theme, space, buffer);
        }
        None => super::say("The probes are being measured …", theme, space, buffer),
    }
}

fn table(probes: &LinearProbes, theme: Theme, space: Rect, buffer: &mut Buffer) {
    // Below its numbers a layer has rows of their colours, as many as there is space for.
    let rows = probes.layers.len() as u16;
    let colours = (space.height.saturating_sub(3 + rows) / rows.max(1)).min(HIGHEST);
    let columns = probes.learners.len();
    let name = usize::from(space.width).saturating_sub(NUMBER.0 * columns).clamp(SHORT, 10);
    let numbers = usize::from(space.width).saturating_sub(name);
    let number = (numbers / columns.max(1)).clamp(NUMBER.0, NUMBER.1);
    let shown = numbers / number;
    let left = space.x + name as u16;
    let at = |column: usize| left + (number * column) as u16;
    for (column, learner) in probes.learners.iter().enumerate().take(shown) {
        let (group, name) = heading(*learner);
        let first = column == 0 || heading(probes.learners[column - 1]).0 != group;
        if first {
            buffer.set_stringn(at(column), space.y, group, usize::from(space.right() - at(column)), theme.muted());
        }
        buffer.set_string(at(column), space.y + 1, format!("{name:>3}"), theme.muted());
    }
    let height = 1 + colours;
    for (row, (layer, values)) in probes.layers.iter().zip(probes.rows()).enumerate() {
        let y = space.y + 2 + height * row as u16;
        if y + height > space.bottom() {
            break;
        }
        buffer.set_string(space.x, y, layer_name(&printable(layer), name), theme.muted());
        let best = values.iter().copied().fold(0.0, f64::max);
        for (column, value) in values.iter().enumerate().take(shown) {
            let style = if *value == best { theme.focus() } else { theme.muted() };
            buffer.set_string(at(column), y, format!("{:>3}", r_squared(*value)), style);
        }
        if colours > 0 {
            let values = values.iter().take(shown).map(|value| value.max(0.0) as f32).collect::<Vec<_>>();
            let grid = Grid { rows: 1, columns: values.len(), values, axes: ("layer", "iterate") };
            let place = Rect { x: left, y: y + 1, width: space.right() - left, height: colours };
            heatmap::render(&grid, 1.0, CellSize::bar(theme, number as u16, colours), theme, place, buffer);
        }
    }
    let y = space.y + 2 + height * rows;
    for (y, line) in (y..space.bottom()).zip(wrap(&summary(probes), usize::from(space.width))) {
        buffer.set_string(space.x, y, line, theme.focus());
    }
}

/// "layer 1", "embedding"; where that is too wide, "L1", "emb".
fn layer_name(layer: &str, most: usize) -> String {
    match (layer.chars().count() < most, layer.strip_prefix("layer ")) {
        (true, _) => layer.to_owned(),
        (false, Some(number)) => fit(&format!("L{number}"), most - 1),
        // A whole abbreviation, and not a word of which some letters are missing.
        (false, None) => layer.chars().take(3.min(most - 1)).collect(),
    }
}

/// "Read best after layer 1: GD-1 (.99); after layer 2: GD-3 (.97)."
fn summary(probes: &LinearProbes) -> String {
    let best = |(layer, values): (&String, &[f64])| {
        let (learner, value) = probes.learners.iter().zip(values).max_by(|a, b| a.1.total_cmp(b.1))?;
        let text = format!("{} {} ({})", printable(layer), label(*learner), r_squared(*value));
        (*value >= READ).then_some(text)
    };
    let best: Vec<_> = probes.layers.iter().zip(probes.rows()).filter_map(best).collect();
    match best.is_empty() {
        true => "No iterate can be read out yet.".to_owned(),
        false => format!("Read best: {}.", best.join(", ")),
    }
}

/// The name over a group of columns, and that of the column.
#[expect(clippy::wildcard_enum_match_arm, reason = "only iterates are probed")]
fn heading(learner: Reference) -> (&'static str, String) {
    match learner {
        Reference::Gd(k) => ("GD steps", k.to_string()),
        Reference::Newton(k) => ("Newton steps", k.to_string()),
        _ => ("", "LS".to_owned()),
    }
}

/// In three characters: "1.0", ".97", "0".
fn r_squared(value: f64) -> String {
    match value {
        value if value >= 0.995 => "1.0".to_owned(),
        value if value >= 0.005 => format!("{value:.2}").trim_start_matches('0').to_owned(),
        value if value.is_nan() => "?".to_owned(),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{layer_name, r_squared};

    #[test]
    fn every_row_has_a_name() {
        assert_eq!([4, 10].map(|most| layer_name("layer 2", most)), ["L2", "layer 2"]);
        assert_eq!([4, 8, 10].map(|most| layer_name("embedding", most)), ["emb", "emb", "embedding"]);
    }

    #[test]
    fn shares_take_three_characters() {
        let shown = [0.9951, 0.9949, 0.5, 0.0051, -3.0, f64::NAN].map(r_squared);
        assert_eq!(shown, ["1.0", ".99", ".50", ".01", "0", "?"]);
    }
}
