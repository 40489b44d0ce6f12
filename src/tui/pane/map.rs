//! A map of learners: models and references by their distances from one step of descent and from the best learner.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::reference::Reference;
use crate::train::{Equivalence, best_learner};
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::scale::{Scale, snap_up_finely};
use crate::tui::widget::scatter::{Point, Scatter};
use crate::tui::widget::wrap::wrap;

/// The axes end here at the latest: 1 is the mean norm of the true answers, and what is farther is no estimate.
const FARTHEST: f64 = 1.5;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "How far the answers are from those of GD-1, to the right, and from those of the best learner for the task, \
     upwards: the Kalman filter, ridge, or least squares. Both are relative to the true answers. The references are \
     landmarks; dotted lines join the iterations of one algorithm. ● is the model, digits are the runs that are shown \
     with it: m keeps a run, and the next one is added. Equal: a run lies on a landmark.";

pub fn title(lab: &Lab, width: u16) -> String {
    let best = best(lab).map_or_else(|| "the best learner".to_owned(), labels::label);
    let whole = format!("Map of learners: distance to GD-1 →, to {best} ↑");
    let short = format!("Distances: GD-1 →, {best} ↑");
    [whole, short].into_iter().find(|title| title.chars().count() <= usize::from(width))
        .unwrap_or_else(|| "Map of learners".to_owned())
}

/// The learner at the end of the vertical axis.
fn best(lab: &Lab) -> Option<Reference> {
    best_learner(lab.history.latest.as_ref()?.equivalence.distances.iter().map(|(reference, _)| *reference))
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some(opened), Some(latest)) = (&lab.opened, &lab.history.latest) else { return };
    let Some(best) = best(lab) else {
        let text = wrap("Of classes, only steps of descent are known: there is no second learner to measure from.", 40);
        for (row, line) in (area.top()..area.bottom()).zip(text) {
            buffer.set_line(area.x + 1, row, &Line::styled(line, theme.muted()), area.width.saturating_sub(1));
        }
        return;
    };
    let model = place(&latest.equivalence, best).map(|(x, y)| Point {
        x,
        y,
        mark: "●",
        name: "model".to_owned(),
        style: theme.role(Role::Model).patch(theme.focus()),
    });
    let (others, _) = lab.overlaid();
    let runs = others.into_iter().filter_map(|run| {
        let (x, y) = place(&run.history.latest.as_ref()?.equivalence, best)?;
        let (mark, style) = (super::digit(run.number), theme.role(Role::Kept(run.number)).patch(theme.focus()));
        Some(Point { x, y, mark, name: run.name, style })
    });
    let mut points: Vec<Point> = model.into_iter().chain(runs).collect();
    let first = points.len();
    // Those that equal a simpler one would only cover it.
    let distinct = |reference: Reference| latest.equivalence.distances.iter().any(|(known, _)| *known == reference);
    let mut landmarks: Vec<_> = opened
        .references
        .iter()
        .filter(|result| distinct(result.tuned.reference) && result.best_distance.is_some())
        .collect();
    let named = |reference: Reference| opened.preset.references.contains(&reference) || reference == best;
    landmarks.sort_by_key(|result| !named(result.tuned.reference));
    let names: Vec<Reference> = landmarks.iter().map(|result| result.tuned.reference).collect();
    points.extend(landmarks.iter().map(|result| Point {
        x: result.gd_1_distance,
        y: result.best_distance.unwrap_or(f64::NAN),
        mark: labels::mark(result.tuned.reference),
        name: labels::label(result.tuned.reference),
        style: theme.role(labels::role(result.tuned.reference)),
    }));
    let lines = labels::iterations(&names).map(|line| line.into_iter().map(|i| first + i).collect()).to_vec();
    let axis = |value: fn(&Point) -> f64| {
        let inside = points.iter().map(value).filter(|value| *value <= FARTHEST);
        Scale::Linear { low: 0.0, high: snap_up_finely(inside.fold(0.1, f64::max)).min(FARTHEST) }
    };
    let (x, y) = (axis(|point| point.x), axis(|point| point.y));
    Scatter { x, unit: "GD-1", y, points: &points, lines, muted: theme.muted() }.render(area, buffer);
}

/// The distances from GD-1 and from the best learner.
fn place(equivalence: &Equivalence, best: Reference) -> Option<(f64, f64)> {
    let distance =
        |to: Reference| equivalence.distances.iter().find(|(reference, _)| *reference == to).map(|(_, d)| *d);
    distance(Reference::Gd(1)).zip(distance(best))
}
