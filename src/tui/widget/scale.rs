//! An axis: from a value to a share of its length, and the ticks along it.
//!
//! Owns the rule that ends of axes move in steps: they snap to a few round mantissas times a power of ten. On a
//! logarithmic axis zero and less have no position.

use crate::tui::numbers::{count, short};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    Linear {
        low: f64,
        high: f64,
    },
    /// 0 < low < high.
    Log {
        low: f64,
        high: f64,
    },
}

impl Scale {
    /// From zero to a snapped end at or above `most`.
    pub fn linear_to(most: f64) -> Self {
        Self::Linear { low: 0.0, high: snap_up(most) }
    }

    /// Snapped ends around a range of values; one decade where the range is empty.
    pub fn log_around(least: f64, most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let least = if least.is_finite() && least > 0.0 { least.min(most) } else { most / 10.0 };
        let (low, high) = (snap_down(least), snap_up(most));
        Self::Log { low: if low < high { low } else { high / 10.0 }, high }
    }

    /// The value at the low end and the value at the high end.
    pub fn ends(self) -> (f64, f64) {
        match self {
            Self::Linear { low, high } | Self::Log { low, high } => (low, high),
        }
    }

    /// Where a value lies on the axis, up to a factor and a shift: the value, or its logarithm.
    pub fn position(self, value: f64) -> f64 {
        match self {
            Self::Linear { .. } => value,
            Self::Log { .. } => value.max(f64::MIN_POSITIVE).ln(),
        }
    }

    /// The value at a [`position`](Self::position).
    pub fn at_position(self, position: f64) -> f64 {
        match self {
            Self::Linear { .. } => position,
            Self::Log { .. } => position.exp(),
        }
    }

    /// The value at a share of the axis: the inverse of [`share`](Self::share).
    pub fn value(self, share: f64) -> f64 {
        let (low, high) = self.ends();
        let [low, high] = [low, high].map(|end| self.position(end));
        self.at_position(low + share * (high - low))
    }

    /// Where a value lies: 0 at the low end, 1 at the high end, beyond them outside.
    pub fn share(self, value: f64) -> Option<f64> {
        let share = match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } if value > 0.0 => (value / low).ln() / (high / low).ln(),
            Self::Log { .. } => return None,
        };
        share.is_finite().then_some(share)
    }

    /// The same, with what lies outside moved to the nearer end.
    pub fn clamped(self, value: f64) -> Option<f64> {
        self.share(value).map(|share| share.clamp(0.0, 1.0))
    }

    /// Ticks from the low end up, at most about `most` of them, the rounder the fewer.
    pub fn ticks(self, most: usize) -> Vec<f64> {
        let most = most.max(2);
        match self {
            Self::Linear { low, high } => linear_ticks(low, high, most),
            Self::Log { low, high } => {
                let by_rule = |mantissas: &[f64], stride: i32| -> Vec<f64> {
                    let decades = exponent(low)..=exponent(high);
                    let decades = decades.filter(|decade| decade.rem_euclid(stride) == 0);
                    let all = decades.flat_map(|d| mantissas.iter().map(move |m| m * 10f64.powi(d)));
                    all.filter(|&tick| tick >= low * 0.999 && tick <= high * 1.001).collect()
                };
                let rules: [(&[f64], i32); 6] =
                    [(&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 4), (&[1.0], 8)];
                let fitting = rules.iter().map(|&(mantissas, stride)| by_rule(mantissas, stride));
                fitting.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default()
            }
        }
    }
}

/// A tick as text: steps are whole, other numbers short.
pub fn tick_label(tick: f64) -> String {
    match tick {
        t if t >= 1.0 && t.fract() == 0.0 && t < 1e8 => count(t as u64),
        t if t > 0.0 && !(0.000_99..1e8).contains(&t) => format!("{t:.0e}"),
        t => short(t),
    }
}

/// The same in at most so many characters: digits that are cut off would make it another number.
pub fn short_tick_label(tick: f64, most: usize) -> String {
    let text = tick_label(tick);
    if text.chars().count() <= most { text } else { format!("{tick:.0e}") }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![];
    }
    let stride = snap_up(span / most as f64);
    let (first, last) = ((low / stride).ceil() as i64, (high / stride * (1.0 + 1e-9)).floor() as i64);
    (first..=last).map(|i| i as f64 * stride).collect()
}

fn exponent(value: f64) -> i32 {
    // A power of ten must not land below itself by rounding.
    (value.log10() + 1e-9).floor() as i32
}

/// The least of 1, 2, 5 × 10ⁿ that is not below the value; 1 for what is not positive.
pub fn snap_up(value: f64) -> f64 {
    snap(value, &[1.0, 2.0, 5.0, 10.0])
}

/// The same with steps between, for a scale that is set once: less of it is left empty.
pub fn snap_up_finely(value: f64) -> f64 {
    snap(value, &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0])
}

fn snap(value: f64, mantissas: &[f64]) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let decade = 10f64.powi(exponent(value));
    let found = mantissas.iter().map(|m| m * decade).find(|&s| s >= value * (1.0 - 1e-9));
    found.unwrap_or(value)
}

fn snap_down(value: f64) -> f64 {
    let decade = 10f64.powi(exponent(value));
    // Finer than upwards: space below the curves would be wasted.
    [8.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.2, 1.0]
        .into_iter()
        .map(|m| m * decade)
        .find(|&s| s <= value * (1.0 + 1e-9))
        .unwrap_or(value)
}

/// The axis of training steps: its end grows by factors of 4 and 5 with the run, so that a slow start fills the plot
/// and a quick run moves it three times at most; from half of the planned steps on it is their number.
pub fn steps_axis(step: u64, planned: u64) -> Scale {
    let mut end = 50u64;
    while end < step {
        end = end.saturating_mul(if end.to_string().starts_with('5') { 4 } else { 5 });
        if end == u64::MAX {
            break;
        }
    }
    let end = if planned > 0 && step <= planned && end.saturating_mul(2) > planned { planned } else { end };
    Scale::Linear { low: 0.0, high: end as f64 }
}

#[cfg(test)]
mod tests {
    use super::{Scale, short_tick_label, snap_up, snap_up_finely, steps_axis, tick_label};

    #[test]
    fn ends_snap_to_one_two_and_five() {
        assert_eq!(Scale::log_around(0.19, 0.84), Scale::Log { low: 0.15000000000000002, high: 1.0 });
        assert_eq!(Scale::log_around(0.2, 0.5), Scale::Log { low: 0.2, high: 0.5 });
        assert_eq!(Scale::log_around(1.0, 1.0), Scale::Log { low: 0.1, high: 1.0 });
        assert_eq!([snap_up_finely(2.1), snap_up_finely(9.0)], [2.5, 10.0]);
        assert_eq!([snap_up(0.3), snap_up(1000.0), snap_up(f64::NAN)], [0.5, 1000.0, 1.0]);
    }

    #[test]
    fn a_log_axis_ticks_at_decades_and_their_parts_and_zero_has_no_position() {
        let scale = Scale::Log { low: 0.1, high: 1.0 };
        let labels: Vec<_> = scale.ticks(8).into_iter().map(tick_label).collect();
        assert_eq!(labels, ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(scale.share(0.0), None);
        assert_eq!(scale.share(f64::NAN), None);
        assert!((scale.share(0.1f64.sqrt()).unwrap_or(0.0) - 0.5).abs() < 1e-12);
        assert!(Scale::Log { low: 1e-8, high: 1.0 }.ticks(5).len() <= 5);
    }

    #[test]
    fn a_label_that_is_too_long_is_written_shorter_and_not_cut() {
        assert_eq!([short_tick_label(20_000.0, 5), short_tick_label(2_000.0, 5)], ["2e4", "2,000"]);
        assert_eq!(short_tick_label(0.0015, 5), "2e-3");
    }

    #[test]
    fn shares_and_values_are_inverse() {
        for scale in [Scale::Linear { low: -1.0, high: 3.0 }, Scale::Log { low: 0.1, high: 40.0 }] {
            for share in [0.0, 0.3, 1.0] {
                assert!((scale.share(scale.value(share)).unwrap() - share).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_axis_of_steps_moves_rarely() {
        let ends: Vec<_> = (0..=6_000).map(|step| steps_axis(step, 6_000)).collect();
        let moves = ends.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(moves, 3);
        assert_eq!(steps_axis(0, 6_000), Scale::Linear { low: 0.0, high: 50.0 });
        assert_eq!(steps_axis(1_001, 6_000), Scale::Linear { low: 0.0, high: 6_000.0 });
        assert_eq!(steps_axis(6_001, 6_000), Scale::Linear { low: 0.0, high: 20_000.0 });
        assert_eq!(steps_axis(0, 0), Scale::Linear { low: 0.0, high: 50.0 });
    }
}
