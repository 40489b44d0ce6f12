//! `innerloop lessons`: what there is to learn.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::print;
use crate::lesson::{self, Entry};

/// List the lessons
#[derive(Args, Debug)]
pub struct Options {
    /// Print one JSON array
    #[arg(long)]
    pub json: bool,
}

/// A lesson in the JSON array. A file that cannot be read has a name and an error.
#[derive(Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Good { name: &'a str, number: u32, question: &'a str, answers: Vec<&'a str>, presets: Vec<&'a str> },
    Bad { name: &'a str, error: &'a str },
}

/// Prints every lesson.
pub fn run(options: &Options) -> Result<ExitCode> {
    let entries = lesson::all();
    if options.json {
        let rows: Vec<Row> = entries.iter().map(row).collect();
        return print(&(serde_json::to_string_pretty(&rows)? + "\n"));
    }
    print(&table(&entries))
}

fn row(entry: &Entry) -> Row<'_> {
    let name = entry.name.as_str();
    match &entry.lesson {
        Err(error) => Row::Bad { name, error },
        Ok(lesson) => Row::Good {
            name,
            number: lesson.number,
            question: &lesson.question,
            // Not which of them is right: a list is on the screen before the experiment is.
            answers: lesson.answers.iter().map(|answer| answer.text.as_str()).collect(),
            presets: lesson.preset_names(),
        },
    }
}

/// The questions in their order.
fn table(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Entry { name, lesson } in entries {
        let (number, line) = match lesson {
            Ok(lesson) => (lesson.number.to_string(), lesson.question.replace('\n', " ")),
            Err(error) => (String::new(), error.clone()),
        };
        let _ = writeln!(text, "{number:>3}  {name:width$}  {line}");
    }
    text
}
