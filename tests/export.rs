//! Files for other programs, and the comparison of sessions.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use innerloop::numbers::significant;
use innerloop::run_table::Row;
use innerloop::session::{self, Session};
use innerloop::tui::app::KeptRun;
use serde_json::Value;
use support::{innerloop, stderr, stdout};

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = innerloop(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn fails(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output: Output = innerloop(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    stderr(&output)
}

/// A folder with the preset `tiny.ron` and a session of it after 40 steps, `s.ron`.
fn folder() -> (tempfile::TempDir, Session) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), support::PRESET).unwrap();
    let session = support::session(40);
    session::save(&folder.path().join("s.ron"), &session).unwrap();
    (folder, session)
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn curves_and_reports_have_the_numbers_of_the_session() {
    let (folder, session) = folder();
    let folder = folder.path();
    for name in ["s.csv", "s.svg", "s.html"] {
        succeeds(folder, &["export", "s.ron", "--to", name]);
    }
    let csv = read(folder, "s.csv");
    assert!(csv.starts_with("preset,seed,curve,step,min,mean,max\ntiny,1,train_loss,1,"), "{csv}");
    let last = csv.lines().rfind(|line| line.contains(",eval_loss,")).unwrap();
    let mean: f32 = last.split(',').nth(5).unwrap().parse().unwrap();
    assert_eq!(session.history.eval_loss.last(), Some((40, mean)));

    let report: Value = serde_json::from_str(&succeeds(folder, &["eval", "s.ron", "--json"])).unwrap();
    let digits = |path: &str| significant(report.pointer(path).unwrap().as_f64().unwrap(), 4);
    let (svg, html) = (read(folder, "s.svg"), read(folder, "s.html"));
    assert!(svg.contains(&format!("gd-1 {}", digits("/references/gd-1/loss"))), "{svg}");
    assert!(svg.contains("model ") && svg.contains("zero ") && svg.contains("least-squares "));
    let over = report["eval_loss"].as_f64().unwrap() / report["references"]["gd-1"]["loss"].as_f64().unwrap();
    assert!(
        html.contains(&format!("Held-out loss {} = {} × gd-1", digits("/eval_loss"), significant(over, 4))),
        "{html}"
    );
    for part in ["Hidden state", "Σ y xᵀ", "<h2>References</h2>", "<td>gd-1</td>", "Made with", "task: Linear("] {
        assert!(html.contains(part), "{part}");
    }
    for network in ["src=", "href=", "@import", "url("] {
        assert!(!html.contains(network), "{network}");
    }
}

#[test]
fn nothing_is_overwritten_and_what_cannot_be_exported_is_refused() {
    let (folder, _session) = folder();
    let folder = folder.path();
    fs::write(folder.join("s.csv"), "mine").unwrap();
    let error = fails(folder, &["export", "s.ron", "--to", "s.csv"], 1);
    assert!(error.contains("s.csv exists already; --force replaces it"), "{error}");
    assert_eq!(read(folder, "s.csv"), "mine");
    succeeds(folder, &["export", "s.ron", "--to", "s.csv", "--force"]);
    assert!(read(folder, "s.csv").starts_with("preset,"));
    succeeds(folder, &["export", "s.ron", "--to", "events/"]);
    let error = fails(folder, &["export", "s.ron", "--to", "events"], 1);
    assert!(error.contains("exists already"), "{error}");
    for (arguments, code, words) in [
        (["s.ron", "s.pt"], 2, "the ending says what is written: .csv, .npz, .safetensors, .svg or .html"),
        (["tiny.ron", "t.csv"], 2, "tiny.ron is a preset, not a session"),
        (["none.ron", "t.csv"], 1, "none.ron"),
        (["s.ron", "none/t.csv"], 1, "mkdir -p none"),
    ] {
        let error = fails(folder, &["export", arguments[0], "--to", arguments[1]], code);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_sweep_is_exported_with_bands_tables_and_a_folder_of_events_for_each_run() {
    let (folder, _session) = folder();
    let folder = folder.path();
    let sweep = ["sweep", "tiny.ron", "--vary", "train.lr=0.01,0.02", "--seeds", "2", "--steps", "20", "--out", "out"];
    let table = succeeds(folder, &sweep);
    for to in ["c.csv", "c.svg", "c.html", "events/"] {
        succeeds(folder, &["export", "out", "--to", to]);
    }
    assert_eq!(read(folder, "c.csv"), read(folder, "out/curves.csv"));
    let (svg, html) = (read(folder, "c.svg"), read(folder, "c.html"));
    assert_eq!(svg.matches("<polygon").count(), 2, "a band for each value");
    assert!(svg.contains("lr 0.01 ") && svg.contains("lr 0.02 ") && svg.contains("gd-1 "));
    let loss = table.lines().nth(1).unwrap().split("  ").find(|cell| cell.contains(" ± ")).unwrap().trim();
    assert!(html.contains(&format!("<td>{loss}</td>")), "{loss}");
    assert_eq!(fs::read_dir(folder.join("events")).unwrap().count(), 4);
    let error = fails(folder, &["export", "out", "--to", "w.npz"], 2);
    assert!(error.contains("the weights of one run: give one of its sessions, such as out/runs/0001-"), "{error}");

    let rows: Value = serde_json::from_str(&succeeds(folder, &["compare", "out", "--json"])).unwrap();
    assert_eq!(rows["runs"].as_array().unwrap().len(), 4);
    assert_eq!(rows["runs"][3]["overrides"], Value::Null, "there is no preset named tiny");
}

/// What Python reads of the files, as JSON.
const PYTHON: &str = r#"
import json, struct, sys
import numpy, safetensors.numpy, safetensors
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
npz = numpy.load("s.npz")
tensors = safetensors.numpy.load_file("s.safetensors")
events = EventAccumulator("events"); events.Reload()
with safetensors.safe_open("s.safetensors", "np") as file: metadata = file.metadata()
print(json.dumps({
    "npz": {name[8:]: npz[name].tolist() for name in npz.files if name.startswith("weights/")},
    "safetensors": {name: tensor.tolist() for name, tensor in tensors.items()},
    "metadata": metadata,
    "steps": npz["curves/eval_loss/step"].tolist(), "means": npz["curves/eval_loss/mean"].tolist(),
    "events": [[event.step, event.value] for event in events.Scalars("eval_loss")],
    "tags": sorted(events.Tags()["scalars"]),
}))
"#;

#[test]
fn numpy_safetensors_and_tensorboard_read_what_is_written() {
    let (folder, session) = folder();
    let folder = folder.path();
    for to in ["s.npz", "s.safetensors", "events/"] {
        succeeds(folder, &["export", "s.ron", "--to", to]);
    }
    let probe = Command::new("python3").args(["-c", "import numpy, safetensors, tensorboard"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no numpy, safetensors and tensorboard");
        return;
    }
    let output = Command::new("python3").current_dir(folder).args(["-c", PYTHON]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let read: Value = serde_json::from_str(stdout(&output).lines().next_back().unwrap()).unwrap();
    for parameter in &session.checkpoint.parameters {
        let rows: Vec<Vec<f32>> = parameter.values.chunks(parameter.shape.1).map(<[f32]>::to_vec).collect();
        for format in ["npz", "safetensors"] {
            let found: Vec<Vec<f32>> = serde_json::from_value(read[format][&parameter.name].clone()).unwrap();
            assert_eq!(found, rows, "{format} {}", parameter.name);
        }
    }
    assert_eq!((read["metadata"]["seed"].as_str(), read["metadata"]["step"].as_str()), (Some("1"), Some("40")));
    assert!(read["metadata"]["preset"].as_str().unwrap().contains("GdSsm"));
    let curve: Vec<(u64, f32)> = session.history.eval_loss.buckets().iter().map(|b| (b.step, b.mean)).collect();
    let events: Vec<(u64, f32)> = serde_json::from_value(read["events"].clone()).unwrap();
    assert_eq!(events, curve);
    let steps: Vec<u64> = serde_json::from_value(read["steps"].clone()).unwrap();
    let means: Vec<f32> = serde_json::from_value(read["means"].clone()).unwrap();
    assert_eq!(steps.into_iter().zip(means).collect::<Vec<_>>(), curve);
    assert_eq!(read["tags"].as_array().unwrap().len(), session.history.named().count());
}

#[test]
fn sessions_of_one_task_are_compared_with_the_numbers_of_eval() {
    let (folder, session) = folder();
    let folder = folder.path();
    let train = ["train", "tiny.ron", "--seed", "2", "--steps", "10", "--save", "b.ron"];
    succeeds(folder, &train);
    let compared: Value = serde_json::from_str(&succeeds(folder, &["compare", "s.ron", "b.ron", "--json"])).unwrap();
    for (i, file) in ["s.ron", "b.ron"].into_iter().enumerate() {
        let report: Value = serde_json::from_str(&succeeds(folder, &["eval", file, "--json"])).unwrap();
        let row = &compared["runs"][i];
        assert_eq!(row["eval_loss"], report["eval_loss"], "{file}");
        assert_eq!(row["nearest_distance"], report["equivalence"]["nearest_distance"], "{file}");
        assert_eq!((&row["seed"], &row["step"]), (&report["seed"], &report["steps"]), "{file}");
        assert_eq!(compared["level"], report["references"]["gd-1"]["loss"]);
    }
    // The lab's table is made of the same row.
    let descent_loss = compared["level"].as_f64();
    let kept = KeptRun::of_session("s.ron".into(), session.clone(), None);
    let row = Row::of(&kept.compared(descent_loss).unwrap(), descent_loss.unwrap());
    let row: Value = serde_json::from_str(&serde_json::to_string(&row).unwrap()).unwrap();
    assert_eq!(row, compared["runs"][0]);
    let loss = session.history.eval_loss.last().unwrap().1;
    let level = ["compare", "s.ron", "--level", &loss.to_string(), "--json"];
    let reached: Value = serde_json::from_str(&succeeds(folder, &level)).unwrap();
    assert!(reached["runs"][0]["steps_to_level"].as_u64().unwrap() <= 40);
    assert!(reached["runs"][0]["seconds_to_level"].is_f64());
    let table = succeeds(folder, &["compare", "s.ron", "b.ron"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.lines().next().unwrap().contains("loss / gd-1") && !table.contains("0.000000"), "{table}");

    succeeds(folder, &["train", "tiny.ron", "--set", "task.context=4", "--steps", "1", "--save", "c.ron"]);
    let error = fails(folder, &["compare", "s.ron", "c.ron"], 2);
    assert!(error.contains("s.ron (task.context=3) and c.ron (task.context=4) have different tasks"), "{error}");
    let error = fails(folder, &["compare", "s.ron", "--level", "gd-77"], 2);
    assert!(error.contains("--level gd-77: give a loss or one of these references: zero, gd-1"), "{error}");
}

#[test]
fn json_has_curves_overrides_and_version_on_request() {
    let (folder, session) = folder();
    let folder = folder.path();
    let train = ["train", "tiny.ron", "--steps", "40", "--json", "--curves"];
    let report: Value = serde_json::from_str(&succeeds(folder, &train)).unwrap();
    let curve = report["curves"]["eval_loss"].as_array().unwrap();
    assert_eq!(curve.len(), session.history.eval_loss.buckets().len());
    assert_eq!(
        curve.last().unwrap()[2].as_f64().map(|mean| mean as f32),
        session.history.eval_loss.last().map(|(_, v)| v)
    );
    for grows in ["seconds", "operations"] {
        assert!(report["curves"][grows].as_array().unwrap().last().unwrap()[2].as_f64() > Some(0.0), "{grows}");
    }
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let train = ["train", "first-look", "--set", "train.lr=0.003", "--seed", "9", "--steps", "0", "--json"];
    let report: Value = serde_json::from_str(&succeeds(folder, &train)).unwrap();
    assert_eq!(report["overrides"], serde_json::json!(["train.lr=0.003"]));
    assert!(report.get("curves").is_none());
    fails(folder, &["train", "tiny.ron", "--curves"], 2);
}

#[test]
fn a_session_without_the_time_of_its_training_is_read_and_compared() {
    let (folder, session) = folder();
    let folder = folder.path();
    let text = read(folder, "s.ron");
    let (before, _) = text.split_once("    time: ").unwrap();
    fs::write(folder.join("old.ron"), format!("{before})\n")).unwrap();
    let old = session::load(&folder.join("old.ron")).unwrap();
    assert_eq!((&old.checkpoint, old.time.seconds()), (&session.checkpoint, 0.0));
    assert!(session.time.seconds() > 0.0);
    let compared: Value =
        serde_json::from_str(&succeeds(folder, &["compare", "old.ron", "--level", "9", "--json"])).unwrap();
    assert_eq!(compared["runs"][0]["steps_to_level"], 0);
}

#[test]
fn what_cannot_be_watched_is_said_before_the_screen_is_taken() {
    let (folder, _session) = folder();
    let folder = folder.path();
    fs::create_dir(folder.join("empty")).unwrap();
    for (what, words) in [
        ("none.ron", "none.ron"),
        ("empty", "there is no session in this folder yet"),
        ("tiny.ron", "tiny.ron"),
        ("s.ron", "the lab needs a terminal"),
    ] {
        let error = fails(folder, &["watch", what], 1);
        assert!(error.contains(words), "{error}");
    }
}
