//! The gallery screen: tabs, the list, and the details of what is selected.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{details, lesson, sessions};
use crate::bounds::printable;
use crate::preset::Preset;
use crate::tui::app::{Gallery, ListRow, Tab};
use crate::tui::layout;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{fit, wrap};

/// From this width on each preset in the list has a line for its summary.
const SUMMARIES: u16 = 40;

/// Renders all but the footer and returns the footer's area.
pub fn render(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let places = match gallery.tab {
        Tab::Lessons | Tab::Presets => layout::gallery(gallery.tab, area),
        Tab::Sessions => layout::sessions(area),
    };
    let mut title = Line::styled(" innerloop", theme.role(Role::Model).patch(theme.focus()));
    let about = Span::styled("   watch sequence models learn gradient descent in their forward pass", theme.muted());
    if title.width() + about.width() <= usize::from(places.title.width) {
        title.push_span(about);
    }
    buffer.set_line(places.title.x, places.title.y, &title, places.title.width);
    render_tabs(gallery, theme, places.tabs, buffer);
    match gallery.tab {
        Tab::Lessons => render_lessons(gallery, theme, places.list, buffer),
        Tab::Presets => render_presets(gallery, theme, places.list, buffer),
        Tab::Sessions => sessions::render(gallery, theme, places.list, buffer),
    }
    if let Some(area) = places.details {
        details::render(gallery, theme, area, buffer);
    }
    places.footer
}

fn render_tabs(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let style = |tab| if gallery.tab == tab { theme.focus().patch(theme.selected()) } else { theme.muted() };
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(" Lessons ", style(Tab::Lessons)),
        Span::styled(" Presets ", style(Tab::Presets)),
        Span::styled(format!(" Sessions ({}) ", gallery.session_count()), style(Tab::Sessions)),
    ];
    if gallery.typing || !gallery.search.is_empty() {
        spans.push(Span::styled(format!("   / {}", printable(&gallery.search)), theme.focus()));
        spans.push(Span::styled(if gallery.typing { "▏" } else { "   Esc clears" }, theme.muted()));
    }
    buffer.set_line(area.x, area.y, &Line::from(spans), area.width);
}

/// The questions in their order, each with what came of it.
fn render_lessons(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let space = usize::from(area.width.saturating_sub(1));
    let mut lines = Vec::new();
    let mut selected_line = 0;
    for (index, entry) in gallery.lessons().into_iter().enumerate() {
        let selected = index == gallery.selected();
        if selected {
            selected_line = lines.len();
        }
        let mark = lesson::mark(gallery.answered.outcome(&entry.name));
        let (number, text) = match &entry.lesson {
            Ok(lesson) => (lesson.number.to_string(), one_line(&lesson.question)),
            Err(_) => (String::new(), format!("{} (cannot be read)", one_line(&entry.name))),
        };
        let style = if selected { theme.selected() } else { Style::new() };
        for (row, text) in wrap(&text, space.saturating_sub(6)).into_iter().enumerate() {
            let head = if row == 0 { format!("{number:>3} {mark} ") } else { " ".repeat(6) };
            lines.push((Line::from(vec![Span::styled(head, theme.muted()), Span::raw(text)]), style));
        }
    }
    render_list(lines, selected_line, "Nothing found.", theme, area, buffer);
}

fn render_presets(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let space = usize::from(area.width.saturating_sub(1));
    let mut lines = Vec::new();
    let mut selected_line = 0;
    for row in gallery.rows() {
        match row {
            ListRow::Family(title) => {
                if !lines.is_empty() {
                    lines.push((Line::default(), Style::new()));
                }
                lines.push((Line::styled(format!(" {title}"), theme.muted()), Style::new()));
            }
            ListRow::Preset(index, entry) => {
                let selected = index == gallery.selected();
                if selected {
                    selected_line = lines.len();
                }
                let line = match &entry.preset {
                    Ok(preset) => Line::from(vec![
                        Span::raw(fit(&format!("  {}", one_line(&preset.title)), space.saturating_sub(2))),
                        Span::raw(tick(gallery, &entry.name, preset)),
                    ]),
                    Err(_) => Line::styled(format!("  {} (cannot be read)", one_line(&entry.name)), theme.muted()),
                };
                lines.push((line, if selected { theme.selected() } else { Style::new() }));
                // On a narrow screen a summary would be cut, and without it the list shows more presets.
                if let (Ok(preset), true) = (&entry.preset, area.width >= SUMMARIES) {
                    let rows = wrap(&one_line(&preset.summary), space.saturating_sub(4));
                    let rows = rows.into_iter().map(|row| Line::styled(format!("    {row}"), theme.muted()));
                    lines.extend(rows.map(|row| (row, Style::new())));
                }
            }
        }
    }
    render_list(lines, selected_line, "Nothing found.", theme, area, buffer);
}

/// A mark for a preset whose claims have all held here.
fn tick(gallery: &Gallery, name: &str, preset: &Preset) -> &'static str {
    let Some(results) = gallery.results(name) else { return "" };
    let held = |claim| results.result(claim).is_some_and(|entry| entry.verdict.held);
    if !preset.claims.is_empty() && preset.claims.iter().all(held) { " ✓" } else { "" }
}

/// Renders lines so that the selected one is visible; arrows in the last column say that there are more above or below.
pub fn render_list(
    lines: Vec<(Line, Style)>,
    selected: usize,
    nothing: &str,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    if lines.is_empty() {
        buffer.set_stringn(
            area.x,
            area.y + 1.min(area.height),
            format!("  {nothing}"),
            usize::from(area.width),
            Style::new(),
        );
        return;
    }
    let height = usize::from(area.height.saturating_sub(1));
    // The lines under the selected one belong to it.
    let skipped = (selected + 3).saturating_sub(height).min(selected);
    let more = [("▲", area.top() + 1, skipped > 0), ("▼", area.bottom() - 1, lines.len() > skipped + height)];
    for (arrow, row, _) in more.into_iter().filter(|(_, _, shown)| *shown && height > 1 && area.width > 0) {
        buffer.set_string(area.right() - 1, row, arrow, theme.title());
    }
    for (i, (line, style)) in lines.into_iter().skip(skipped).take(height).enumerate() {
        let place = Rect { y: area.y + 1 + i as u16, height: 1, width: area.width.saturating_sub(1), ..area };
        buffer.set_line(place.x, place.y, &line, place.width);
        buffer.set_style(place, style);
    }
}

/// Text from a file, safe and on one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}
