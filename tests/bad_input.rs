//! Whatever is wrong with a file: one clear line with the place and what is allowed, exit code 1, nothing lost.

mod support;

use std::fs;
use std::path::Path;

use innerloop::{preset, session};
use proptest::prelude::*;
use support::{PRESET, innerloop, preset_with, stderr, stdout};

/// What the reader says of a preset's text.
fn said(text: &str) -> String {
    match preset::understand("x.ron", text) {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// A piece of the preset, what stands there instead, and how the complaint begins.
const SPOILED: &[(&str, &str, &str)] = &[
    // Impossible values.
    ("dim: 2,", "dim: 0,", "11:14: task.dim: 0 is not allowed here: give a number from 1 to 256"),
    ("context: 3", "context: 1000000000", "13:18: task.context: 1000000000 is not allowed here: give a number from"),
    ("context: 3", "context: 99999999999999999999999", "13:18: task.context: a smaller number is needed here, not"),
    ("context: 3", "context: -3", "13:18: task.context: a number that is not negative is needed here, not `-3`: give"),
    ("context: 3", "context: 1.5", "13:19: task.context: a whole number is needed here, not `1.5`: give a number from"),
    ("range: 1.0", "range: NaN", "14:16: task.range: NaN is not allowed here"),
    ("lr: 0.01", "lr: NaN", "21:13: train.lr: NaN is not allowed here"),
    ("lr: 0.01", "lr: inf", "21:13: train.lr: inf is not allowed here"),
    ("clip: 1.0", "clip: 0", "25:15: train.clip: 0 is not allowed here"),
    ("beta1: 0.9", "beta1: 2", "24:32: train.optimiser.beta1: 2 is not allowed here"),
    // What only fields together can say.
    ("layout: Interleaved", "layout: Joined", "16:13: layout: GdSsm"),
    ("Gd(1)", "Gd(1000000000)", "27:17: references: gd-1000000000 is not measured; allowed: [Zero, Gd(1), Gd(2)"),
    ("dim: 2,", "dim: 256,\n        // more\n        noise: 0.1, ", "ok"),
    // Unknown, missing, twice.
    ("dim: 2,", "dmi: 2,", "11:9: task: there is no field `dmi`; did you mean `dim`? allowed: dim, outputs, context,"),
    ("beta1", "beta3", "24:25: train.optimiser: there is no field `beta3`; did you mean `beta1`? allowed: beta1"),
    ("dim: 2,", "", "15:5: task: the field `dim` is missing; its fields are dim, outputs, context, range"),
    ("init: Random", "", "17:18: model: the field `init` is missing; its fields are init"),
    ("dim: 2,", "dim: 2, dim: 3,", "11:17: task.dim: the field `dim` is given twice"),
    (
        "Vector",
        "Vectr",
        "12:18: task.outputs: `Vectr` is not known here; did you mean `Vector`? allowed: Scalar, Vector",
    ),
    ("GdSsm(", "GdSmm(", "17:12: model: `GdSmm` is not known here; did you mean `GdSsm`? allowed: GdSsm,"),
    // Of the wrong type.
    (
        "dim: 2,",
        "dim: \"2\",",
        "11:14: task.dim: a whole number is needed here, not `\"2\"`: give a number from 1 to 256",
    ),
    ("lr: 0.01", "lr: fast", "21:13: train.lr: a number is needed here, not `fast`: give a number from"),
    ("init: Random", "init: 5", "17:24: model.init: a name is needed here, not `5`: allowed: Random, Constructed"),
    ("\"Tiny\"", "Tiny", "3:12: title: a text in double quotes is needed here, not `Tiny`"),
    ("[Zero", "Zero", "27:17: references: a list `[…]` is needed here, not `Zero`"),
    ("GdSsm(init: Random)", "GdSsm", "17:17: model: an opening `(` is missing; its fields are init"),
    ("Preset(\n", "Presett(\n", "2:1: `Presett` does not belong here: write `Preset(…)`"),
    ("Preset(\n", "[\n", "2:1: write `Preset(…)` here, not `[`"),
    // Marks that are missing or too many.
    ("dim: 2,", "dim 2,", "11:13: task: a colon is needed here, not `2`"),
    ("dim: 2,", "dim: 2", "12:9: task.dim: a comma or a closing bracket is needed here, not `outputs`"),
    ("LeastSquares],\n)", "LeastSquares],\n", "27:45: the text ends here, before its last bracket is closed"),
    ("LeastSquares],\n)", "LeastSquares],\n) more", "28:3: nothing may follow the last bracket, but here is `more`"),
    ("\"Tiny\"", "\"Tiny", "5:15: "),
    ("// A preset", "/* A preset", "1:1: this comment is never closed by `*/`"),
    // Characters that a terminal would interpret.
    ("dim: 2,", "\u{1b}[31m: 2,", "11:9: task: a name is needed here, not `�`"),
    ("Vector", "V\u{202e}r", "12:18: task.outputs: `V"),
];

#[test]
fn every_invalid_preset_is_refused_with_the_place_and_what_is_allowed() {
    for (piece, by, expected) in SPOILED {
        let said = said(&preset_with(piece, by));
        let expected = if *expected == "ok" { "ok".to_owned() } else { format!("x.ron:{expected}") };
        assert!(said.starts_with(&expected), "{piece} → {by}\n  said     {said}\n  expected {expected}");
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }
    for (text, expected) in [
        ("", "x.ron:1:1: nothing is here: write `Preset(…)`"),
        ("  // only this", "x.ron:1:15: nothing is here: write `Preset(…)`"),
        ("Preset(", "x.ron:1:8: the text ends here, before its last bracket is closed"),
    ] {
        assert_eq!(said(text), expected);
    }
}

/// Tasks that are not allowed, and what is said of them.
const SPOILED_TASKS: &[(&str, &str)] = &[
    ("Sine(context: 0)", "task.context: 0 is not allowed here: give a number from 1 to 10000"),
    ("Sine(context: 5, range: 0)", "task.range: 0 is not allowed here"),
    ("Sine(context: 5, a_min: -0.1)", "task.a_min: -0.1 is not allowed here"),
    ("Sine(context: 5, a_max: 0.05)", "task.a_min: 0.1 must be at most a_max, 0.05"),
    ("Sine(context: 5, dim: 2)", "task: there is no field `dim`; allowed: context, range, a_min, a_max"),
    (
        "Sinus(context: 5)",
        "task: `Sinus` is not known here; did you mean `Sine`? allowed: Linear, Sine, Classification,",
    ),
    (
        "Classification(dim: 2, classes: 1, context: 5, range: 1.0)",
        "task.classes: 1 is not allowed here: give a number from 2 to 256",
    ),
    (
        "Classification(dim: 2, classes: 3, context: 5, range: 1.0)",
        "layout: Interleaved writes tokens of width 2, but targets have 3",
    ),
    ("Classification(dim: 2, classes: 2, context: 5, range: inf)", "task.range: inf is not allowed here"),
    (
        "LinearGrid(dim: 2, outputs: Scalar, rows: 3, columns: 13, range: 1.0, length: 1.0)",
        "task.columns: 13 is not allowed here: give a number from",
    ),
    ("Differentiation(dim: 0, context: 5)", "task.dim: 0 is not allowed here"),
    ("Differentiation(dim: 2, context: 5, waves: 0)", "task.waves: 0 is not allowed here"),
    (
        "Differentiation(dim: 2, context: 5, frequency: 4.0)",
        "task.frequency: 4 is not allowed here: give a number from",
    ),
    ("Differentiation(dim: 2, context: 5, scale: NaN)", "task.scale: NaN is not allowed here"),
    ("Linear(dim: 2, outputs: Vector, context: 3, range: 1.0, drift: -1.0)", "task.drift: -1 is not allowed here"),
    (
        "Linear(dim: 2, outputs: Vector, context: 3, range: 1.0, distractors: -1)",
        "task.distractors: a number that is not negative is needed here, not `-1`",
    ),
    (
        "Linear(dim: 2, outputs: Vector, context: 3, range: 1.0, distractors: 4)",
        "task.distractors: 4 of 3 targets cannot be replaced",
    ),
    (
        "Linear(dim: 2, outputs: Vector, context: 3, range: 1.0, distractors: 1, drift: 0.1)",
        "task.drift: drift and distractors exclude each other",
    ),
];

#[test]
fn every_invalid_task_is_refused_with_what_is_allowed() {
    let (before, rest) = PRESET.split_once("Linear(").unwrap();
    let (_, after) = rest.split_once("    ),\n").unwrap();
    for (task, expected) in SPOILED_TASKS {
        let said = said(&format!("{before}{task},\n{after}"));
        assert!(
            said.starts_with("x.ron:") && said.contains(expected),
            "{task}\n  said     {said}\n  expected {expected}"
        );
    }
}

#[test]
fn a_model_that_fits_no_memory_is_refused_at_the_field_to_change() {
    let text =
        preset_with("dim: 2,", "dim: 256,").replace("context: 3", "context: 10000").replace("batch: 4", "batch: 65536");
    let said = said(&text);
    assert!(said.starts_with("x.ron:11:14: ") && said.contains("a preset allows 64 GiB"), "{said}");
}

#[test]
fn deep_brackets_end_in_words() {
    for opening in ["[", "(", "{", "Some(", "/*", "(a:", "\"", "r#\""] {
        for before in ["", "Preset(references: ", "Preset(title: ", "Preset(x: ", "Session(schema: 1, name: "] {
            let text = format!("{before}{}", opening.repeat(20_000));
            assert!(preset::understand("x.ron", &text).is_err());
            assert!(session::understand("x.ron", &text).is_err());
        }
    }
}

/// Writes a file in a fresh folder, and gives what `innerloop check` says of it.
fn checked(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.ron"), content).unwrap();
    refused(folder.path(), "x.ron")
}

fn refused(folder: &Path, file: &str) -> String {
    for command in ["check", "train"] {
        let output = innerloop(folder, &[command, file]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
        assert!(!stderr(&output).contains("panicked") && !stderr(&output).contains("backtrace"), "{}", stderr(&output));
    }
    stderr(&innerloop(folder, &["check", file])).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn files_that_are_no_text_are_refused() {
    let mut bytes = PRESET.as_bytes().to_vec();
    let at = PRESET.find("Tiny").unwrap();
    bytes[at] = 0xff;
    assert_eq!(checked(&bytes), "error: x.ron:3:13: this is not UTF-8 text");
    assert_eq!(checked(b""), "error: x.ron:1:1: nothing is here: write `Preset(…)`");
    assert!(checked(b"\0\0\0\0").starts_with("error: x.ron:1:1: "));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d.ron")).unwrap();
    assert_eq!(refused(folder.path(), "d.ron"), "error: d.ron: this is a folder, not a file");
    assert_eq!(refused(folder.path(), "none.ron"), "error: none.ron: there is no such file");
}

#[cfg(unix)]
#[test]
fn files_without_an_end_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(folder.path(), "/dev/zero"), "error: /dev/zero: this is not an ordinary file");
    // Sparse: nothing of this is on disk.
    let huge = fs::File::create(folder.path().join("huge.ron")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(refused(folder.path(), "huge.ron"), "error: huge.ron: the file is too large: at most 1024 KiB are read");
}

#[test]
fn a_byte_order_mark_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.ron"), format!("\u{feff}{PRESET}")).unwrap();
    assert_eq!(innerloop(folder.path(), &["check", "x.ron"]).status.code(), Some(0));
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let harmless = |text: &str| assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
    let folder = tempfile::tempdir().unwrap();
    let presets = folder.path().join("presets");
    fs::create_dir(&presets).unwrap();
    let evil = preset_with("says task", "\\u{1b}]0;owned\\u{7}\u{9b}31m");
    fs::write(presets.join("evil.ron"), &evil).unwrap();
    fs::write(presets.join("\u{1b}[31m.ron"), PRESET).unwrap();
    fs::write(presets.join("bad.ron"), "\u{1b}[2J").unwrap();
    for arguments in [&["presets"][..], &["presets", "--json"], &["check", "presets/\u{1b}[31m.ron", "presets/bad.ron"]]
    {
        let output = innerloop(folder.path(), arguments);
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
        harmless(&stdout(&output));
        harmless(&stderr(&output));
    }
    harmless(&stderr(&innerloop(folder.path(), &["train", "\u{1b}[31m"])));
    harmless(&stderr(&innerloop(folder.path(), &["train", "evil", "--set", "task.dim=\u{1b}[31m"])));
    harmless(&stderr(&innerloop(folder.path(), &["train", "evil", "--set", "\u{1b}[31m=1"])));
}

/// What the reader says of a session's text with one piece replaced.
fn session_said(text: &str, piece: &str, by: &str) -> String {
    assert!(text.contains(piece), "{piece}");
    match session::understand("s.ron", &text.replacen(piece, by, 1)) {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn every_invalid_session_is_refused() {
    // Without the digest, in which a step stands, too.
    let text = preset::pretty(&session::Session { digest: None, ..support::session(12) }).unwrap();
    assert!(session::understand("s.ron", &text).is_ok());
    let at = |piece: &str| {
        let before = &text[..text.find(piece).unwrap()];
        before.matches('\n').count() + 1
    };
    let schema = session_said(&text, "schema: 1", "schema: 2");
    assert_eq!(schema, "s.ron:2:13: schema: this is version 2, and this program reads version 1");
    // The version comes first, whatever else is in the file.
    let future = session::understand("s.ron", "Session(\n    schema: 7,\n    news: {1: [2]},\n)").unwrap_err();
    assert_eq!(format!("{future:#}"), "s.ron:2:13: schema: this is version 7, and this program reads version 1");
    let cases = [
        ("dim: 2", "dim: 0", "preset.task.dim: 0 is not allowed here: give a number from 1 to 256"),
        ("layout: Interleaved", "layout: Joined", "preset: layout: GdSsm"),
        ("dim: 2", "dim: 3", "checkpoint: parameters: these are 20 numbers, but the preset's model has 30"),
        ("shape: (2, 2)", "shape: (2, 3)", "checkpoint: parameter Λ: values must be 2 × 3 finite numbers"),
        ("shape: (2, 2)", "shape: (18446744073709551615, 2)", "checkpoint: parameter Λ: values must be"),
        ("values: [", "values: [NaN, ", "checkpoint: parameter Λ: values must be"),
        ("moment1: [", "moment1: [1.0, ", "checkpoint: parameter Λ: moments must be"),
        ("moment2: [", "moment2: [inf, ", "checkpoint: parameter Λ: moments must be"),
        ("\"Λ\"", "\"Q\"", "checkpoint: the saved parameters are [(\"Q\", (2, 2)), (\"Q\", (3, 3))"),
        ("lr_factor: 1.0", "lr_factor: 0.0", "checkpoint: lr_factor: 0 is not a factor"),
        ("step: 12,", "step: 5,", "history: train_loss: it goes to step 12, but the run is at step 5"),
        ("step: 12,", "step: 99999999999999,", "checkpoint: step: 99999999999999 is more than any run does"),
        ("step: 12,", "stepp: 12,", "checkpoint: there is no field `stepp`; did you mean `step`? allowed: seed, step"),
        ("width: 1", "width: 0", "history.train_loss.width: 0 is not a power of two up to"),
        ("count: [1, ", "count: [4294967295, ", "history.train_loss.buckets: a curve is at most"),
        ("count: [1, ", "count: [", "history.train_loss.buckets: the lists differ in length"),
    ];
    for (piece, by, expected) in cases {
        let said = session_said(&text, piece, by);
        assert!(said.contains(expected), "{piece} → {by}\n  said     {said}\n  expected {expected}");
        assert!(said.starts_with("s.ron:"), "{said}");
    }
    let line = at("lr_factor");
    let said = session_said(&text, "lr_factor: 1.0", "lr_factor: 0.0");
    assert!(said.starts_with(&format!("s.ron:{line}:20: ")), "{said}");
    // The file as a whole: its kind is known by its opening, and the end must be there.
    let folder = tempfile::tempdir().unwrap();
    let half = text[..text.len() / 2].rfind('\n').unwrap();
    fs::write(folder.path().join("s.ron"), &text[..half]).unwrap();
    let truncated = refused(folder.path(), "s.ron");
    assert!(truncated.starts_with("error: s.ron:") && truncated.contains("the text ends here"), "{truncated}");
}

#[test]
fn a_bad_session_is_a_row_in_the_list_and_the_newest_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, seconds: u64, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
    };
    let text = preset::pretty(&support::session(3)).unwrap();
    write("old.ron", 1_000, &text);
    write("new.ron", 3_000, &text);
    write("bad.ron", 2_000, "Session(schema: 9)");
    write("notes.txt", 4_000, "");
    let rows = session::list(folder.path());
    let names: Vec<_> = rows.iter().map(|row| row.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["new.ron", "bad.ron", "old.ron"]);
    let content = rows[0].content.as_ref().unwrap();
    let (preset, digest) = (&content.preset, &content.digest);
    let found = (content.name.as_str(), preset.title.as_str(), digest.step, preset.train.steps);
    assert_eq!(found, ("tiny", "Tiny", 3, 50));
    assert!(rows[1].content.as_ref().unwrap_err().contains("schema: this is version 9"));
    assert!(session::list(&folder.path().join("none")).is_empty());
}

#[test]
fn messages_are_short_whatever_the_file_says() {
    let long = "x".repeat(400_000);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), PRESET).unwrap();
    let spoiled = [
        preset_with("dim: 2,", &format!("{long}: 2,")),
        preset_with("Vector", &long),
        preset_with("Preset(", &format!("{long}(")),
        preset_with("dim: 2,", &format!("dim: {long},")),
        preset_with("\"Tiny\"", &long),
        preset_with("dim: 2,", &format!("dim: 2, a: ({long}: ({long}: 1, {long}")),
        preset_with("layout: Interleaved", &format!("layout: {long}")),
    ];
    for text in spoiled {
        assert!(said(&text).len() < 3_000, "{} bytes", said(&text).len());
        assert!(format!("{:#}", session::understand("x", &text).unwrap_err()).len() < 3_000);
    }
    // Arguments are shorter: the system allows no more.
    let long = "x".repeat(100_000);
    for arguments in [&["train", "tiny.ron", "--set", &format!("{long}=1")][..], &["train", &long], &[&long]] {
        let output = innerloop(folder.path(), arguments);
        assert!(output.status.code() != Some(0) && stderr(&output).len() < 5_000, "{}", stderr(&output).len());
    }
}

/// The first place from `at` on where a text can be cut.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
}

/// A text with a few pieces cut out, doubled or replaced.
fn spoiled(text: &'static str) -> impl Strategy<Value = String> {
    let place = 0..=text.len();
    let edit = (place.clone(), 0usize..12, "[\\PC]{0,4}|[()\\[\\]{},:\"'/*#r0-9.eE+-]{0,6}|\\PC{0,3}[\\x00-\\x1f]?");
    proptest::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut spoiled = text.to_owned();
        for (at, length, by) in edits {
            let start = boundary(&spoiled, at);
            let end = boundary(&spoiled, start + length);
            spoiled.replace_range(start..end, &by);
        }
        spoiled
    })
}

fn session_text() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| preset::pretty(&support::session(2)).unwrap())
}

/// Reads a text as both kinds of file; an error is one line without anything that a terminal would interpret.
fn survives(text: &str) {
    for error in [preset::understand("x", text).err(), session::understand("x", text).err()].into_iter().flatten() {
        let said = format!("{error:#}");
        assert!(said.starts_with("x:") && !said.chars().any(char::is_control), "{said:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spoiled_preset_is_a_panic(text in spoiled(PRESET)) {
        survives(&text);
    }

    #[test]
    fn no_spoiled_session_is_a_panic(text in spoiled(session_text())) {
        survives(&text);
    }

    #[test]
    fn no_truncated_file_is_a_panic(at in 0usize..20_000) {
        survives(&PRESET[..boundary(PRESET, at % PRESET.len())]);
        let session = session_text();
        survives(&session[..boundary(session, at % session.len())]);
    }

    #[test]
    fn no_text_at_all_is_a_panic(text in "\\PC{0,200}|[()\\[\\]{},:\"'/*#r0-9.eE+\\\\ \n-]{0,60}") {
        survives(&text);
    }
}

/// The same inputs as above for a stated time: `INNERLOOP_FUZZ_SECONDS=600 cargo test --test bad_input -- --ignored`.
#[test]
#[ignore = "takes as long as INNERLOOP_FUZZ_SECONDS says"]
fn mutated_presets_and_sessions_for_a_stated_time() {
    let seconds = std::env::var("INNERLOOP_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut cases = 0;
    while std::time::Instant::now() < end {
        let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let texts = prop_oneof![spoiled(PRESET), spoiled(session_text())];
        let check = |text: String| {
            survives(&text);
            Ok(())
        };
        runner.run(&texts, check).unwrap();
        cases += 1000;
    }
    println!("{cases} mutated presets and sessions in {seconds} s");
}
