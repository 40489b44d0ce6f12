//! The help screen: the keys, what the pane in focus shows, the preset, and the words of the screens.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph, Widget};

use super::details;
use crate::tui::app::{App, HelpPage};
use crate::tui::glossary::TERMS;
use crate::tui::keymap::{Binding, Mode, table};
use crate::tui::theme::Theme;
use crate::tui::widget::wrap::{width as columns, wrap};

/// From this width on keys and words stand in two columns.
const TWO_COLUMNS: u16 = 110;
/// Columns of a key.
const KEY: usize = 14;
/// Columns of a paragraph at most: longer lines are hard to read.
const WIDEST: usize = 90;

pub fn render(app: &App, scrolled: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    Clear.render(area, buffer);
    let pages = app.help_pages().into_iter().map(|page| {
        let style = if page == app.help_page { theme.title().patch(theme.selected()) } else { theme.title() };
        Span::styled(format!(" {} ", page.title()), style)
    });
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.muted())
        .title(Line::from(pages.collect::<Vec<_>>()))
        .title_bottom(Line::styled(" ? back   Tab next page   ↑ ↓ scroll ", theme.muted()))
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    let halves: [Rect; 2] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(inner);
    let in_columns = matches!(app.help_page, HelpPage::Keys | HelpPage::Words) && area.width >= TWO_COLUMNS;
    let width = usize::from(if in_columns { halves[0].width } else { inner.width }).min(WIDEST);
    let lines = match app.help_page {
        HelpPage::Keys => keys(app.mode_without_help(), theme, width),
        HelpPage::Pane => app.lab.as_ref().map_or_else(Vec::new, |lab| {
            let text = wrap(lab.focus.about(), width).into_iter().map(Line::from);
            [Line::styled(lab.focus.heading(lab), theme.focus()), Line::default()].into_iter().chain(text).collect()
        }),
        HelpPage::Preset => app.lab.as_ref().and_then(|lab| lab.opened.as_ref()).map_or_else(Vec::new, |opened| {
            details::preset_lines((&opened.name, &opened.preset), &app.gallery, theme, width)
        }),
        HelpPage::Words => words(theme, width),
    };
    if in_columns && lines.len() > usize::from(inner.height) {
        let cut = cut(&lines, usize::from(inner.height));
        let second = lines[cut..].iter().skip_while(|line| line.width() == 0).cloned().collect::<Vec<_>>();
        Paragraph::new(lines[..cut].to_vec()).render(halves[0], buffer);
        let furthest = second.len().saturating_sub(usize::from(inner.height));
        Paragraph::new(second).scroll((scrolled.min(furthest) as u16, 0)).render(halves[1], buffer);
    } else {
        let furthest = lines.len().saturating_sub(usize::from(inner.height));
        Paragraph::new(lines).scroll((scrolled.min(furthest) as u16, 0)).render(inner, buffer);
    }
}

/// Where the second column begins: at the last heading at which the first column is not too long.
fn cut(lines: &[Line], height: usize) -> usize {
    let is_heading = |line: &Line| line.spans.first().is_some_and(|span| !span.content.starts_with(' '));
    let last = (1..=height).rev().find(|&i| lines.get(i).is_some_and(is_heading));
    last.unwrap_or_else(|| height.min(lines.len()))
}

/// The rows of the table under the names of their modes; those that work on the screen that is open come first.
fn keys(mode: Mode, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut groups: Vec<(&[Mode], Vec<&Binding>)> = Vec::new();
    for row in table() {
        match groups.iter_mut().find(|(modes, _)| *modes == row.modes) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((row.modes, vec![row])),
        }
    }
    // Those of this mode, those of many modes with it, the others; each in the order of the table.
    groups.sort_by_key(|(modes, _)| (!modes.contains(&mode), modes.contains(&mode) && modes.len() > 3));
    let mut lines = Vec::new();
    for (modes, rows) in groups {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let titles: Vec<_> = modes.iter().map(|mode| mode.title()).collect();
        let title = if modes.len() == Mode::ALL.len() { "Everywhere".to_owned() } else { titles.join(", ") };
        lines.extend(wrap(&title, width).into_iter().map(|row| Line::styled(row, theme.focus())));
        for row in rows {
            let columns = KEY.max(columns(&row.shown()) + 1);
            let help = wrap(row.help, width.saturating_sub(columns + 2));
            lines.extend(help.into_iter().enumerate().map(|(i, help)| {
                let key = if i == 0 { row.shown() } else { String::new() };
                Line::from(vec![Span::styled(format!("  {key:<columns$}"), theme.focus()), Span::raw(help)])
            }));
        }
    }
    lines
}

/// Every term with its meaning below it.
fn words(theme: Theme, width: usize) -> Vec<Line<'static>> {
    let entry = |(term, meaning): &(&'static str, &'static str)| {
        let text = wrap(meaning, width.saturating_sub(2)).into_iter().map(|row| Line::from(format!("  {row}")));
        [Line::styled(*term, theme.focus())].into_iter().chain(text).collect::<Vec<_>>()
    };
    TERMS.iter().flat_map(entry).collect()
}
