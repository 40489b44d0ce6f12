//! The answer to the lab's question, in a sentence and in numbers; after a failure, what went wrong.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::bounds::line;
use crate::train::DivergenceCause;
use crate::tui::app::Lab;
use crate::tui::labels::{self, Closeness};
use crate::tui::numbers::{self, count};
use crate::tui::theme::{Role, Theme};
use crate::worker::Phase;

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || area.width < 2 {
        return;
    }
    // Without panes each number has a line of its own.
    let width = if area.height > 2 { usize::MAX } else { usize::from(area.width - 1) };
    let (mut headline, details) = content(lab, theme, width);
    headline.extend(outcome(lab, theme, usize::from(area.width).saturating_sub(headline.width())));
    if area.height > 2 {
        // No panes are shown: the text has the whole screen.
        let mut lines = vec![headline];
        lines.extend(details.into_iter().map(|detail| Line::from(format!(" {detail}"))));
        Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }).render(area, buffer);
        return;
    }
    buffer.set_line(area.x, area.y, &headline, area.width);
    if area.height > 1 {
        buffer.set_line(area.x + 1, area.y + 1, &Line::from(details.join(labels::BETWEEN)), area.width - 1);
    }
}

/// The answer in a sentence.
pub fn headline(lab: &Lab, theme: Theme) -> Line<'static> {
    let mut headline = content(lab, theme, 0).0;
    headline.extend(outcome(lab, theme, usize::MAX));
    headline
}

/// At the end of a run, in at most so many columns: that it has finished, and how many claims held. Where there is no
/// space for both, the claims.
fn outcome(lab: &Lab, theme: Theme, space: usize) -> Vec<Span<'static>> {
    if lab.status.as_ref().is_none_or(|status| status.phase != Phase::Finished) || lab.history.latest.is_none() {
        return vec![];
    }
    let finished = Span::styled("  Finished. Space trains further.", theme.muted());
    let held = claims_held(lab, theme);
    let fits = finished.width() + held.as_ref().map_or(0, Span::width) <= space;
    Some(finished).filter(|_| fits).into_iter().chain(held).collect()
}

/// The headline, and the numbers behind it in at most so many columns.
fn content(lab: &Lab, theme: Theme, width: usize) -> (Line<'static>, Vec<String>) {
    let status = lab.status.as_ref();
    if let Some((Phase::Diverged { at, cause }, status)) = status.map(|status| (&status.phase, status)) {
        let why = match cause {
            DivergenceCause::Loss => "the loss is not finite or far too large".to_owned(),
            DivergenceCause::State(_) => cause.to_string(),
        };
        let headline = format!(" ▲ Diverged at step {}: {}. ", count(*at), line(&why));
        let style = theme.role(Role::Warning).patch(theme.selected()).patch(theme.focus());
        let (step, lr) = (count(status.step), numbers::short(status.lr));
        let advice = format!("Back at step {step}, lr {lr}. Lower it with - and press Space to continue.");
        return (Line::from(Span::styled(headline, style)), vec![advice]);
    }
    if let Some((Phase::Failed { at, why }, status)) = status.map(|status| (&status.phase, status)) {
        let headline = format!(" ▲ Failed after step {}: {} ", count(*at), line(why));
        let style = theme.role(Role::Warning).patch(theme.selected()).patch(theme.focus());
        let advice = format!("Back at step {}. s saves it, Space tries again.", count(status.step));
        return (Line::from(Span::styled(headline, style)), vec![advice]);
    }
    let Some(latest) = &lab.history.latest else {
        return (Line::styled(" measuring …", theme.muted()), vec![]);
    };
    let closeness = Closeness::of(&latest.equivalence);
    let style = match closeness {
        // The result that the lab is about stands out.
        Closeness::Equal => {
            theme.role(labels::role(latest.equivalence.reference)).patch(theme.selected()).patch(theme.focus())
        }
        Closeness::Close | Closeness::Neither => theme.focus(),
    };
    let answer = format!(" {} {} ", closeness.glyph(), labels::answer(&latest.equivalence));
    let headline = Line::from(Span::styled(answer, style));
    (headline, labels::evidence(latest, width))
}

/// "✓ 5 of 5 claims held", once they are checked.
fn claims_held(lab: &Lab, theme: Theme) -> Option<Span<'static>> {
    let (held, checked) = lab.claims_held();
    if checked == 0 || lab.checking() {
        return None;
    }
    let all = held == checked;
    let style = if all { theme.focus() } else { theme.role(Role::Warning).patch(theme.focus()) };
    Some(Span::styled(format!("   {} {held} of {checked} claims held", labels::claims::mark(Some(all))), style))
}
