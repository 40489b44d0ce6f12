//! Lessons as files and as a shell sees them.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use innerloop::lesson::{self, Lesson, Outcome};
use serde_json::Value;
use support::{innerloop, stderr, stdout};

/// A lesson on the presets `tiny` and `tiny-2`, line by line, so that tests can name places in it.
const LESSON: &str = r#"// A lesson for tests.
Lesson(
    number: 1,
    question: "Is it so?",
    background: "All that one needs to know.",
    answers: [(text: "Yes, for a reason.", right: true), (text: "No, for another.")],
    experiments: [
        (preset: "tiny", claims: [
            (measure: LossOver(Zero), at_least: 0.1, after: 0),
            (measure: LossOverPreset("other"), at_least: 0.1, after: 4),
        ]),
        (name: "other", preset: "tiny", set: [("train.lr", "0.02")], claims: [
            (measure: Nearest(Zero), after: 4),
        ]),
    ],
    stages: [
        (runs: ["tiny", "other"], look_for: "The loss.", until: Step(3), panes: [Loss, State]),
        (look_for: "The predictions.", until: Step(4), panes: [Predictions], pause: true),
    ],
    reveal: "It is so, because of this.",
)
"#;

/// A folder with the preset and the lesson, one piece of which is replaced.
fn folder(piece: &str, by: &str) -> tempfile::TempDir {
    assert!(LESSON.contains(piece), "{piece}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("presets/lessons")).unwrap();
    fs::write(folder.path().join("presets/tiny.ron"), support::PRESET).unwrap();
    fs::write(folder.path().join("presets/lessons/so.ron"), LESSON.replacen(piece, by, 1)).unwrap();
    folder
}

fn found(folder: &Path) -> Result<Lesson, String> {
    lesson::all_in(&folder.join("presets")).remove(0).lesson
}

#[test]
fn every_lesson_is_sound_and_each_has_its_own_place() {
    let entries = lesson::all_in(&support::root().join("presets"));
    let lessons = entries.into_iter().map(|entry| entry.lesson.unwrap_or_else(|error| panic!("{error}")));
    let numbers: Vec<u32> = lessons.map(|lesson| lesson.number).collect();
    assert!(!numbers.is_empty());
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[test]
fn a_lesson_knows_its_experiments_and_who_was_right() {
    let folder = folder("Is it so?", "Is it so?");
    let lesson = found(folder.path()).unwrap();
    assert_eq!(lesson.preset_names(), ["tiny"]);
    assert_eq!(lesson.runs(1), ["tiny", "other"], "those of the stage before go on");
    assert!((lesson.preset("other").unwrap().train.lr - 0.02).abs() < 1e-12);
    assert_eq!(lesson.claims().map(|(name, _)| name).collect::<Vec<_>>(), ["tiny", "tiny", "other"]);
    assert_eq!(
        [None, Some(0), Some(1)].map(|chosen| lesson.outcome(chosen)),
        [Outcome::Skipped, Outcome::Right, Outcome::Wrong]
    );
}

#[test]
fn what_is_wrong_with_a_lesson_is_said_with_its_place() {
    for (piece, by, place, words) in [
        ("number: 1", "number: 0", "so.ron:3:13: number: 0 is not allowed here", "from 1 to 1000"),
        ("background:", "backround:", "so.ron:5:5: there is no field `backround`", "did you mean `background`?"),
        ("right: true", "right: false", "so.ron:6:14: answers: at least one must have `right: true`", ""),
        (r#"preset: "tiny", claims"#, r#"preset: "tinny", claims"#, "so.ron:8:18: experiments[0].preset: ", "`tiny`"),
        (
            "train.lr",
            "train.lrr",
            "so.ron:12:46: experiments[1].set: --set train.lrr=0.02: ",
            "did you mean `train.lr`?",
        ),
        (r#"Preset("other")"#, r#"Preset("othe")"#, "so.ron:8:34: experiments[0].claims: ", "no experiment `othe`"),
        ("after: 4),\n        ])", "after: 99),\n        ])", "experiments[", "beyond train.steps, which is 50"),
        (
            "panes: [Loss, State]",
            "panes: [Loss, Stat]",
            "so.ron:17:88: stages[0].panes: `Stat`",
            "did you mean `State`?",
        ),
        ("until: Step(4)", "until: Step(3)", "so.ron:18:47: stages[1].until: a claim about `tiny`", "Step(4)"),
        (r#"runs: ["tiny", "other"]"#, r#"runs: ["tiny", "othe"]"#, "so.ron:17:16: stages[0].runs: ", "`othe`"),
        (
            r#"runs: ["tiny", "other"]"#,
            r#"runs: ["tiny"]"#,
            "so.ron:16:13: stages: the experiment `other` runs in none",
            "",
        ),
        ("panes: [Loss, State]", "panes: [State], layer: 0", "stages[0].layer: the first layer is 1", ""),
        ("The loss.", "", "so.ron:17:45: stages[0].look_for: this text is empty", ""),
        (
            "preset: \"tiny\", claims: [",
            "preset: \"tiny\", preset_claims: [LossGap], claims: [",
            "experiments[0].preset_claims[0]",
            "claims nothing about the loss gap",
        ),
    ] {
        let folder = folder(piece, by);
        let error = found(folder.path()).unwrap_err();
        assert!(error.contains(place) && error.contains(words) && !error.contains('\n'), "{by}: {error}");
    }
    let long = format!("question: \"{}\"", "x".repeat(141));
    let error = found(folder("question: \"Is it so?\"", &long).path()).unwrap_err();
    assert!(error.contains("question: 141 characters are more than fit on a screen: at most 140"), "{error}");
}

#[test]
fn a_stage_trains_experiments_with_different_tasks_whose_losses_no_claim_compares() {
    let folder = folder(r#"("train.lr", "0.02")"#, r#"("task.context", "4")"#);
    let file = folder.path().join("presets/lessons/so.ron");
    assert!(
        found(folder.path()).unwrap_err().contains("experiments[0].claims: the experiment `other` has another task")
    );
    let claim = r#"(measure: LossOverPreset("other"), at_least: 0.1, after: 4),"#;
    fs::write(&file, fs::read_to_string(&file).unwrap().replace(claim, "")).unwrap();
    let lesson = found(folder.path()).unwrap();
    assert_ne!(lesson.preset("tiny").unwrap().task, lesson.preset("other").unwrap().task);
}

#[test]
fn the_list_has_questions_and_answers_but_not_which_is_right() {
    let folder = folder("Is it so?", "Is it so?");
    fs::write(folder.path().join("presets/lessons/broken.ron"), "Lesson(").unwrap();
    let text = stdout(&innerloop(folder.path(), &["lessons"]));
    assert!(text.starts_with("  1  so      Is it so?\n") && text.contains("broken.ron:1:8"), "{text}");
    let json: Value = serde_json::from_str(&stdout(&innerloop(folder.path(), &["lessons", "--json"]))).unwrap();
    let keys: BTreeSet<&str> = json[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["name", "number", "question", "answers", "presets"]));
    assert_eq!(json[0]["answers"], serde_json::json!(["Yes, for a reason.", "No, for another."]));
    assert_eq!(json[0]["presets"], serde_json::json!(["tiny"]));
    assert!(json[1]["error"].as_str().unwrap().contains("the text ends here"));
}

#[test]
fn the_claims_of_lessons_are_verified_over_seeds_with_comparisons_between_their_experiments() {
    let folder = folder("Is it so?", "Is it so?");
    let output = innerloop(folder.path(), &["verify", "--lessons", "--seeds", "7,8"]);
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("so:tiny") && out.contains("loss over that of the preset so:other"), "{out}");
    assert!(out.contains("held 2 of 2") && out.ends_with("3 held, 0 failed\n"), "{out}");
    assert!(!folder.path().join(".state").exists(), "they are not results of the preset");
    let unknown = innerloop(folder.path(), &["verify", "--lessons", "sso"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no lesson `sso`; the nearest are `so`"), "{}", stderr(&unknown));
}

#[test]
fn shells_complete_the_names_of_lessons_and_an_unknown_one_shows_the_nearest() {
    let folder = folder("Is it so?", "Is it so?");
    let mut command = support::command(folder.path(), &["--", "innerloop", "lesson", "s"]);
    command.env("INNERLOOP_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
    assert_eq!(stdout(&command.output().unwrap()).lines().next(), Some("so"));
    let unknown = innerloop(folder.path(), &["lesson", "sso"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no lesson `sso`; the nearest are `so`"), "{}", stderr(&unknown));
}

#[test]
fn a_lesson_is_checked_as_a_file() {
    let folder = folder("Is it so?", "Is it so?");
    let output = innerloop(folder.path(), &["check", "presets/lessons/so.ron"]);
    assert_eq!(stdout(&output), "presets/lessons/so.ron: ok, a lesson; experiments: 2, claims: 3\n");
}
