//! The program as a shell sees it: exit codes, what goes to which stream, saving, resuming, signals.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use innerloop::session;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use support::{PRESET, command, innerloop, preset_with, signal, stderr, stdout, training};

/// A folder with the small preset as `tiny.ron`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), PRESET).unwrap();
    folder
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn json(folder: &tempfile::TempDir, arguments: &[&str]) -> Value {
    let output = innerloop(folder.path(), arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn json_is_one_object_with_the_promised_keys() {
    let report = json(&folder(), &["train", "tiny.ron", "--steps", "20", "--seed", "7", "--json"]);
    let top =
        ["preset", "device", "seed", "steps", "parameters", "elapsed_s", "steps_per_s", "train_loss", "eval_loss"];
    let further = [
        "version",
        "commit",
        "overrides",
        "device_note",
        "objective",
        "operations",
        "eval_loss_standard_error",
        "eval_median",
        "loss_by_pairs",
        "references",
        "equivalence",
    ];
    assert_eq!(keys(&report), top.into_iter().chain(further).collect());
    let equal = ["reference", "prediction_difference", "prediction_difference_relative", "sensitivity_cosine"];
    let rest = ["sensitivity_difference", "loss_gap", "state_cosine", "parameter_difference", "nearest"];
    let added =
        ["loss_gap_standard_error", "read_state_cosine", "compared_tasks", "nearest_distance", "ties", "distances"];
    assert_eq!(keys(&report["equivalence"]), equal.into_iter().chain(rest).chain(added).collect());
    let names = "zero gd-1 gd-2 gd-3 gd-5 gd-10 gd-2-free gd-3-free gd-1-forgetting gd++ gd++-query lms nlms leaky-lms \
                 cg-1 cg-2 cg-3 cg-5 cg-10 newton-1 newton-2 newton-3 newton-5 least-squares ridge \
                 recursive-least-squares rls-forgetting kalman bayes";
    let names = names.split_whitespace();
    assert_eq!(keys(&report["references"]), names.clone().collect());
    assert!(report["equivalence"]["ties"].is_array() && report["equivalence"]["nearest_distance"].is_f64());
    for (name, parameter) in
        [("gd-1-forgetting", "forgetting"), ("nlms", "eta"), ("newton-2", "alpha"), ("gd++", "gamma")]
    {
        assert!(report["references"][name][parameter].is_f64(), "{name}");
    }
    assert_eq!(report["references"]["gd-2-free"]["etas"].as_array().unwrap().len(), 2);
    for key in ["loss_standard_error", "loss_difference", "loss_difference_standard_error"] {
        assert!(report["references"]["gd-1"][key].is_f64(), "{key}");
    }
    for reference in names.map(|name| &report["references"][name]) {
        assert!(reference["loss"].is_f64() && reference["median"].is_f64() && reference["flops"].is_u64());
        assert_eq!(reference["loss_by_pairs"].as_array().unwrap().len(), 4, "{reference}");
    }
    assert_eq!((report["loss_by_pairs"][0].is_null(), report["loss_by_pairs"][3].is_f64()), (true, true));
    assert!(report["references"]["gd-1"]["eta"].is_f64());
    assert_eq!((&report["preset"], &report["device"]), (&Value::from("tiny"), &Value::from("cpu")));
    assert_eq!((&report["seed"], &report["steps"], &report["parameters"]), (&7.into(), &20.into(), &20.into()));
    assert_eq!(report["equivalence"]["reference"], "gd-1");
    assert!(report["elapsed_s"].as_f64() > Some(0.0) && report["steps_per_s"].as_f64() > Some(0.0));
    assert!(report["train_loss"].is_f64() && report["eval_loss"].is_f64());
}

#[test]
fn no_steps_is_a_measurement() {
    let folder = folder();
    let report = json(&folder, &["train", "tiny.ron", "--steps", "0", "--set", "model.init=Constructed", "--json"]);
    assert_eq!((&report["steps"], &report["steps_per_s"]), (&0.into(), &0.0.into()));
    assert!(report["equivalence"]["prediction_difference_relative"].as_f64().unwrap() < 1e-5);
    assert_eq!(report["equivalence"]["nearest"], "gd-1");
}

#[test]
fn off_the_distribution_the_learner_is_offered_with_its_gain_frozen_too() {
    let folder = folder();
    let args =
        ["train", "tiny.ron", "--steps", "0", "--set", "model.init=Constructed", "--save", "built.ron", "--json"];
    json(&folder, &args);
    let report = json(&folder, &["eval", "built.ron", "--set", "task.context=6", "--json"]);
    let (frozen, plain) = (&report["references"]["gd-1-frozen"], &report["references"]["gd-1"]);
    assert!((frozen["eta"].as_f64().unwrap() / plain["eta"].as_f64().unwrap() - 2.0).abs() < 1e-9);
    assert_eq!(report["equivalence"]["nearest"], "gd-1-frozen");
    assert!(report["equivalence"]["nearest_distance"].as_f64().unwrap() < 1e-4);
}

#[test]
fn a_fit_names_the_learner_that_explains_a_model_with_its_parameters() {
    let folder = folder();
    let fit = ["fit", "tiny.ron", "--steps", "0", "--set", "model.init=Constructed", "--json"];
    let report = json(&folder, &fit);
    let best = &report["fits"][0];
    assert_eq!((&best["learner"], &report["steps"]), (&Value::from("gd-1"), &0.into()));
    assert!(best["explained"].as_f64().unwrap() > 0.999_999 && best["eta"].is_f64(), "{best}");
    let page = stdout(&innerloop(folder.path(), &["fit", "tiny.ron", "--steps", "0"]));
    assert!(page.contains("explained") && page.contains("gd-1-forgetting, "), "{page}");
}

#[test]
fn without_json_people_get_a_page_and_plain_lines_of_progress() {
    let output = innerloop(folder().path(), &["train", "tiny.ron"]);
    assert_eq!(output.status.code(), Some(0));
    for word in ["tiny on cpu, seed 1, 20 parameters", "50 steps", "gd-1", "nearest"] {
        assert!(stdout(&output).contains(word), "{word} is not in\n{}", stdout(&output));
    }
    let progress = stderr(&output);
    assert!(progress.lines().all(|line| line.starts_with("step ")) && progress.contains("step 50 of 50"), "{progress}");
    assert!(!progress.contains('\r') && !progress.contains('\u{1b}'));
}

#[test]
fn every_promised_key_can_be_set() {
    let settings = [
        "task.dim=3",
        "task.outputs=Scalar",
        "task.context=5",
        "task.range=2",
        "task.weight_scale=0.5",
        "task.noise=0.1",
        "task.drift=0",
        "task.distractors=2",
        "train.batch=8",
        "train.steps=3",
        "train.lr=0.001",
        "train.seed=9",
        "train.clip=None",
        "train.optimiser=Sgd",
        "references=[Zero, Gd(1)]",
        "title=\"Another\"",
        " model.init = Constructed ",
    ];
    let mut arguments = vec!["train", "tiny.ron", "--save", "set.ron", "--json"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let folder = folder();
    let report = json(&folder, &arguments);
    assert_eq!((&report["seed"], &report["steps"]), (&9.into(), &3.into()));
    let saved = session::load(&folder.path().join("set.ron")).unwrap().preset;
    let written = innerloop::preset::pretty(&saved).unwrap();
    for line in [
        "dim: 3",
        "outputs: Scalar",
        "context: 5",
        "range: 2.0",
        "weight_scale: 0.5",
        "noise: 0.1",
        "distractors: 2",
        "drift: 0.0",
        "batch: 8",
        "steps: 3",
        "lr: 0.001",
        "seed: 9",
        "init: Constructed",
        "clip: None",
        "optimiser: Sgd",
        "references: [Zero, Gd(1)]",
        "title: \"Another\"",
    ] {
        assert!(written.contains(line), "{line} is not in\n{written}");
    }
}

#[test]
fn a_field_that_cannot_be_set_is_refused_with_those_that_can() {
    let folder = folder();
    let cases = [
        (
            "task.dmi=3",
            2,
            "there is no such key; did you mean `task.dim`? allowed: task.condition, task.context, task.dim",
        ),
        ("dim=3", 2, "there is no such key; did you mean `task.dim`? allowed: about, claims, expect, family"),
        ("task.dim.more=3", 2, "`task.dim` holds no keys"),
        ("task.dim=three", 2, "a whole number is needed here, not `three`: give a number from 1 to 256"),
        ("task.dim=", 2, "this is not a value"),
        ("task.dim=3, context: 9", 2, "this is not a value"),
        ("task.dim=3) (", 2, "this is not a value"),
        ("task.outputs=vector", 2, "did you mean `Vector`? allowed: Scalar, Vector"),
        ("task.dim", 2, "give KEY=VALUE"),
        ("task.dim=0", 1, "0 is not allowed here: give a number from 1 to 256"),
        ("task.context=1000000000", 1, "give a number from 1 to 10000"),
        ("task.context=99999999999999999999999", 1, "give a number from 1 to 10000"),
        ("train.lr=NaN", 1, "NaN is not allowed here"),
        ("train.lr=inf", 1, "inf is not allowed here"),
        ("layout=Joined", 1, "--set layout=Joined: layout: GdSsm"),
    ];
    for (setting, code, words) in cases {
        let output = innerloop(folder.path(), &["train", "tiny.ron", "--json", "--set", setting]);
        assert_eq!(output.status.code(), Some(code), "{setting}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains(words), "{setting}: {}", stderr(&output));
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_to_the_last_bit() {
    let folder = folder();
    let train = |arguments: &[&str]| {
        let output = innerloop(folder.path(), &[&["train"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    // 17 is no step at which a measurement is due.
    train(&["tiny.ron", "--steps", "17", "--save", "part.ron"]);
    train(&["part.ron", "--steps", "33", "--save", "part.ron"]);
    train(&["part.ron", "--save", "resumed.ron"]);
    train(&["tiny.ron", "--save", "whole.ron"]);
    // The time that training took is the last field, and differs.
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let lasting = |name: &str| read(name).split_once("\n    time: ").unwrap().0.to_owned();
    assert_eq!(lasting("resumed.ron"), lasting("whole.ron"));
    assert_eq!(session::load(&folder.path().join("whole.ron")).unwrap().checkpoint.step, 50);
}

#[test]
fn a_session_refuses_what_would_change_its_past() {
    let folder = folder();
    session::save(&folder.path().join("s.ron"), &support::session(12)).unwrap();
    for (arguments, words) in [
        (&["--set", "task.dim=3"][..], "--set and --seed are for presets"),
        (&["--seed", "3"], "--set and --seed are for presets"),
        (&["--steps", "11"], "is a session at step 12 already"),
    ] {
        let output = innerloop(folder.path(), &[&["train", "s.ron"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(json(&folder, &["train", "s.ron", "--steps", "12", "--json"])["steps"], 12);
}

#[test]
fn only_sessions_are_replaced() {
    let folder = folder();
    fs::create_dir(folder.path().join("d.ron")).unwrap();
    for (file, words) in [("tiny.ron", "this is not a session, so it is not replaced"), ("d.ron", "this is a folder")] {
        let output = innerloop(folder.path(), &["train", "tiny.ron", "--save", file, "--force"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(folder.path().join("tiny.ron")).unwrap(), PRESET);
}

#[test]
fn a_session_that_could_not_be_read_again_is_not_written() {
    let folder = folder();
    let path = folder.path().join("s.ron");
    let mut session = support::session(3);
    session::save(&path, &session).unwrap();
    let before = fs::read(&path).unwrap();
    session.checkpoint.parameters[0].values[0] = f32::NAN;
    assert!(session::save(&path, &session).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(session::save(&path.join("below/a/file.ron"), &support::session(3)).is_err());
}

#[test]
fn signals_save_and_end_the_run_with_their_code() {
    let names = [("INT", SIGINT), ("TERM", SIGTERM), ("HUP", SIGHUP), ("QUIT", SIGQUIT)];
    for (name, number) in names.into_iter().chain([("USR1", SIGUSR1), ("USR2", SIGUSR2), ("XCPU", SIGXCPU)]) {
        let code = 128 + number;
        let folder = folder();
        let (mut child, mut lines) = training(folder.path(), &["--save", "s.ron", "--json"]);
        signal(&child, name);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{rest}");
        assert!(rest.contains(&format!("stopped by {name} at step ")) && rest.contains("saved to s.ron"), "{rest}");
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "");
        assert!(session::load(&folder.path().join("s.ron")).unwrap().checkpoint.step >= 10);
    }
}

#[test]
fn a_signal_without_save_says_that_nothing_is_saved() {
    let folder = folder();
    let (mut child, mut lines) = training(folder.path(), &[]);
    signal(&child, "TERM");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(rest.contains("nothing is saved, because there was no --save"), "{rest}");
}

#[test]
fn a_divergence_keeps_the_last_good_state() {
    let folder = folder();
    let arguments = ["train", "tiny.ron", "--set", "train.lr=1000", "--set", "train.optimiser=Sgd", "--set"];
    let rest = ["train.clip=None", "--set", "task.range=1000", "--save", "s.ron", "--json"];
    let output = innerloop(folder.path(), &[&arguments[..], &rest].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    assert!(said.contains("error: diverged at step ") && said.contains("the last good step is "), "{said}");
    assert!(said.contains("saved to s.ron"), "{said}");
    session::load(&folder.path().join("s.ron")).unwrap();
}

#[test]
fn wrong_usage_is_2_and_no_terminal_is_1() {
    let folder = folder();
    for arguments in [&["train"][..], &["fly"], &["train", "tiny.ron", "--steps", "x"], &["check"], &["--nope"]] {
        let output = innerloop(folder.path(), arguments);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
    }
    let output = innerloop(folder.path(), &["train", "tiny.ron", "--device", "tpu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("give auto, cpu, cuda or cuda:N"));
    for arguments in [&[][..], &["run"], &["run", "tiny.ron"]] {
        let output = innerloop(folder.path(), arguments);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
        assert_eq!(stderr(&output).lines().count(), 1);
        assert!(stderr(&output).contains("`innerloop train PRESET`"), "{}", stderr(&output));
    }
    // What is wrong with the argument comes first.
    assert!(stderr(&innerloop(folder.path(), &["run", "tinny"])).contains("there is no preset `tinny`"));
    assert_eq!(innerloop(folder.path(), &["--help"]).status.code(), Some(0));
    assert_eq!(innerloop(folder.path(), &["--version"]).status.code(), Some(0));
}

#[test]
fn presets_come_from_the_folder_or_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let names = |folder: &tempfile::TempDir| -> Vec<String> {
        let rows = innerloop(folder.path(), &["presets", "--json"]);
        let rows: Vec<Value> = serde_json::from_str(&stdout(&rows)).unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let built_in = names(&folder);
    assert_eq!(built_in[0], "first-look");
    assert!(built_in.contains(&"gd-ssm".to_owned()));
    fs::create_dir(folder.path().join("presets")).unwrap();
    assert_eq!(names(&folder), built_in, "an empty folder hides nothing");
    fs::write(folder.path().join("presets/first-look.ron"), PRESET).unwrap();
    fs::write(folder.path().join("presets/broken.ron"), "Preset(").unwrap();
    assert_eq!(names(&folder), ["first-look", "broken"]);
    // A file hides the built-in preset of its name; the others can still be named.
    let parameters = |name: &str| json(&folder, &["train", name, "--steps", "0", "--json"])["parameters"].clone();
    assert_eq!(parameters("gd-ssm"), 212);
    let tiny = innerloop(folder.path(), &["presets"]);
    assert!(stdout(&tiny).contains("says task: (dim: 0) in a text (20 parameters)"), "{}", stdout(&tiny));
    let unknown = innerloop(folder.path(), &["train", "frist-look"]);
    let words = "there is no preset `frist-look`; the nearest are `first-look`, `";
    assert!(stderr(&unknown).contains(words) && stderr(&unknown).len() < 200, "{}", stderr(&unknown));
    let broken = innerloop(folder.path(), &["train", "broken"]);
    assert!(stderr(&broken).starts_with("error: presets/broken.ron:1:8: the text ends here"), "{}", stderr(&broken));
}

#[test]
fn check_tells_presets_from_sessions_by_their_content() {
    let folder = folder();
    session::save(&folder.path().join("s.ron"), &support::session(12)).unwrap();
    fs::write(folder.path().join("bad.ron"), preset_with("dim: 2", "dim: 0")).unwrap();
    let output = innerloop(folder.path(), &["check", "tiny.ron", "s.ron", "bad.ron"]);
    assert_eq!(output.status.code(), Some(1));
    let good = "tiny.ron: ok, a preset with 20 parameters\ns.ron: ok, a session of tiny at step 12 of 50\n";
    assert_eq!(stdout(&output), good);
    let bad = "error: bad.ron:11:14: task.dim: 0 is not allowed here: give a number from 1 to 256\n";
    assert_eq!(stderr(&output), format!("{bad}error: 1 of 3 files cannot be used\n"));
    assert_eq!(innerloop(folder.path(), &["check", "tiny.ron", "s.ron"]).status.code(), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for arguments in [&["presets"][..], &["man"], &["completions", "bash"], &["train", "tiny.ron", "--steps", "0"]] {
        let folder = folder();
        let mut child =
            command(folder.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_closed_standard_error_is_survived() {
    let folder = folder();
    let mut child =
        command(folder.path(), &["train", "tiny.ron"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn shells_and_man_are_served() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(stdout(&innerloop(folder.path(), &["completions", shell])).contains("INNERLOOP_COMPLETE"), "{shell}");
    }
    let page = stdout(&innerloop(folder.path(), &["man"]));
    assert!(page.contains(".TH innerloop 1"));
    for command in ["RUN", "TRAIN", "EVAL", "PRESETS", "CHECK", "VERIFY", "COMPLETIONS", "MAN"] {
        assert_eq!(page.matches(&format!(".SH \"INNERLOOP {command}\"")).count(), 1, "{command}");
    }
    assert!(page.contains("\\-\\-save") && page.contains("Example: innerloop train gd\\-ssm"), "{page}");
    assert!(!page.contains("(1)"), "no page that cannot be printed is cited");
}

#[test]
fn every_key_of_every_task_can_be_set() {
    let folder = folder();
    for (task, settings) in [
        ("Sine(context: 4)", &["context=6", "range=4", "a_min=0.2", "a_max=2"][..]),
        (
            "Classification(dim: 3, classes: 3, context: 4, range: 1.0)",
            &["dim=4", "classes=2", "context=6", "range=4", "inputs=Normal"],
        ),
        (
            "LinearGrid(dim: 2, outputs: Scalar, rows: 3, columns: 3, range: 1.0, length: 1.0)",
            &["dim=1", "outputs=Vector", "rows=1", "columns=5", "range=2", "length=2", "weight_scale=2", "noise=0.1"],
        ),
        ("Differentiation(dim: 2, context: 4)", &["dim=3", "context=6", "waves=5", "frequency=0.5", "scale=2"]),
    ] {
        let set = format!("task={task}");
        let mut arguments = vec!["train", "tiny.ron", "--steps", "1", "--json", "--set", &set];
        let settings: Vec<String> = settings.iter().map(|setting| format!("task.{setting}")).collect();
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let report = json(&folder, &arguments);
        let cross = task.starts_with("Classification");
        assert_eq!(report["objective"], if cross { "cross-entropy" } else { "squared-error" });
        assert!(report["eval_loss"].is_f64() && report["references"]["gd-10"]["loss"].is_f64());
        assert_eq!(report["references"]["ridge"].is_null(), cross);
    }
}

#[test]
fn a_session_is_measured_on_other_tasks_without_training() {
    let folder = folder();
    let trained = json(&folder, &["train", "tiny.ron", "--save", "x.ron", "--json"]);
    let before = fs::read(folder.path().join("x.ron")).unwrap();
    let same = json(&folder, &["eval", "x.ron", "--json"]);
    assert_eq!(keys(&same), keys(&trained));
    for key in ["preset", "seed", "steps", "parameters", "eval_loss", "references", "equivalence"] {
        assert_eq!(same[key], trained[key], "{key}");
    }
    let wide = json(&folder, &["eval", "x.ron", "--set", "task.range=2", "--set", "task.weight_scale=3", "--json"]);
    let (there, here) = (&wide["references"], &trained["references"]);
    let ratio = |name: &str| there[name]["loss"].as_f64().unwrap() / here[name]["loss"].as_f64().unwrap();
    // Inputs are twice as large, weights three times, and the step is still the one that was best before.
    assert!((ratio("zero") / 36.0 - 1.0).abs() < 1e-4, "{}", ratio("zero"));
    assert!(ratio("gd-1") > 36.0 && there["gd-1"]["eta"] == here["gd-1"]["eta"], "{}", ratio("gd-1"));
    assert_eq!(fs::read(folder.path().join("x.ron")).unwrap(), before);
    let page = innerloop(folder.path(), &["eval", "x.ron", "--set", "task.context=9"]);
    assert!(stdout(&page).contains("tiny on cpu, seed 1, 20 parameters"), "{}", stderr(&page));
}

#[test]
fn what_cannot_be_measured_is_refused_in_one_line() {
    let folder = folder();
    json(&folder, &["train", "tiny.ron", "--steps", "1", "--save", "x.ron", "--json"]);
    let cases = [
        (&["x.ron", "--set", "task.dim=5"][..], 1, "--set task.dim=5: this changes the shapes of the weights"),
        (&["x.ron", "--set", "task.outputs=Scalar"], 1, "this changes the shapes of the weights"),
        (
            &["x.ron", "--set", "train.lr=1"],
            2,
            "--set train.lr=1: the weights stay as they are: only fields of the task",
        ),
        (&["x.ron", "--set", "task.drft=1"], 2, "did you mean `task.drift`?"),
        (&["x.ron", "--set", "task.noise=-1"], 1, "-1 is not allowed here: give a number from 0 to 1000000"),
        (&["x.ron", "--set", "task.distractors=1", "--set", "task.drift=1"], 1, "drift and distractors"),
        (&["tiny.ron"], 2, "tiny is a preset, not a session: `innerloop train tiny --steps 0` measures its start"),
        (&["none.ron"], 1, "there is no such file"),
    ];
    for (arguments, code, words) in cases {
        let output = innerloop(folder.path(), &[&["eval"], arguments].concat());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(code), ""), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).lines().count() <= 2, "{}", stderr(&output));
    }
}

#[test]
fn what_is_said_twice_or_makes_no_sense_is_wrong_usage() {
    let folder = folder();
    let cases = [
        (&["train", "tiny.ron", "--set", "task.dim=3", "--set", "task.dim=4"][..], "--set task.dim is given twice"),
        (&["train", "tiny.ron", "--seed", "1", "--set", "train.seed=1"], "--seed and --set train.seed are the same"),
        (&["train", "tiny.ron", "--steps", "x"], "give a whole number from 0 to 1000000000"),
        (&["train", "tiny.ron", "--seed", "-"], "give a whole number from 0 to 18446744073709551615"),
        (&["train", "tiny.ron", "--save", "s"], "the name must end in .ron, as in s.ron"),
        (&["train", "tiny.ron", "--force"], "--save <FILE>"),
        (&["train"], "Example: innerloop train gd-ssm --save gd-ssm.ron"),
        (&["run", "--seed", "3"], "--set, --seed and --steps need a preset"),
        (&["run", "tiny.ron", "--set", "task.dim=3", "--set", "task.dim=4"], "--set task.dim is given twice"),
        (&["trian", "tiny.ron"], "there is no command and no preset `trian`; the nearest are `train`, "),
        (&["gd-smm"], "there is no command and no preset `gd-smm`; the nearest are `gd-ssm`, "),
        (&["eval", "s.ron", "--seed", "3"], "unexpected argument '--seed'"),
    ];
    for (arguments, words) in cases {
        let output = innerloop(folder.path(), arguments);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(2), ""),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    let mistyped = innerloop(folder.path(), &["train", "tiny.ron", "--set", "task.dmi=3"]);
    assert!(stderr(&mistyped).ends_with("see `innerloop train --help`\n"), "{}", stderr(&mistyped));
}

#[test]
fn options_may_stand_before_the_command_and_a_preset_without_one() {
    let folder = folder();
    let after = json(&folder, &["train", "tiny.ron", "--steps", "3", "--json"]);
    let before = json(&folder, &["--steps", "3", "--json", "train", "tiny.ron"]);
    assert_eq!(before["eval_loss"], after["eval_loss"]);
    // Without a terminal the lab cannot open, but what it would open on is understood.
    for arguments in [&["tiny.ron"][..], &["tiny.ron", "--seed", "3"], &["--color", "none", "run", "tiny.ron"]] {
        let output = innerloop(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("the lab needs a terminal"), "{}", stderr(&output));
    }
}

#[test]
fn the_version_has_the_commit_where_one_is_known() {
    let said = stdout(&innerloop(folder().path(), &["--version"]));
    let rest = said.trim_end().strip_prefix(concat!("innerloop ", env!("CARGO_PKG_VERSION"))).unwrap();
    let in_repository =
        std::process::Command::new("git").args(["rev-parse", "HEAD"]).current_dir(support::root()).output();
    match in_repository.ok().filter(|output| output.status.success()) {
        Some(head) => {
            let commit = rest.trim_start_matches(" (").split(' ').next().unwrap();
            assert!(commit.len() >= 7 && stdout(&head).starts_with(commit), "{said} is not of {}", stdout(&head));
        }
        None => assert!(rest.is_empty() || rest.starts_with(" ("), "{said}"),
    }
}

#[test]
fn shells_complete_presets_keys_and_devices() {
    let folder = folder();
    let completed = |words: &[&str]| {
        let mut command = command(folder.path(), &[&["--", "innerloop"], words].concat());
        command.env("INNERLOOP_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        let text = stdout(&command.env("_CLAP_IFS", "\n").output().unwrap());
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(completed(&["train", "gd-s"]).contains(&"gd-ssm-sine".to_owned()));
    assert!(completed(&["gd-s"]).contains(&"gd-ssm".to_owned()), "{:?}", completed(&["gd-s"]));
    assert!(completed(&["train", "ti"]).contains(&"tiny.ron".to_owned()));
    assert!(completed(&["train", "gd-ssm", "--set", "task.d"]).contains(&"task.dim=".to_owned()));
    assert!(!completed(&["train", "gd-ssm", "--set", "t"]).contains(&"task=".to_owned()), "no key that holds keys");
    assert!(completed(&["train", "gd-ssm", "--device", "c"]).contains(&"cpu".to_owned()));
    assert!(completed(&["tr"]).contains(&"train".to_owned()));
}

#[test]
fn a_log_records_what_the_program_does() {
    let folder = folder();
    let train = ["--log", "x.log", "train", "tiny.ron", "--steps", "3", "--save", "s.ron"];
    assert_eq!(innerloop(folder.path(), &train).status.code(), Some(0));
    assert_eq!(innerloop(folder.path(), &["train", "none", "--log", "x.log"]).status.code(), Some(1));
    let log = fs::read_to_string(folder.path().join("x.log")).unwrap();
    for words in [" INFO ", "version=", "saved path=s.ron step=3", "there is no preset `none`"] {
        assert!(log.contains(words), "{words} is not in\n{log}");
    }
    assert!(!log.contains('\u{1b}'), "{log:?}");
    let refused = innerloop(folder.path(), &["--log", "none/x.log", "presets"]);
    assert!(stderr(&refused).starts_with("error: --log none/x.log: "), "{}", stderr(&refused));
}
