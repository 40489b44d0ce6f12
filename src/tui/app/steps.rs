//! The axis that all curves over the run share: what it measures, which part of it is shown, and the step under the
//! value cursor.

use super::Lab;
use crate::lesson::AxisName;
use crate::series::Series;
use crate::train::{History, TrainingTime};
use crate::tui::message::Move;
use crate::tui::widget::along::Along;
use crate::tui::widget::scale::{Scale, snap_up, steps_axis};

/// One move of the cursor, as a share of the axis.
const MOVE: f64 = 0.01;
/// What a page moves, as a share of the axis.
const PAGE: f64 = 0.5;
/// Steps that the axis shows at least.
const LEAST: f64 = 10.0;
/// The same where it does not show steps, as a share of the whole axis.
const LEAST_SHARE: f64 = 1e-3;

/// What the axis measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisUnit {
    #[default]
    Steps,
    /// Wall-clock seconds of training.
    Seconds,
    /// Floating-point operations of training.
    Operations,
}

impl From<AxisName> for AxisUnit {
    fn from(name: AxisName) -> Self {
        match name {
            AxisName::Steps => Self::Steps,
            AxisName::Seconds => Self::Seconds,
            AxisName::Operations => Self::Operations,
        }
    }
}

impl AxisUnit {
    fn next(self) -> Self {
        match self {
            Self::Steps => Self::Seconds,
            Self::Seconds => Self::Operations,
            Self::Operations => Self::Steps,
        }
    }

    /// What stands at the left end of the axis, in at most five letters.
    pub fn label(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Seconds => "sec",
            Self::Operations => "flop",
        }
    }

    /// The name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Seconds => "seconds",
            Self::Operations => "operations",
        }
    }

    /// Where the steps of a run lie on such an axis. Seconds are known where they were kept from the run's start on,
    /// operations where they were counted.
    pub fn along<'a>(self, history: &'a History, time: &'a TrainingTime) -> Along<'a> {
        let trained = history.eval_loss.last().is_some_and(|(step, _)| step > 0);
        match self {
            Self::Steps => Along::Steps,
            Self::Seconds if time.is_complete(&history.eval_loss) => Along::Curve(time.curve()),
            Self::Operations if !trained || history.operations.last().is_some_and(|(_, sum)| sum > 0.0) => {
                Along::Curve(&history.operations)
            }
            Self::Seconds | Self::Operations => Along::Unknown,
        }
    }
}

/// What of the axis is shown, and where the cursor is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepsAxis {
    pub unit: AxisUnit,
    /// The step under the value cursor; `None`: there is no cursor.
    pub cursor: Option<u64>,
    /// The ends of what is shown, in the axis's unit; `None`: the whole run.
    window: Option<(f64, f64)>,
    /// Logarithmic from step 1 or the first measurement on; step 0 has no place then.
    pub log: bool,
}

/// The axis of a run without a zoom.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// The right end, in the axis's unit.
    pub end: f64,
    /// Where a logarithmic axis begins.
    pub first: f64,
    /// The shortest part that a zoom shows.
    pub least: f64,
    /// The last step of the present run that has a place.
    pub step: u64,
    /// Where the steps of the present run lie.
    pub along: Along<'a>,
}

impl Extent<'_> {
    /// Of steps: of a run that has done `step` of those planned.
    fn of_steps(step: u64, planned: u64) -> Self {
        Self { end: steps_axis(step, planned).ends().1, first: 1.0, least: LEAST, step, along: Along::Steps }
    }
}

impl StepsAxis {
    /// The whole run over this unit.
    pub fn of(unit: AxisUnit, log: bool) -> Self {
        Self { unit, log, ..Self::default() }
    }

    /// Another unit; all of the run is shown, and the cursor stays at its step.
    fn next_unit(&mut self) {
        (self.unit, self.window) = (self.unit.next(), None);
    }

    /// The part of the axis that is shown.
    pub fn scale(&self, extent: &Extent) -> Scale {
        let (low, high) = self.window.unwrap_or((0.0, extent.end));
        match self.log {
            true => Scale::Log { low: low.max(extent.first), high },
            false => Scale::Linear { low, high },
        }
    }

    /// Whether a part of the run is shown and not all of it.
    pub fn is_zoomed(&self) -> bool {
        self.window.is_some()
    }

    /// The first and the last step that are shown of a run; without a zoom, all that there can be.
    pub fn visible(&self, along: Along) -> (u64, u64) {
        let Some((low, high)) = self.window else { return (0, u64::MAX) };
        (
            along.step(low).map_or(0, |step| step.floor() as u64),
            along.step(high).map_or(u64::MAX, |step| step.ceil() as u64),
        )
    }

    /// Shows the cursor at the last step, or hides it; the zoom stays.
    pub fn toggle_cursor(&mut self, extent: &Extent) {
        let (first, last) = self.visible(extent.along);
        self.cursor = match self.cursor {
            Some(_) => None,
            None => Some(extent.step.clamp(first, last)),
        };
    }

    /// Moves the cursor along the axis, to a point of `curve` where one is near; the axis follows.
    pub fn move_cursor(&mut self, to: Move, curve: &Series, extent: &Extent) {
        let Some(cursor) = self.cursor else { return };
        let Extent { step, along, .. } = *extent;
        let scale = self.scale(extent);
        let share = along.at(cursor).and_then(|place| scale.clamped(place)).unwrap_or(0.0);
        let first = u64::from(self.log);
        let by = |share_moved: f64| {
            let target = along.step(scale.value(share + share_moved)).map_or(cursor, |step| step.round() as u64);
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
        if let Some(place) = along.at(target) {
            self.follow(scale, place, extent);
        }
    }

    /// Moves the window, at its size, so that it contains a place.
    fn follow(&mut self, scale: Scale, target: f64, extent: &Extent) {
        let Some((low, high)) = self.window else { return };
        if (low..=high).contains(&target) {
            return;
        }
        // So that the cursor is at the edge that it left by.
        let [target, low, high] = [target, low, high].map(|place| scale.position(place));
        let moved = target - if target < low { low } else { high };
        self.window = Some(self.within(scale, (low + moved, high + moved), extent));
    }

    /// The window between two positions on the axis, moved between its ends, and cut where it is larger.
    fn within(&self, scale: Scale, (low, high): (f64, f64), extent: &Extent) -> (f64, f64) {
        let Extent { end, least, .. } = *extent;
        let (first, last) = (scale.position(if self.log { extent.first } else { 0.0 }), scale.position(end));
        let size = (high - low).min(last - first);
        let low = low.max(first).min(last - size);
        let (low, high) = (scale.at_position(low), scale.at_position(low + size));
        let low = low.min(end - least).max(0.0);
        (low, high.max(low + least))
    }

    /// Shows half or twice as much around the cursor, or around the end of the run where there is none.
    pub fn zoom(&mut self, closer: bool, extent: &Extent) {
        let scale = self.scale(extent);
        let (low, high) = scale.ends();
        let centre = extent.along.at(self.cursor.unwrap_or(extent.step)).unwrap_or(extent.end).clamp(low, high);
        let factor = if closer { 0.5 } else { 2.0 };
        let [centre, low, high] = [centre, low, high].map(|place| scale.position(place));
        let window = self.within(scale, (centre + factor * (low - centre), centre + factor * (high - centre)), extent);
        let all = window.0 <= extent.first * (1.0 + 1e-9) && window.1 >= extent.end * (1.0 - 1e-9);
        self.window = (!all).then_some(window);
    }

    /// Shows the whole run again.
    pub fn show_all(&mut self) {
        self.window = None;
    }
}

impl Lab {
    /// Where the steps of this run lie on the axis.
    pub fn along(&self) -> Along<'_> {
        self.steps.unit.along(&self.history, &self.time)
    }

    /// The axis of every curve over the run.
    pub fn steps_scale(&self) -> Scale {
        self.steps.scale(&self.extent())
    }

    /// The axis without a zoom: around all curves that are shown and, of steps, those that are planned.
    pub(super) fn extent(&self) -> Extent<'_> {
        let ((step, planned), (shown, _), along) = (self.progress(), self.overlaid(), self.along());
        if self.steps.unit == AxisUnit::Steps {
            let histories = shown.iter().map(|run| run.history).chain(&self.ahead);
            let last = histories.filter_map(|history| history.eval_loss.last()).map(|(step, _)| step);
            return Extent { step, ..Extent::of_steps(last.fold(step, u64::max), planned) };
        }
        let ends: Vec<(f64, f64)> = shown.iter().map(|run| run.along).chain([along]).filter_map(Along::ends).collect();
        let end = snap_up(ends.iter().map(|(_, last)| *last).fold(0.0, f64::max));
        let first = ends.iter().map(|(first, _)| *first).fold(end / 10.0, f64::min);
        // Steps after the last measurement have no place yet.
        let step = along.last_step().map_or(step, |last| last.min(step));
        Extent { end, first, least: end * LEAST_SHARE, step, along }
    }

    /// Another unit of the axis; the cursor stays at its step where that has a place.
    pub(super) fn next_axis_unit(&mut self) {
        self.steps.next_unit();
        self.change_axis(|axis, extent| axis.cursor = axis.cursor.map(|step| step.min(extent.step)));
    }

    /// Changes the axis by what needs to know the whole of it.
    pub(super) fn change_axis(&mut self, change: impl FnOnce(&mut StepsAxis, &Extent)) {
        let mut axis = self.steps;
        change(&mut axis, &self.extent());
        self.steps = axis;
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
        let (curve, extent, mut axis) = (curve(), Extent::of_steps(3_000, 6_000), StepsAxis::default());
        axis.toggle_cursor(&extent);
        let mut seen = vec![];
        for _ in 0..5 {
            axis.move_cursor(Move::Left, &curve, &extent);
            seen.push(axis.cursor.unwrap());
        }
        assert_eq!(seen, [2_950, 2_900, 2_850, 2_800, 2_750]);
        (0..12).for_each(|_| axis.zoom(true, &extent));
        let (low, high) = axis.visible(Along::Steps);
        assert!(high - low <= 24 && (low..=high).contains(&2_750), "{low} {high}");
        axis.move_cursor(Move::Right, &curve, &extent);
        assert_eq!(axis.cursor, Some(2_751));
    }

    #[test]
    fn the_axis_follows_the_cursor_and_comes_back_to_the_whole_run() {
        for log in [false, true] {
            let (curve, extent) = (curve(), Extent::of_steps(3_000, 6_000));
            let mut axis = StepsAxis { log, ..StepsAxis::default() };
            axis.toggle_cursor(&extent);
            (0..3).for_each(|_| axis.zoom(true, &extent));
            assert!(axis.is_zoomed());
            for to in [Move::First, Move::Last, Move::PageUp, Move::Left, Move::PageDown, Move::PageDown] {
                axis.move_cursor(to, &curve, &extent);
                let share = axis.scale(&extent).share(axis.cursor.unwrap().max(1) as f64).unwrap();
                assert!((-1e-6..=1.0 + 1e-6).contains(&share), "{log} {to:?}: {share} {axis:?}");
            }
            assert_eq!(axis.cursor, Some(3_000));
            (0..9).for_each(|_| axis.zoom(false, &extent));
            assert!(!axis.is_zoomed(), "{log} {axis:?}");
        }
    }
}
