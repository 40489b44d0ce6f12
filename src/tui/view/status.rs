//! The top lines: what is trained, where, and how far it is.
//!
//! Every number has a fixed width, so that a change of one does not move the others.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::bounds::printable;
use crate::train::GpuStatus;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{count, duration, rate, short};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{fit, width};
use crate::worker::{Phase, Slowed, Status};

/// A run at this share of its pace or more is limited by the pace and not by the machine.
const LIMITED: f64 = 0.9;

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let space = area.width.saturating_sub(2);
    let progress = progress(lab, theme, usize::from(space));
    let for_identity = if area.height == 1 { space.saturating_sub(progress.width() as u16 + 1) } else { space };
    let what = identity(lab, theme, usize::from(for_identity));
    if area.height == 1 {
        let taken = progress.width() as u16;
        let right = area.right().saturating_sub(taken + 1).max(area.x);
        buffer.set_line(area.x + 1.min(area.width), area.y, &what, for_identity);
        buffer.set_line(right, area.y, &progress, area.right() - right);
    } else {
        buffer.set_line(area.x + 1.min(area.width), area.y, &what, space);
        buffer.set_line(area.x + 1.min(area.width), area.y + 1, &progress, space);
    }
}

/// Where space is short, what changes least is cut.
fn identity(lab: &Lab, theme: Theme, space: usize) -> Line<'static> {
    let title = lab.opened.as_ref().map_or(&lab.title, |opened| &opened.preset.title);
    let mut title = printable(title).replace('\n', " ");
    if lab.runs() > 1 {
        title += &format!(" ({} of {}, u: next)", lab.run + 1, lab.runs());
    }
    let left = space.saturating_sub(width(&title));
    let mut spans = vec![Span::styled(title, theme.focus())];
    if let Some(opened) = &lab.opened {
        let gpu = lab.status.as_ref().and_then(|status| status.gpu.as_ref()).map(gpu_words).unwrap_or_default();
        let device = printable(&format!("{}{gpu}", opened.device)).replace('\n', " ");
        // What a lesson changes is no change to it.
        let changed = lab.overrides.as_deref().filter(|_| lab.caption.is_none());
        let changes = changes(changed.unwrap_or_default());
        let rest = format!("{changes}   seed {}   {device}   {}", opened.seed, opened.preset.task.describe());
        spans.push(Span::styled(fit_groups(&rest, left), theme.muted()));
    }
    Line::from(spans)
}

/// Fields that the status names at most.
const NAMED: usize = 3;

/// Columns of a value that the status shows; of a longer one, only the field is named.
const LONGEST_VALUE: usize = 16;

/// "   changed: dim 5, lr 0.01": what differs from the preset's file, each as `task.dim=5`.
fn changes(overrides: &[String]) -> String {
    if overrides.is_empty() {
        return String::new();
    }
    let name = |text: &String| match text.split_once('=') {
        Some((key, value)) => {
            let name = key.rsplit('.').next().unwrap_or(key);
            if width(value) > LONGEST_VALUE { name.to_owned() } else { format!("{name} {value}") }
        }
        None => text.clone(),
    };
    let named = overrides.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    let more = match overrides.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    printable(&format!("   changed: {named}{more}"))
}

/// " NVIDIA H100, 3.2 of 79.6 GB, busy  87 %"; "–" for a load that is not known.
fn gpu_words(GpuStatus { name, used, total, busy }: &GpuStatus) -> String {
    let gigabytes = |bytes: &u64| *bytes as f64 / 1e9;
    let busy = busy.map_or_else(|| "–".to_owned(), |percent| percent.to_string());
    format!(" {name}, {:.1} of {:.1} GB, busy {busy:>3} %", gigabytes(used), gigabytes(total))
}

/// As many of the groups that stand two spaces apart as fit: a number that is cut would be a wrong number.
fn fit_groups(text: &str, most: usize) -> String {
    let ends = text.match_indices("  ").map(|(end, _)| end).chain([text.len()]);
    let whole = ends.filter(|end| width(&text[..*end]) <= most).last().unwrap_or(0);
    if whole > 0 { text[..whole].trim_end().to_owned() } else { fit(text, most) }
}

/// "opening … 40 %": what a run does before its first report.
pub fn opening(lab: &Lab) -> String {
    match (100.0 * lab.opening_share) as u32 {
        0 => "opening …".to_owned(),
        percent => format!("opening … {percent} %"),
    }
}

/// Each number in a column of its own; close together where the columns do not fit.
fn progress(lab: &Lab, theme: Theme, space: usize) -> Line<'static> {
    let Some(status) = &lab.status else {
        let what = "every reference solves the held-out tasks";
        return Line::from(vec![
            Span::styled(opening(lab), theme.focus()),
            Span::styled(format!("   {what}"), theme.muted()),
        ]);
    };
    let step = labels::progress(status.step, status.steps, count(status.steps).len());
    if let Phase::Watched { age, writer } = &status.phase {
        return Line::from(vec![phase(status, theme), Span::raw(watched(&step, *age, writer.as_deref(), space))]);
    }
    let lr = status.solved.as_ref().map_or_else(|| format!("lr {}", short(status.lr)), ToString::to_string);
    let (speed, left) = (speed(status), time_left(status));
    let numbers = format!("   {step}  {speed:>9}   {left:<16} {lr:<11}");
    let phase = phase(status, theme);
    let beside = space.saturating_sub(phase.width());
    let numbers = match width(&numbers) <= beside {
        true => numbers,
        false => fit_groups(&format!("  {}", [step, speed, left, lr].join("  ")), beside),
    };
    Line::from(vec![phase, Span::raw(numbers)])
}

/// Who writes what is shown, and how old it is; as much of that as fits.
fn watched(step: &str, age: u64, writer: Option<&str>, space: usize) -> String {
    let saved = match age {
        0 => "just saved".to_owned(),
        age => format!("saved {} ago", duration(age as f64)),
    };
    let left = space.saturating_sub("◉ watching".chars().count() + 2);
    let text = match writer {
        Some(writer) => format!("{step}  {saved}  {} trains it", printable(writer).replace('\n', " ")),
        // That nothing will follow counts more than since when.
        None => format!("{step}  no longer trained  {saved}"),
    };
    format!("  {}", fit_groups(&text, left))
}

fn phase(status: &Status, theme: Theme) -> Span<'static> {
    let (text, style) = match status.phase {
        Phase::Running => match status.slowed {
            Some(Slowed::Falling) => ("▶ slowed: the loss is falling", theme.role(Role::Model)),
            Some(Slowed::Preset) => ("▶ slowed by the preset", theme.role(Role::Model)),
            None => ("▶ training", theme.role(Role::Model)),
        },
        Phase::Paused => ("‖ paused  ", theme.focus()),
        Phase::Finished => ("■ finished", theme.focus()),
        Phase::Diverged { .. } => ("▲ diverged", theme.role(Role::Warning)),
        Phase::Failed { .. } => ("▲ failed  ", theme.role(Role::Warning)),
        Phase::Watched { writer: Some(_), .. } => ("◉ watching", theme.role(Role::Model)),
        Phase::Watched { writer: None, .. } => ("◉ watching", theme.focus()),
    };
    Span::styled(text, style.patch(theme.focus()))
}

/// The steps per second; their limit, where that is what limits the run.
fn speed(status: &Status) -> String {
    match (status.pace, &status.phase) {
        (Some(pace), Phase::Running) if status.steps_per_second < LIMITED * pace => rate(status.steps_per_second),
        (Some(pace), _) => format!("≤ {}", rate(pace)),
        (None, Phase::Running) => rate(status.steps_per_second),
        (None, _) => "no limit".to_owned(),
    }
}

fn time_left(status: &Status) -> String {
    let left = status.steps.saturating_sub(status.step) as f64;
    let per_second = status.pace.map_or(status.steps_per_second, |pace| pace.min(status.steps_per_second));
    if status.phase == Phase::Running && left > 0.0 && per_second > 0.0 {
        format!("{} left", duration(left / per_second))
    } else {
        String::new()
    }
}
