//! How far the model is from gradient descent, over the run and in digits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::series::Series;
use crate::train::Equivalence;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{cosine, percent, signed_percent, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Layer, Plot};
use crate::tui::widget::scale::{Scale, steps_axis};
use crate::tui::widget::wrap::width;

/// The axis reaches no deeper: what is below is rounding.
const FLOOR: f64 = 1e-6;

pub fn title(lab: &Lab) -> String {
    format!("Distance to {} (cosines: 1 − cos)", super::measured_against(lab))
}

/// One measure: its curve, its mark, its colour, and its line in the table.
struct Measure<'a> {
    series: &'a Series,
    mark: &'static str,
    role: Role,
    /// Where there are no colours.
    stroke: Stroke,
    text: String,
}

pub fn draw(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let measures = measures(lab);
    let rows = measures.len() as u16 + 1;
    let table = rows.min(area.height);
    let plot = Rect { height: area.height - table, ..area };
    draw_plot(lab, &measures, theme, plot, buffer);
    let lines = measures.iter().map(|measure| {
        Line::from(vec![
            Span::styled(format!(" {} ", measure.mark), theme.role(measure.role)),
            Span::raw(fitting(&measure.text, usize::from(area.width).saturating_sub(3))),
        ])
    });
    let latest = lab.history.latest.iter();
    let nearest = latest.map(|latest| nearest(&latest.equivalence, theme, usize::from(area.width)));
    for (row, line) in (plot.bottom()..area.bottom()).zip(lines.chain(nearest)) {
        buffer.set_line(area.x, row, &line, area.width);
    }
}

/// The parts that there is room for: half a number is a wrong number.
fn fitting(text: &str, room: usize) -> String {
    let whole = width(text) <= room;
    text.split_once(", ").filter(|_| !whole).map_or(text, |(first, _)| first).to_owned()
}

fn measures(lab: &Lab) -> Vec<Measure<'_>> {
    let history = &lab.history;
    let equal = history.latest.as_ref().map(|latest| &latest.equivalence);
    let text = |write: &dyn Fn(&Equivalence) -> String| equal.map_or_else(String::new, write);
    let measure = |series, mark, role, stroke, text| Measure { series, mark, role, stroke, text };
    let mut measures = vec![
        measure(&history.prediction_difference, "●", Role::Model, Stroke::Solid, {
            text(&|equal| {
                let relative = percent(equal.prediction_difference_relative);
                format!("predictions  differ by {relative}, ‖·‖ {}", significant(equal.prediction_difference, 3))
            })
        }),
        measure(&history.sensitivity_angle, "◆", Role::Sensitivity, Stroke::DashDot, {
            text(&|equal| {
                let cosine = cosine(equal.sensitivity_cosine);
                format!("sensitivity  cosine {cosine}, ‖·‖ {}", significant(equal.sensitivity_difference, 3))
            })
        }),
        measure(&history.loss_gap, "▲", Role::LossGap, Stroke::Dashed, {
            text(&|equal| format!("loss         gap {}", signed_percent(equal.loss_gap)))
        }),
    ];
    if equal.is_some_and(|equal| equal.state_cosine.is_some()) {
        measures.push(measure(&history.state_angle, "■", Role::State, Stroke::Dotted, {
            text(&|equal| format!("state        cosine {}", equal.state_cosine.map_or_else(String::new, cosine)))
        }));
    }
    measures
}

fn draw_plot(lab: &Lab, measures: &[Measure], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let ranges = || measures.iter().filter_map(|measure| measure.series.range());
    let most = ranges().map(|(_, most)| f64::from(most)).fold(1.0, f64::max).min(100.0);
    let least = ranges().map(|(least, _)| f64::from(least)).fold(1e-2, f64::min).max(FLOOR);
    // Whole decades: this axis has a long way to go and should move seldom.
    let decade = |value: f64, round: fn(f64) -> f64| 10f64.powf(round(value.log10()));
    let y = Scale::Log { low: decade(least, f64::floor), high: decade(most, f64::ceil) };
    let line = |measure: &&Measure| theme.role(measure.role);
    // The prediction's own distance lies above the others.
    let layers = measures
        .iter()
        .rev()
        .map(|m| Layer::Curve(m.series, if theme.colours() { Stroke::Solid } else { m.stroke }, line(&m)))
        .collect();
    let labels = measures.iter().filter_map(|measure| {
        let value = f64::from(measure.series.last()?.1);
        Some(EndLabel { value, text: measure.mark.to_owned(), style: line(&measure) })
    });
    let (step, planned) = lab.status.as_ref().map_or((0, 0), |status| (status.step, status.steps));
    let (x, labels, muted) = (steps_axis(step, planned), labels.collect(), theme.muted());
    Plot { x, unit: "step", y, layers, labels, gutter: 3, marks: vec![], muted }.render(area, buffer);
}

/// "nearest: GD-1 1.8 %, then GD-2 36 %, zero 98 %": as many as there is room for, the nearest first.
fn nearest(equal: &Equivalence, theme: Theme, room: usize) -> Line<'static> {
    let mut distances: Vec<_> = equal.distances.iter().filter(|(_, distance)| distance.is_finite()).collect();
    distances.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut line = Line::from(Span::styled(" nearest: ", theme.muted()));
    for (i, (reference, distance)) in distances.into_iter().enumerate() {
        let before = ["", ", then ", ", "][i.min(2)];
        let text = format!("{} {}", labels::label(*reference), percent(*distance));
        if line.width() + before.len() + text.len() > room {
            break;
        }
        line.push_span(Span::styled(before, theme.muted()));
        line.push_span(Span::styled(text, theme.role(labels::role(*reference))));
    }
    line
}
