//! The impulse response of a network that reads a signal, beside those of the best linear filters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::train::{Grid, ImpulseResponse, Response};
use crate::tui::app::Lab;
use crate::tui::numbers::{significant, with_minus};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::heatmap::{self, CellSize};
use crate::tui::widget::scale::snap_up_finely;
use crate::tui::widget::wrap::wrap;

/// Columns of a row's name, and of a number.
const COLUMNS: (usize, usize) = (16, 6);
/// Rows of headings: one for each of the two inputs.
const HEADINGS: u16 = 2;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The impulse response, where the inputs are samples of a signal u: the answer to a sequence in which one number \
     is 1 and all others are 0, less that to zeros. Columns are the token of the impulse, 0 being the query, 1 the \
     token before. A linear network answers any signal with the sum of these responses. Below stand the best linear \
     filters of two and three tokens, u and its slope u′ apart; equal rows mean that the network has become that \
     filter. Losses are those on the held-out signals; the backward difference is u(t) − u(t−1).";

pub fn title(_lab: &Lab, _width: u16) -> String {
    "Impulse response".to_owned()
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(snapshot) = &lab.snapshot else { return };
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    match &snapshot.impulse_response {
        Some(response) => rows(lab, response, theme, space, buffer),
        None => {
            let text = "The inputs of this task are no samples of a signal. See the preset differentiation.";
            for (y, line) in (space.top()..space.bottom()).zip(wrap(text, usize::from(space.width))) {
                buffer.set_string(space.x, y, line, theme.muted());
            }
        }
    }
}

/// The responses to one input: of the model, and of each filter by the number of its tokens.
fn of_input(
    response: &ImpulseResponse,
    pick: fn(&Response) -> &Vec<f64>,
) -> impl Iterator<Item = (String, Role, &Vec<f64>)> {
    let filters = response.filters.iter();
    let filters = filters
        .map(move |filter| (format!("{}-token filter", filter.tokens), Role::LeastSquares, pick(&filter.response)));
    std::iter::once(("model".to_owned(), Role::Model, pick(&response.model))).chain(filters)
}

fn rows(lab: &Lab, response: &ImpulseResponse, theme: Theme, space: Rect, buffer: &mut Buffer) {
    let signals: Vec<_> = of_input(response, |response| &response.signal).collect();
    let slopes: Vec<_> = of_input(response, |response| &response.slope).collect();
    // A number and its colour take a row each where there is space for that.
    let all = (signals.len() + slopes.len()) as u16;
    let lines = wrap(&losses(lab, response), usize::from(space.width));
    let height = if 2 * all + HEADINGS + lines.len() as u16 <= space.height { 2 } else { 1 };
    let largest = signals.iter().chain(&slopes).flat_map(|(_, _, values)| values.iter().copied());
    let largest = largest.filter(|value| value.is_finite()).fold(0.0, |most: f64, value| most.max(value.abs()));
    let most = snap_up_finely(largest) as f32;
    let mut y = space.y;
    for (input, first, responses) in [("u at token", 0, signals), ("u′ at token", 1, slopes)] {
        y = header(input, first, theme, Rect { y, ..space }, buffer);
        for (name, role, values) in responses {
            if y + height > space.bottom() {
                return;
            }
            buffer.set_stringn(space.x, y, name, COLUMNS.0.min(usize::from(space.width)), theme.role(role));
            let left = space.x + COLUMNS.0 as u16;
            let shown = usize::from(space.right().saturating_sub(left)) / COLUMNS.1;
            for (i, value) in values.iter().take(shown).enumerate() {
                let text = with_minus(&format!("{value:>5.2}"));
                buffer.set_string(left + (i * COLUMNS.1) as u16, y, text, theme.muted());
            }
            if height == 2 {
                let values: Vec<f32> = values.iter().take(shown).map(|value| *value as f32).collect();
                let grid = Grid { rows: 1, columns: values.len(), values, axes: ("response", "token") };
                let place = Rect { x: left, y: y + 1, width: space.right().saturating_sub(left), height: 1 };
                heatmap::render(&grid, most, CellSize::bar(theme, COLUMNS.1 as u16, 1), theme, place, buffer);
            }
            y += height;
        }
    }
    for (y, line) in (y..space.bottom()).zip(lines) {
        buffer.set_string(space.x, y, line, theme.focus());
    }
}

/// "u at token   0   1   2": returns the row below.
fn header(input: &str, first: usize, theme: Theme, space: Rect, buffer: &mut Buffer) -> u16 {
    if space.y < space.bottom() && space.height > 0 {
        buffer.set_stringn(space.x, space.y, input, usize::from(space.width), theme.muted());
        let left = space.x + COLUMNS.0 as u16;
        let shown = usize::from(space.right().saturating_sub(left)) / COLUMNS.1;
        for i in 0..shown {
            let token = first + i;
            let text = if token == 0 { "query".to_owned() } else { format!("{:>5}", format!("−{token}")) };
            buffer.set_string(left + (i * COLUMNS.1) as u16, space.y, text, theme.muted());
        }
    }
    space.y + 1
}

/// "Loss: model 0.0004, filters 0.0003 and 8e-7, backward difference 0.02."
fn losses(lab: &Lab, response: &ImpulseResponse) -> String {
    let number = |loss: f64| significant(loss, 2);
    let model = lab.history.latest.as_ref().map(|latest| format!("model {}", number(latest.eval_loss)));
    let filters: Vec<_> = response.filters.iter().map(|filter| number(filter.loss)).collect();
    let filters = Some(format!("filters {}", filters.join(" and "))).filter(|_| !response.filters.is_empty());
    let difference = format!("backward difference {}", number(response.difference_loss));
    let all: Vec<_> = model.into_iter().chain(filters).chain([difference]).collect();
    format!("Loss: {}.", all.join(", "))
}
