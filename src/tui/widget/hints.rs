//! A footer of keys, as many as fit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::theme::Theme;

/// Keys that a footer shows at most, so that it can be read at a glance.
pub const MOST: usize = 7;

/// Renders pairs of (key, word) from the left. The last pair, which leads to all the others, is never dropped.
pub fn render<'a>(hints: impl Iterator<Item = (&'a str, &'a str)>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let mut hints: Vec<_> = hints.take(MOST).collect();
    let width = |hint: &(&str, &str)| hint.0.chars().count() + hint.1.chars().count() + 4;
    while hints.len() > 1 && hints.iter().map(width).sum::<usize>() > usize::from(area.width) {
        hints.remove(hints.len() - 2);
    }
    let mut x = area.x + 1.min(area.width);
    for (key, word) in hints {
        let space = |x: u16| usize::from(area.right().saturating_sub(x));
        (x, _) = buffer.set_stringn(x, area.y, key, space(x), theme.focus());
        x = x.saturating_add(1);
        (x, _) = buffer.set_stringn(x, area.y, word, space(x), theme.muted());
        x = x.saturating_add(3);
    }
}
