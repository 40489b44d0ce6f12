//! The house rules that a compiler does not check: which room may know which, and how large a file may be.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may name. `lib.rs` and `main.rs` may name them all.
const LAW: &[(&str, &[&str])] = &[
    ("bounds", &[]),
    ("series", &["bounds"]),
    ("lanes", &[]),
    ("task", &["bounds", "series", "lanes"]),
    ("reference", &["bounds", "series"]),
    ("nn", &["bounds", "series", "lanes", "task"]),
    ("optim", &["bounds", "series", "nn"]),
    ("preset", &["bounds", "series", "task", "reference", "nn", "optim"]),
    ("train", &["bounds", "series", "lanes", "task", "reference", "nn", "optim", "preset"]),
    ("session", &["bounds", "series", "task", "reference", "nn", "optim", "preset", "train"]),
    ("sweep", &["bounds", "series", "system", "preset", "train"]),
    ("worker", &["bounds", "series", "task", "reference", "nn", "optim", "preset", "train", "session"]),
    (
        "headless",
        &["bounds", "series", "task", "reference", "nn", "optim", "preset", "train", "session", "sweep", "worker"],
    ),
    ("tui", &["bounds", "series", "task", "reference", "nn", "optim", "preset", "train", "session", "worker"]),
    ("cli", &["headless", "tui", "train"]),
];

/// What only some files may name: a crate or a path, and the places, from `src/`, that may.
const OWNED: &[(&str, &[&str])] = &[
    ("dfdx::", &["nn", "optim", "train"]),
    ("ratatui::", &["tui"]),
    ("crossterm::", &["tui"]),
    ("ron::", &["preset", "session", "tui/keymap"]),
    ("nalgebra::", &["reference", "train"]),
    ("clap::", &["cli", "headless", "lib", "tui/capabilities"]),
    ("indicatif::", &["headless"]),
    ("thread::spawn", &["worker", "tui"]),
    ("thread::Builder", &["worker", "tui"]),
    ("thread::scope", &["worker", "tui", "headless/sweep"]),
];

/// Lines of a file at most.
const LONGEST: usize = 400;

/// A source file, without its comments, and up to its tests.
struct Source {
    /// From `src/`, without `.rs`: `train/experiment`.
    place: String,
    room: String,
    text: String,
    code: String,
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => rust_files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

fn sources() -> Vec<Source> {
    let folder = support::root().join("src");
    let mut paths = Vec::new();
    rust_files(&folder, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let place = path.strip_prefix(&folder).unwrap().with_extension("").to_str().unwrap().replace('\\', "/");
        let room = place.split('/').next().unwrap().to_owned();
        // A file of tests alone says so with `#![cfg(test)]`.
        let code = text.split("#[cfg(test)]").next().and_then(|code| code.split("#![cfg(test)]").next());
        let code = code.unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        Source { place, room, text, code }
    };
    paths.iter().map(read).collect()
}

/// The rooms that code names as `crate::room`, also in `use crate::{a, b::c}`.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(list) = after.strip_prefix('{') else {
            rooms.push(word(after));
            continue;
        };
        let mut depth = 0;
        let mut at_start = true;
        for (i, c) in list.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                c if at_start && c.is_alphanumeric() => {
                    rooms.push(word(&list[i..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn names_are_found_in_every_form() {
    let code = "use crate::a;\nuse crate::{b::{x, y}, c};\nfn f() { crate::d::g() }";
    assert_eq!(rooms_named(code), ["a", "b", "c", "d"]);
}

#[test]
fn rooms_know_only_the_rooms_below_them() {
    for Source { place, room, code, .. } in sources() {
        if room == "lib" || room == "main" {
            continue;
        }
        let Some((_, allowed)) = LAW.iter().find(|(name, _)| *name == room) else {
            panic!("src/{place}.rs is in no room of the law: add `{room}` to LAW in tests/architecture.rs")
        };
        for named in rooms_named(&code).into_iter().filter(|named| *named != room) {
            assert!(
                allowed.contains(&named.as_str()),
                "src/{place}.rs names crate::{named}, but {room} may know only {allowed:?}"
            );
        }
    }
}

#[test]
fn the_law_has_no_circles() {
    for (i, (room, allowed)) in LAW.iter().enumerate() {
        for below in *allowed {
            assert!(LAW[..i].iter().any(|(name, _)| name == below), "{room} may know {below}, which is not below it");
        }
    }
}

#[test]
fn every_crate_is_named_only_where_it_belongs() {
    for Source { place, code, .. } in sources() {
        for (name, places) in OWNED {
            let inside = places
                .iter()
                .any(|p| place == *p || place.starts_with(&format!("{p}/")) || place.starts_with(p) && p.contains('/'));
            // `ron::` is not the end of `electron::`.
            let named =
                code.match_indices(name).any(|(i, _)| !code[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            assert!(inside || !named, "src/{place}.rs names {name}, which belongs to {places:?}");
        }
    }
}

#[test]
fn nothing_that_a_person_does_may_panic() {
    for Source { place, code, .. } in sources() {
        for word in [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!("] {
            assert!(!code.contains(word), "src/{place}.rs: {word} outside tests");
        }
    }
}

#[test]
fn every_file_can_be_read_on_its_own() {
    for Source { place, text, .. } in sources() {
        assert!(text.lines().count() <= LONGEST, "src/{place}.rs is longer than {LONGEST} lines");
        assert!(place == "main" || text.starts_with("//!"), "src/{place}.rs does not begin with what it owns");
    }
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = fs::read_to_string(support::root().join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut before = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && !line.is_empty() && !line.starts_with('#') {
            assert!(before.starts_with('#'), "Cargo.toml: no comment above: {line}");
        }
        before = line;
    }
}
