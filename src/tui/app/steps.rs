//! The steps axis that all curves over the run share: which steps are shown, and the step under the value cursor.

use crate::series::Series;
use crate::tui::message::Move;
use crate::tui::widget::scale::{Scale, steps_axis};

/// One move of the cursor, as a share of the axis.
const MOVE: f64 = 0.01;
/// What a page moves, as a share of the axis.
const PAGE: f64 = 0.5;
/// Steps that the axis shows at least.
const LEAST: f64 = 10.0;

/// What of the steps is shown, and where the cursor is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepsAxis {
    /// The step under the value cursor; `None`: there is no cursor.
    pub cursor: Option<u64>,
    /// The first and the last step that are shown; `None`: the whole run.
    window: Option<(f64, f64)>,
    /// Logarithmic from step 1 on; step 0 has no place then.
    pub log: bool,
}

impl StepsAxis {
    /// The axis of a run that has done `step` steps of those planned.
    pub fn scale(&self, step: u64, planned: u64) -> Scale {
        let whole = steps_axis(step, planned);
        let (low, high) = self.window.unwrap_or(whole.ends());
        match self.log {
            true => Scale::Log { low: low.max(1.0), high },
            false => Scale::Linear { low, high },
        }
    }

    /// Whether a part of the run is shown and not all of it.
    pub fn is_zoomed(&self) -> bool {
        self.window.is_some()
    }

    /// The first and the last step that are shown; without a zoom, all that there can be.
    pub fn visible(&self) -> (u64, u64) {
        self.window.map_or((0, u64::MAX), |(low, high)| (low.floor() as u64, high.ceil() as u64))
    }

    /// Shows the cursor at the last step, or hides it; the zoom stays.
    pub fn toggle_cursor(&mut self, step: u64) {
        self.cursor = match self.cursor {
            Some(_) => None,
            None => Some(step.clamp(self.visible().0, self.visible().1)),
        };
    }

    /// Moves the cursor along the axis, to a point of `curve` where one is near; the axis follows.
    pub fn move_cursor(&mut self, to: Move, curve: &Series, step: u64, planned: u64) {
        let Some(cursor) = self.cursor else { return };
        let scale = self.scale(step, planned);
        let share = scale.clamped(cursor as f64).unwrap_or(0.0);
        let first = u64::from(self.log);
        let by = |share_moved: f64| {
            let target = scale.value(share + share_moved).round().max(0.0) as u64;
            // At least one step, however few are shown.
            let target = if share_moved < 0.0 { target.min(cursor.saturating_sub(1)) } else { target.max(cursor + 1) };
            let near = nearest_point(curve, target, target.abs_diff(cursor));
            let moves_on = near != cursor && (near < cursor) == (target < cursor);
            (if moves_on { near } else { target }).min(step).max(first)
        };
        let target = match to {
            Move::Left => by(-MOVE),
            Move::Right => by(MOVE),
            Move::PageUp => by(-PAGE),
            Move::PageDown => by(PAGE),
            Move::First => first,
            Move::Last => step,
            Move::Up | Move::Down => return,
        };
        self.cursor = Some(target);
        self.follow(scale, target, steps_axis(step, planned).ends().1);
    }

    /// Moves the window, at its size, so that it contains a step.
    fn follow(&mut self, scale: Scale, target: u64, end: f64) {
        let Some((low, high)) = self.window else { return };
        let target = target as f64;
        if (low..=high).contains(&target) {
            return;
        }
        // So that the cursor is at the edge that it left by.
        let [target, low, high] = [target, low, high].map(|step| scale.position(step));
        let moved = target - if target < low { low } else { high };
        self.window = Some(self.within(scale, (low + moved, high + moved), end));
    }

    /// The window between two positions on the axis, moved between the first step and `end`, and cut where it is larger.
    fn within(&self, scale: Scale, (low, high): (f64, f64), end: f64) -> (f64, f64) {
        let (first, last) = (scale.position(if self.log { 1.0 } else { 0.0 }), scale.position(end));
        let size = (high - low).min(last - first);
        let low = low.max(first).min(last - size);
        let (low, high) = (scale.at_position(low), scale.at_position(low + size));
        let low = low.min(end - LEAST).max(0.0);
        (low, high.max(low + LEAST))
    }

    /// Shows half or twice as many steps around the cursor, or around the end of the run where there is none.
    pub fn zoom(&mut self, closer: bool, step: u64, planned: u64) {
        let whole = steps_axis(step, planned).ends();
        let scale = self.scale(step, planned);
        let (low, high) = scale.ends();
        let centre = (self.cursor.unwrap_or(step) as f64).clamp(low, high);
        let factor = if closer { 0.5 } else { 2.0 };
        let [centre, low, high] = [centre, low, high].map(|step| scale.position(step));
        let window = self.within(scale, (centre + factor * (low - centre), centre + factor * (high - centre)), whole.1);
        let all = window.0 <= 1.0 && window.1 >= whole.1 * (1.0 - 1e-9);
        self.window = (!all).then_some(window);
    }

    /// Shows the whole run again.
    pub fn show_all(&mut self) {
        self.window = None;
    }
}

/// The step of the curve's point next to `step`, if it is at most so many steps away; else `step`.
fn nearest_point(curve: &Series, step: u64, away: u64) -> u64 {
    let points = [curve.at(step), curve.buckets().iter().find(|bucket| bucket.step >= step).copied()];
    let nearest = points.into_iter().flatten().map(|point| point.step).min_by_key(|point| point.abs_diff(step));
    nearest.filter(|point| point.abs_diff(step) <= away).unwrap_or(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Series {
        let mut series = Series::default();
        (0..=60u64).for_each(|i| series.push(50 * i, i as f32));
        series
    }

    #[test]
    fn the_cursor_stops_at_every_measurement_and_between_them_only_when_zoomed() {
        let (curve, mut axis) = (curve(), StepsAxis::default());
        axis.toggle_cursor(3_000);
        let mut seen = vec![];
        for _ in 0..5 {
            axis.move_cursor(Move::Left, &curve, 3_000, 6_000);
            seen.push(axis.cursor.unwrap());
        }
        assert_eq!(seen, [2_950, 2_900, 2_850, 2_800, 2_750]);
        (0..12).for_each(|_| axis.zoom(true, 3_000, 6_000));
        let (low, high) = axis.visible();
        assert!(high - low <= 24 && (low..=high).contains(&2_750), "{low} {high}");
        axis.move_cursor(Move::Right, &curve, 3_000, 6_000);
        assert_eq!(axis.cursor, Some(2_751));
    }

    #[test]
    fn the_axis_follows_the_cursor_and_comes_back_to_the_whole_run() {
        for log in [false, true] {
            let (curve, mut axis) = (curve(), StepsAxis { log, ..StepsAxis::default() });
            axis.toggle_cursor(3_000);
            (0..3).for_each(|_| axis.zoom(true, 3_000, 6_000));
            assert!(axis.is_zoomed());
            for to in [Move::First, Move::Last, Move::PageUp, Move::Left, Move::PageDown, Move::PageDown] {
                axis.move_cursor(to, &curve, 3_000, 6_000);
                let share = axis.scale(3_000, 6_000).share(axis.cursor.unwrap().max(1) as f64).unwrap();
                assert!((-1e-6..=1.0 + 1e-6).contains(&share), "{log} {to:?}: {share} {axis:?}");
            }
            assert_eq!(axis.cursor, Some(3_000));
            (0..9).for_each(|_| axis.zoom(false, 3_000, 6_000));
            assert!(!axis.is_zoomed(), "{log} {axis:?}");
        }
    }
}
