//! A recurrence as attention: the weights between tokens beside the state, and the answers of both forms.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::state::{self, Map};
use crate::bounds::printable;
use crate::nn::{AttentionForm, TokenWeights};
use crate::train::{Grid, MOST_FORM_TOKENS};
use crate::tui::app::{Forms, Lab};
use crate::tui::numbers::{significant, with_minus};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::heatmap;
use crate::tui::widget::scale::snap_up_finely;
use crate::tui::widget::wrap::first_that_fits;

/// Columns between two maps, with the mark of the present row.
const GAP: u16 = 2;
/// Columns from which on both forms stand side by side.
const BOTH: u16 = 40;
/// Rows that are not maps: a caption, a legend, the answers, their difference.
const TEXT: u16 = 4;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "A recurrence whose state is a sum of products is also attention without softmax. The map of token weights \
     has a row for each token at which the state is read and a column for each token that was read before: L ⊙ C \
     Bᵀ, the product of what reads (C, a query) with what was written (B, a key), times the decay L since then. \
     It is empty above the diagonal, since no token sees a later one. Beside it is the state that stands for the \
     same sums; ◀ marks the row that reads it, and Left and Right move through the tokens. Both answers to the \
     query are computed from the present weights, in the two ways, and their difference over all probe sequences \
     is given as a share of the answers. Equal: less than a millionth, which is rounding. A shows one of the two \
     forms, or both; Up and Down lead to other heads, n and p to other sequences.";

pub fn title(_lab: &Lab, width: u16) -> String {
    let long = "Recurrence and attention: L ⊙ C Bᵀ";
    if usize::from(width) < long.chars().count() { "Recurrence, attention".to_owned() } else { long.to_owned() }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(snapshot) = &lab.snapshot else { return };
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    let form = snapshot.attention_form.as_ref();
    let Some((form, head)) = form.and_then(|form| Some((form, form.heads.get(head_index(lab, form))?))) else {
        super::say(&why_none(lab, snapshot.parts.attention_form), theme, space, buffer);
        return;
    };
    if space.height <= TEXT {
        return;
    }
    let line = |y: u16, text: String, style, buffer: &mut Buffer| {
        buffer.set_stringn(space.x, y, text, usize::from(space.width), style);
    };
    line(space.y, caption(lab, form, head, space.width), theme.muted(), buffer);
    let maps = Rect { y: space.y + 1, height: space.height - TEXT, ..space };
    let weights = weights(head, sequence(lab));
    let (left, right) = match lab.forms {
        Forms::Both if space.width >= BOTH => {
            let half = (space.width - GAP) / 2;
            let right = Rect { x: space.x + half + GAP, width: space.width - half - GAP, ..maps };
            (Some(Rect { width: half, ..maps }), Some(right))
        }
        Forms::Both | Forms::Attention => (Some(Rect { width: maps.width.saturating_sub(GAP), ..maps }), None),
        Forms::Recurrence => (None, Some(maps)),
    };
    if let Some(place) = left {
        render_weights(lab, head, &weights, theme, place, buffer);
    }
    if let Some(place) = right {
        state::render_one(lab, theme, place, buffer);
    }
    let foot = space.bottom() - 3;
    let scale = Rect { y: foot, height: 1, ..space };
    match left {
        Some(_) => heatmap::legend(weights.most, heatmap::ramp(&weights.grid), theme, scale, buffer),
        None => state::legend_of_one(lab, theme, scale, buffer),
    }
    line(foot + 1, answers(lab, form, space.width), theme.muted(), buffer);
    line(foot + 2, difference(form, snapshot.probes.len(), space.width), theme.focus(), buffer);
}

/// The head under the cursor.
fn head_index(lab: &Lab, form: &AttentionForm) -> usize {
    lab.cursor.head.min(form.heads.len().saturating_sub(1))
}

/// The probe sequence under the cursor.
fn sequence(lab: &Lab) -> usize {
    let probes = lab.snapshot.as_ref().map_or(0, |snapshot| snapshot.probes.len());
    lab.cursor.probe.min(probes.saturating_sub(1))
}

/// Why there are no two forms, or that they are being `measured`.
fn why_none(lab: &Lab, measured: bool) -> String {
    let tokens = lab.opened.as_ref().map_or(0, |opened| opened.preset.layout.tokens(opened.preset.task.shape()));
    match (measured, tokens > MOST_FORM_TOKENS) {
        (false, _) => "The two forms are being measured …".to_owned(),
        (true, true) => format!("Sequences of {tokens} tokens are too long for this pane: at most {MOST_FORM_TOKENS}."),
        (true, false) => "This model has one form only. GD-SSM, linear attention and Mamba-2 are recurrences and \
                          attention in one."
            .to_owned(),
    }
}

/// "row y 2 of the state (2 of 4, ↑ ↓)   token 21 (x_q)   A: form", as many of its parts as fit.
fn caption(lab: &Lab, form: &AttentionForm, head: &TokenWeights, space: u16) -> String {
    let heads = match form.heads.len() {
        1 => printable(&head.name),
        several => format!("{} ({} of {several}, ↑ ↓)", printable(&head.name), head_index(lab, form) + 1),
    };
    let token = lab.time_step().map_or_else(String::new, |(_, _, time_step)| {
        format!("   after {} (token {})", printable(&time_step.label), time_step.token)
    });
    let number = lab.time_step().map_or_else(String::new, |(_, _, time_step)| format!("   token {}", time_step.token));
    let texts = [
        format!("{heads}{token}   A: form"),
        format!("{heads}{number}   A: form"),
        format!("{heads}   A: form"),
        heads,
    ];
    first_that_fits(&texts, usize::from(space))
}

fn weights(head: &TokenWeights, sequence: usize) -> Map {
    let values = head.of_sequence(sequence).to_vec();
    let most = values.iter().filter(|value| value.is_finite()).fold(0.0f32, |most, value| most.max(value.abs()));
    Map {
        title: "weights of tokens: L ⊙ C Bᵀ".to_owned(),
        short_title: "L ⊙ C Bᵀ",
        role: Role::Model,
        grid: Grid { rows: head.read_at.len(), columns: head.tokens, values, axes: ("token that reads", "token read") },
        most: snap_up_finely(f64::from(most)) as f32,
    }
}

/// The map, and a mark at the row that reads the state under the cursor.
fn render_weights(lab: &Lab, head: &TokenWeights, map: &Map, theme: Theme, place: Rect, buffer: &mut Buffer) {
    let Some((size, block)) = state::render_alone(map, theme, place, buffer) else { return };
    let Some(token) = lab.time_step().map(|(_, _, time_step)| time_step.token) else { return };
    let Some(row) = head.read_at.iter().rposition(|place| *place < token) else { return };
    let (row, columns) = ((row / block.0) as u16, map.grid.columns.div_ceil(block.1));
    let y = place.y + 1 + size.height(theme, row + 1).saturating_sub(1);
    let x = (place.x + size.width(columns)).min(place.right());
    if y < place.bottom() {
        buffer.set_stringn(x, y, "◀", 1, theme.focus());
    }
}

/// "answer  by weights −0.4312   from the state −0.4312": the first output.
fn answers(lab: &Lab, form: &AttentionForm, width: u16) -> String {
    let sequences = lab.snapshot.as_ref().map_or(1, |snapshot| snapshot.probes.len().max(1));
    let first = sequence(lab) * (form.by_state.len() / sequences).max(1);
    let number = |answers: &[f32]| answers.get(first).map_or_else(|| "–".to_owned(), |answer| format!("{answer:.6}"));
    let [weights, state] = [&form.by_weights, &form.by_state].map(|answers| with_minus(&number(answers)));
    let texts = [
        format!("answer by weights {weights}, from the state {state}"),
        format!("weights {weights}, state {state}"),
    ];
    first_that_fits(&texts, usize::from(width))
}

/// "the two answers differ by 1.2e-7 of their size, over 8 sequences".
fn difference(form: &AttentionForm, sequences: usize, width: u16) -> String {
    let difference = significant(form.difference(), 2);
    let texts = [
        format!("over {sequences} sequences the answers differ by {difference} of their size"),
        format!("answers differ by {difference} of their size"),
    ];
    first_that_fits(&texts, usize::from(width))
}
