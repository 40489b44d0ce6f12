//! Saving: nothing is lost, nothing is overwritten, and what fails is said in time.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use innerloop::session::{self, SessionFile};
use support::{PRESET, innerloop, preset_with, signal, stderr, stdout, training};

/// A folder with the small preset as `tiny.ron`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.ron"), PRESET).unwrap();
    folder
}

fn step_in(folder: &Path, name: &str) -> u64 {
    session::load(&folder.join(name)).unwrap().checkpoint.step
}

fn train(folder: &Path, arguments: &[&str]) -> Output {
    innerloop(folder, &[&["train"], arguments].concat())
}

fn trained(folder: &Path, arguments: &[&str]) {
    let output = train(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Asserts that a command is refused in one line, prints no result and leaves a file as it is.
fn refused(folder: &Path, arguments: &[&str], file: &str, words: &[&str]) {
    let before = fs::read(folder.join(file)).unwrap();
    let output = train(folder, arguments);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    for word in words {
        assert!(stderr(&output).contains(word), "{word} is not in {}", stderr(&output));
    }
    assert_eq!(fs::read(folder.join(file)).unwrap(), before);
}

/// Names of a folder's files, hidden ones included.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn another_experiment_is_replaced_only_by_force() {
    let folder = folder();
    let folder = folder.path();
    trained(folder, &["tiny.ron", "--steps", "5", "--save", "s.ron"]);
    let another = &["s.ron: this is the session of another experiment", "(tiny, seed 1, step 5 of 50)", "--force"];
    refused(folder, &["tiny.ron", "--seed", "9", "--save", "s.ron"], "s.ron", another);
    let settings = &["another experiment with other settings"];
    refused(folder, &["tiny.ron", "--set", "task.range=2", "--save", "s.ron"], "s.ron", settings);
    trained(folder, &["tiny.ron", "--steps", "3", "--seed", "9", "--save", "s.ron", "--force"]);
    assert_eq!(session::load(&folder.join("s.ron")).unwrap().checkpoint.seed, 9);
}

#[test]
fn a_later_step_is_replaced_only_by_force() {
    let folder = folder();
    let folder = folder.path();
    trained(folder, &["tiny.ron", "--steps", "20", "--save", "s.ron"]);
    let later = &["this run is there already at a later step", "step 20 of 50", "`innerloop train s.ron --save s.ron`"];
    refused(folder, &["tiny.ron", "--save", "s.ron"], "s.ron", later);
    trained(folder, &["s.ron", "--steps", "30", "--save", "s.ron"]);
    trained(folder, &["s.ron", "--steps", "40", "--save", "later.ron"]);
    refused(folder, &["s.ron", "--save", "later.ron"], "later.ron", &["at a later step"]);
    // An earlier step of the same run is what saving replaces all the time.
    trained(folder, &["later.ron", "--steps", "41", "--save", "s.ron"]);
    trained(folder, &["tiny.ron", "--steps", "2", "--save", "s.ron", "--force"]);
    assert_eq!(step_in(folder, "s.ron"), 2);
}

#[test]
fn a_session_that_cannot_be_read_is_replaced_only_by_force() {
    let folder = folder();
    fs::write(folder.path().join("s.ron"), "Session(schema: 9)").unwrap();
    let words = &["schema: this is version 9", "only --force replaces it"];
    refused(folder.path(), &["tiny.ron", "--save", "s.ron"], "s.ron", words);
    trained(folder.path(), &["tiny.ron", "--steps", "1", "--save", "s.ron", "--force"]);
}

#[test]
fn a_folder_that_is_missing_is_not_made() {
    let folder = folder();
    let words = &["the folder new/deep does not exist: make it with `mkdir -p new/deep`"];
    refused(folder.path(), &["tiny.ron", "--save", "new/deep/s.ron"], "tiny.ron", words);
    assert_eq!(names(folder.path()), ["tiny.ron"]);
}

#[test]
fn a_save_leaves_nothing_beside_the_file_and_removes_what_killed_programs_left() {
    let folder = folder();
    let hours_ago = SystemTime::now() - Duration::from_secs(9_000);
    for name in [".innerloop-save-x.tmp", ".innerloop-y.tmp", ".s.ron.lock", ".notes.tmp"] {
        fs::File::create(folder.path().join(name)).unwrap().set_modified(hours_ago).unwrap();
    }
    trained(folder.path(), &["tiny.ron", "--steps", "1", "--save", "s.ron"]);
    assert_eq!(names(folder.path()), [".notes.tmp", "s.ron", "tiny.ron"]);
}

#[test]
fn links_are_followed_and_permissions_stay() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    symlink("real.ron", at("s.ron")).unwrap();
    trained(folder.path(), &["tiny.ron", "--steps", "1", "--save", "s.ron"]);
    assert!(at("s.ron").is_symlink() && !at("real.ron").is_symlink());
    fs::set_permissions(at("real.ron"), fs::Permissions::from_mode(0o600)).unwrap();
    trained(folder.path(), &["s.ron", "--steps", "2", "--save", "s.ron"]);
    assert_eq!(fs::metadata(at("real.ron")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(step_in(folder.path(), "real.ron"), 2);
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_the_first_step() {
    let folder = folder();
    trained(folder.path(), &["tiny.ron", "--steps", "1", "--save", "s.ron"]);
    fs::set_permissions(folder.path().join("s.ron"), fs::Permissions::from_mode(0o444)).unwrap();
    refused(folder.path(), &["s.ron", "--save", "s.ron"], "s.ron", &["cannot save s.ron: the file is read-only"]);
}

/// Trains under a limit on the size of files, in blocks of 1,024 bytes.
fn limited(folder: &Path, blocks: u64, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_innerloop");
    let script = format!("ulimit -f {blocks}; exec '{program}' train {arguments}");
    Command::new("bash").args(["-c", &script]).current_dir(folder).env("TMPDIR", folder).output().unwrap()
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_costs_nothing() {
    let folder = folder();
    session::save(&folder.path().join("s.ron"), &support::session(3)).unwrap();
    let before = fs::read(folder.path().join("s.ron")).unwrap();
    let output = limited(folder.path(), 1, "s.ron --save s.ron");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot save s.ron: File too large"), "{}", stderr(&output));
    assert_eq!(fs::read(folder.path().join("s.ron")).unwrap(), before);
    assert_eq!(names(folder.path()), ["s.ron", "tiny.ron"]);
}

#[test]
fn where_the_last_save_fails_the_report_is_printed_all_the_same() {
    let folder = folder();
    session::save(&folder.path().join("first.ron"), &support::session(0)).unwrap();
    let first = fs::metadata(folder.path().join("first.ron")).unwrap().len();
    // The curves make the later sessions larger.
    let output = limited(folder.path(), first.div_ceil(1024), "tiny.ron --save s.ron");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("50 steps") && !stdout(&output).contains("saved  "), "{}", stdout(&output));
    assert!(stderr(&output).contains("cannot save s.ron: File too large"), "{}", stderr(&output));
    assert_eq!(step_in(folder.path(), "s.ron"), 0, "the save before the first step");
}

#[test]
fn a_run_that_loses_its_folder_is_saved_elsewhere() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("here")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("long.ron"), preset_with("steps: 50", "steps: 1000000000")).unwrap();
    let mut start = support::command(folder.path(), &["train", "long.ron", "--save", "here/s.ron"]);
    let (mut child, mut lines) = support::started(start.env("TMPDIR", at("elsewhere")));
    fs::rename(at("here"), at("gone")).unwrap();
    signal(&child, "TERM");
    let mut said = String::new();
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143), "{said}");
    assert!(said.contains("cannot save here/s.ron") && said.contains("elsewhere/long-seed1.ron instead"), "{said}");
    assert!(step_in(&at("elsewhere"), "long-seed1.ron") > 0);
}

#[test]
fn two_runs_never_write_one_file() {
    let folder = folder();
    let (mut child, _lines) = training(folder.path(), &["--save", "s.ron"]);
    let output = train(folder.path(), &["tiny.ron", "--save", "s.ron", "--force"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let words = format!("s.ron: another run writes this file (process {} on ", child.id());
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    assert!(SessionFile::take(&folder.path().join("s.ron")).is_err());
    // A killed run holds nothing.
    child.kill().unwrap();
    child.wait().unwrap();
    trained(folder.path(), &["tiny.ron", "--steps", "1", "--save", "s.ron", "--force"]);
}

#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    let folder = folder();
    fs::write(folder.path().join("long.ron"), preset_with("steps: 50", "steps: 1000000000")).unwrap();
    let script = format!("trap '' HUP INT; exec '{}' train long.ron --save s.ron", env!("CARGO_BIN_EXE_innerloop"));
    let mut shell = Command::new("sh");
    let (mut child, mut lines) = support::started(shell.args(["-c", &script]).current_dir(folder.path()));
    // Had one of them been received, it would have ended the run.
    signal(&child, "HUP");
    signal(&child, "INT");
    signal(&child, "TERM");
    let mut said = String::new();
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143), "{said}");
    assert!(said.contains("stopped by TERM at step "), "{said}");
}
