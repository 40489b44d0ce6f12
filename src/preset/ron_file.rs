//! Reading and writing RON: files of bounded size, errors with a position, and a readable form.
//!
//! Defines the dialect of presets and sessions.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::{Serialize, de::DeserializeOwned};

use super::parse_error::ParseError;
use super::ron_spans;
use crate::bounds;

/// Structures nested deeper than this stay on one line.
const PRETTY_DEPTH: usize = 4;
/// Columns after which a list of numbers goes on in the next line.
const PRETTY_WIDTH: usize = 120;

/// `task: Linear(dim: 10)` and `clip: 1.0` instead of `Linear((dim: 10))` and `Some(1.0)`.
fn dialect() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME)
}

/// Parses RON.
///
/// # Errors
/// One line: `name:7:12: task.dim: …`, with what is allowed there.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    attempt(text).map_err(|parse_error| parse_error.in_file(name))
}

/// Parses RON, with a structured error.
pub(super) fn attempt<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    let parse = |text: &str| dialect().from_str::<T>(text);
    parse(text).map_err(|error| ParseError::new(text, &error, |changed| parse(changed).err()))
}

/// Whether a text is one RON value, of any type.
pub(super) fn is_value(text: &str) -> bool {
    dialect().from_str::<&ron::value::RawValue>(text).is_ok()
}

/// Writes a value as readable RON that parses back to the same bits.
pub fn pretty<T: Serialize>(value: &T) -> Result<String> {
    let config = PrettyConfig::new()
        .new_line("\n")
        .struct_names(true)
        .compact_arrays(true)
        .escape_strings(true)
        .depth_limit(PRETTY_DEPTH);
    let text = dialect().to_string_pretty(value, config).context("cannot write this as RON")?;
    Ok(ron_spans::wrapped(&text, PRETTY_WIDTH) + "\n")
}

/// Reads a text file of at most `most` bytes; a larger one, or one that is no regular file, is not read.
pub fn read_bounded(path: &Path, most: u64) -> Result<String> {
    let name = bounds::line(&path.display().to_string());
    let about = std::fs::metadata(path).map_err(|error| anyhow!("{name}: {}", reason(&error)))?;
    ensure!(!about.is_dir(), "{name}: this is a folder, not a file");
    ensure!(about.is_file(), "{name}: this is not an ordinary file");
    let too_large = || anyhow!("{name}: the file is too large: at most {} KiB are read", most >> 10);
    ensure!(about.len() <= most, too_large());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| anyhow!("{name}: {}", reason(&error)))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| anyhow!("{name}: {}", reason(&error)))?;
    // It may have grown since its size was read.
    ensure!(bytes.len() as u64 <= most, too_large());
    match String::from_utf8(bytes) {
        // Some editors begin a file with a byte-order mark.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let (line, column) = ron_spans::line_column(&text, good);
            bail!("{name}:{line}:{column}: this is not UTF-8 text")
        }
    }
}

/// The message of the system, without its error number.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of std, which may grow")]
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this file may not be read".to_owned(),
        _ => bounds::line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_comes_back_bit_by_bit() {
        let bits = [0u32, 1, 0x8000_0000, 0x8000_0001, 0x0080_0000, 0x3dcc_cccd, 0x7f7f_ffff, 0xff7f_ffff, 0x3f80_0001];
        let mut values: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
        values.extend((0..20_000u32).map(|i| f32::from_bits(i.wrapping_mul(214_013) & 0xff7f_ffff)));
        let text = pretty(&values).unwrap();
        let back: Vec<f32> = parse("", &text).unwrap();
        assert!(values.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(text.lines().all(|line| line.len() <= PRETTY_WIDTH));
    }
}
