//! How far the model is from gradient descent, over the run and in digits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::bounds::HELD_OUT;
use crate::series::Series;
use crate::train::{Equivalence, NEAR};
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{cosine, count, percent, significant, with_minus};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::along::RunCurve;
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace};
use crate::tui::widget::scale::Scale;
use crate::tui::widget::wrap::width;
use crate::uncertainty::with_error;

/// The low end of the axis: what is below is rounding.
const FLOOR: f64 = 1e-6;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "Four distances between the model and the reference over the training, on a logarithmic axis: of their \
     predictions, of their sensitivities (1 − cosine), of their losses, and of the hidden state and Σ y xᵀ (1 − \
     cosine). Equal: all of them fall and stay low. Below stand the latest numbers, and the references in the order \
     of their distance. ‖·‖ is the norm of the difference, in the mean over tasks: of answers, and of \
     sensitivities.";

pub fn title(lab: &Lab, _width: u16) -> String {
    let reference = super::measured_against(lab);
    match lab.steps.cursor {
        Some(step) => format!("Distance to {reference} at step {}", count(step)),
        None => format!("Distance to {reference} (cosines: 1 − cos)"),
    }
}

/// One measure: its curve, its mark, its colour, and its line in the table.
struct Measure<'a> {
    series: &'a Series,
    mark: &'static str,
    role: Role,
    /// Tells the curves apart where there are no colours.
    stroke: Stroke,
    text: String,
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let measures = measures(lab);
    let rows = measures.len() as u16 + 1;
    let table = rows.min(area.height);
    let plot = Rect { height: area.height - table, ..area };
    render_plot(lab, &measures, theme, plot, buffer);
    let lines = measures.iter().map(|measure| {
        Line::from(vec![
            Span::styled(format!(" {} ", measure.mark), theme.role(measure.role)),
            Span::raw(fitting(&measure.text, usize::from(area.width).saturating_sub(3))),
        ])
    });
    // Only of the latest measurement are the distances to all references known.
    let latest = lab.history.latest.iter().filter(|_| lab.steps.cursor.is_none());
    let nearest = latest.map(|latest| nearest(&latest.equivalence, theme, usize::from(area.width)));
    for (row, line) in (plot.bottom()..area.bottom()).zip(lines.chain(nearest)) {
        buffer.set_line(area.x, row, &line, area.width);
    }
}

/// As many of the parts between commas as fit, and always the first: half a number is a wrong number.
fn fitting(text: &str, space: usize) -> String {
    let mut shown = text;
    while width(shown) > space {
        let Some((rest, _)) = shown.rsplit_once(", ") else { break };
        shown = rest;
    }
    shown.to_owned()
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
                let norm = significant(equal.prediction_difference, 3);
                format!("predictions  differ by {relative}, ‖·‖ {norm}, {} tasks", count(HELD_OUT as u64))
            })
        }),
        measure(&history.sensitivity_angle, "◆", Role::Sensitivity, Stroke::DashDot, {
            text(&|equal| {
                let cosine = cosine(equal.sensitivity_cosine);
                let norm = significant(equal.sensitivity_difference, 3);
                format!("sensitivity  cosine {cosine}, ‖·‖ {norm}{}", averaged_over(equal))
            })
        }),
        measure(&history.loss_gap, "▲", Role::LossGap, Stroke::Dashed, {
            text(&|equal| {
                let gap = with_error(100.0 * equal.loss_gap, 100.0 * equal.loss_gap_standard_error);
                format!("loss         gap {} %, {} tasks", with_minus(&gap), count(HELD_OUT as u64))
            })
        }),
    ];
    let (raw, read) = equal.map_or((None, None), |equal| (equal.state_cosine, equal.read_state_cosine));
    for (name, value) in [("state        ", raw), ("state, read  ", read)] {
        let Some(value) = value else { continue };
        measures.push(measure(&history.state_angle, "■", Role::State, Stroke::Dotted, {
            text(&|equal| format!("{name}cosine {}{}", cosine(value), averaged_over(equal)))
        }));
    }
    if lab.steps.cursor.is_some() {
        measures.iter_mut().for_each(|measure| measure.text = text_at_cursor(lab, measure));
    }
    measures
}

/// The value that a curve has at the value cursor.
fn text_at_cursor(lab: &Lab, measure: &Measure) -> String {
    let Some(point) = super::value_at(lab, measure.series) else { return String::new() };
    let value = f64::from(point.mean);
    let text = match measure.role {
        Role::Model => format!("predictions  differ by {}", percent(value)),
        Role::LossGap => format!("loss         |gap| {}", percent(value)),
        Role::Sensitivity => format!("sensitivity  1 − cosine {}", significant(value, 3)),
        Role::State | Role::Gd | Role::LeastSquares | Role::Zero | Role::Warning | Role::Kept(_) => {
            format!("state        1 − cosine {}", significant(value, 3))
        }
    };
    if lab.steps.cursor == Some(point.step) { text } else { format!("{text}, at step {}", count(point.step)) }
}

/// ", 64 tasks": what sensitivities and states are averaged over.
fn averaged_over(equal: &Equivalence) -> String {
    match equal.compared_tasks {
        0 => String::new(),
        tasks => format!(", {} tasks", count(tasks as u64)),
    }
}

fn render_plot(lab: &Lab, measures: &[Measure], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let along = lab.along();
    let (first, last) = lab.steps.visible(along);
    let ranges = || measures.iter().filter_map(|measure| measure.series.range_within(first, last));
    let most = ranges().map(|(_, most)| f64::from(most)).fold(1.0, f64::max).min(100.0);
    let least = ranges().map(|(least, _)| f64::from(least)).fold(1e-2, f64::min).max(FLOOR);
    // Whole decades, so that the axis rarely moves.
    let decade = |value: f64, round: fn(f64) -> f64| 10f64.powf(round(value.log10()));
    let y = Scale::Log { low: decade(least, f64::floor), high: decade(most, f64::ceil) };
    let line = |measure: &&Measure| theme.role(measure.role);
    // The distance of predictions is rendered above the others.
    let traces = measures
        .iter()
        .rev()
        .map(|m| {
            Trace::Curve(
                RunCurve::new(m.series, along),
                if theme.colours() { Stroke::Solid } else { m.stroke },
                line(&m),
            )
        })
        .collect();
    let labels = measures.iter().filter_map(|measure| {
        let value = f64::from(super::value_at(lab, measure.series)?.mean);
        Some(EndLabel { value, text: measure.mark.to_owned(), style: line(&measure) })
    });
    let (x, labels, muted) = (lab.steps_scale(), labels.collect(), theme.muted());
    let (marks, ticks, cursor) = (vec![], vec![], super::value_cursor(lab, theme));
    let unit = lab.steps.unit.label();
    Plot { x, unit, y, traces, labels, gutter: 3, marks, ticks, cursor, muted }.render(area, buffer);
    super::say_unknown_axis(lab, theme, area, buffer);
}

/// "nearest: GD-1 1.8 %, then GD-2 36 %, zero 98 %": as many as fit, the nearest first. "≈" where the difference is
/// within the sampling error; "none within 15 %:" where all are farther.
fn nearest(equal: &Equivalence, theme: Theme, space: usize) -> Line<'static> {
    let mut distances: Vec<_> = equal.distances.iter().filter(|(_, distance)| distance.is_finite()).collect();
    distances.sort_by(|a, b| a.1.total_cmp(&b.1));
    let head = match equal.nearest_within() {
        Some(_) => " nearest: ".to_owned(),
        None => format!(" none within {:.0} %: ", 100.0 * NEAR),
    };
    let mut line = Line::from(Span::styled(head, theme.muted()));
    for (i, (reference, distance)) in distances.into_iter().enumerate() {
        let tied = equal.ties.contains(reference);
        let before = if i > 0 && tied { " ≈ " } else { ["", ", then ", ", "][i.min(2)] };
        let text = format!("{} {}", labels::label(*reference), percent(*distance));
        if line.width() + width(before) + width(&text) > space {
            break;
        }
        line.push_span(Span::styled(before, theme.muted()));
        line.push_span(Span::styled(text, theme.role(labels::role(*reference))));
    }
    line
}
