//! `innerloop minima`: which different ends the seeds of a sweep have, with the losses of the learners between them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{completions, print};
use crate::bounds;
use crate::numbers::significant;
use crate::sweep::{Folder, Outcome, RunSpec};

/// Show which different ends the seeds of a sweep have
///
/// Runs whose final losses follow each other closely are one end. Between the ends stand the losses of the learners
/// that the preset names, and of those that an end is nearest to.
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop sweep gd-ssm-2 --seeds 20 --out ends && innerloop minima ends")]
pub struct Options {
    /// The folder of a sweep
    #[arg(value_name = "DIR", add = completions::session_files())]
    pub what: PathBuf,
    /// Final losses that differ by more than this part are different ends
    #[arg(long, value_name = "PART", default_value_t = 0.03)]
    pub gap: f64,
    /// Print one JSON object a line and nothing else on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs with about the same final loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct End {
    least_loss: f64,
    greatest_loss: f64,
    seeds: Vec<u64>,
    /// The nearest reference of each, with how many runs it is the nearest for.
    nearest: BTreeMap<String, usize>,
}

/// The ends of one preset with one combination of varied values, the greatest loss first.
#[derive(Clone, Debug, Serialize)]
struct Ends {
    preset: String,
    varied: Vec<(String, String)>,
    /// Runs that diverged.
    diverged: usize,
    ends: Vec<End>,
    /// Name and loss of each learner that is shown.
    learners: Vec<(String, f64)>,
}

/// Prints the ends of each preset.
pub fn run(options: &Options) -> Result<ExitCode> {
    let (ended, _) = Folder::open(&options.what)?.ended()?;
    if ended.is_empty() {
        bail!("{}: no run of this sweep has ended yet", shown(&options.what));
    }
    let mut groups: Vec<Vec<&(RunSpec, Outcome)>> = Vec::new();
    for run in &ended {
        let same = |group: &&mut Vec<&(RunSpec, Outcome)>| {
            group.first().is_some_and(|(spec, _)| spec.preset_name == run.0.preset_name && spec.varied == run.0.varied)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let mut text = String::new();
    for group in groups {
        let ends = Ends::of(&group, options.gap);
        if options.json {
            text += &(serde_json::to_string(&ends)? + "\n");
        } else {
            text += &ends.page();
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}

/// The final loss of a run and its nearest reference.
struct Final<'a> {
    seed: u64,
    loss: f64,
    nearest: &'a str,
}

impl Ends {
    /// Of runs that share all but their seeds.
    fn of(group: &[&(RunSpec, Outcome)], gap: f64) -> Self {
        let done = || group.iter().filter(|(_, outcome)| outcome.status == "done");
        let number = |report: &Value, path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let nearest = |report| Value::pointer(report, "/equivalence/nearest").and_then(Value::as_str).unwrap_or("none");
        let mut finals: Vec<Final<'_>> = done()
            .map(|(run, Outcome { report, .. })| Final {
                seed: run.preset.train.seed,
                loss: number(report, "/eval_loss"),
                nearest: nearest(report),
            })
            .filter(|end| end.loss.is_finite())
            .collect();
        finals.sort_by(|a, b| b.loss.total_cmp(&a.loss));
        let ends = ends(&finals, gap);
        let named = |name: &str| {
            let of_preset =
                |(run, _): &&(RunSpec, Outcome)| run.preset.references.iter().any(|r| r.to_string() == name);
            group.first().is_some_and(of_preset) || ends.iter().any(|end| end.nearest.contains_key(name))
        };
        let references = done().next().and_then(|(_, outcome)| outcome.report.get("references")?.as_object());
        let mut learners: Vec<(String, f64)> = references
            .into_iter()
            .flatten()
            .map(|(name, line)| (name.clone(), number(line, "/loss")))
            .filter(|(name, loss)| named(name) && loss.is_finite())
            .collect();
        learners.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (preset, varied) =
            group.first().map(|(run, _)| (run.preset_name.clone(), run.varied.clone())).unwrap_or_default();
        Self { preset, varied, diverged: group.len() - done().count(), ends, learners }
    }

    /// Ends and learners by their losses, the greatest first; a bar has a block for each seed.
    fn page(&self) -> String {
        let seeds: usize = self.ends.iter().map(|end| end.seeds.len()).sum();
        let varied: String = self.varied.iter().map(|(key, value)| format!(", {key}={value}")).collect();
        let mut text = format!(
            "{}{}: {seeds} seeds, {} different end{}\n",
            bounds::line(&self.preset),
            bounds::line(&varied),
            self.ends.len(),
            if self.ends.len() == 1 { "" } else { "s" }
        );
        let mut lines: Vec<(f64, String)> = Vec::new();
        for (name, loss) in &self.learners {
            lines.push((*loss, format!("  {:17} {name}", significant(*loss, 4))));
        }
        for end in &self.ends {
            let losses = match (significant(end.greatest_loss, 4), significant(end.least_loss, 4)) {
                (greatest, least) if greatest == least => greatest,
                (greatest, least) => format!("{greatest} to {least}"),
            };
            let nearest: Vec<String> = end.nearest.iter().map(|(name, count)| format!("{name} {count}×")).collect();
            let bar = "█".repeat(end.seeds.len());
            lines.push((end.greatest_loss, format!("▸ {losses:17} {bar} nearest: {}", nearest.join(", "))));
        }
        lines.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, line) in &lines {
            let _ = writeln!(text, "{line}");
        }
        if self.diverged > 0 {
            let _ = writeln!(text, "  {} diverged", self.diverged);
        }
        text
    }
}

/// Cuts finals, the greatest loss first, where one is less than the one before by more than a part.
fn ends(finals: &[Final<'_>], gap: f64) -> Vec<End> {
    let close = |a: &Final<'_>, b: &Final<'_>| a.loss - b.loss <= gap * a.loss;
    let end = |part: &[Final<'_>]| {
        let mut nearest = BTreeMap::new();
        part.iter().for_each(|run| *nearest.entry(run.nearest.to_owned()).or_default() += 1);
        let mut seeds: Vec<u64> = part.iter().map(|run| run.seed).collect();
        seeds.sort_unstable();
        Some(End { least_loss: part.last()?.loss, greatest_loss: part.first()?.loss, seeds, nearest })
    };
    finals.chunk_by(close).filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_losses_are_one_end() {
        let run = |seed, loss| Final { seed, loss, nearest: if loss > 0.18 { "gd-1" } else { "gd-2" } };
        let found = ends(&[run(3, 0.202), run(1, 0.2), run(2, 0.139), run(5, 0.138), run(4, 0.137)], 0.03);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].seeds.as_slice(), found[1].seeds.as_slice()), (&[1, 3][..], &[2, 4, 5][..]));
        assert_eq!((found[1].greatest_loss, found[1].least_loss), (0.139, 0.137));
        assert_eq!(found[1].nearest, BTreeMap::from([("gd-2".to_owned(), 3)]));
        let page = Ends {
            preset: "a".to_owned(),
            varied: Vec::new(),
            diverged: 1,
            ends: found,
            learners: vec![("gd-1".to_owned(), 0.201), ("gd-2".to_owned(), 0.15)],
        }
        .page();
        let expected = "a: 5 seeds, 2 different ends\n\
                        ▸ 0.2020 to 0.2000  ██ nearest: gd-1 2×\n  0.2010            gd-1\n  0.1500            gd-2\n\
                        ▸ 0.1390 to 0.1370  ███ nearest: gd-2 3×\n  1 diverged\n";
        assert_eq!(page, expected);
    }
}
