//! What the documents say is what the program does. `UPDATE_DOCS=1 cargo test --test docs` rewrites the tables.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use clap::Parser;
use innerloop::cli::Cli;
use innerloop::{lesson, preset, tui};
use serde_json::Value;

fn read(file: &str) -> String {
    fs::read_to_string(support::root().join(file)).unwrap()
}

/// The text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("{from} is not there")) + from.len();
    &text[start..start + text[start..].find(to).unwrap_or_else(|| panic!("{to} is not there"))]
}

/// Every page, with its path from the root.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(support::root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let root = ["README.md", "CONTRIBUTING.md", "saves/README.md"].map(str::to_owned);
    root.into_iter().chain(docs).map(|file| (file.clone(), read(&file))).collect()
}

/// Compares the generated part of a page with what the program makes of it, or writes it there.
fn is_generated(file: &str, from: &str, to: &str, expected: &str) {
    let page = read(file);
    let found = between(&page, from, to);
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = page.replacen(&format!("{from}{found}{to}"), &format!("{from}{expected}{to}"), 1);
        fs::write(support::root().join(file), updated).unwrap();
        return;
    }
    panic!("{file} is out of date; UPDATE_DOCS=1 cargo test --test docs writes:\n{expected}");
}

#[test]
fn the_tables_are_those_of_the_program() {
    let mut table = String::from("| preset | parameters | what one sees |\n|---|---|---|\n");
    for entry in preset::all_in(&support::root().join("presets")) {
        let preset = entry.preset.unwrap();
        let _ = writeln!(table, "| `{}` | {} | {} |", entry.name, preset.parameters(), preset.summary);
    }
    is_generated("docs/presets.md", "<!-- presets -->\n", "<!-- /presets -->", &table);
    let mut table = String::from("| | lesson | question |\n|---|---|---|\n");
    for entry in lesson::all_in(&support::root().join("presets")) {
        let lesson = entry.lesson.unwrap();
        let _ = writeln!(table, "| {} | `{}` | {} |", lesson.number, entry.name, lesson.question);
    }
    is_generated("docs/lessons.md", "<!-- lessons -->\n", "<!-- /lessons -->", &table);
    is_generated("docs/keys.md", "<!-- keys -->\n", "<!-- /keys -->", &tui::keymap::markdown_table());
}

#[test]
fn the_results_are_of_presets_that_there_are() {
    let page = read("docs/results.md");
    let rows = between(&page, "<!-- results -->\n", "<!-- /results -->").lines().skip(2);
    let claimed = preset::all_in(&support::root().join("presets")).into_iter();
    let claimed = claimed.filter(|entry| entry.preset.as_ref().is_ok_and(|preset| !preset.claims.is_empty())).count();
    assert_eq!(rows.clone().count(), claimed, "a row for each preset with claims");
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (_, preset) = preset::find_in(&support::root().join("presets"), cells[1].trim_matches('`')).unwrap();
        assert_eq!((cells.len(), cells[2]), (10, preset.parameters().to_string().as_str()), "{row}");
        assert!(cells[3].parse::<u64>().unwrap() >= 3 && cells[4].contains(" ± "), "{row}");
        let (held, claims) = cells[8].split_once(" of ").unwrap();
        assert_eq!(claims, preset.claims.len().to_string(), "{row}");
        assert!(held.parse::<usize>().unwrap() <= preset.claims.len(), "{row}");
    }
}

/// The lines of a page's `sh` blocks.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn the_first_command_opens_the_lab_and_the_second_tests() {
    assert_eq!(commands(&read("README.md"))[..2], ["cargo run", "cargo test"]);
    assert!(read(".ci/run").lines().any(|line| line == "cargo test"), "CI runs another command than the README says");
    // With a second binary, `cargo run` would not know which one to start.
    assert!(read("Cargo.toml").contains("default-run = \"innerloop\""));
}

#[test]
fn every_command_of_the_pages_is_accepted() {
    let mut examples = 0;
    let lines: Vec<String> = pages().iter().flat_map(|(_, page)| commands(page)).collect();
    for line in lines.iter().filter(|line| line.starts_with("innerloop ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
        if let ["innerloop", "train", name, ..] = words[..]
            && !preset::is_path(name)
        {
            let (_, found) = preset::find(name).unwrap();
            let settings =
                words.windows(2).filter(|pair| pair[0] == "--set").filter_map(|pair| pair[1].split_once('='));
            preset::set(&found, settings).unwrap();
            examples += 1;
        }
    }
    assert!(examples >= 3);
}

#[test]
fn every_option_that_the_documents_name_exists() {
    let help = |arguments: &[&str]| support::stdout(&support::innerloop(support::root(), arguments));
    let commands = [
        "run",
        "watch",
        "train",
        "eval",
        "fit",
        "sweep",
        "compare",
        "minima",
        "cost",
        "export",
        "verify",
        "presets",
        "lesson",
        "lessons",
        "check",
        "completions",
        "man",
    ];
    let mut known: String = commands.iter().map(|command| help(&[command, "--help"])).collect();
    known += &help(&["--help"]);
    for (file, text) in pages() {
        for code in text.split('`').skip(1).step_by(2) {
            for word in code.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
                let option = word.split('=').next().unwrap();
                let cargos = [
                    "--features",
                    "--test",
                    "--lib",
                    "--ignored",
                    "--nocapture",
                    "--example",
                    "--signal",
                    "--path",
                    "--locked",
                    "--release",
                ]
                .contains(&option);
                assert!(cargos || known.contains(option), "{file} names {option}");
            }
        }
    }
}

#[test]
fn the_json_of_the_documents_has_the_keys_of_the_program() {
    fn keys(value: &Value) -> BTreeSet<&String> {
        value.as_object().unwrap().keys().collect()
    }
    let example: Value = serde_json::from_str(between(&read("docs/command-line.md"), "```json\n", "```")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), support::PRESET).unwrap();
    let output = support::innerloop(folder.path(), &["train", "tiny.ron", "--steps", "1", "--json"]);
    let real: Value = serde_json::from_str(&support::stdout(&output)).unwrap();
    assert_eq!(keys(&example), keys(&real));
    assert_eq!(keys(&example["equivalence"]), keys(&real["equivalence"]));
    for (name, reference) in example["references"].as_object().unwrap() {
        assert_eq!(keys(reference), keys(&real["references"][name]), "{name}");
    }
}

#[test]
fn every_file_that_the_documents_name_exists() {
    for (file, text) in pages() {
        let folder = support::root().join(&file).parent().unwrap().to_owned();
        let code = text.split('`').skip(1).step_by(2);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for name in links.filter(|name| !name.starts_with("https://")) {
            assert!(folder.join(name).exists(), "{file} links to {name}");
        }
        for name in code {
            let top = ["src/", "tests/", "benches/", "docs/", "examples/", "presets/", "saves/README", ".ci/"];
            let ours = top.iter().any(|folder| name.starts_with(folder));
            if ours && !name.contains(['*', ' ', '<']) && (!name.starts_with("presets/") || !name.contains("NAME")) {
                assert!(support::root().join(name).exists(), "{file} names {name}");
            }
        }
    }
}

#[test]
fn every_preset_is_sound() {
    for entry in preset::all_in(&support::root().join("presets")) {
        let preset = entry.preset.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        for claim in &preset.claims {
            if let Err(error) = preset.shifted(claim.settings()) {
                panic!("{}: {error}", entry.name);
            }
        }
    }
}
