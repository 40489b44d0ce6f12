//! `innerloop verify` as a shell sees it.

mod support;

use std::fs;

use innerloop::{preset, session::ResultCache};
use support::{PRESET, innerloop, stderr, stdout};

/// The small preset with these claims, verified: exit code, standard output, standard error.
fn verify(claims: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let end = PRESET.rfind(')').unwrap();
    fs::write(folder.path().join("tiny.ron"), format!("{}    claims: [{claims}],\n)\n", &PRESET[..end])).unwrap();
    let output = innerloop(folder.path(), &["verify", "tiny.ron"]);
    (output.status.code(), stdout(&output), stderr(&output))
}

#[test]
fn claims_that_hold_are_shown_with_their_values() {
    let (code, out, _) =
        verify("(measure: LossOver(Zero), at_least: 0.1, after: 0), (measure: Nearest(Zero), after: 0)");
    assert_eq!(code, Some(0), "{out}");
    assert_eq!(out.matches(" held ").count(), 2, "{out}");
    assert!(out.ends_with("2 held, 0 failed\n"), "{out}");
}

#[test]
fn what_came_of_claims_is_remembered_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let claims = "    claims: [(measure: Nearest(Zero), after: 0), (measure: LossGap, within: 1e-9, after: 2)],\n)\n";
    let end = PRESET.rfind(')').unwrap();
    fs::write(folder.path().join("tiny.ron"), format!("{}{claims}", &PRESET[..end])).unwrap();
    innerloop(folder.path(), &["verify", "tiny.ron"]);
    let preset = preset::load(&folder.path().join("tiny.ron")).unwrap();
    let result_cache = ResultCache::read(&folder.path().join(".state/innerloop/claims.ron"));
    let page = result_cache.results("tiny", &preset).unwrap();
    let held: Vec<bool> = preset.claims.iter().map(|claim| page.result(claim).unwrap().verdict.held).collect();
    assert_eq!(held, [true, false]);
    assert!(page.seconds_per_step().is_some());
}

#[test]
fn a_claim_may_be_about_other_tasks_than_those_of_training() {
    // Predicting zero costs four times as much on inputs twice as large, for the weights of step 0 and of step 2.
    let claims = "(measure: ReferenceLossOver(Zero, LeastSquares), at_least: 1, after: 0),
        (measure: ReferenceOperationsOver(Gd(2), Gd(1)), at_least: 1.5, at_most: 4, after: 0),
        (measure: ReferenceLossOver(Gd(1), Zero), at_most: 1, after: 2),
        (measure: ReferenceLossOver(Gd(1), Zero), at_least: 2, set: [(\"task.range\", \"3.0\")], after: 2)";
    let (code, out, err) = verify(claims);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("loss of gd-1 over that of zero at least 2 at range=3.0 after 2 steps"), "{out}");
    let (code, _, err) = verify("(measure: LossGap, within: 1, set: [(\"task.dim\", \"3\")], after: 0)");
    assert_eq!(code, Some(1));
    assert!(err.contains("claims: --set task.dim=3: this changes the shapes of the weights"), "{err}");
}

#[test]
fn a_table_has_a_row_for_each_preset_and_nothing_else_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let end = PRESET.rfind(')').unwrap();
    let claims = "(measure: Nearest(Zero), after: 0), (measure: LossGap, within: 1e-9, after: 0)";
    fs::write(folder.path().join("tiny.ron"), format!("{}    claims: [{claims}],\n)\n", &PRESET[..end])).unwrap();
    let output = innerloop(folder.path(), &["verify", "--markdown", "tiny.ron"]);
    assert_eq!(output.status.code(), Some(1), "one does not hold");
    let table = stdout(&output);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows.iter().all(|row| row.matches('|').count() == 9), "{table}");
    assert!(rows[2].starts_with("| `tiny` | 20 | 1 | ") && rows[2].ends_with(" | 1 of 2 |"), "{table}");
    assert!(rows[2].contains(" | zero "), "{table}");
    assert!(stderr(&output).contains("FAILED"));
}

#[test]
fn several_seeds_are_trained_and_a_claim_says_for_which_share_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let end = PRESET.rfind(')').unwrap();
    let claims =
        "(measure: Nearest(Zero), after: 0), (measure: LossOver(Zero), at_most: 2.0, after: 1, for_seeds: 0.5)";
    fs::write(folder.path().join("tiny.ron"), format!("{}    claims: [{claims}],\n)\n", &PRESET[..end])).unwrap();
    let output = innerloop(folder.path(), &["verify", "tiny.ron", "--seeds", "11,12,13"]);
    let out = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{}", stderr(&output));
    assert_eq!(out.matches(" held 3 of 3 ").count(), 2, "{out}");
    assert!(out.contains(" ± ") && out.contains("for 50 % of seeds"), "{out}");
    for seed in ["11", "12", "13"] {
        assert!(stderr(&output).contains(&format!("tiny, seed {seed}:")), "{}", stderr(&output));
    }
    // The table has the number of seeds and the spread of the loss.
    let output = innerloop(folder.path(), &["verify", "tiny.ron", "--seeds", "2", "--markdown"]);
    let table = stdout(&output);
    assert!(table.lines().last().is_some_and(|row| row.starts_with("| `tiny` | 20 | 2 | ")), "{table}");
    let wrong = innerloop(folder.path(), &["verify", "tiny.ron", "--seeds", "0"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("a list, such as 11,12,13"), "{}", stderr(&wrong));
}

#[test]
fn a_claim_may_compare_two_presets_trained_with_the_same_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let end = PRESET.rfind(')').unwrap();
    let write = |name: &str, preset: &str, claims: &str| {
        fs::write(folder.path().join(name), format!("{}    claims: [{claims}],\n)\n", &preset[..end])).unwrap();
    };
    write("one.ron", PRESET, "(measure: LossOver(Zero), at_least: 0.1, after: 3)");
    write("two.ron", PRESET, "(measure: LossOverPreset(\"one.ron\"), at_least: 1.0, at_most: 1.0, after: 3)");
    let output = innerloop(folder.path(), &["verify", "two.ron", "--seeds", "11,12"]);
    let out = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{}", stderr(&output));
    // The same preset with the same seeds: the quotient is 1 to the last bit. Only the preset that was asked for is
    // shown.
    assert!(out.contains("held 2 of 2") && out.contains("1.0000 ± 0 loss over that of the preset one.ron"), "{out}");
    assert!(out.ends_with("1 held, 0 failed\n"), "{out}");
    for line in ["one, seed 11:", "one, seed 12:", "two, seed 11:"] {
        assert!(stderr(&output).contains(line), "{}", stderr(&output));
    }
    write("two.ron", PRESET, "(measure: LossOverPreset(\"gru\"), at_least: 0.5, after: 3)");
    let output = innerloop(folder.path(), &["verify", "two.ron"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("whose task is another one"), "{}", stderr(&output));
}

#[test]
fn a_claim_that_does_not_hold_fails() {
    let (code, out, err) = verify("(measure: LossGap, within: 1e-9, after: 3)");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED") && out.contains("loss gap to gd-1 within 0.000000001 after 3 steps"), "{out}");
    assert!(err.contains("1 of 1 claims did not hold"), "{err}");
}

#[test]
fn a_claim_beyond_the_last_step_cannot_be_verified_but_harms_nothing_else() {
    let (code, _, err) = verify("(measure: LossGap, within: 1, after: 1000000)");
    assert_eq!(code, Some(1));
    assert!(err.contains("beyond train.steps"), "{err}");
    let folder = tempfile::tempdir().unwrap();
    let shorter = ["train", "gd-ssm", "--set", "train.steps=1", "--set", "train.batch=1", "--json"];
    assert_eq!(innerloop(folder.path(), &shorter).status.code(), Some(0));
}

#[test]
fn a_claim_that_cannot_be_checked_is_refused_with_its_place() {
    for (claim, why) in [
        ("(measure: LossGap, after: 0)", "give within, at_least or at_most"),
        ("(measure: Lossgap, within: 1, after: 1)", "LossGap"),
        ("(measure: LossGap, within: 1, set: [(\"train.lr\", \"1\")], after: 1)", "fields of the task only"),
    ] {
        let (code, _, err) = verify(claim);
        assert_eq!(code, Some(1), "{claim}");
        assert!(err.contains("tiny.ron:") && err.contains(why), "{claim}: {err}");
    }
}
