//! `--set KEY=VALUE`: one field of a preset replaced.
//!
//! The preset is written as RON, the value replaces that of the field, and the text is parsed again. So a value has the
//! same bounds and the same error messages as one in a file.

use std::fmt;

use super::nearest::near;
use super::parse_error::{self, ParseError};
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

/// The keys of a preset that can be set to one value, `task.dim`, not `task` and not the parts of lists, each with its value.
pub fn values(preset: &Preset) -> Vec<(String, String)> {
    let text = ron_file::pretty(preset).unwrap_or_default();
    let fields = ron_spans::fields(&text);
    let holds_keys =
        |path: &str| fields.iter().any(|other| other.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
    let single = fields.iter().filter(|field| !field.path.contains('[') && !holds_keys(&field.path));
    let value = |field: &ron_spans::Field| text[field.value.clone()].split_whitespace().collect::<Vec<_>>().join(" ");
    single.map(|field| (field.path.clone(), value(field))).collect()
}

/// The keys of [`values`].
pub fn keys(preset: &Preset) -> Vec<String> {
    values(preset).into_iter().map(|(key, _)| key).collect()
}

/// What a field may be: "1 to 256", "Random, Constructed", "0.000001 to 1000000, or None". Found as the messages of [`set`] find
/// it, by trying values that are not allowed. "any whole number" where every one is.
pub fn allowed(preset: &Preset, key: &str) -> String {
    let text = ron_file::pretty(preset).unwrap_or_default();
    let Some(field) = ron_spans::find(&text, key) else { return String::new() };
    let attempt = |value: &str| {
        let candidate = [&text[..field.value.start], value, &text[field.value.end..]].concat();
        ron_file::attempt::<Preset>(&candidate).err().map(|error| error.message)
    };
    let list = |message: String| {
        let range = message.split_once("give a number from ").map(|(_, range)| range.to_owned());
        let names = message.split_once("allowed: ").map(|(_, names)| names.to_owned());
        let either = message.contains("`true` or `false`").then(|| "true, false".to_owned());
        range.or(names).or(either)
    };
    let found = [parse_error::TOO_GREAT, parse_error::UNKNOWN].into_iter().filter_map(attempt).find_map(list);
    let none = if attempt("None").is_none() { ", or None" } else { "" };
    format!("{}{none}", found.unwrap_or_else(|| "any whole number".to_owned()))
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
    let before = values(&from);
    values(&to).into_iter().filter(|field| !before.contains(field)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_what_setting_allows() {
        let (_, preset) = crate::preset::find("gd-ssm").unwrap();
        let allowed = |key: &str| allowed(&preset, key);
        assert_eq!(allowed("task.dim"), "1 to 256");
        assert_eq!(allowed("train.final_lr"), "0 to 1");
        assert_eq!(allowed("train.clip"), "0.000001 to 1000000, or None");
        assert_eq!(allowed("train.seed"), "any whole number");
        assert!(allowed("model.init").starts_with("Random, "), "{}", allowed("model.init"));
        assert_eq!(allowed("nothing"), "");
        // The ends of a range are inside it, and what is beyond is not.
        for (key, value, good) in
            [("task.dim", "256", true), ("task.dim", "257", false), ("train.final_lr", "1.0", true)]
        {
            assert_eq!(set(&preset, [(key, value)]).is_ok(), good, "{key} {value}");
        }
        assert!(values(&preset).iter().any(|(key, value)| key == "task.dim" && value == "10"));
    }
}
