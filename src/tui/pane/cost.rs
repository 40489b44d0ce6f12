//! What each learner's loss costs: the loss against the operations per query, of the model, of the runs beside it and
//! of the references.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::reference::Reference;
use crate::train::ReferenceResult;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::scale::Scale;
use crate::tui::widget::scatter::{Point, Scatter};

/// A learner below the best of the model and of descent by more than this factor does not extend the axis: exact
/// learners without noise reach 1e-30.
const DEEPEST: f64 = 0.02;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The loss on the held-out tasks against the floating-point operations of one query with its context, both \
     logarithmic: of the model, of the runs that are shown with it (their digits), and of every reference. Dotted \
     lines join the iterations of one algorithm, GD-1 to GD-10, CG and Newton. Lower is better, further to the left \
     is cheaper. Equal: the model lies on a reference's mark. An arrow stands where a point lies outside of the axes.";

pub fn title(_lab: &Lab, width: u16) -> String {
    let whole = "Loss against operations per query";
    if whole.len() <= usize::from(width) { whole } else { "Loss against cost" }.to_owned()
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(opened) = &lab.opened else { return };
    let mut references = by_importance(&opened.references, &opened.preset.references);
    if lab.caption.is_some() {
        // A lesson is about those that its preset names, about steps of descent, and about solving.
        let belongs = |reference| matches!(reference, Reference::Gd(_) | Reference::Ridge | Reference::LeastSquares);
        let named = |reference: &Reference| opened.preset.references.contains(reference);
        references.retain(|result| belongs(result.tuned.reference) || named(&result.tuned.reference));
    }
    let mut points = runs(lab, theme);
    let first = points.len();
    points.extend(references.iter().map(|result| {
        let reference = result.tuned.reference;
        Point {
            x: result.flops as f64,
            y: result.loss,
            mark: labels::mark(reference),
            name: labels::label(reference),
            style: theme.role(labels::role(reference)),
        }
    }));
    let lines = labels::iterations(&references.iter().map(|result| result.tuned.reference).collect::<Vec<_>>())
        .into_iter()
        .map(|iterates| iterates.into_iter().map(|i| first + i).collect())
        .collect();
    let (x, y) = axes(&points);
    Scatter { x, unit: "flop", y, points: &points, lines, muted: theme.muted() }.render(area, buffer);
}

/// The model, and the runs that are shown with it.
fn runs(lab: &Lab, theme: Theme) -> Vec<Point> {
    let (others, _) = lab.overlaid();
    let own = lab.opened.as_ref().and_then(|opened| opened.preset.query_flops()).zip(lab.history.latest.as_ref());
    let own = own.map(|(flops, latest)| Point {
        x: flops as f64,
        y: latest.eval_loss,
        mark: "●",
        name: "model".to_owned(),
        style: theme.role(Role::Model).patch(theme.focus()),
    });
    let others = others.into_iter().filter_map(|run| {
        Some(Point {
            x: run.preset.query_flops()? as f64,
            y: run.history.latest.as_ref()?.eval_loss,
            mark: super::digit(run.number),
            name: run.name,
            style: theme.role(Role::Kept(run.number)),
        })
    });
    own.into_iter().chain(others).collect()
}

/// Those that the preset names first. Frozen gains are those of other contexts, and the Bayes optimum is one of the
/// others by another name.
fn by_importance<'a>(references: &'a [ReferenceResult], named: &[Reference]) -> Vec<&'a ReferenceResult> {
    let shown = |result: &&ReferenceResult| !matches!(result.tuned.reference, Reference::Frozen(_) | Reference::Bayes);
    let mut ordered: Vec<&ReferenceResult> = references.iter().filter(shown).collect();
    ordered.sort_by_key(|result| !named.contains(&result.tuned.reference));
    ordered
}

/// Around all points that lie not far below the model and descent.
fn axes(points: &[Point]) -> (Scale, Scale) {
    let usable = |value: &f64| value.is_finite() && *value > 0.0;
    let costs = || points.iter().map(|point| point.x).filter(usable);
    let x = Scale::log_around(costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
    let losses = || points.iter().map(|point| point.y).filter(usable);
    let descent = labels::mark(Reference::Gd(1));
    let iterate = points.iter().filter(|point| point.mark == "●" || point.mark == descent).map(|point| point.y);
    let foot = iterate.filter(usable).fold(f64::INFINITY, f64::min);
    let least = losses().filter(|loss| *loss >= foot * DEEPEST).fold(foot, f64::min);
    let most = losses().fold(least, f64::max).min(least * 1e4);
    (x, Scale::log_around(least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Descent, Tuned};

    fn result(reference: Reference, loss: f64, flops: u64) -> ReferenceResult {
        let tuned = Tuned::plain(reference);
        ReferenceResult {
            tuned,
            loss,
            loss_standard_error: 0.0,
            median: loss,
            loss_by_pairs: vec![],
            answers_by_pairs: vec![],
            expected_by_pairs: None,
            flops,
            gd_1_distance: 0.0,
            best_distance: None,
        }
    }

    #[test]
    fn named_references_come_first_and_iterations_are_in_order() {
        let all = [
            result(Reference::Gd(2), 0.2, 9),
            result(Reference::Frozen(Descent::Gd(1)), 0.9, 3),
            result(Reference::Gd(1), 0.3, 3),
            result(Reference::Cg(1), 0.25, 5),
        ];
        let ordered = by_importance(&all, &[Reference::Cg(1)]);
        let names: Vec<_> = ordered.iter().map(|result| result.tuned.reference).collect();
        assert_eq!(names, [Reference::Cg(1), Reference::Gd(2), Reference::Gd(1)]);
        assert_eq!(labels::iterations(&names), [vec![2, 1], vec![0], vec![]]);
    }

    #[test]
    fn an_exact_learner_does_not_extend_the_axis() {
        let point = |y, mark| Point { x: 10.0, y, mark, name: String::new(), style: ratatui::style::Style::new() };
        let (_, y) = axes(&[point(0.2, "●"), point(0.1, "△"), point(1e-30, "□"), point(0.4, "○")]);
        assert!(y.ends().0 > 0.05 && y.ends().1 < 1.0, "{y:?}");
    }
}
