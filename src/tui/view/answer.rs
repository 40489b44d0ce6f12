//! The answer to the lab's question, in words and digits; in its place what went wrong, where something did.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::tui::app::Lab;
use crate::tui::numbers::count;
use crate::tui::theme::{Ink, Theme};
use crate::tui::words::{self, Verdict};
use crate::worker::Phase;

pub fn draw(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || area.width < 2 {
        return;
    }
    let area = Rect { x: area.x + 1, width: area.width - 1, ..area };
    let (headline, style, details) = content(lab, theme);
    if area.height > 2 {
        // No panes: the words have the screen to themselves.
        let mut lines = vec![Line::styled(headline, style)];
        lines.extend(details.into_iter().map(Line::from));
        Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }).render(area, buffer);
        return;
    }
    buffer.set_line(area.x, area.y, &Line::styled(headline, style), area.width);
    if area.height > 1 {
        buffer.set_line(area.x, area.y + 1, &Line::from(details.join("   ")), area.width);
    }
}

/// Headline, its style, and the digits that stand behind it.
fn content(lab: &Lab, theme: Theme) -> (String, Style, Vec<String>) {
    let status = lab.status.as_ref();
    if let Some((Phase::Diverged { at }, status)) = status.map(|status| (&status.phase, status)) {
        let headline = format!("▲ diverged at step {}: a loss was not finite", count(*at));
        let advice =
            format!("Back at step {}, paused. Lower the learning rate with - and press Space.", count(status.step));
        return (headline, theme.ink(Ink::Warning).patch(theme.focus()), vec![advice]);
    }
    let Some(latest) = &lab.history.latest else {
        return ("measuring …".to_owned(), theme.quiet(), vec![]);
    };
    let verdict = Verdict::of(&latest.equivalence);
    let style = match verdict {
        Verdict::Equal => theme.ink(words::ink(latest.equivalence.reference)).patch(theme.focus()),
        Verdict::Close | Verdict::NotYet => theme.focus(),
    };
    let mut headline = format!("{} {}", verdict.glyph(), words::answer(&latest.equivalence));
    if let Some(status) = status.filter(|status| status.phase == Phase::Finished) {
        headline.push_str(&format!("   after {} steps; Space goes on", count(status.step)));
    }
    (headline, style, words::evidence(latest))
}
