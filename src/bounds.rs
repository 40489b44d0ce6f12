//! Bounds of numbers and texts in files, checked while they are parsed.
//!
//! Each function is a serde `deserialize_with`, so that an error about a value has its line and column.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, de::Error};

/// The number of held-out tasks on which models are measured.
pub const HELD_OUT: usize = 2048;

fn within<'de, D, T>(deserializer: D, least: T, most: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    let value = T::deserialize(deserializer)?;
    // False for NaN.
    if value >= least && value <= most {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("{value} is not allowed here: give a number from {least} to {most}")))
    }
}

macro_rules! bounded {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $least:literal ..= $most:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
            within(deserializer, $least, $most)
        }
    )*};
}

bounded! {
    /// The width of an input.
    dim: usize = 1..=256;
    /// Pairs in a context.
    context: usize = 1..=10_000;
    /// Rows or columns of a grid.
    side: usize = 1..=11;
    /// A positive scale, such as a standard deviation.
    scale: f64 = 1e-6..=1e6;
    /// A standard deviation that may be zero.
    noise: f64 = 0.0..=1e6;
    /// The ratio of the largest to the smallest eigenvalue of a covariance.
    condition: f64 = 1.0..=1e6;
    /// The correlation of neighbours in a stationary sequence.
    correlation: f64 = -0.999..=0.999;
    /// A count that may be zero.
    count: usize = 0..=10_000;
    /// Classes of a classification task.
    classes: usize = 2..=256;
    /// Radians per sample. Frequencies above π alias to lower ones.
    frequency: f64 = 1e-6..=std::f64::consts::PI;
    /// Sequences in a training batch.
    batch: usize = 1..=1_048_576;
    /// Training steps.
    steps: u64 = 0..=1_000_000_000;
    /// A learning rate.
    rate: f64 = 1e-12..=1e3;
    /// Equations for each unknown that is solved for.
    equations: usize = 2..=1_000_000;
    /// Tasks of a step.
    tasks: usize = 16..=1_000_000;
    /// A penalty or a damping, relative to the curvature.
    relative: f64 = 1e-14..=1e6;
    /// A fraction.
    fraction: f64 = 0.0..=1.0;
    /// The decay rate of a running mean.
    decay: f64 = 0.0..=0.999_999;
    /// Steps between two measurements.
    interval: u64 = 1..=1_000_000;
    /// Layers of a model.
    layers: usize = 1..=64;
    /// Tokens of a window.
    window: usize = 1..=3;
    /// Units of a layer.
    units: usize = 1..=4096;
    /// Pairs of a block.
    block: usize = 1..=10_000;
    /// Heads of an attention layer.
    heads: usize = 1..=64;
    /// Channels of a model, or states of a channel.
    channels: usize = 1..=256;
    /// The place of a lesson in the list.
    lesson: u32 = 1..=1_000;
    /// The modulus of a stable eigenvalue.
    modulus: f64 = 0.0..=1.0;
}

/// The default of a value that is 1 where it is left out.
pub fn one<T: From<u8>>() -> T {
    T::from(1)
}

/// An optional positive scale.
pub fn optional_scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Scale(#[serde(deserialize_with = "scale")] f64);
    Ok(Option::<Scale>::deserialize(deserializer)?.map(|Scale(value)| value))
}

/// An optional modulus of a stable eigenvalue.
pub fn optional_modulus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Modulus(#[serde(deserialize_with = "modulus")] f64);
    Ok(Option::<Modulus>::deserialize(deserializer)?.map(|Modulus(value)| value))
}

/// A text of one or more lines. Control characters and characters that reorder text are replaced by `�`.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(printable(&String::deserialize(deserializer)?))
}

/// A text of one line, such as a name; see [`text`].
pub fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(line(&String::deserialize(deserializer)?))
}

/// Replaces characters that a terminal would interpret instead of show by `�`, and tabs by spaces.
pub fn printable(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' => c,
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(visible).collect()
}

/// The same for a single line, such as a name or an excerpt of a file in a message: line breaks are replaced too.
pub fn line(text: &str) -> String {
    printable(text).replace('\n', "�")
}

/// Characters of a name from a file that a message quotes at most.
const SHORT: usize = 64;

/// A name for a message: on one line, and of bounded length.
pub fn short(name: &str) -> String {
    line(&shortened(name, SHORT))
}

/// At most so many characters of a text; where there are more, "…" stands for the rest.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[31mb\u{9b}c\u{202e}d\ne\tf\u{7}"), "a�[31mb�c�d\ne f�");
    }
}
