//! Rules that the compiler does not check: the dependencies between folders, and the size of files and lines.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may use.
enum Uses {
    Only(&'static [&'static str]),
    /// All that stand above it in the list, but these.
    AllBut(&'static [&'static str]),
}

use Uses::{AllBut, Only};

/// Each module, and the modules that it may use, which stand above it. `lib.rs` and `main.rs` may use them all.
const USES: &[(&str, Uses)] = &[
    ("bounds", Only(&[])),
    ("system", Only(&[])),
    ("logging", Only(&["bounds"])),
    ("series", Only(&["bounds"])),
    ("numbers", Only(&[])),
    ("uncertainty", Only(&[])),
    ("simd", Only(&[])),
    ("task", Only(&["bounds", "series", "simd"])),
    ("reference", Only(&["bounds", "series"])),
    ("nn", Only(&["bounds", "series", "simd", "task"])),
    ("optim", Only(&["bounds", "series", "simd", "nn"])),
    ("preset", Only(&["bounds", "series", "task", "reference", "nn", "optim"])),
    ("train", AllBut(&["logging", "uncertainty"])),
    ("run_table", Only(&["bounds", "numbers", "preset", "reference", "train"])),
    ("lesson", Only(&["bounds", "system", "reference", "preset"])),
    ("session", AllBut(&["logging", "numbers", "uncertainty", "simd", "run_table", "lesson"])),
    ("sweep", Only(&["bounds", "series", "system", "preset", "train"])),
    ("worker", AllBut(&["logging", "numbers", "uncertainty", "simd", "run_table", "lesson", "sweep"])),
    ("export", AllBut(&["logging", "uncertainty", "simd", "run_table", "lesson", "worker"])),
    ("headless", AllBut(&["logging", "simd"])),
    ("tui", AllBut(&["logging", "simd", "export", "headless"])),
    ("cli", Only(&["bounds", "preset", "headless", "tui", "train"])),
];

/// Each module with those that it may use.
fn allowed() -> Vec<(&'static str, Vec<&'static str>)> {
    let all = |(place, (module, uses)): (usize, &'static (&'static str, Uses))| {
        let above = USES[..place].iter().map(|(name, _)| *name);
        let allowed = match uses {
            Only(names) => names.to_vec(),
            AllBut(names) => above.filter(|name| !names.contains(name)).collect(),
        };
        (*module, allowed)
    };
    USES.iter().enumerate().map(all).collect()
}

/// The same within `nn`: each module, and those below it that it may name.
const WITHIN_NN: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("complex", &["tensor"]),
    ("step", &["tensor", "complex"]),
    ("graph", &["tensor", "complex", "step"]),
    ("device", &["tensor", "graph"]),
];

/// Crates and paths that only some modules may use: the name, and those modules, from `src/`.
const RESTRICTED: &[(&str, &[&str])] = &[
    ("rustix::", &["system"]),
    ("libc::", &["system"]),
    ("std::os::unix", &["system"]),
    ("std::os::fd", &["system"]),
    ("tracing_subscriber::", &["logging"]),
    ("dfdx::", &["nn", "optim", "train"]),
    ("ratatui::", &["tui"]),
    ("crossterm::", &["tui"]),
    ("ron::", &["preset", "session", "tui/keymap"]),
    ("nalgebra::", &["reference", "optim/solve", "train", "nn/model/ridge_layer", "nn/model/mesa"]),
    ("clap::", &["cli", "headless", "lib", "tui/capabilities", "tui/glyphs"]),
    ("indicatif::", &["headless"]),
    ("thread::spawn", &["worker", "tui"]),
    ("thread::Builder", &["worker", "tui"]),
    ("thread::scope", &["worker", "tui", "headless/verify", "headless/sweep"]),
];

/// Lines of a file at most.
const LONGEST: usize = 400;

/// A source file, without its comments, and up to its tests.
struct Source {
    /// From `src/`, without `.rs`: `train/experiment`.
    file: String,
    module: String,
    text: String,
    code: String,
}

/// The files of a folder whose names end so.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, endings, found),
            false if path.extension().is_some_and(|end| endings.iter().any(|ending| end == *ending)) => {
                found.push(path)
            }
            false => {}
        }
    }
}

fn sources() -> Vec<Source> {
    let folder = support::root().join("src");
    let mut paths = Vec::new();
    files(&folder, &["rs"], &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let file = path.strip_prefix(&folder).unwrap().with_extension("").to_str().unwrap().replace('\\', "/");
        let module = file.split('/').next().unwrap().to_owned();
        // Files of tests alone: `#![cfg(test)]`, or `tests.rs` behind `#[cfg(test)] mod tests;`.
        let code = text.split("#[cfg(test)]\nmod tests {").next().and_then(|code| code.split("#![cfg(test)]").next());
        let code = code.filter(|_| path.file_name().is_none_or(|name| name != "tests.rs")).unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        Source { file, module, text, code }
    };
    paths.iter().map(read).collect()
}

/// The modules that code uses as `crate::module`, also in `use crate::{a, b::c}`.
fn modules_named(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for after in code.split("crate::").skip(1) {
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(list) = after.strip_prefix('{') else {
            modules.push(word(after));
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
                    modules.push(word(&list[i..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    modules
}

#[test]
fn names_are_found_in_every_form() {
    let code = "use crate::a;\nuse crate::{b::{x, y}, c};\nfn f() { crate::d::g() }";
    assert_eq!(modules_named(code), ["a", "b", "c", "d"]);
}

#[test]
fn modules_use_only_the_modules_below_them() {
    let all = allowed();
    for Source { file, module, code, .. } in sources() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = all.iter().find(|(name, _)| *name == module) else {
            panic!("src/{file}.rs: add `{module}` to USES in tests/architecture.rs")
        };
        for named in modules_named(&code).into_iter().filter(|named| *named != module) {
            assert!(
                allowed.contains(&named.as_str()),
                "src/{file}.rs uses crate::{named}, but {module} may use only {allowed:?}"
            );
        }
    }
}

#[test]
fn modules_of_networks_name_only_those_below_them() {
    for (i, (module, allowed)) in WITHIN_NN.iter().enumerate() {
        assert!(allowed.iter().all(|below| WITHIN_NN[..i].iter().any(|(name, _)| name == below)), "{module}");
        let folder = format!("nn/{module}");
        let own = |file: &str| file == folder || file.starts_with(&format!("{folder}/"));
        for Source { file, code, .. } in sources().into_iter().filter(|source| own(&source.file)) {
            for named in code.split("crate::nn::").skip(1) {
                let named: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(named == *module || allowed.contains(&named.as_str()), "src/{file}.rs names nn::{named}");
            }
        }
    }
}

#[test]
fn the_allowed_dependencies_have_no_cycles() {
    let all = allowed();
    for (i, (module, allowed)) in all.iter().enumerate() {
        for name in allowed {
            assert!(all[..i].iter().any(|(above, _)| above == name), "{module} may use {name}, which is not above it");
        }
    }
}

#[test]
fn restricted_crates_are_used_only_in_their_modules() {
    for Source { file, code, .. } in sources() {
        for (name, places) in RESTRICTED {
            let inside = places
                .iter()
                .any(|p| file == *p || file.starts_with(&format!("{p}/")) || file.starts_with(p) && p.contains('/'));
            // `ron::` is not the end of `electron::`.
            let named =
                code.match_indices(name).any(|(i, _)| !code[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            assert!(inside || !named, "src/{file}.rs uses {name}, which only {places:?} may use");
        }
    }
}

#[test]
fn no_code_outside_tests_panics() {
    for Source { file, code, .. } in sources() {
        for word in [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!("] {
            assert!(!code.contains(word), "src/{file}.rs: {word} outside tests");
        }
    }
}

/// The longest line, in characters.
const WIDEST: usize = 120;

#[test]
fn no_line_is_wider_than_the_screen_of_an_editor() {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        files(&support::root().join(folder), &["rs", "cu"], &mut paths);
    }
    for path in paths {
        let name = path.strip_prefix(support::root()).unwrap().to_str().unwrap().replace('\\', "/");
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let width = line.chars().count();
            assert!(width <= WIDEST, "{name}:{}: {width} characters, more than {WIDEST}", number + 1);
        }
    }
}

#[test]
fn files_are_short_and_begin_with_their_purpose() {
    for Source { file, text, .. } in sources() {
        assert!(text.lines().count() <= LONGEST, "src/{file}.rs is longer than {LONGEST} lines");
        assert!(file == "main" || text.starts_with("//!"), "src/{file}.rs does not begin with `//!`");
    }
}

#[test]
fn every_dependency_has_a_comment_that_says_why() {
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
