//! `innerloop cost`: what the length of the context costs each architecture.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use super::{completions, print};
use crate::numbers::{count, significant};
use crate::preset::Preset;
use crate::train::context_cost::{self, ContextCost, FormCost, LENGTHS};

/// Measure what the length of the context costs
///
/// Trains each preset for a moment with contexts of 8 to 512 pairs and prints, for one token: the time of a training
/// step, all tokens at once, and the time to read one more token where tokens come one by one; and, exactly, the
/// operations and the memory of both forms of the model.
#[derive(Args, Debug)]
#[command(after_help = "Example: innerloop cost gd-ssm transformer")]
pub struct Options {
    /// Presets; without any, six that differ in how they cost
    #[arg(value_name = "PRESET", add = completions::presets_and_files())]
    pub presets: Vec<String>,
    /// Print one JSON object a line, each as soon as it is measured
    #[arg(long)]
    pub json: bool,
}

/// A line of JSON.
#[derive(Serialize)]
struct Row<'a> {
    preset: &'a str,
    #[serde(flatten)]
    cost: &'a ContextCost,
}

/// Measures and prints every preset, one after the other.
pub fn run(options: &Options) -> Result<ExitCode> {
    let named = options.presets.iter().map(String::as_str);
    let names: Vec<&str> = if named.len() > 0 { named.collect() } else { context_cost::PRESETS.to_vec() };
    let presets: Vec<(String, Vec<Preset>)> = names.iter().map(|name| lengths(name)).collect::<Result<_>>()?;
    for (name, lengths) in presets {
        if !options.json {
            print(&heading(&name))?;
        }
        for preset in lengths {
            let cost = ContextCost::measure(preset)?;
            let text =
                if options.json { serde_json::to_string(&Row { preset: &name, cost: &cost })? } else { line(&cost) };
            print(&(text + "\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The preset with each length, so that what is wrong with one is said before any is measured.
fn lengths(name: &str) -> Result<(String, Vec<Preset>)> {
    let (name, preset) = crate::preset::find(name)?;
    let all = LENGTHS.iter().map(|context| context_cost::with_context(&preset, *context));
    let all = all.collect::<Result<_>>().with_context(|| name.clone())?;
    Ok((name, all))
}

fn heading(name: &str) -> String {
    let row = |[first, training, flops, bytes, reading, step_flops, step_bytes]: [&str; 7]| {
        format!(
            "{first:>6}  {training:>14}  {flops:>14} {bytes:>12}  {reading:>14} {step_flops:>14} {step_bytes:>12}\n"
        )
    };
    let (time, flops) = ("µs a token", "flops a token");
    let forms = row(["", "training", "all at once", "", "token by token", "", ""]);
    format!("{name}\n{forms}{}", row(["pairs", time, flops, "bytes", time, flops, "bytes"]))
}

fn line(cost: &ContextCost) -> String {
    let form = |form: Option<FormCost>| match form {
        Some(FormCost { flops_per_token, bytes }) => format!("{:>14} {:>12}", count(flops_per_token), count(bytes)),
        None => format!("{:>14} {:>12}", "–", "–"),
    };
    let time = |seconds: f64| significant(1e6 * seconds, 3);
    let training = time(cost.training_seconds_per_token);
    let reading = cost.reading_seconds_per_token.map_or_else(|| "–".to_owned(), time);
    format!("{:>6}  {training:>14}  {}  {reading:>14} {}", cost.context, form(cost.whole), form(cost.step))
}
