//! Errors of a RON text: the position, what is wrong, and what is allowed there.
//!
//! The parser's error does not always name what is allowed. Then the text is probed: it is changed at that position to
//! a value that no type accepts, and the parser's error about that lists what it accepts.

use std::fmt::Write;
use std::ops::Range;

use anyhow::anyhow;
use ron::error::{Error, SpannedError};

use super::nearest::near;
use super::ron_spans;
use crate::bounds;

/// A name that no type has.
pub(super) const UNKNOWN: &str = "__";
/// A number that is out of all bounds.
pub(super) const TOO_GREAT: &str = "18446744073709551615";
/// Characters of a file that a message quotes at most.
const QUOTE: usize = 32;
/// Characters of a message at most: all names of models with what is around them.
const LONGEST: usize = 1000;
/// Characters of a key at most: longer than all of ours.
const LONGEST_KEY: usize = 200;

/// Why a text was rejected, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub column: usize,
    /// The path of the field around the position; empty outside all fields.
    pub key: String,
    /// One line that is safe to print.
    pub message: String,
    /// The value was understood but is out of bounds.
    pub out_of_range: bool,
}

impl ParseError {
    /// Describes an error of the parser. `parse` gives the parser's error for another text.
    pub fn new(text: &str, error: &SpannedError, parse: impl Fn(&str) -> Option<SpannedError>) -> Self {
        let place = place_of(text, error);
        let (line, column) = ron_spans::line_column(text, place);
        // If a bracket is missing, the position is just after the value that lacks it.
        let inside = if error.code == Error::ExpectedStructLike { place.saturating_sub(1) } else { place };
        let around = ron_spans::at(text, inside);
        let mut key = around.as_ref().map(|field| field.path.clone()).unwrap_or_default();
        if let (Error::NoSuchStructField { .. }, Some(field)) = (&error.code, &around)
            && field.key.start == place
        {
            // The message has the unknown name itself.
            key = key.rsplit_once('.').map_or("", |(outer, _)| outer).to_owned();
        }
        let asked = Probe { text, place, value: around.map(|field| field.value), parse: &parse };
        let message = bounded(&asked.words(&error.code));
        let out_of_range = matches!(error.code, Error::Message(_) | Error::IntegerOutOfBounds);
        Self { line, column, key: bounds::line(&bounds::shortened(&key, LONGEST_KEY)), message, out_of_range }
    }

    /// An error of several fields together. Such a message begins with a key, or names one; the keys are in the field
    /// `within`, or at the top level if that is empty.
    pub fn of_whole(text: &str, within: &str, message: &str) -> Self {
        let named = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != ']');
            ron_spans::find(text, if within.is_empty() { word.to_owned() } else { format!("{within}.{word}") }.as_str())
        };
        let first = message.split(':').next().unwrap_or_default();
        // A field may be left out; then the position is that of the field that would contain it.
        let outer = first.rsplit_once('.').map_or("", |(outer, _)| outer);
        let later = || message.split_whitespace().filter(|word| word.contains('.')).find_map(named);
        let found = named(first).or_else(|| named(outer)).or_else(later).or_else(|| ron_spans::find(text, within));
        let place = found.map_or_else(|| ron_spans::next_word(text, 0), |field| field.value.start);
        let (line, column) = ron_spans::line_column(text, place);
        let message = bounded(message);
        Self { line, column, key: within.to_owned(), message, out_of_range: true }
    }

    /// The message after the key that it is about.
    pub fn with_key(&self) -> String {
        if self.key.is_empty() { self.message.clone() } else { format!("{}: {}", self.key, self.message) }
    }

    /// The error with its file and position: `presets/x.ron:7:12: task.dim: …`.
    pub fn in_file(&self, name: &str) -> anyhow::Error {
        anyhow!("{}:{}:{}: {}", bounds::line(name), self.line, self.column, self.with_key())
    }
}

/// The byte of the word that the parser rejected, not of the white space before it.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of ron, which may grow")]
fn place_of(text: &str, error: &SpannedError) -> usize {
    let start = ron_spans::place(text, error.span.start.line, error.span.start.col);
    match error.code {
        // After the last word, not after the empty lines that follow it.
        Error::Eof => text.trim_end().len(),
        // It begins in the comment before.
        Error::ExpectedNamedStructLike(_) => {
            ron_spans::next_word(text, ron_spans::place(text, error.span.end.line, error.span.end.col))
        }
        Error::UnclosedBlockComment => text[..start].rfind("/*").unwrap_or(start),
        Error::ExpectedStringEnd | Error::InvalidEscape(_) => start,
        Error::IntegerOutOfBounds if text[..start].ends_with('-') => start - 1,
        _ => ron_spans::next_word(text, start),
    }
}

/// A message on one line and of bounded length, whatever the file says.
fn bounded(message: &str) -> String {
    bounds::line(&bounds::shortened(message, LONGEST))
}

/// A rejected text, the position of its error, and a parser for changed texts.
struct Probe<'a> {
    text: &'a str,
    place: usize,
    /// The value of the field around the place.
    value: Option<Range<usize>>,
    parse: &'a dyn Fn(&str) -> Option<SpannedError>,
}

impl Probe<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of ron, which may grow")]
    fn words(&self, code: &Error) -> String {
        let rest = &self.text[self.place..];
        match code {
            Error::Message(message) => message.clone(),
            Error::NoSuchStructField { expected, found, .. } => {
                format!(
                    "there is no field `{}`; {}allowed: {}",
                    bounds::short(found),
                    near(found, *expected),
                    expected.join(", ")
                )
            }
            Error::NoSuchEnumVariant { expected, found, .. } => {
                format!(
                    "`{}` is not known here; {}allowed: {}",
                    bounds::short(found),
                    near(found, *expected),
                    expected.join(", ")
                )
            }
            Error::MissingStructField { field, .. } => {
                format!("the field `{field}` is missing{}", self.fields_allowed())
            }
            Error::DuplicateStructField { field, .. } => format!("the field `{field}` is given twice"),
            Error::ExpectedDifferentStructName { expected, found } => {
                format!("`{}` does not belong here: write `{expected}(…)`", bounds::short(found))
            }
            Error::ExpectedNamedStructLike(name) if rest.is_empty() => format!("nothing is here: write `{name}(…)`"),
            Error::ExpectedNamedStructLike(name) => format!("write `{name}(…)` here, not {}", self.quoted()),
            Error::ExpectedStructLike => format!("an opening `(` is missing{}", self.fields_allowed()),
            Error::Eof => "the text ends here, before its last bracket is closed".to_owned(),
            _ if rest.is_empty() => "the text ends here, unfinished".to_owned(),
            Error::ExpectedStringEnd => "this text is never closed by a double quote".to_owned(),
            Error::UnclosedBlockComment => "this comment is never closed by `*/`".to_owned(),
            Error::TrailingCharacters => format!("nothing may follow the last bracket, but here is {}", self.quoted()),
            Error::ExceededRecursionLimit => "brackets are nested too deeply".to_owned(),
            Error::ExpectedIdentifier | Error::SuggestRawIdentifier(_) | Error::InvalidIdentifier(_) => {
                match &self.value {
                    Some(value) if value.start == self.place => self.wrong("a name", self.variants_allowed()),
                    _ => self.wrong("a name", None) + &self.fields_allowed(),
                }
            }
            Error::ExpectedString => self.wrong("a text in double quotes", None),
            Error::ExpectedArray => self.wrong("a list `[…]`", None),
            Error::ExpectedBoolean => self.wrong("`true` or `false`", None),
            Error::ExpectedFloat => self.wrong("a number", self.numbers_allowed()),
            Error::IntegerOutOfBounds if rest.starts_with('-') => {
                self.wrong("a number that is not negative", self.numbers_allowed())
            }
            Error::IntegerOutOfBounds => self.wrong("a smaller number", self.numbers_allowed()),
            Error::ExpectedInteger | Error::InvalidIntegerDigit { .. } => {
                self.wrong("a whole number", self.numbers_allowed())
            }
            Error::ExpectedComma | Error::ExpectedStructLikeEnd if self.inside_number() => {
                self.wrong("a whole number", self.numbers_allowed())
            }
            Error::ExpectedComma | Error::ExpectedStructLikeEnd | Error::ExpectedArrayEnd => {
                self.wrong("a comma or a closing bracket", None)
            }
            Error::ExpectedMapColon => self.wrong("a colon", None),
            other => other.to_string(),
        }
    }

    /// Message: what is expected, what was found instead, and what is allowed.
    fn wrong(&self, expected: &str, allowed: Option<String>) -> String {
        let found = if self.inside_number() { self.value.as_ref().map_or(self.place, |v| v.start) } else { self.place };
        let mut words =
            format!("{expected} is needed here, not {}", Self { place: found, value: None, ..*self }.quoted());
        if let Some(allowed) = allowed {
            let _ = write!(words, ": {allowed}");
        }
        words
    }

    /// Whether the parser stopped inside a number: as a whole number, 1.5 ends at the point.
    fn inside_number(&self) -> bool {
        let before = self.text[..self.place].ends_with(|c: char| c.is_ascii_digit());
        before && self.text[self.place..].starts_with(['.', 'e', 'E'])
    }

    /// The word at the position.
    fn quoted(&self) -> String {
        let rest = &self.text[self.place..];
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ')' | ']' | '}' | '(' | '[' | '{' | ':');
        let whole = match rest.find(ends) {
            // A bracket or a comma is one word.
            Some(0) => rest.chars().next().map_or(0, char::len_utf8),
            Some(end) => end,
            None => rest.len(),
        };
        let word: String = rest[..whole].chars().take(QUOTE).collect();
        if word.is_empty() { "the end".to_owned() } else { format!("`{word}`") }
    }

    /// The parser's error if the value around the position is replaced.
    fn with_value(&self, value: &str) -> Option<Error> {
        let range = self.value.clone()?;
        Some((self.parse)(&self.changed(range, value))?.code)
    }

    fn changed(&self, range: Range<usize>, by: &str) -> String {
        [&self.text[..range.start], by, &self.text[range.end..]].concat()
    }

    /// "give a number from 1 to 256".
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of ron, which may grow")]
    fn numbers_allowed(&self) -> Option<String> {
        match self.with_value(TOO_GREAT)? {
            Error::Message(message) => message.split_once(": ").map(|(_, allowed)| allowed.to_owned()),
            _ => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of ron, which may grow")]
    fn variants_allowed(&self) -> Option<String> {
        match self.with_value(UNKNOWN)? {
            Error::NoSuchEnumVariant { expected, found, .. } if found == UNKNOWN => {
                Some(format!("allowed: {}", expected.join(", ")))
            }
            _ => None,
        }
    }

    /// "; its fields are …": the fields of the struct that ends or should begin here.
    fn fields_allowed(&self) -> String {
        for field in ["__: 0, ", ", __: 0", "(__: 0)"] {
            let code = (self.parse)(&self.changed(self.place..self.place, field)).map(|error| error.code);
            if let Some(Error::NoSuchStructField { expected, found, .. }) = code
                && found == UNKNOWN
            {
                return format!("; its fields are {}", expected.join(", "));
            }
        }
        String::new()
    }
}
