//! The areas of everything on the screen. They depend on sizes and on what was selected, never on values: nothing moves
//! while numbers change.

use ratatui::layout::{Constraint, Layout, Rect};

use super::app::{Lab, Tab};
use super::pane::Pane;

/// Columns and rows below which the lab shows text only.
const LEAST: (u16, u16) = (60, 16);
/// Columns and rows from which on it shows four panes.
const FOUR: (u16, u16) = (110, 34);
/// Columns and rows from which on it shows six: three rows.
const SIX: (u16, u16) = (150, 44);
/// Rows of the hidden state among six panes.
const STATE_ROWS: u16 = 16;
/// Columns from which on the six stand in three columns.
const THREE_COLUMNS: u16 = 180;
/// Rows of the details under the table of sessions.
const DETAILS: u16 = 12;
/// From this width on the status fits in one line.
const ONE_LINE: u16 = 150;

/// The areas of the lab.
pub struct LabPlaces {
    pub status: Rect,
    pub answer: Rect,
    pub panes: Vec<(Pane, Rect)>,
    pub footer: Rect,
}

pub fn lab(lab: &Lab, area: Rect) -> LabPlaces {
    let panes_shown = area.width >= LEAST.0 && area.height >= LEAST.1;
    let status = if area.width >= ONE_LINE { 1 } else { 2 };
    let answer = if panes_shown { Constraint::Length(answer_rows(lab, area.width)) } else { Constraint::Fill(1) };
    let middle = if panes_shown { Constraint::Fill(1) } else { Constraint::Length(0) };
    let rows = [Constraint::Length(status), answer, middle, Constraint::Length(1)];
    let [status, answer, middle, footer] = Layout::vertical(rows).areas(area);
    let panes = if panes_shown { panes(lab, area, middle) } else { vec![] };
    LabPlaces { status, answer, panes, footer }
}

/// Rows of the answer, or of a caption: one or two lines of text by the width, and one that says how it goes on.
pub fn answer_rows(lab: &Lab, width: u16) -> u16 {
    if lab.caption.is_some() && width < ONE_LINE { 3 } else { 2 }
}

fn panes(lab: &Lab, area: Rect, middle: Rect) -> Vec<(Pane, Rect)> {
    let [left, right] = columns(middle);
    if lab.zoom {
        vec![(lab.focus, middle)]
    } else if area.width >= SIX.0 && area.height >= SIX.1 && lab.caption.is_none() {
        six_panes(lab, middle)
    } else if area.width >= FOUR.0 && area.height >= FOUR.1 {
        // In a lesson four at any size: those of the stage are large, and no others draw the eye away from them.
        // The upper row has the odd line: a matrix of ten rows needs it at 120x36.
        let upper = middle.height.div_ceil(2);
        let cut = |column: Rect| Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(column);
        let ([upper_left, lower_left], [upper_right, lower_right]): ([Rect; 2], [Rect; 2]) = (cut(left), cut(right));
        vec![
            (Pane::Loss, upper_left),
            (Pane::State, upper_right),
            (lab.lower.0, lower_left),
            (lab.lower.1, lower_right),
        ]
    } else {
        vec![(Pane::Loss, left), (lab.companion, right)]
    }
}

/// Two columns of three panes, or three columns of two. The third row has what Tab brings to the front.
fn six_panes(lab: &Lab, middle: Rect) -> Vec<(Pane, Rect)> {
    let (third_left, third_right) = lab.third_row();
    let panes = [Pane::Loss, Pane::State, Pane::Distance, third_left, Pane::Predictions, third_right];
    let areas = if middle.width >= THREE_COLUMNS {
        let [left, centre, right]: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).areas(middle);
        let halves = |column: Rect| -> [Rect; 2] { Layout::vertical([Constraint::Fill(1); 2]).areas(column) };
        let ([loss, distance], [state, context]) = (halves(left), halves(centre));
        // Predictions are square, and a table is short.
        let [predictions, last] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]).areas(right);
        [loss, state, distance, context, predictions, last]
    } else {
        let [left, right] = columns(middle);
        let [loss, distance, context] = Layout::vertical([Constraint::Fill(1); 3]).areas(left);
        // Matrices of ten rows at double size.
        let rows = [Constraint::Length(STATE_ROWS), Constraint::Fill(1), Constraint::Fill(1)];
        let [state, predictions, last] = Layout::vertical(rows).areas(right);
        [loss, state, distance, context, predictions, last]
    };
    panes.into_iter().zip(areas).collect()
}

/// The right column is wide enough for two matrices of ten columns at double size, from 110 columns on for three.
fn columns(middle: Rect) -> [Rect; 2] {
    let right = match middle.width {
        0..110 => (middle.width / 2).max(44),
        _ => (middle.width / 2).max(65),
    };
    Layout::horizontal([Constraint::Fill(1), Constraint::Length(right)]).areas(middle)
}

/// The areas of the gallery. On a narrow screen the details are left out.
pub struct GalleryPlaces {
    pub title: Rect,
    pub tabs: Rect,
    pub list: Rect,
    pub details: Option<Rect>,
    pub footer: Rect,
}

/// The areas of the table of sessions. On a low screen the details are left out.
pub fn sessions(area: Rect) -> GalleryPlaces {
    let details = if area.height >= FOUR.1 && area.width >= LEAST.0 { DETAILS } else { 0 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(details),
        Constraint::Length(1),
    ];
    let [title, tabs, list, below, footer] = Layout::vertical(rows).areas(area);
    GalleryPlaces { title, tabs, list, details: (details > 0).then_some(below), footer }
}

/// The areas of the lists of lessons and of presets. Questions are long and what is said of a lesson is short; with
/// presets it is the other way round.
pub fn gallery(tab: Tab, area: Rect) -> GalleryPlaces {
    let list = match tab {
        Tab::Lessons => (area.width / 2).clamp(30, 72),
        Tab::Presets | Tab::Sessions => (area.width * 2 / 5).clamp(30, 60),
    };
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
    let [title, tabs, middle, footer] = Layout::vertical(rows).areas(area);
    if area.width < LEAST.0 {
        return GalleryPlaces { title, tabs, list: middle, details: None, footer };
    }
    let [list, details] = Layout::horizontal([Constraint::Length(list), Constraint::Fill(1)]).areas(middle);
    GalleryPlaces { title, tabs, list, details: Some(details), footer }
}
