//! Sweeps: what is in the folder, continuing after an interruption, refusing what does not fit.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{innerloop, stderr, stdout};

const SWEEP: [&str; 10] =
    ["sweep", "tiny.ron", "--vary", "task.context=3,4", "--seeds", "2", "--steps", "40", "--out", "out"];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), support::PRESET).unwrap();
    folder
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

/// The rows of a table as texts, without the columns and the curves that hold times.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let mut table = csv::Reader::from_path(path).unwrap();
    let timed: Vec<bool> =
        table.headers().unwrap().iter().map(|name| ["elapsed_s", "steps_per_s"].contains(&name)).collect();
    let untimed = |record: csv::StringRecord| {
        record.iter().zip(&timed).filter(|(_, timed)| !**timed).map(|(cell, _)| cell.to_owned()).collect()
    };
    let head = table.headers().unwrap().clone();
    let records = table.records().map(Result::unwrap).filter(|record| !record.iter().any(|cell| cell == "seconds"));
    [untimed(head)].into_iter().chain(records.map(untimed)).collect()
}

#[test]
fn a_grid_over_seeds_has_a_row_a_run_with_the_numbers_of_train() {
    let folder = folder();
    let table = succeeds(&innerloop(folder.path(), &SWEEP));
    assert_eq!(table.lines().count(), 3, "{table}");
    let rows = rows(&folder.path().join("out/results.csv"));
    assert_eq!(rows[0][..4], ["preset", "task.context", "seed", "status"]);
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[2][..4], ["tiny", "3", "2", "done"]);
    let alone = ["train", "tiny.ron", "--set", "task.context=4", "--seed", "2", "--steps", "40", "--json"];
    let report: serde_json::Value = serde_json::from_str(&succeeds(&innerloop(folder.path(), &alone))).unwrap();
    for path in ["eval_loss", "equivalence.loss_gap", "references.gd-1.loss"] {
        let column = rows[0].iter().position(|name| name == path).unwrap();
        assert_eq!(
            rows[4][column],
            report.pointer(&format!("/{}", path.replace('.', "/"))).unwrap().to_string(),
            "{path}"
        );
    }
    // The lab shows the folder; what is no sweep is refused before the screen is taken.
    let error = stderr(&innerloop(folder.path(), &["run", "out"]));
    assert!(error.contains("the lab needs a terminal"), "{error}");
    let error = stderr(&innerloop(folder.path(), &["run", "out/runs"]));
    assert!(!error.contains("the lab needs a terminal"), "{error}");
    let curves = fs::read_to_string(folder.path().join("out/curves.csv")).unwrap();
    assert!(curves.starts_with("preset,task.context,seed,curve,step,min,mean,max\n"), "{curves}");
    for curve in ["eval_loss", "operations", "seconds"] {
        assert!(curves.contains(&format!("\ntiny,4,2,{curve},40,")), "{curve} {curves}");
    }
}

#[test]
fn a_sweep_that_was_killed_ends_with_the_same_table() {
    let (whole, killed) = (folder(), folder());
    succeeds(&innerloop(whole.path(), &SWEEP));
    let mut child = Command::new(env!("CARGO_BIN_EXE_innerloop"))
        .current_dir(killed.path())
        .args(SWEEP)
        .args(["--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let runs = killed.path().join("out/runs");
    let ended = || {
        fs::read_dir(&runs).is_ok_and(|files| {
            files.flatten().any(|file| file.path().extension().is_some_and(|extension| extension == "json"))
        })
    };
    let patience = Instant::now() + Duration::from_secs(60);
    while !ended() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    succeeds(&innerloop(killed.path(), &SWEEP));
    for table in ["out/results.csv", "out/curves.csv"] {
        assert_eq!(rows(&killed.path().join(table)), rows(&whole.path().join(table)), "{table}");
    }
}

#[test]
fn tasks_of_a_job_array_make_the_same_table() {
    let (whole, array) = (folder(), folder());
    succeeds(&innerloop(whole.path(), &SWEEP));
    let slurm: Vec<&str> =
        SWEEP.iter().copied().chain(["--slurm", "--runs-per-task", "3", "--sbatch=--time=10"]).collect();
    let script = succeeds(&innerloop(array.path(), &slurm));
    let script = fs::read_to_string(script.trim()).unwrap();
    for line in ["#SBATCH --array=0-1", "#SBATCH --time=10", "#SBATCH --requeue"] {
        assert!(script.lines().any(|found| found == line), "{line} in\n{script}");
    }
    for task in ["1", "0"] {
        succeeds(&innerloop(array.path(), &["sweep", "--task", task, "--runs-per-task", "3", "--out", "out"]));
    }
    let collected = succeeds(&innerloop(array.path(), &["sweep", "--collect", "out", "--json"]));
    let summary: serde_json::Value = serde_json::from_str(&collected).unwrap();
    assert_eq!(summary[0]["eval_loss"]["n"], 2);
    assert_eq!(rows(&array.path().join("out/results.csv")), rows(&whole.path().join("out/results.csv")));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_touched() {
    let folder = folder();
    let said = |arguments: &[&str]| {
        let output = innerloop(folder.path(), arguments);
        (output.status.code(), stderr(&output))
    };
    let (code, error) = said(&["sweep", "tiny.ron", "--vary", "task.dim=2,0", "--out", "out"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("tiny: --vary task.dim=0: "), "{error}");
    assert!(!folder.path().join("out").exists());
    fs::create_dir(folder.path().join("used")).unwrap();
    fs::write(folder.path().join("used/thesis.tex"), "mine").unwrap();
    let (code, error) = said(&["sweep", "tiny.ron", "--out", "used"]);
    assert!(code == Some(1) && error.contains("not empty and holds no sweep"), "{error}");
    succeeds(&innerloop(folder.path(), &["sweep", "tiny.ron", "--steps", "3", "--out", "out"]));
    let (code, error) = said(&["sweep", "tiny.ron", "--steps", "4", "--out", "out"]);
    assert!(code == Some(1) && error.contains("holds another sweep"), "{error}");
    let (code, error) = said(&["sweep", "--collect", "used"]);
    assert!(code == Some(1) && error.contains("holds no sweep"), "{error}");
}

#[test]
fn runs_of_different_tasks_may_train_at_once() {
    let folder = folder();
    fs::write(folder.path().join("other.ron"), support::PRESET.replace("context: 3", "context: 4")).unwrap();
    let error = stderr(&innerloop(folder.path(), &["run", "tiny.ron", "other.ron"]));
    assert!(error.contains("the lab needs a terminal"), "{error}");
}

#[test]
fn a_run_that_diverges_is_a_row_that_says_so() {
    let folder = folder();
    let arguments = ["sweep", "tiny.ron", "--vary", "train.lr=0.01,1000", "--set", "train.clip=None"];
    succeeds(&innerloop(folder.path(), &[&arguments[..], &["--set", "train.optimiser=Sgd", "--out", "out"]].concat()));
    let rows = rows(&folder.path().join("out/results.csv"));
    assert_eq!(rows[1][3], "done");
    assert!(rows[2][3].starts_with("diverged at step "), "{:?}", rows[2]);
}
