//! Where along a horizontal axis the steps of a run lie: at their numbers, or at what it took to reach them.

use crate::series::Series;

/// The place of a run's steps on an axis.
#[derive(Clone, Copy, Debug)]
pub enum Along<'a> {
    /// A step lies at its number.
    Steps,
    /// A step lies at the value of this curve, which grows from 0 at step 0.
    Curve(&'a Series),
    /// Where the steps lie is not known, so they have no place.
    Unknown,
}

impl Along<'_> {
    /// The place of a step; `None` if it is not known.
    pub fn at(self, step: u64) -> Option<f64> {
        match self {
            Self::Steps => Some(step as f64),
            Self::Curve(curve) => curve.interpolated(step),
            Self::Unknown => None,
        }
    }

    /// The step at a place, with the fraction of the way to the next one; `None` if it is not known.
    pub fn step(self, place: f64) -> Option<f64> {
        match self {
            Self::Steps => Some(place.max(0.0)),
            Self::Curve(curve) => curve.step_reaching(place),
            Self::Unknown => None,
        }
    }

    /// The last step that has a place; `None` where each has one, or none has.
    pub fn last_step(self) -> Option<u64> {
        match self {
            Self::Curve(curve) => Some(curve.last().map_or(0, |(step, _)| step)),
            Self::Steps | Self::Unknown => None,
        }
    }

    /// The places of the first point after step 0, and of the last one; `None` where a run has no such curve.
    pub fn ends(self) -> Option<(f64, f64)> {
        let Self::Curve(curve) = self else { return None };
        let first = curve.buckets().iter().map(|bucket| f64::from(bucket.min)).find(|place| *place > 0.0);
        first.zip(curve.last().map(|(_, place)| f64::from(place)))
    }
}

/// A curve, where its steps lie, and what its values are multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct RunCurve<'a> {
    pub series: &'a Series,
    pub along: Along<'a>,
    pub factor: f64,
}

impl<'a> RunCurve<'a> {
    /// A curve with its values as they are.
    pub fn new(series: &'a Series, along: Along<'a>) -> Self {
        Self { series, along, factor: 1.0 }
    }

    /// A value as it is shown.
    pub fn value(&self, value: f32) -> f64 {
        f64::from(value) * self.factor
    }
}

/// A curve whose steps lie at their numbers.
impl<'a> From<&'a Series> for RunCurve<'a> {
    fn from(series: &'a Series) -> Self {
        Self::new(series, Along::Steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_places_are_inverse() {
        let mut seconds = Series::default();
        (1..=3_000u64).for_each(|i| seconds.push(50 * i, 0.013 * i as f32));
        for along in [Along::Steps, Along::Curve(&seconds)] {
            for step in [0, 1, 49, 50, 51, 7_777, 149_999, 150_000] {
                let found = along.at(step).and_then(|place| along.step(place)).unwrap();
                assert!((found - step as f64).abs() < 1e-3, "{found} {step} {along:?}");
            }
        }
        assert_eq!((Along::Unknown.at(3), Along::Unknown.step(3.0)), (None, None));
        assert_eq!(Along::Curve(&seconds).at(150_001), None);
    }
}
