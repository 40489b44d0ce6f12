//! The lab's panes: one a file, and the one list of them. A pane shows one thing and knows no other pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Widget};

use super::app::Lab;
use super::theme::Theme;
use super::widget::along::{Along, RunCurve};
use super::widget::plot::ValueCursor;
use super::widget::wrap::{fit_parts, wrap};
use crate::lesson::PaneName;
use crate::series::{Bucket, Series};

/// A corner of the lab on a screen with space for four panes. Each lower corner shows one of several panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    UpperLeft,
    UpperRight,
    LowerLeft,
    LowerRight,
}

/// Makes everything about a pane from its line in the list: the module `file` has its
/// `ABOUT: &str`, its `title(&Lab, width: u16) -> String` and its `render(&Lab, Theme, Rect, &mut Buffer)`.
macro_rules! panes {
    ($($pane:ident: $file:ident, $name:literal, $corner:ident;)*) => {
        $(mod $file;)*

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Pane {
            $($pane,)*
        }

        impl From<PaneName> for Pane {
            fn from(name: PaneName) -> Self {
                match name { $(PaneName::$pane => Self::$pane,)* }
            }
        }

        impl Pane {
            /// In the order of Tab: those that share a corner follow one another.
            pub const ALL: &[Self] = &[$(Self::$pane),*];

            fn name(self) -> &'static str {
                match self { $(Self::$pane => $name,)* }
            }

            pub fn corner(self) -> Corner {
                match self { $(Self::$pane => Corner::$corner,)* }
            }

            /// What the pane shows, and what equal would look like.
            pub fn about(self) -> &'static str {
                match self { $(Self::$pane => $file::ABOUT,)* }
            }

            /// The title, in at most `width` columns.
            fn title(self, lab: &Lab, width: u16) -> String {
                match self { $(Self::$pane => $file::title(lab, width),)* }
            }

            /// Renders what is inside the border.
            pub fn render_content(self, lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
                match self { $(Self::$pane => $file::render(lab, theme, area, buffer),)* }
            }
        }
    };
}

panes! {
    Loss: loss, "loss", UpperLeft;
    State: state, "state", UpperRight;
    Distance: distance, "distance", LowerLeft;
    Context: context, "context", LowerLeft;
    Stepper: stepper, "token by token", LowerLeft;
    Cost: cost, "cost", LowerLeft;
    Map: map, "map", LowerLeft;
    ContextCost: context_cost, "context cost", LowerLeft;
    Fit: fit, "fit", LowerLeft;
    Impulse: impulse_response, "impulse response", LowerLeft;
    Runs: runs, "runs", LowerLeft;
    Predictions: predictions, "predictions", LowerRight;
    Weights: weights, "weights", LowerRight;
    Probes: linear_probes, "linear probes", LowerRight;
    AttentionForm: attention_form, "attention form", LowerRight;
    Shift: shift, "off-distribution", LowerRight;
    Cells: cells, "cells", LowerRight;
    Claims: claims, "claims", LowerRight;
}

pub use loss::digit;

impl Pane {
    /// The pane so many presses of Tab further on.
    pub fn shifted(self, by: usize) -> Self {
        let here = Self::ALL.iter().position(|&pane| pane == self).unwrap_or(0);
        Self::ALL[(here + by) % Self::ALL.len()]
    }

    /// The title where there is enough space for it.
    pub fn heading(self, lab: &Lab) -> String {
        self.title(lab, u16::MAX)
    }

    /// Renders the pane with its border; of several that are `shown`, the one with the focus stands out.
    pub fn render(self, lab: &Lab, shown: &[Self], theme: Theme, area: Rect, buffer: &mut Buffer) {
        let focused = shown.len() > 1 && self == lab.focus;
        // A heavier line as well as a brighter one, which without colours may look the same.
        let (border, style) =
            if focused { (BorderType::Thick, theme.focus()) } else { (BorderType::Rounded, theme.muted()) };
        let space = area.width.saturating_sub(4);
        // Where space is short, the gap after it goes.
        let title = fit_parts(&self.title(lab, space), usize::from(space) + 1);
        let title = Line::styled(format!(" {title} "), theme.title());
        let mut block = Block::bordered().border_type(border).border_style(style);
        let others = self.others_in_place(lab, shown, usize::from(area.width).saturating_sub(title.width() + 3));
        block = block.title(Line::styled(others, theme.muted()).right_aligned());
        let block = block.title(title);
        let inner = block.inner(area);
        block.render(area, buffer);
        self.render_content(lab, theme, inner, buffer);
    }

    /// The panes that Tab brings to the front in the same place, as many as fit: " Tab: context, cost, … ". With fewer
    /// than four panes, Tab simply leads to the next one.
    fn others_in_place(self, lab: &Lab, shown: &[Self], width: usize) -> String {
        let changing = match shown.len() {
            4 => lab.lower,
            6 => lab.third_row(),
            _ => return String::new(),
        };
        if self != changing.0 && self != changing.1 {
            return String::new();
        }
        let hidden = Self::ALL.iter().filter(|other| !shown.contains(other));
        let others = hidden.filter(|other| other.corner() == self.corner());
        let names: Vec<_> = others.map(|other| other.name()).collect();
        let first = |count: usize| match count == names.len() {
            true => format!(" Tab: {} ", names.join(", ")),
            false => format!(" Tab: {}, … ", names[..count].join(", ")),
        };
        let fitting = (1..=names.len()).rev().map(first).find(|text| text.chars().count() <= width);
        fitting.unwrap_or_default()
    }
}

/// The loss for a projector.
pub fn render_large_loss(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    loss::render_large(lab, theme, area, buffer);
}

/// The model's state alone, as large as it can be.
pub fn render_state_map(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    state::render_one(lab, theme, area, buffer);
}

/// The value of one of the run's curves at the value cursor; without a cursor, the latest.
fn value_at(lab: &Lab, series: &Series) -> Option<Bucket> {
    series.at(lab.steps.cursor.unwrap_or(u64::MAX))
}

/// The value of another run's curve at the place of the value cursor on the axis; without a cursor, the latest.
fn value_of_other(lab: &Lab, RunCurve { series, along, .. }: RunCurve) -> Option<Bucket> {
    let Some(cursor) = lab.steps.cursor else { return series.at(u64::MAX) };
    // A step that lies at the same place is not to be missed by rounding.
    let step = lab.along().at(cursor).and_then(|place| along.step(place))? + 1e-3;
    series.at(step as u64)
}

/// The value cursor of a plot over the run.
fn value_cursor(lab: &Lab, theme: Theme) -> Option<ValueCursor> {
    let style = theme.selected().patch(theme.focus());
    let at = lab.steps.cursor.and_then(|step| lab.along().at(step))?;
    Some(ValueCursor { at, style })
}

/// Why a pane has nothing to show, or what it waits for.
fn say(text: &str, theme: Theme, area: Rect, buffer: &mut Buffer) {
    for (y, line) in (area.top()..area.bottom()).zip(wrap(text, usize::from(area.width))) {
        buffer.set_stringn(area.x, y, line, usize::from(area.width), theme.muted());
    }
}

/// Says in the middle of a plot why the run has no curve on the axis, where that is so.
fn say_unknown_axis(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if !matches!(lab.along(), Along::Unknown) {
        return;
    }
    let text = format!("{} of training not known: X", lab.steps.unit.name());
    // Beside the vertical axis.
    let place = Rect { x: area.x + 7, width: area.width.saturating_sub(8), ..area };
    for (row, line) in (place.y + place.height / 3..place.bottom()).zip(wrap(&text, usize::from(place.width))) {
        buffer.set_string(place.x, row, line, theme.focus());
    }
}

/// The reference of the equivalence measures, by its short name.
fn measured_against(lab: &Lab) -> String {
    let reference = lab.history.latest.as_ref().map(|latest| latest.equivalence.reference);
    super::labels::label(reference.unwrap_or(crate::reference::Reference::Gd(1)))
}
