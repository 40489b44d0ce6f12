//! The details beside the gallery's list: what is selected, and what it should show.

mod claims;
mod lessons;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Padding, Widget};

use crate::bounds::printable;
use crate::preset::{Entry, Preset};
use crate::session::{Content, PresetResults};
use crate::tui::app::{Gallery, SessionRow, Tab};
use crate::tui::labels::{self, cost};
use crate::tui::numbers::{age, count, duration, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::sparkline::sparkline;
use crate::tui::widget::wrap::{width as columns, wrap};

pub fn render(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut block =
        Block::bordered().border_type(BorderType::Rounded).border_style(theme.muted()).padding(Padding::horizontal(1));
    let inner = block.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let lines = match gallery.tab {
        Tab::Lessons => gallery.selected_lesson().map(|entry| lessons::lines(entry, gallery, theme, width)),
        Tab::Presets => gallery.selected_preset().map(|entry| entry_lines(entry, gallery, theme, width)),
        Tab::Sessions => gallery.selected_session().map(|row| session_lines(row, theme, width)),
    };
    let mut lines = lines.unwrap_or_default();
    let empty = lines.iter().filter(|line| line.width() == 0).count();
    if lines.len() > height && lines.len() - empty <= height {
        // Without empty lines all of it is visible.
        lines.retain(|line| line.width() > 0);
    }
    let furthest = lines.len().saturating_sub(height);
    let scrolled = gallery.details_scroll.min(furthest);
    if furthest > 0 {
        let more = if scrolled < furthest { " PgDn: down ▼ " } else { " PgUp: up ▲ " };
        block = block.title_bottom(Line::styled(more, theme.title()).right_aligned());
    }
    block.render(area, buffer);
    for (row, line) in (inner.top()..inner.bottom()).zip(lines.iter().skip(scrolled)) {
        buffer.set_line(inner.x, row, line, inner.width);
    }
}

fn entry_lines(entry: &Entry, gallery: &Gallery, theme: Theme, width: usize) -> Vec<Line<'static>> {
    match &entry.preset {
        Ok(preset) => preset_lines((&entry.name, preset), gallery, theme, width),
        Err(why) => unreadable(&entry.name, why, theme, width),
    }
}

/// The most important first: on a small screen the rest is scrolled to.
pub(super) fn preset_lines(
    (name, preset): (&str, &Preset),
    gallery: &Gallery,
    theme: Theme,
    width: usize,
) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(printable(&preset.title), theme.focus()), Line::default()];
    lines.extend(printable(&preset.recurrence).lines().flat_map(|line| formula(line, width)));
    lines.push(Line::default());
    lines.extend(section("", &preset.about, theme, width));
    lines.extend(section("Look for", &preset.look_for, theme, width));
    lines.extend(section("Expect", &preset.expect, theme, width));
    lines.extend(claims::lines((name, preset), gallery, theme, width));
    lines.extend(section("Memory", &cost::sentence(preset), theme, width));
    let (batch, steps) = (count(preset.train.batch as u64), count(preset.train.steps));
    let parameters = count(preset.parameters() as u64);
    let facts = [
        preset.task.describe(),
        format!("{parameters} parameters, batch {batch}, {steps} steps"),
        how_long((name, preset), gallery),
        format!("device {}", gallery.device_description()),
    ];
    lines.extend(facts.iter().flat_map(|fact| in_groups(fact, width)).map(|line| Line::styled(line, theme.muted())));
    lines
}

/// "about 8 s in the lab here, 3 s without a limit", as far as it is known.
fn how_long((name, preset): (&str, &Preset), gallery: &Gallery) -> String {
    let steps = preset.train.steps as f64;
    let paced = preset.train.pace.map(|pace| steps / pace);
    let full = gallery.results(name).and_then(PresetResults::seconds_per_step).map(|seconds| seconds * steps);
    match (full, paced) {
        (Some(full), Some(paced)) if paced > 1.2 * full => {
            format!("about {} in the lab here, {} without a limit", duration(paced), duration(full))
        }
        (Some(full), _) => format!("about {} here", duration(full)),
        (None, Some(paced)) => format!("{} or more; not yet timed here", duration(paced)),
        (None, None) => "not yet timed here".to_owned(),
    }
}

/// A line of the recurrence as it is written; where it is too wide, each group between two spaces is a line.
fn formula(line: &str, width: usize) -> Vec<Line<'static>> {
    let indented = |text: &str| Line::from(format!("  {}", text.trim_end()));
    if columns(line) + 2 <= width {
        return vec![indented(line)];
    }
    let shift = line.len() - line.trim_start().len();
    let parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
    let rows = parts.flat_map(|part| wrap(part, width.saturating_sub(shift + 2)));
    rows.map(|row| indented(&format!("{}{row}", " ".repeat(shift)))).collect()
}

/// Groups that stand two spaces apart stay whole and fill line after line.
fn in_groups(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for group in text.split("  ").map(str::trim).filter(|group| !group.is_empty()) {
        match rows.last_mut() {
            Some(row) if columns(row) + 2 + columns(group) <= width => *row += &format!("  {group}"),
            _ => rows.extend(wrap(group, width)),
        }
    }
    rows
}

/// A paragraph with a bold title, and an empty line after it; no lines where there is no text.
fn section(title: &'static str, text: &str, theme: Theme, width: usize) -> Vec<Line<'static>> {
    // The line breaks of a RON file are for its editor's width.
    let text = printable(text);
    if text.trim().is_empty() {
        return vec![];
    }
    let head = if title.is_empty() { String::new() } else { format!("{title}:") };
    let mut rows = wrap(&format!("{head} {text}"), width).into_iter();
    let first = rows.next().unwrap_or_default();
    let first = match first.strip_prefix(&head) {
        Some(rest) => Line::from(vec![Span::styled(head, theme.focus()), Span::raw(rest.to_owned())]),
        None => Line::from(first),
    };
    [first].into_iter().chain(rows.map(Line::from)).chain([Line::default()]).collect()
}

fn session_lines(row: &SessionRow, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let file = row.summary.path.display().to_string();
    match &row.summary.content {
        Ok(content) => content_lines(content, &file, row.age, theme, width),
        Err(why) => unreadable(&file, why, theme, width),
    }
}

fn content_lines(content: &Content, file: &str, seconds: u64, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let (digest, preset) = (&content.digest, &content.preset);
    let spark = sparkline(&digest.curve, width.min(60));
    let facts = format!("{}   seed {}", labels::progress(digest.step, preset.train.steps, 0), digest.seed);
    let mut lines = vec![Line::styled(printable(&preset.title), theme.focus()), Line::from(facts)];
    if let Some(changed) = content.overrides.as_ref().filter(|changed| !changed.is_empty()) {
        let changed = format!("changed: {}", printable(&changed.join(", ")));
        lines.extend(wrap(&changed, width).into_iter().map(Line::from));
    }
    if let Some(loss) = digest.eval_loss {
        lines.push(Line::from(format!("held-out loss {}", significant(loss, 4))));
    }
    lines.extend([
        Line::styled(spark, theme.role(Role::Model)),
        Line::styled("held-out loss over the run, logarithmic", theme.muted()),
        Line::styled(preset.task.describe(), theme.muted()),
        Line::styled(format!("{}   preset {}", age(seconds), printable(&content.name)), theme.muted()),
    ]);
    lines.extend(wrap(&printable(file), width).into_iter().map(|line| Line::styled(line, theme.muted())));
    lines
}

fn unreadable(name: &str, why: &str, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![
        Line::styled(printable(name), theme.focus()),
        Line::styled("cannot be read:", theme.role(Role::Warning)),
        Line::default(),
    ];
    lines.extend(printable(why).lines().flat_map(|line| wrap(line, width)).map(Line::from));
    lines
}
