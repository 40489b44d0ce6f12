//! The user's keys: a RON file of rows, each of which gives other keys to a row of the table.
//!
//! ```ron
//! [
//!     (mode: "lab", key: "z", keys: ["F2", "f"]),
//! ]
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use crossterm::event::KeyCode;
use serde::{Deserialize, Deserializer, de::Error};

use super::{BINDINGS, Binding, Key, Mode};
use crate::bounds;
use crate::preset;

/// Bytes of the file at most.
const LARGEST: u64 = 64 << 10;
/// The keys that are no characters and have a name, beside F1 to F24.
const NAMED: [KeyCode; 14] = [
    KeyCode::Enter,
    KeyCode::Esc,
    KeyCode::Tab,
    KeyCode::BackTab,
    KeyCode::Backspace,
    KeyCode::Delete,
    KeyCode::Home,
    KeyCode::End,
    KeyCode::PageUp,
    KeyCode::PageDown,
    KeyCode::Left,
    KeyCode::Right,
    KeyCode::Up,
    KeyCode::Down,
];

/// One row of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Where the key works, as the table of keys has it.
    #[serde(deserialize_with = "mode")]
    mode: Mode,
    /// One of the keys that the row of the table has.
    #[serde(deserialize_with = "key")]
    key: Key,
    /// The keys that it has instead.
    #[serde(deserialize_with = "keys")]
    keys: Vec<Key>,
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    let name = String::deserialize(deserializer)?;
    let names = || Mode::ALL.map(|mode| mode.title().to_lowercase());
    let found = Mode::ALL.into_iter().zip(names()).find(|(_, known)| *known == name);
    found.map(|(mode, _)| mode).ok_or_else(|| {
        D::Error::custom(format!("`{}` is no place for keys; allowed: {}", bounds::short(&name), names().join(", ")))
    })
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    named(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom("at least one key is needed here"));
    }
    names.iter().map(|name| named(name)).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// The key with this name: the inverse of [`Key::label`].
fn named(name: &str) -> Result<Key, String> {
    let mut characters = name.chars();
    let known = NAMED.into_iter().map(Key::Code).find(|known| known.label() == name);
    let function =
        || name.strip_prefix('F')?.parse().ok().filter(|n| (1..=24).contains(n)).map(|n| Key::Code(KeyCode::F(n)));
    let found = match (name, characters.next(), characters.next()) {
        ("Space", _, _) => Some(Key::Char(' ')),
        (_, Some(c), None) if !c.is_control() && c != ' ' => Some(Key::Char(c)),
        (_, Some(_), Some(_)) => known.or_else(function).or_else(|| {
            let mut letter = name.strip_prefix("Ctrl-")?.chars();
            letter
                .next()
                .filter(char::is_ascii_alphabetic)
                .filter(|_| letter.next().is_none())
                .map(|c| Key::Ctrl(c.to_ascii_lowercase()))
        }),
        (_, Some(_) | None, _) => None,
    };
    found.ok_or_else(|| {
        let names = NAMED.map(|code| Key::Code(code).label()).join(", ");
        format!(
            "`{}` is no key: give a character, Space, {names}, F1 to F24 or Ctrl- with a letter",
            bounds::short(name)
        )
    })
}

/// `innerloop/keys.ron` in `$XDG_CONFIG_HOME`, else in `~/.config`. `None` if neither variable is an absolute path.
pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(config.join("innerloop/keys.ron"))
}

/// The table with the changes of a file; the table itself where there is no such file.
///
/// # Errors
/// One line with the file, the place in it, and what is allowed there.
pub fn read(path: &Path) -> Result<Vec<Binding>> {
    if !path.exists() {
        return Ok(BINDINGS.to_vec());
    }
    parse(&path.display().to_string(), &preset::read_bounded(path, LARGEST)?)
}

fn parse(file: &str, text: &str) -> Result<Vec<Binding>> {
    let rows: Vec<Row> = preset::parse(file, text)?;
    let mut table = BINDINGS.to_vec();
    for Row { mode, key, keys } in &rows {
        let named = |binding: &&Binding| binding.modes.contains(mode) && binding.keys.contains(key);
        let Some(at) = BINDINGS.iter().position(|binding| named(&binding)) else {
            bail!(
                "{file}: {} does nothing in \"{}\"; `innerloop` lists the keys with ?",
                key.label(),
                mode.title().to_lowercase()
            )
        };
        if *key == Key::Ctrl('c') {
            bail!("{file}: Ctrl-C always quits")
        }
        if let Some(text_key) = keys.iter().find(|key| mode.takes_text() && matches!(key, Key::Char(_))) {
            bail!("{file}: {} is text in \"{}\"", text_key.label(), mode.title().to_lowercase())
        }
        // Once, and for the length of the program: a row is the same whether or not a user wrote it.
        let hint = BINDINGS[at].hint.map(|(_, word)| {
            let shown: &'static str = keys.first().map_or_else(String::new, |key| key.label()).leak();
            (shown, word)
        });
        table[at] = Binding { keys: keys.clone().leak(), hint, ..table[at].clone() };
    }
    without_conflicts(file, &table)?;
    Ok(table)
}

/// Refuses a table in which a key has two meanings.
fn without_conflicts(file: &str, table: &[Binding]) -> Result<()> {
    for mode in Mode::ALL {
        let mut seen: Vec<(Key, &str)> = Vec::new();
        for binding in table.iter().filter(|binding| binding.modes.contains(&mode)) {
            for key in binding.keys {
                if let Some((_, other)) = seen.iter().find(|(other, _)| other == key) {
                    bail!(
                        "{file}: {} has two meanings in \"{}\": {other}; {}. Give one of them another key",
                        key.label(),
                        mode.title().to_lowercase(),
                        binding.help
                    )
                }
                seen.push((*key, binding.help));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        match parse("keys.ron", text) {
            Err(error) => format!("{error:#}"),
            Ok(_) => panic!("{text} is accepted"),
        }
    }

    fn keys_of(table: &[Binding], help: &str) -> Vec<String> {
        let row = table.iter().find(|binding| binding.help == help).unwrap();
        row.keys.iter().map(|key| key.label()).collect()
    }

    #[test]
    fn every_key_of_the_table_has_a_name_that_is_read_back() {
        for key in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert_eq!(named(&key.label()), Ok(*key));
        }
    }

    #[test]
    fn a_row_gets_other_keys_and_the_footer_shows_them() {
        let table = parse("keys.ron", r#"[(mode: "lab", key: "Space", keys: ["F2", "U"])] // mine"#).unwrap();
        assert_eq!(keys_of(&table, "pause, and continue"), ["F2", "U"]);
        let row = table.iter().find(|binding| binding.help == "pause, and continue").unwrap();
        assert_eq!(row.hint, Some(("F2", "pause")));
        assert_eq!(table.len(), BINDINGS.len());
        // Two rows may change places.
        let swapped = r#"[(mode: "lab", key: "s", keys: ["f"]), (mode: "lab", key: "f", keys: ["s"])]"#;
        assert_eq!(keys_of(&parse("keys.ron", swapped).unwrap(), "save the session"), ["f"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let unknown = message("[\n  (mode: \"lab\", key: \"Entre\", keys: [\"x\"]),\n]");
        assert!(unknown.starts_with("keys.ron:2:") && unknown.contains("`Entre` is no key: give"), "{unknown}");
        let place = message(r#"[(mode: "kitchen", key: "z", keys: ["x"])]"#);
        assert!(
            place.starts_with("keys.ron:1:") && place.contains("allowed: lessons, gallery, sessions, while searching"),
            "{place}"
        );
        let twice = message(r#"[(mode: "lab", key: "s", keys: ["f"])]"#);
        assert!(twice.contains("f has two meanings in \"") && twice.contains("fit learners"), "{twice}");
        assert!(message(r#"[(mode: "lab", key: "Y", keys: ["X"])]"#).contains("Y does nothing in \"lab\""));
        assert!(message(r#"[(mode: "lab", key: "Ctrl-C", keys: ["x"])]"#).contains("always quits"));
        assert!(message(r#"[(mode: "while searching", key: "Enter", keys: ["x"])]"#).contains("x is text"));
        assert!(message(r#"[(mode: "lab", key: "s", keys: [])]"#).contains("at least one key"));
        assert!(message("[(mode: \"lab\"").contains("keys.ron:1:"));
    }

    #[test]
    fn the_file_is_looked_for_where_configurations_are() {
        let found = |variables: &[(&str, &str)]| {
            path(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
        };
        assert_eq!(found(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]), Some(PathBuf::from("/c/innerloop/keys.ron")));
        assert_eq!(
            found(&[("XDG_CONFIG_HOME", "c"), ("HOME", "/h")]),
            Some(PathBuf::from("/h/.config/innerloop/keys.ron"))
        );
        assert_eq!(found(&[]), None);
        assert_eq!(read(Path::new("/nowhere/keys.ron")).unwrap().len(), BINDINGS.len());
    }

    #[test]
    fn the_example_of_the_documentation_is_accepted() {
        let page = include_str!("../../../docs/keys.md");
        let example = page.split("```ron\n").nth(1).unwrap().split("```").next().unwrap();
        assert!(parse("keys.ron", example).is_ok());
    }
}
