//! The form of a curve in a file: one list for each field of its points, which is about a third of the text of a list
//! of points with names. Such lists, as they were written before, are read as well.

use std::collections::VecDeque;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BUCKETS, Bucket, TAIL};

/// The greatest `width` that is read from a file.
const WIDEST: u64 = 1 << 40;
/// The greatest sum of `count` that is read from a file; larger sums could overflow.
const MOST: u64 = 1 << 31;

/// The buckets of a curve: the fields of [`Bucket`], a list each.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Buckets {
    step: Vec<u64>,
    min: Vec<f32>,
    max: Vec<f32>,
    mean: Vec<f32>,
    count: Vec<u32>,
}

/// The most recent points of a curve.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    step: Vec<u64>,
    value: Vec<f32>,
}

/// Columns that are read as a list of rows; `None` if they differ in length.
trait Columns {
    type Row;

    fn rows(self) -> Option<Vec<Self::Row>>;
}

impl Columns for Buckets {
    type Row = Bucket;

    fn rows(self) -> Option<Vec<Bucket>> {
        let Self { step, min, max, mean, count } = self;
        let lengths = [min.len(), max.len(), mean.len(), count.len()];
        let row = |i: usize| Bucket { step: step[i], min: min[i], max: max[i], mean: mean[i], count: count[i] };
        lengths.iter().all(|length| *length == step.len()).then(|| (0..step.len()).map(row).collect())
    }
}

impl Columns for Tail {
    type Row = (u64, f32);

    fn rows(self) -> Option<Vec<(u64, f32)>> {
        (self.step.len() == self.value.len()).then(|| self.step.into_iter().zip(self.value).collect())
    }
}

/// Reads columns, or a list of rows.
struct Either<C>(PhantomData<C>);

impl<'de, C> Visitor<'de> for Either<C>
where
    C: Columns + DeserializeOwned,
    C::Row: DeserializeOwned,
{
    type Value = Vec<C::Row>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("lists of equal length, one for each field of the points")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let columns = C::deserialize(MapAccessDeserializer::new(map))?;
        columns.rows().ok_or_else(|| A::Error::custom("the lists differ in length"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element()? {
            rows.push(row);
        }
        Ok(rows)
    }
}

pub(super) fn read_width<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let width = u64::deserialize(deserializer)?;
    let good = width.is_power_of_two() && width <= WIDEST;
    good.then_some(width).ok_or_else(|| D::Error::custom(format!("{width} is not a power of two up to {WIDEST}")))
}

pub(super) fn write_buckets<S: Serializer>(buckets: &[Bucket], serializer: S) -> Result<S::Ok, S::Error> {
    let columns = Buckets {
        step: buckets.iter().map(|bucket| bucket.step).collect(),
        min: buckets.iter().map(|bucket| bucket.min).collect(),
        max: buckets.iter().map(|bucket| bucket.max).collect(),
        mean: buckets.iter().map(|bucket| bucket.mean).collect(),
        count: buckets.iter().map(|bucket| bucket.count).collect(),
    };
    columns.serialize(serializer)
}

pub(super) fn read_buckets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bucket>, D::Error> {
    let buckets = deserializer.deserialize_any(Either::<Buckets>(PhantomData))?;
    let sound = |b: &Bucket| b.count > 0 && [b.min, b.max, b.mean].iter().all(|value| value.is_finite());
    let good = buckets.len() <= BUCKETS
        && buckets.iter().all(sound)
        && buckets.windows(2).all(|pair| pair[0].step < pair[1].step)
        && buckets.iter().map(|b| u64::from(b.count)).sum::<u64>() <= MOST;
    let refused = format!("a curve is at most {BUCKETS} buckets of finite numbers, steps ascending");
    good.then_some(buckets).ok_or_else(|| D::Error::custom(refused))
}

pub(super) fn write_tail<S: Serializer>(tail: &VecDeque<(u64, f32)>, serializer: S) -> Result<S::Ok, S::Error> {
    let (step, value) = tail.iter().copied().unzip();
    Tail { step, value }.serialize(serializer)
}

pub(super) fn read_tail<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<(u64, f32)>, D::Error> {
    let tail = deserializer.deserialize_any(Either::<Tail>(PhantomData))?;
    let good = tail.len() <= TAIL
        && tail.iter().all(|(_, value)| value.is_finite())
        && tail.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    let refused = format!("a tail is at most {TAIL} points (step, finite number), steps ascending");
    good.then(|| tail.into()).ok_or_else(|| D::Error::custom(refused))
}

#[cfg(test)]
mod tests {
    use crate::preset;
    use crate::series::Series;

    /// As a curve of three points was written before it was written as columns.
    const ROWS: &str = "Series(width: 1, buckets: [Bucket(step: 0, min: 3.0, max: 3.0, mean: 3.0, count: 1), \
                        Bucket(step: 5, min: 0.25, max: 0.5, mean: 0.375, count: 2)], \
                        tail: [(0, 3.0), (5, 0.5), (5, 0.25)])";

    fn curve() -> Series {
        let mut curve = Series::default();
        [(0, 3.0), (5, 0.5), (5, 0.25)].into_iter().for_each(|(step, value)| curve.push(step, value));
        curve
    }

    #[test]
    fn columns_and_rows_are_the_same_curve() {
        let text = preset::pretty(&curve()).unwrap();
        assert!(text.contains("count: [1, 2]"), "{text}");
        for text in [&text, ROWS] {
            assert_eq!(preset::parse::<Series>("curve", text).unwrap(), curve());
        }
        let empty = preset::pretty(&Series::default()).unwrap();
        assert_eq!(preset::parse::<Series>("curve", &empty).unwrap(), Series::default());
    }

    #[test]
    fn columns_of_unequal_length_are_refused() {
        let text = preset::pretty(&curve()).unwrap();
        for (from, to) in [("count: [1, 2]", "count: [1]"), ("step: [0, 5, 5]", "step: [0, 5]")] {
            assert!(text.contains(from), "{text}");
            let error = preset::parse::<Series>("curve", &text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains("the lists differ in length"), "{error}");
        }
    }
}
