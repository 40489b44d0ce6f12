//! `innerloop lessons`: what there is to learn.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{print, print_rows};
use crate::lesson::{self, Entry, Lesson};

/// List the lessons
#[derive(Args, Debug)]
pub struct Options {
    /// Print one JSON array
    #[arg(long)]
    pub json: bool,
}

/// A lesson in the JSON array, beside its name.
#[derive(Serialize)]
struct Row<'a> {
    number: u32,
    question: &'a str,
    answers: Vec<&'a str>,
    presets: Vec<&'a str>,
}

/// Prints every lesson.
pub fn run(options: &Options) -> Result<ExitCode> {
    let entries = lesson::all();
    if options.json {
        return print_rows(entries.iter().map(|entry| (entry.name.as_str(), entry.lesson.as_ref().map(row))));
    }
    print(&table(&entries))
}

fn row(lesson: &Lesson) -> Row<'_> {
    Row {
        number: lesson.number,
        question: &lesson.question,
        // Not which of them is right: a list is on the screen before the experiment is.
        answers: lesson.answers.iter().map(|answer| answer.text.as_str()).collect(),
        presets: lesson.preset_names(),
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
