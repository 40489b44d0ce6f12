//! `--set KEY=VALUE`: one field of a preset replaced.
//!
//! The preset is written as RON, the value replaces that of the field, and the text is parsed again. So a value has the
//! same bounds and the same error messages as one in a file.

use std::collections::HashMap;
use std::fmt;

use super::nearest::near;
use super::parse_error::ParseError;
use super::{Preset, library, ron_file, ron_spans};
use crate::bounds;

/// Characters of a setting that a message quotes at most.
pub(super) const LONGEST: usize = 200;

/// Why a setting was rejected, in one line.
#[derive(Clone, Debug, PartialEq)]
pub enum SetError {
    /// There is no such key, or the value is not of its type: an error in the command.
    Usage(String),
    /// The value is of the right type, but out of bounds.
    Value(String),
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(words) | Self::Value(words) => f.write_str(words),
        }
    }
}

/// Replaces fields, one after another, and checks the resulting preset.
pub fn set<'a>(preset: &Preset, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Preset, SetError> {
    let mut text = ron_file::pretty(preset).map_err(|error| SetError::Value(format!("{error:#}")))?;
    let mut changed = preset.clone();
    let mut keys = Vec::new();
    for (key, value) in settings {
        let setting = bounds::line(&bounds::shortened(&format!("{key}={value}"), LONGEST));
        let refused = |words: String| format!("--set {setting}: {words}");
        let Some(field) = ron_spans::find(&text, key) else {
            return Err(SetError::Usage(refused(unknown(&text, key))));
        };
        if !ron_file::is_value(value) {
            let words = "this is not a value: give a number, true, false, a name or a text in double quotes";
            return Err(SetError::Usage(refused(words.to_owned())));
        }
        let candidate = [&text[..field.value.start], value, &text[field.value.end..]].concat();
        changed = ron_file::attempt(&candidate).map_err(|parse_error: ParseError| match parse_error.out_of_range {
            true => SetError::Value(refused(parse_error.message)),
            false => SetError::Usage(refused(parse_error.message)),
        })?;
        text = ron_file::pretty(&changed).map_err(|error| SetError::Value(format!("{error:#}")))?;
        keys.push(setting);
    }
    match changed.check() {
        Ok(()) => Ok(changed),
        Err(error) if keys.is_empty() => Err(SetError::Value(format!("{error:#}"))),
        Err(error) => Err(SetError::Value(format!("--set {}: {error:#}", keys.join(" --set ")))),
    }
}

/// The keys of a preset that can be set to one value: `task.dim`, not `task` and not the parts of lists.
pub fn keys(preset: &Preset) -> Vec<String> {
    keys_in(&ron_file::pretty(preset).unwrap_or_default())
}

fn keys_in(text: &str) -> Vec<String> {
    let fields = ron_spans::fields(text);
    let holds_keys =
        |path: &str| fields.iter().any(|other| other.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
    fields.iter().map(|field| &field.path).filter(|path| !path.contains('[') && !holds_keys(path)).cloned().collect()
}

/// Key and value, as for [`set`], of every field of a preset that differs from another one, without the words that describe
/// it, its claims and its seed.
pub fn differences(from: &Preset, to: &Preset) -> Vec<(String, String)> {
    let strip = |preset: &Preset| Preset {
        title: String::new(),
        summary: String::new(),
        recurrence: String::new(),
        about: String::new(),
        look_for: String::new(),
        expect: String::new(),
        claims: Vec::new(),
        train: crate::optim::TrainSpec { seed: 0, ..preset.train.clone() },
        ..preset.clone()
    };
    let (from, to) = (strip(from), strip(to));
    if from == to {
        return Vec::new();
    }
    let [from_text, to_text] = [&from, &to].map(|preset| ron_file::pretty(preset).unwrap_or_default());
    let values = |text: &str| -> HashMap<String, String> {
        let value = |field: ron_spans::Field| {
            let value = text[field.value].split_whitespace().collect::<Vec<_>>().join(" ");
            (field.path, value)
        };
        ron_spans::fields(text).into_iter().map(value).collect()
    };
    let (old, mut new) = (values(&from_text), values(&to_text));
    let changed = keys_in(&to_text).into_iter().filter_map(|key| {
        let value = new.remove(&key)?;
        (old.get(&key) != Some(&value)).then_some((key, value))
    });
    changed.collect()
}

/// Key and value of every field that was changed in the preset of this name, as for `--set`; `None` if there is no such
/// preset.
pub fn overridden(name: &str, preset: &Preset) -> Option<Vec<String>> {
    let (_, named) = library::find(name).ok()?;
    Some(settings(&named, preset))
}

/// Key and value of every field that differs, as for `--set`.
pub fn settings(named: &Preset, preset: &Preset) -> Vec<String> {
    differences(named, preset).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The message for a key that does not exist, with the keys beside it.
fn unknown(text: &str, key: &str) -> String {
    let paths: Vec<String> = ron_spans::fields(text).into_iter().map(|field| field.path).collect();
    let mut holder = key;
    // The longest prefix that exists.
    while !holder.is_empty() && !paths.iter().any(|path| path == holder) {
        holder = holder.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
    let inside = |path: &&String| match path.strip_prefix(holder) {
        Some(rest) if holder.is_empty() => !rest.contains('.'),
        Some(rest) => rest.strip_prefix('.').is_some_and(|rest| !rest.contains('.')),
        None => false,
    };
    let mut allowed: Vec<&String> = paths.iter().filter(inside).collect();
    allowed.sort();
    let list = allowed.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ");
    // A key without its prefix: `dim` for `task.dim`.
    let hint = match paths.iter().find(|path| path.rsplit('.').next() == Some(key)) {
        Some(path) => format!("did you mean `{path}`? "),
        None => near(key, &paths),
    };
    if list.is_empty() {
        format!("`{holder}` holds no keys")
    } else {
        format!("there is no such key; {hint}allowed: {list}")
    }
}
