//! The editor of an experiment: a table of its fields, what the selected one may be, and what the changes cost.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use crate::bounds::printable;
use crate::preset::{self, Preset};
use crate::tui::app::{Editor, Field};
use crate::tui::numbers::count;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{fit, wrap};

/// Columns of the panel at most.
const WIDEST: u16 = 104;
/// Columns of the key, of the value and of the preset's value.
const COLUMNS: [usize; 3] = [23, 14, 12];

pub fn render(editor: &Editor, theme: Theme, area: Rect, buffer: &mut Buffer) {
    // The footer below it has the keys.
    let width = area.width.min(WIDEST);
    let area = Rect { x: area.x + (area.width - width) / 2, width, height: area.height.saturating_sub(1), ..area };
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.muted())
        .title(Line::styled(format!(" Change {} ", printable(&editor.preset.title)), theme.title()))
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    let columns = usize::from(inner.width);
    let below = below(editor, theme, columns);
    let rows = usize::from(inner.height).saturating_sub(below.len() + 2).max(1);
    let skipped = (editor.selected + 1).saturating_sub(rows);
    let head = format!(
        "  {:<a$}{:<b$}{:<c$}allowed",
        "field",
        "value",
        "preset",
        a = COLUMNS[0],
        b = COLUMNS[1],
        c = COLUMNS[2]
    );
    let fields = editor.fields.iter().enumerate().skip(skipped).take(rows);
    // On the selected row, which is reversed, everything is text.
    let muted = |selected: bool| if selected { Style::new() } else { theme.muted() };
    let table = fields.map(|(i, field)| {
        let selected = i == editor.selected;
        (row(field, columns, theme.focus(), muted(selected)), selected)
    });
    let lines = [(Line::styled(head, theme.muted()), false)].into_iter().chain(table);
    for (y, (line, selected)) in (inner.top()..inner.bottom()).zip(lines) {
        let place = Rect { y, height: 1, ..inner };
        buffer.set_line(place.x, y, &line, place.width);
        buffer.set_style(place, if selected { theme.selected() } else { Style::new() });
    }
    let first = inner.bottom().saturating_sub(below.len() as u16).max(inner.top() + 1);
    for (y, line) in (first..inner.bottom()).zip(&below) {
        buffer.set_line(inner.x, y, line, inner.width);
    }
}

/// "● task.dim   5   10   1 to 256".
fn row(field: &Field, columns: usize, focus: Style, muted: Style) -> Line<'static> {
    let changed = field.is_changed();
    let original = field.original.as_deref().filter(|_| changed).unwrap_or_default();
    let cell = |text: &str, width: usize| format!("{:<width$}", fit(text, width - 1));
    let allowed = fit(&field.allowed, columns.saturating_sub(2 + COLUMNS.iter().sum::<usize>()));
    Line::from(vec![
        Span::raw(if changed { "● " } else { "  " }),
        Span::raw(cell(&field.key, COLUMNS[0])),
        Span::styled(cell(&field.value, COLUMNS[1]), if changed { focus } else { Style::new() }),
        Span::styled(cell(original, COLUMNS[2]), muted),
        Span::styled(allowed, muted),
    ])
}

/// The selected field in full, what is wrong with what was typed, and what the changes cost.
fn below(editor: &Editor, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(field) = editor.selected_field() else { return vec![] };
    let mut lines = vec![Line::default()];
    let value = match &editor.typed {
        Some(typed) => vec![Span::styled(format!("{}▏", printable(typed)), theme.focus())],
        None => vec![Span::styled(field.value.clone(), theme.focus())],
    };
    lines.push(Line::from([vec![Span::raw(format!("{} = ", field.key))], value].concat()));
    let paragraph = |text: &str, style: Style| {
        wrap(text, columns).into_iter().map(move |row| Line::styled(row, style)).collect::<Vec<_>>()
    };
    match &editor.error {
        Some(error) => lines.extend(paragraph(&printable(error), theme.role(Role::Warning).patch(theme.focus()))),
        None => lines.extend(paragraph(&format!("allowed: {}", field.allowed), theme.muted())),
    }
    lines.extend(paragraph(&cost(editor), Style::new()));
    lines
}

/// "r trains from step 0: parameters 212 → 52, operations per query 24,150 → 6,200, memory 12 MiB → 5 MiB."
fn cost(editor: &Editor) -> String {
    let Editor { before, preset: after, step, .. } = editor;
    if before == after {
        return "Nothing is changed yet: Enter changes a value.".to_owned();
    }
    let numbers = |preset: &Preset| {
        let flops = preset.query_flops().map_or_else(|| "–".to_owned(), count);
        [count(preset.parameters() as u64), flops, preset::size(preset.memory())]
    };
    let names = ["parameters", "operations per query", "memory"];
    let both = names.into_iter().zip(numbers(before).into_iter().zip(numbers(after)));
    let changes = both
        .map(|(name, (old, new))| if old == new { format!("{name} {old}") } else { format!("{name} {old} → {new}") });
    let fork = step.map_or_else(String::new, |step| format!(", f from step {} on", count(step)));
    format!("r trains from step 0{fork}: {}.", changes.collect::<Vec<_>>().join(", "))
}
