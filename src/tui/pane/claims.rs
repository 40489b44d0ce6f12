//! What the preset claims, and whether it holds in this run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::bounds::HELD_OUT;
use crate::preset::Claim;
use crate::tui::app::Lab;
use crate::tui::glossary::TERMS;
use crate::tui::labels::claims;
use crate::tui::numbers::count;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::wrap;
use crate::worker::Phase;

/// Columns for what is measured, and for the value.
const COLUMNS: (usize, usize) = (31, 9);

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "What the preset says will be seen, each as a measured number with its bounds. ✓ held, ✗ did not hold, · not \
     checked yet. They are measured on all held-out tasks when their step is reached. In a run whose fields were \
     changed they need not hold.";

pub fn title(lab: &Lab, _width: u16) -> String {
    match lab.claims_held() {
        _ if lab.caption.is_some() => "Claims".to_owned(),
        (_, 0) => "Claims".to_owned(),
        (held, checked) => format!("Claims: {held} of {checked} held"),
    }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(opened) = &lab.opened else { return };
    if lab.caption.is_some() {
        let text = "Claims are shown with the answer of the lesson.";
        buffer.set_stringn(area.x + 1, area.y, text, usize::from(area.width.saturating_sub(1)), theme.muted());
        return;
    }
    let mut lines = Vec::new();
    let mut group = None;
    for claim in &opened.preset.claims {
        let conditions = (claim.after, &claim.set);
        if group.replace(conditions) != Some(conditions) {
            lines.push(Line::styled(heading(lab, claim), theme.muted()));
        }
        lines.extend(claim_lines(lab, claim, theme, usize::from(area.width.saturating_sub(1))));
    }
    if lines.is_empty() {
        lines.push(Line::styled("This preset makes no claims.", theme.muted()));
    }
    let free = usize::from(area.height).saturating_sub(lines.len() + 1);
    let words = words(&opened.preset.claims, usize::from(area.width.saturating_sub(2)), free);
    lines.extend(words.into_iter().map(|line| Line::styled(line, theme.muted())));
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// What the glossary says of the words in the claims, as many as fit, after an empty line.
fn words(claims: &[Claim], width: usize, rows: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut seen = Vec::new();
    for term in claims.iter().map(claims::term) {
        let meaning = TERMS.iter().find(|(word, _)| *word == term).filter(|_| !seen.contains(&term));
        let Some((word, meaning)) = meaning else { continue };
        seen.push(term);
        let wrapped = wrap(&format!("{word}: {meaning}"), width);
        if lines.len() - 1 + wrapped.len() > rows {
            break;
        }
        lines.extend(wrapped);
    }
    lines
}

/// "after 4,000 steps, range 2, on 2,048 held-out tasks", or what the claims wait for.
fn heading(lab: &Lab, claim: &Claim) -> String {
    let checked = lab.checks.iter().any(|check| check.claim == *claim);
    let status = lab.status.as_ref();
    let now = if checked {
        format!(" on {} held-out tasks", count(HELD_OUT as u64))
    } else if status.is_some_and(|status| status.step == claim.after && status.phase != Phase::Running) {
        ": checking …".to_owned()
    } else if status.is_some_and(|status| status.step > claim.after) {
        ": not checked in this run".to_owned()
    } else {
        ": not reached yet".to_owned()
    };
    let shift = if claim.set.is_empty() { String::new() } else { format!(", {}", claims::shift(claim)) };
    format!("{}{shift}{now}", claims::moment(claim))
}

/// In one line where the numbers fit, else in two.
fn claim_lines(lab: &Lab, claim: &Claim, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let check = lab.checks.iter().find(|check| check.claim == *claim);
    let held = check.map(|check| check.held);
    let style = match held {
        Some(true) => theme.focus(),
        Some(false) => theme.role(Role::Warning).patch(theme.focus()),
        None => theme.muted(),
    };
    let mark = Span::styled(format!("{} ", claims::mark(held)), style);
    let (what, bounds) = (claims::quantity(claim), claims::bounds(claim));
    let unknown = || claim.other_preset().map_or_else(String::new, |_| "by verify".to_owned());
    let value = check.map_or_else(unknown, |check| claims::value(claim, check.value));
    let one = Line::from(vec![
        mark.clone(),
        Span::raw(format!("{what:<width$}", width = COLUMNS.0)),
        Span::styled(format!("{value:>width$}", width = COLUMNS.1), style),
        Span::styled(format!("  {bounds}"), theme.muted()),
    ]);
    if one.width() <= width {
        return vec![one];
    }
    let mut second = vec![Span::raw("  ")];
    if !value.is_empty() {
        second.push(Span::styled(format!("{value}   "), style));
    }
    second.push(Span::styled(bounds, theme.muted()));
    let second = Line::from(second);
    let first = Line::from(vec![mark, Span::raw(what)]);
    if second.width() > 2 { vec![first, second] } else { vec![first] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glossary_explains_every_claim_and_only_whole_entries_are_shown() {
        for entry in crate::preset::all() {
            let claims = entry.preset.unwrap().claims;
            for term in claims.iter().map(claims::term) {
                assert!(TERMS.iter().any(|(word, _)| *word == term), "{term}");
            }
            let all = words(&claims, 40, 100);
            assert_eq!(all.len() > 1, !claims.is_empty(), "{}", entry.name);
            let fewer = words(&claims, 40, all.len().saturating_sub(2));
            assert!((claims.is_empty() || fewer.len() < all.len()) && all.starts_with(&fewer));
        }
    }
}
