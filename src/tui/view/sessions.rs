//! The table of saved sessions, and the boxes in which one is renamed and deleted.

use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::gallery::{one_line, render_list};
use crate::session::Content;
use crate::train::NEAR;
use crate::tui::app::{Column, Gallery, SessionRow};
use crate::tui::keymap::{self, Mode};
use crate::tui::labels;
use crate::tui::numbers::{age, count, percent, significant};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::sparkline::sparkline;
use crate::tui::widget::wrap::{fit, width, with_whole_number};

/// From this width on the table has the files' names; below, only that of the selected session is shown.
const FILES: u16 = 120;
/// From this width on titles and references have more columns.
const LONG_TITLES: u16 = 96;
/// From this width on it has the nearest references.
const REFERENCES: u16 = 68;
/// From this width on it has the ages.
const AGES: u16 = 52;
/// From this width on it has the curves.
const CURVES: u16 = 140;
/// Columns of a curve.
const CURVE: usize = 12;

/// Columns of the mark before a row.
const MARK: usize = 3;
/// Columns from which on the changed fields are shown.
const LEAST_CHANGED: usize = 8;
/// Columns of a loss.
const LOSS: usize = 7;

/// Columns of each column of the table; 0: it is not shown. They depend on the width of the screen alone.
fn widths(space: u16) -> [(Column, usize); 8] {
    let wide = space >= FILES;
    let (title, nearest, when) = match space {
        FILES.. => (24, 22, 12),
        LONG_TITLES.. => (20, 22, 11),
        REFERENCES.. => (13, 14, 11),
        AGES.. => (13, 0, 11),
        _ => (13, 0, 0),
    };
    // Each with a space after it. The last space may lie outside.
    let fixed = [title, 4, 8, LOSS, nearest, when].into_iter().filter(|width| *width > 0).map(|width| width + 1);
    let curve = if space >= CURVES { CURVE + 1 } else { 0 };
    let between = if wide { 2 } else { 1 };
    let left = usize::from(space).saturating_sub(MARK + fixed.sum::<usize>() + curve + between);
    let changed = if wide { left / 2 } else { Some(left).filter(|left| *left >= LEAST_CHANGED).unwrap_or(0) };
    let file = if wide { left - changed } else { 0 };
    Column::ALL.map(|column| {
        let width = match column {
            Column::Title => title,
            Column::Seed => 4,
            Column::Changed => changed,
            Column::Step => 8,
            Column::Loss => LOSS,
            Column::Nearest => nearest,
            Column::When => when,
            Column::File => file,
        };
        (column, width)
    })
}

pub fn render(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height < 3 {
        return;
    }
    let head = Rect { height: 1, ..area };
    buffer.set_line(head.x, head.y, &head_line(gallery, theme, area.width), head.width);
    let rows = gallery.sessions().into_iter().enumerate().map(|(index, row)| {
        let style = if index == gallery.selected() { theme.selected() } else { Style::new() };
        (line(gallery, row, theme, area.width), style)
    });
    let nothing =
        if gallery.session_count() == 0 { "No saved sessions: in the lab, s saves one." } else { "Nothing found." };
    let list = Rect { y: area.y + 1, height: area.height - 2, ..area };
    render_list(rows.collect(), gallery.selected(), nothing, theme, list, buffer);
    if let Some(row) = gallery.selected_session() {
        let path = one_line(&row.summary.path.display().to_string());
        let marked = match gallery.sessions.marked().len() {
            0 => String::new(),
            some => format!("{some} marked: Enter opens the selected session beside them   "),
        };
        let text = fit(&format!("  {marked}{path}"), usize::from(area.width));
        buffer.set_line(area.x, area.bottom() - 1, &Line::styled(text, theme.muted()), area.width);
    }
}

/// The names of the columns; that of the order has an arrow.
fn head_line(gallery: &Gallery, theme: Theme, space: u16) -> Line<'static> {
    let cell = |(column, width): (Column, usize)| {
        let sorted = column == gallery.sessions.column;
        let arrow = match (sorted, gallery.sessions.reversed) {
            (false, _) => "",
            (true, false) => " ▲",
            (true, true) => " ▼",
        };
        let style = if sorted { theme.focus() } else { theme.muted() };
        let name = format!("{}{arrow}", column.name());
        [Span::styled(padded(&name, column, width), style), Span::raw(curve_gap(column, space))]
    };
    let cells = widths(space).into_iter().filter(|(_, width)| *width > 0).flat_map(cell);
    Line::from([Span::raw("   ")].into_iter().chain(cells).collect::<Vec<_>>())
}

/// The place of the curve in the head, after the loss.
fn curve_gap(column: Column, space: u16) -> String {
    let gap = if column == Column::Loss && space >= CURVES { CURVE + 1 } else { 0 };
    " ".repeat(gap)
}

/// Text to the left, numbers to the right, and one space.
fn padded(text: &str, column: Column, columns: usize) -> String {
    let text = fit(text, columns);
    let gap = " ".repeat(columns - width(&text));
    match column {
        Column::Seed | Column::Step | Column::Loss => format!("{gap}{text} "),
        Column::Title | Column::Changed | Column::Nearest | Column::When | Column::File => format!("{text}{gap} "),
    }
}

fn line(gallery: &Gallery, row: &SessionRow, theme: Theme, space: u16) -> Line<'static> {
    let mark = if gallery.sessions.is_marked(row) { " ● " } else { "   " };
    let mut spans = vec![Span::styled(mark, theme.role(Role::Model))];
    let content = match &row.summary.content {
        Ok(content) => content,
        Err(why) => {
            let name = row.summary.path.file_name().unwrap_or(row.summary.path.as_os_str()).to_string_lossy();
            // The reason begins with the path, which stands below the table.
            let path = format!("{}: ", row.summary.path.display());
            let text =
                format!("{} cannot be read: {}", one_line(&name), one_line(why.strip_prefix(&path).unwrap_or(why)));
            spans.push(Span::styled(fit(&text, usize::from(space.saturating_sub(4))), theme.muted()));
            return Line::from(spans);
        }
    };
    for (column, width) in widths(space).into_iter().filter(|(_, width)| *width > 0) {
        let style = if column == Column::When { theme.muted() } else { Style::new() };
        spans.push(Span::styled(padded(&cell(content, row, column, width), column, width), style));
        if column == Column::Loss && space >= CURVES {
            let curve = sparkline(&content.digest.curve, CURVE);
            spans.push(Span::styled(format!("{curve:<CURVE$} "), theme.role(Role::Model)));
        }
    }
    Line::from(spans)
}

fn cell(content: &Content, row: &SessionRow, column: Column, width: usize) -> String {
    let digest = &content.digest;
    match column {
        Column::Title => one_line(&content.preset.title),
        Column::Seed => digest.seed.to_string(),
        Column::Changed => changed(content),
        Column::Step => count(digest.step),
        Column::Loss => digest.eval_loss.map_or_else(String::new, loss_digits),
        Column::Nearest => match digest.nearest {
            Some((reference, distance)) if distance <= NEAR => {
                with_whole_number(&format!("{} {}", labels::label(reference), percent(distance)), width)
            }
            Some((_, distance)) => format!("none {}", percent(distance)),
            None => String::new(),
        },
        Column::When => age(row.age),
        Column::File => one_line(&row.stem()),
    }
}

/// As many digits, up to four, as fit: half a number is a wrong number.
fn loss_digits(loss: f64) -> String {
    let text = |digits| significant(loss, digits);
    (1..=4).rev().map(text).find(|text| width(text) <= LOSS).unwrap_or_else(|| text(1))
}

/// "dim=5 noise=0.1": keys without the part of the preset that they are in.
fn changed(content: &Content) -> String {
    let Some(overrides) = &content.overrides else { return one_line(&format!("{} (no such preset)", content.name)) };
    let short = |setting: &String| {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        format!("{}={value}", key.rsplit('.').next().unwrap_or(key))
    };
    one_line(&overrides.iter().map(short).collect::<Vec<_>>().join(" "))
}

/// The box in which a new name is typed.
pub fn render_rename(gallery: &Gallery, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some(name), Some(row)) = (&gallery.renaming, gallery.selected_session()) else { return };
    let mut lines = vec![
        Line::styled(shown(&row.summary.path), theme.muted()),
        Line::default(),
        Line::from(vec![
            Span::raw(one_line(name)),
            Span::styled("▏", theme.focus()),
            Span::styled(".ron", theme.muted()),
        ]),
        Line::default(),
    ];
    lines.extend(key_lines(Mode::Rename, theme));
    panel::render("New name of the file", lines, theme.focus(), 60, area, buffer);
}

/// The question before a session is deleted.
pub fn render_delete(path: &Path, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![Line::raw(shown(path)), Line::raw("It cannot be brought back."), Line::default()];
    lines.extend(key_lines(Mode::Delete, theme));
    panel::render("Delete this session?", lines, theme.role(Role::Warning), 60, area, buffer);
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

fn key_lines(mode: Mode, theme: Theme) -> impl Iterator<Item = Line<'static>> {
    let rows = keymap::bindings(mode).filter(|row| row.hint.is_some());
    rows.map(move |row| {
        Line::from(vec![Span::styled(format!("{:<8}", row.shown()), theme.focus()), Span::raw(row.help)])
    })
}
