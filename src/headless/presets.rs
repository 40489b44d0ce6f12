//! `innerloop presets`: what there is to train.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{print, print_rows};
use crate::nn::model::ModelSpec;
use crate::optim::TrainSpec;
use crate::preset::{self, Entry, Family, Preset};

/// List the presets
#[derive(Args, Debug)]
pub struct Options {
    /// Print one JSON array
    #[arg(long)]
    pub json: bool,
}

/// A preset in the JSON array, beside its name.
#[derive(Serialize)]
struct Row<'a> {
    title: &'a str,
    family: Family,
    summary: &'a str,
    /// In words.
    task: String,
    parameters: usize,
    model: &'a ModelSpec,
    train: &'a TrainSpec,
}

/// Prints every preset.
pub fn run(options: &Options) -> Result<ExitCode> {
    let entries = preset::all();
    if options.json {
        return print_rows(entries.iter().map(|entry| (entry.name.as_str(), entry.preset.as_ref().map(row))));
    }
    print(&table(&entries))
}

fn row(preset: &Preset) -> Row<'_> {
    Row {
        title: &preset.title,
        family: preset.family,
        summary: &preset.summary,
        task: preset.task.describe(),
        parameters: preset.parameters(),
        model: &preset.model,
        train: &preset.train,
    }
}

/// The presets under the names of their families.
fn table(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut family = None;
    for Entry { name, preset } in entries {
        let heading = preset.as_ref().map_or("Cannot be read", |preset| preset.family.title());
        if family != Some(heading) {
            let gap = if family.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{heading}");
            family = Some(heading);
        }
        let line = match preset {
            Ok(preset) => described(preset),
            Err(error) => error.clone(),
        };
        let _ = writeln!(text, "  {name:width$}  {line}");
    }
    text
}

fn described(preset: &Preset) -> String {
    format!("{} ({} parameters)", preset.summary.replace('\n', " "), preset.parameters())
}
