//! The card beside the gallery's list: what is chosen, and what it should show.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Padding, Paragraph, Widget, Wrap};

use crate::bounds::printable;
use crate::preset::{Entry, Preset};
use crate::session::Content;
use crate::tui::app::{Gallery, SessionRow, Tab};
use crate::tui::numbers::{age, count, significant};
use crate::tui::theme::{Ink, Theme};
use crate::tui::widget::sparkline::sparkline;

pub fn draw(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let lines = match gallery.tab {
        Tab::Presets => gallery.chosen_preset().map(|entry| preset_lines(entry, gallery, theme)),
        Tab::Sessions => gallery.chosen_session().map(|row| session_lines(row, theme, area.width)),
    };
    let block =
        Block::bordered().border_type(BorderType::Rounded).border_style(theme.quiet()).padding(Padding::horizontal(1));
    Paragraph::new(lines.unwrap_or_default()).block(block).wrap(Wrap { trim: false }).render(area, buffer);
}

fn preset_lines(entry: &Entry, gallery: &Gallery, theme: Theme) -> Vec<Line<'static>> {
    match &entry.preset {
        Ok(preset) => card(preset, gallery, theme),
        Err(why) => unreadable(&entry.name, why, theme),
    }
}

/// The most telling first: on a small screen the end is cut.
fn card(preset: &Preset, gallery: &Gallery, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(printable(&preset.title), theme.focus()), Line::default()];
    lines.extend(printable(&preset.recurrence).lines().map(|line| Line::from(format!("  {line}"))));
    lines.push(Line::default());
    lines.extend(section("", &preset.about, theme));
    lines.extend(section("Look for", &preset.look_for, theme));
    lines.extend(section("In the end", &preset.expect, theme));
    let (batch, steps) = (count(preset.train.batch as u64), count(preset.train.steps));
    let parameters = count(preset.parameters() as u64);
    lines.extend([
        Line::styled(preset.task.describe(), theme.quiet()),
        Line::styled(format!("{parameters} parameters   batch {batch}   {steps} steps"), theme.quiet()),
        Line::styled(format!("device {}", gallery.device), theme.quiet()),
    ]);
    lines
}

fn section(title: &'static str, text: &str, theme: Theme) -> Vec<Line<'static>> {
    // A RON file breaks its lines where its editor is wide; the card is not.
    let text = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut spans = Vec::new();
    if !title.is_empty() {
        spans.push(Span::styled(format!("{title}: "), theme.focus()));
    }
    spans.push(Span::raw(text));
    vec![Line::from(spans), Line::default()]
}

fn session_lines(row: &SessionRow, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let file = row.summary.path.display().to_string();
    match &row.summary.content {
        Ok(content) => session_card(content, &file, row.age, theme, width),
        Err(why) => unreadable(&file, why, theme),
    }
}

fn session_card(content: &Content, file: &str, seconds: u64, theme: Theme, width: u16) -> Vec<Line<'static>> {
    let spark = sparkline(&content.curve, usize::from(width.saturating_sub(6)).min(60));
    let mut lines = vec![
        Line::styled(printable(&content.title), theme.focus()),
        Line::default(),
        Line::from(format!("step {} of {}   seed {}", count(content.step), count(content.steps), content.seed)),
    ];
    if let Some(loss) = content.final_loss {
        lines.push(Line::from(format!("held-out loss {}", significant(f64::from(loss), 4))));
    }
    lines.extend([
        Line::default(),
        Line::styled(spark, theme.ink(Ink::Model)),
        Line::styled("held-out loss over the run, logarithmic", theme.quiet()),
        Line::default(),
        Line::styled(format!("{}   preset {}", age(seconds), printable(&content.name)), theme.quiet()),
        Line::styled(printable(file), theme.quiet()),
    ]);
    lines
}

fn unreadable(name: &str, why: &str, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![
        Line::styled(printable(name), theme.focus()),
        Line::styled("cannot be read:", theme.ink(Ink::Warning)),
        Line::default(),
    ];
    lines.extend(printable(why).lines().map(|line| Line::from(line.to_owned())));
    lines
}
