//! How far a training command is: a bar on a terminal, a line now and then elsewhere. All on standard error.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{is_dumb, tell};
use crate::train::{Advance, Measurement};

/// Redraws of the bar in a second.
const REDRAWS: u8 = 10;
/// Plain lines that a whole run prints, about.
const LINES: u64 = 10;

/// What has been shown of a run.
pub struct Progress {
    /// None: plain lines.
    bar: Option<ProgressBar>,
    first: u64,
    last: u64,
    next_line: u64,
    began: Instant,
    /// The loss that one step of gradient descent has.
    descent: Option<f64>,
}

impl Progress {
    /// Shows steps from `first` to `last`.
    pub fn new(first: u64, last: u64, descent: Option<f64>) -> Self {
        let drawn = io::stderr().is_terminal() && !is_dumb();
        Self { bar: drawn.then(|| bar(first, last)), first, last, next_line: first, began: Instant::now(), descent }
    }

    /// Shows that a step is reached.
    pub fn show(&mut self, step: u64, advance: &Advance) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
        let Some(measurement) = &advance.measurement else { return };
        let solved = advance.solved.as_ref().map_or(String::new(), |solved| format!(", {solved}"));
        let words = self.compared(measurement) + &solved;
        if let Some(bar) = &self.bar {
            bar.set_message(words);
        } else if step >= self.next_line || step == self.last {
            let per_second = (step - self.first) as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
            tell(&format!("step {step} of {}, {per_second:.0} steps/s, {words}", self.last));
            self.next_line = step + (self.last - self.first) / LINES;
        }
    }

    /// Shows a line that stays.
    pub fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }

    /// Leaves the screen to what comes next.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn compared(&self, measurement: &Measurement) -> String {
        let loss = measurement.eval_loss;
        match self.descent {
            Some(descent) => {
                format!("loss {loss:.5}, gd-1 {descent:.5} ({:+.2} %)", 100.0 * measurement.equivalence.loss_gap)
            }
            None => format!("loss {loss:.5}"),
        }
    }
}

fn bar(first: u64, last: u64) -> ProgressBar {
    let template = "{bar:16} {pos}/{len}  {rate}  {eta} left  {wide_msg}";
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{:.0} steps/s", state.per_sec());
    };
    let bar = ProgressBar::with_draw_target(Some(last), ProgressDrawTarget::stderr_with_hz(REDRAWS));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", rate).progress_chars("━╸ "));
    }
    bar.set_position(first);
    // Steps of an earlier session took none of this command's time.
    bar.reset_eta();
    bar
}
