//! The help screen: the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph, Widget};

use crate::tui::keymap::{BINDINGS, Binding, Mode};
use crate::tui::theme::Theme;

/// From this width on the keys stand in two columns.
const TWO_COLUMNS: u16 = 110;

pub fn render(scrolled: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.muted())
        .title(Line::styled(" Keys ", theme.title()))
        .title_bottom(Line::styled(" ? back   ↑ ↓ scroll ", theme.muted()))
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    let lines = lines(theme);
    if area.width >= TWO_COLUMNS && lines.len() > usize::from(inner.height) {
        let halves: [Rect; 2] = Layout::horizontal([Constraint::Fill(1); 2]).areas(inner);
        let cut = cut(&lines, usize::from(inner.height));
        let second = lines[cut..].iter().skip_while(|line| line.width() == 0).cloned().collect::<Vec<_>>();
        Paragraph::new(lines[..cut].to_vec()).render(halves[0], buffer);
        Paragraph::new(second).render(halves[1], buffer);
    } else {
        let furthest = lines.len().saturating_sub(usize::from(inner.height));
        Paragraph::new(lines).scroll((scrolled.min(furthest) as u16, 0)).render(inner, buffer);
    }
}

/// Where the second column begins: between two groups where both then fit, else where the first column is full.
fn cut(lines: &[Line], height: usize) -> usize {
    let between = (0..=height.min(lines.len())).rev().find(|&i| lines.get(i).is_some_and(|line| line.width() == 0));
    between.filter(|cut| lines.len() - cut - 1 <= height).unwrap_or_else(|| height.min(lines.len()))
}

/// The rows of the table under the names of their modes.
fn lines(theme: Theme) -> Vec<Line<'static>> {
    let mut groups: Vec<(&[Mode], Vec<&Binding>)> = Vec::new();
    for row in BINDINGS {
        match groups.iter_mut().find(|(modes, _)| *modes == row.modes) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((row.modes, vec![row])),
        }
    }
    let mut lines = Vec::new();
    for (modes, rows) in groups {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        let titles: Vec<_> = modes.iter().map(|mode| mode.title()).collect();
        let title = if modes.len() == Mode::ALL.len() { "Everywhere".to_owned() } else { titles.join(", ") };
        lines.push(Line::styled(title, theme.focus()));
        for row in rows {
            lines.push(Line::from(vec![
                Span::styled(format!("  {:<14}", row.shown()), theme.focus()),
                Span::raw(row.help),
            ]));
        }
    }
    lines
}
