//! A curve of any length in bounded memory.
//!
//! The most recent points are stored exactly, and the whole curve in buckets with their minimum, maximum and mean, so
//! that every extreme value is preserved.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

mod columns;

/// The greatest number of buckets; when it is reached, they are merged in pairs.
const BUCKETS: usize = 1024;
/// The number of points that are stored exactly.
const TAIL: usize = 256;

/// A range of steps of a [`Series`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The first step of the bucket that has a value.
    pub step: u64,
    pub min: f32,
    pub max: f32,
    pub mean: f32,
    /// The number of values.
    pub count: u32,
}

impl Bucket {
    fn merge(&mut self, other: &Bucket) {
        let (n, m) = (self.count as f32, other.count as f32);
        self.mean = (self.mean * n + other.mean * m) / (n + m);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
    }
}

/// A curve over training steps, exact at its end, elsewhere as minimum, maximum and mean of ranges of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Steps per bucket; a power of two.
    #[serde(deserialize_with = "columns::read_width")]
    width: u64,
    #[serde(serialize_with = "columns::write_buckets", deserialize_with = "columns::read_buckets")]
    buckets: Vec<Bucket>,
    #[serde(serialize_with = "columns::write_tail", deserialize_with = "columns::read_tail")]
    tail: VecDeque<(u64, f32)>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: 1, buckets: Vec::new(), tail: VecDeque::new() }
    }
}

impl Series {
    /// Appends the value at a step, which must not be less than the last one. Values that are not finite are ignored.
    pub fn push(&mut self, step: u64, value: f32) {
        if !value.is_finite() {
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back((step, value));
        let point = Bucket { step, min: value, max: value, mean: value, count: 1 };
        match self.buckets.last_mut() {
            Some(last) if last.step / self.width == step / self.width => last.merge(&point),
            _ => {
                if self.buckets.len() == BUCKETS {
                    self.halve();
                }
                self.buckets.push(point);
            }
        }
    }

    /// Doubles the bucket width until at most half of the buckets remain.
    fn halve(&mut self) {
        while self.buckets.len() > BUCKETS / 2 {
            self.width *= 2;
            let mut merged: Vec<Bucket> = Vec::with_capacity(BUCKETS);
            for bucket in &self.buckets {
                match merged.last_mut() {
                    Some(last) if last.step / self.width == bucket.step / self.width => last.merge(bucket),
                    _ => merged.push(*bucket),
                }
            }
            self.buckets = merged;
        }
    }

    /// The whole curve.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The most recent points, exact.
    pub fn tail(&self) -> impl DoubleEndedIterator<Item = (u64, f32)> + '_ {
        self.tail.iter().copied()
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>() + self.tail.len() * size_of::<(u64, f32)>()
    }

    /// The latest point.
    pub fn last(&self) -> Option<(u64, f32)> {
        self.tail.back().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// Minimum and maximum of all values; `None` if there are none.
    pub fn range(&self) -> Option<(f32, f32)> {
        self.range_within(0, u64::MAX)
    }

    /// Minimum and maximum of the buckets that begin within these steps, both included; `None` if there are none.
    pub fn range_within(&self, first: u64, last: u64) -> Option<(f32, f32)> {
        let within = self.buckets.iter().filter(|bucket| (first..=last).contains(&bucket.step));
        within.map(|b| (b.min, b.max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The value at a step, or the last one before it: exact among the most recent points, elsewhere the bucket. `None`
    /// before the first value.
    pub fn at(&self, step: u64) -> Option<Bucket> {
        let exact = self.tail.iter().rev().find(|point| point.0 <= step);
        let exact = exact.map(|&(step, value)| Bucket { step, min: value, max: value, mean: value, count: 1 });
        exact.or_else(|| self.buckets.iter().rev().find(|bucket| bucket.step <= step).copied())
    }

    /// Of a curve that grows from 0 at step 0: its value at a step, linear between its points. `None` after its last
    /// point.
    pub fn interpolated(&self, step: u64) -> Option<f64> {
        if step == 0 && self.is_empty() {
            return Some(0.0);
        }
        let (last, _) = self.last().filter(|(last, _)| step <= *last)?;
        let next = self.buckets.partition_point(|bucket| bucket.step < step);
        let (before, after) = self.points_around(next)?;
        let share = (step as f64 - before.0) / (after.0 - before.0).max(1.0);
        Some(if step == last { after.1 } else { before.1 + share * (after.1 - before.1) })
    }

    /// Of such a curve: the step at which it reaches a value, linear between its points; its last step where it does
    /// not reach it. `None` of an empty curve.
    pub fn step_reaching(&self, value: f64) -> Option<f64> {
        let next = self.buckets.partition_point(|bucket| f64::from(bucket.min) < value);
        let (before, after) = self.points_around(next)?;
        let share = (value - before.1) / (after.1 - before.1);
        Some(if share.is_finite() { before.0 + share.clamp(0.0, 1.0) * (after.0 - before.0) } else { after.0 })
    }

    /// The points (step, value) before and at the bucket of an index, of a curve that grows from 0 at step 0: a bucket
    /// begins at its least value, and after the last one comes the latest point.
    fn points_around(&self, bucket: usize) -> Option<((f64, f64), (f64, f64))> {
        let point = |bucket: &Bucket| (bucket.step as f64, f64::from(bucket.min));
        let latest = self.last().map(|(step, value)| (step as f64, f64::from(value)))?;
        let before = bucket.checked_sub(1).and_then(|before| self.buckets.get(before)).map_or((0.0, 0.0), point);
        Some((before, self.buckets.get(bucket).map_or(latest, point)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_bounded_and_keeps_its_maximum() {
        let mut series = Series::default();
        for step in 0..1_000_000 {
            series.push(step, if step == 12_345 { 99.0 } else { 1.0 });
        }
        assert!(series.buckets().len() <= BUCKETS);
        assert_eq!(series.range(), Some((1.0, 99.0)));
        assert_eq!(series.last(), Some((999_999, 1.0)));
        assert_eq!(series.tail().count(), TAIL);
        assert_eq!(series.buckets().iter().map(|b| u64::from(b.count)).sum::<u64>(), 1_000_000);
    }

    #[test]
    fn sparse_steps_are_merged_too() {
        let mut series = Series::default();
        for i in 0..5_000u64 {
            series.push(i * 1_000, i as f32);
        }
        assert!(series.buckets().len() <= BUCKETS);
        assert!(series.buckets().windows(2).all(|w| w[0].step < w[1].step));
    }

    #[test]
    fn a_value_is_looked_up_at_its_step_or_before_it() {
        let mut series = Series::default();
        (0..4_000u64).for_each(|i| series.push(10 * i, i as f32));
        assert_eq!(series.at(39_987).map(|point| (point.step, point.mean, point.count)), Some((39_980, 3_998.0, 1)));
        let old = series.at(5_000).unwrap();
        assert!(old.count > 1 && old.step <= 5_000 && old.min <= 500.0 && 500.0 <= old.max, "{old:?}");
        assert_eq!(Series::default().at(7), None);
        let (least, most) = series.range_within(1_000, 2_000).unwrap();
        assert!(least >= 100.0 && most <= 220.0, "{least} {most}");
    }

    #[test]
    fn a_growing_curve_is_linear_between_its_points_in_both_directions() {
        let mut series = Series::default();
        assert_eq!(
            (series.interpolated(0), series.interpolated(1), series.step_reaching(1.0)),
            (Some(0.0), None, None)
        );
        [(10, 1.0), (20, 3.0)].into_iter().for_each(|(step, value)| series.push(step, value));
        let at = [0, 5, 10, 15, 20, 21].map(|step| series.interpolated(step));
        assert_eq!(at, [Some(0.0), Some(0.5), Some(1.0), Some(2.0), Some(3.0), None]);
        let steps = [0.0, 0.5, 2.0, 3.0, 9.0].map(|value| series.step_reaching(value).unwrap());
        assert_eq!(steps, [0.0, 5.0, 15.0, 20.0, 20.0]);
        // So is one of many points, whose buckets hold several each.
        let mut long = Series::default();
        (1..=9_000u64).for_each(|i| long.push(7 * i, 14.0 * i as f32));
        for step in [1, 700, 31_415, 62_990, 63_000] {
            assert!((long.interpolated(step).unwrap() - 2.0 * step as f64).abs() < 1e-6 * step as f64, "{step}");
            assert!(
                (long.step_reaching(2.0 * step as f64).unwrap() - step as f64).abs() < 1e-6 * step as f64,
                "{step}"
            );
        }
    }

    #[test]
    fn values_that_are_not_finite_are_ignored() {
        let mut series = Series::default();
        series.push(0, f32::NAN);
        series.push(1, f32::INFINITY);
        assert!(series.is_empty());
    }
}
